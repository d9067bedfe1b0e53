"""HAProxy alone, with the shipped configuration: for tests that play the agent and the payload door themselves."""
import os
import pwd
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "examples", "lib"))

from free_ports import free_ports  # noqa: E402

SSL_REQUEST = struct.pack(">II", 8, 80877103)
GSSENC_REQUEST = struct.pack(">II", 8, 80877104)
STARTUP = struct.pack(">II", 25, 196608) + b"user\0probe\0" + b"\0" * 6


def haproxy_owner():
    user = pwd.getpwnam("haproxy")
    return user.pw_uid, user.pw_gid


def as_root(*command):
    return list(command) if os.getuid() == 0 else ["sudo", "--", *command]


def free_port():
    return free_ports(1)[0]


class HAProxy:
    """Started in a directory of its own; GH_HAPROXY names another binary than the installed one. Needs root for the chroot."""

    def __init__(self, edit=None, mysql=False):
        self.dir = tempfile.mkdtemp(prefix="gh-hap.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.my_port = free_port() if mysql else ""
        lib = os.path.join(TOP, "examples", "lib", "stack.sh")
        subprocess.run(["bash", "-euc", f'. "{lib}"; gh_tls "$1/tls"; gh_haproxy_config "$1" "$2" "$3"', "-", self.dir, str(self.port), str(self.my_port)],
                       check=True)
        self.config = os.path.join(self.dir, "etc", "haproxy.cfg")
        for name, old, new in edit or ():
            path = os.path.join(self.dir, "etc", name)
            with open(path) as f:
                text = f.read()
            assert old in text, (name, old)
            with open(path, "w") as f:
                f.write(text.replace(old, new))
        self.sockets = os.path.join(self.dir, "jail", "gatehouse")
        os.mkdir(self.sockets, 0o755)
        self.log_path = os.path.join(self.dir, "log", "haproxy.log")
        self.process = None

    def path(self, name):
        return os.path.join(self.sockets, name)

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(as_root(os.environ.get("GH_HAPROXY", "haproxy"), "-db", "-f", self.config), stdout=log, stderr=log)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError("HAProxy does not start: " + self.log())
                time.sleep(0.05)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.dir)

    def tcp(self, timeout=20):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def tls_context(self):
        return ssl.create_default_context(cafile=os.path.join(self.dir, "tls", "ca.pem"))

    def tls(self, timeout=20):
        """As libpq does it: SSLRequest, 'S', handshake."""
        s = self.tcp(timeout)
        try:
            s.sendall(SSL_REQUEST)
            answer = s.recv(1)
            assert answer == b"S", answer
            return self.tls_context().wrap_socket(s, server_hostname="localhost")
        except BaseException:
            s.close()
            raise


def read_to_end(sock):
    """Everything until the peer closes; how it closes does not matter."""
    out = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return out
            out += piece
    except (ConnectionResetError, ssl.SSLEOFError, BrokenPipeError):
        return out


def error_fields(message):
    """An ErrorResponse's fields by their type byte (PostgreSQL documentation, "Error and Notice Message Fields")."""
    assert message[:1] == b"E" and struct.unpack(">I", message[1:5])[0] == len(message) - 1, message
    fields = message[5:].rstrip(b"\0").split(b"\0")
    return {chr(f[0]): f[1:].decode() for f in fields}
