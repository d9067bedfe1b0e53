"""sysbench against a way to MySQL or MariaDB: for test_sysbench.py and t/bench."""
import os
import re
import subprocess


class Sysbench:
    """Options of a way. folder: of our own, for the CA; ca: None without TLS."""

    def __init__(self, folder, host, port, user, password, ca, tables=2, rows=1000):
        self.env = dict(os.environ, HOME=folder)
        self.folder = folder
        self.common = [f"--mysql-host={host}", f"--mysql-port={port}", f"--mysql-user={user}", f"--mysql-password={password}", "--mysql-db=shop",
                       f"--tables={tables}", f"--table-size={rows}"]
        with open(os.path.join(folder, ".my.cnf"), "w") as f:  # sysbench's own options for TLS name three files that cannot be chosen
            f.write(f"[sysbench]\nssl-ca={ca}\nssl-verify-server-cert\n" if ca else "[sysbench]\nskip-ssl\n")

    def run(self, script, command, *more):
        """What it printed; an AssertionError when it failed."""
        done = subprocess.run(["sysbench", *self.common, *more, script, command], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
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
