"""A real server in a temporary folder, as user mysql, behind a Unix socket alone: Debian's MariaDB, or with GH_SUITE_MYSQL=ROOT the MySQL in ROOT (see t/matrix/enter).

Packages: mariadb-server, python3-pymysql."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pymysql

STATEMENT_SECONDS = 5
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def as_mysql(*command):
    return ["setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups", "--", *command] if os.getuid() == 0 else list(command)


def main(*parts):
    """Runs the parts on one server; the exit status. SIGTERM is an exception too, so that the server ends with us."""
    def end(number, _):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    results = []
    with Server() as server:
        for part in parts:
            results += part(server)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


class Server:
    """root without a password; MariaDB's audit plugin writes to self.audit when a test switches it on."""

    def __init__(self):
        self.suite = os.environ.get("GH_SUITE_MYSQL")
        self.kind = "mysql" if self.suite else "mariadb"
        self.process = None
        self.create()

    def create(self):
        self.dir = tempfile.mkdtemp(prefix="gatehouse-my.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.data, self.socket = os.path.join(self.dir, "data"), os.path.join(self.dir, "s.sock")
        self.log = os.path.join(self.dir, "error.log")
        self.audit = os.path.join(self.data, "audit.log")
        if os.getuid() == 0:
            shutil.chown(self.dir, "mysql")
        with open(os.path.join(self.dir, "install.log"), "wb") as log:
            if self.suite:
                install = self.mysqld("--initialize-insecure")
            else:
                install = as_mysql("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.dir}",
                                   "--auth-root-authentication-method=normal", "--skip-test-db")
            subprocess.run(install, stdout=log, stderr=log, check=True)
        self.start()

    def renew(self):
        """A test has broken its system tables: all anew."""
        self.close()
        self.create()

    def mysqld(self, *options):
        enter = os.path.join(TOP, "t", "matrix", "enter")
        return [enter, self.suite, "mysql", "/usr/sbin/mysqld", "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.dir}", "--secure-file-priv=", *options]

    def start(self):
        """Also after a crash: random statements find defects of the server's own."""
        options = [f"--socket={self.socket}", "--skip-networking", f"--log-error={self.log}", "--innodb-buffer-pool-size=64M",
                   "--innodb-flush-log-at-trx-commit=0", "--innodb-use-native-aio=0", "--skip-stack-trace", "--character-set-server=utf8mb4"]
        if self.suite:
            command = self.mysqld(*options, "--skip-log-bin", f"--max-execution-time={STATEMENT_SECONDS * 1000}")
        else:
            command = as_mysql("mariadbd", "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.dir}", "--secure-file-priv=", *options,
                               "--plugin-load-add=server_audit=server_audit.so", f"--server-audit-file-path={self.audit}",
                               "--server-audit-file-rotate-size=4G", f"--max-statement-time={STATEMENT_SECONDS}")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                self.connect().close()
                return
            except pymysql.err.MySQLError:
                time.sleep(0.1)
        with open(self.log, errors="replace") as f:
            raise RuntimeError("the server does not start:\n" + f.read()[-3000:])

    def connect(self, **options):
        options.setdefault("charset", "utf8mb4")
        return pymysql.connect(unix_socket=self.socket, user=options.pop("user", "root"), autocommit=True, **options)

    def version(self):
        """As in versioned comments."""
        c = self.connect()
        a, b, c_ = c.get_server_info().replace("5.5.5-", "").split("-")[0].split(".")
        c.close()
        return int(a) * 10000 + int(b) * 100 + int(c_)

    def alive(self):
        """False, after starting it again, when it had died."""
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return True
        self.start()
        return False

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
