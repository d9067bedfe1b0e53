"""sysbench against a way to MySQL or MariaDB: for test_sysbench.py and t/bench."""
import os
import re
import shutil
import subprocess


class Sysbench:
    """Options of a way. folder: of our own, for the CA; ca: None without TLS."""

    def __init__(self, folder, host, port, user, password, ca, tables=2, rows=1000):
        self.folder = folder
        self.common = [f"--mysql-host={host}", f"--mysql-port={port}", f"--mysql-user={user}", f"--mysql-password={password}", "--mysql-db=shop",
                       f"--tables={tables}", f"--table-size={rows}"]
        if ca:  # its names of files for TLS cannot be chosen, and it wants a certificate of its own, which servers hold against their CA: ca.key lies beside ca.pem
            self.common.append("--mysql-ssl=on")
            shutil.copyfile(ca, os.path.join(folder, "cacert.pem"))
            key, request, cert = (os.path.join(folder, name) for name in ("client-key.pem", "client.csr", "client-cert.pem"))
            for args in (["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=sysbench", "-keyout", key, "-out", request],
                         ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", os.path.join(os.path.dirname(ca), "ca.key"), "-set_serial", "2", "-days", "30", "-out", cert]):
                done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if done.returncode != 0:
                    raise AssertionError(f"a certificate for sysbench: {done.stdout}")

    def run(self, script, command, *more):
        """What it printed; an AssertionError when it failed."""
        done = subprocess.run(["sysbench", *self.common, *more, script, command], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(f"sysbench {script} {command}: {done.stdout}")
        return done.stdout


def figures(text):
    """Transactions in all and each second, statements, ignored errors, reconnects."""
    def number(pattern):
        return float(re.search(pattern, text).group(1))
    return dict(transactions=number(r"transactions: +(\d+)"), rate=number(r"transactions: +\d+ +\(([0-9.]+) per sec"), queries=number(r"queries: +(\d+)"),
                errors=number(r"ignored errors: +(\d+)"), reconnects=number(r"reconnects: +(\d+)"), p95=number(r"95th percentile: +([0-9.]+)"))
