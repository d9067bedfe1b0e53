"""Ports that nothing listens on and that no client of anybody gets for its own end: outside of the range that the kernel takes those from.

    free_ports.py N        N of them on 127.0.0.1, one a line

Until its server listens, a port would be free for whoever asks next, and two HAProxys on one port share it without a word. So each that was given out
is remembered for ten minutes.
"""
import os
import random
import socket
import sys
import tempfile
import time

KEPT = 600  # seconds


def _remember(port):
    """False: it was given out a short while ago."""
    folder = os.path.join(tempfile.gettempdir(), f"gatehouse-ports-{os.getuid()}")
    path = os.path.join(folder, str(port))
    os.makedirs(folder, 0o700, exist_ok=True)
    try:
        if time.time() - os.stat(path).st_mtime > KEPT:
            os.unlink(path)
    except FileNotFoundError:
        pass
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return True
    except FileExistsError:
        return False


def _is_free(port, hosts):
    try:
        for host in hosts:
            socket.create_server((host, port)).close()
        return True
    except OSError:
        return False


def free_ports(n, hosts=("127.0.0.1",)):
    """n ports, each free on all of the hosts."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low, high = map(int, f.read().split())
    candidates = range(max(1024, low - 16384), low) if low > 8192 else range(high + 1, 65536)
    found = []
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if len(found) == n:
            return found
        if _remember(port) and _is_free(port, hosts):
            found.append(port)
    raise OSError(f"fewer than {n} ports are free on {', '.join(hosts)}")


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1])), sep="\n")
