"""Ports that nothing listens on and that no client of anybody gets for its own end: outside of the range that the kernel takes those from.

    free_ports.py N        N of them on 127.0.0.1, one a line
"""
import random
import socket
import sys


def free_ports(n, hosts=("127.0.0.1",)):
    """n ports, each free on all of the hosts. Chosen at random, so that two who ask at the same time get different ones."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low, high = map(int, f.read().split())
    candidates = range(max(1024, low - 16384), low) if low > 8192 else range(high + 1, 65536)
    found = []
    for port in random.SystemRandom().sample(candidates, len(candidates)):
        if len(found) == n:
            break
        try:
            for host in hosts:
                socket.create_server((host, port)).close()
            found.append(port)
        except OSError:
            pass
    if len(found) < n:
        raise OSError(f"fewer than {n} ports are free on {', '.join(hosts)}")
    return found


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1])), sep="\n")
