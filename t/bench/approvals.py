"""How long it takes to list ten thousand pending requests: wall clock and CPU of gatehousectl and of the daemon. Judges nothing.

    GH_BUILD=DIR nice -n -10 /usr/bin/python3 t/bench/approvals.py [--rounds N] [--json FILE]

GH_MANY is another number of requests. DIR is a build without sanitizers.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import pagegate  # noqa: E402
import stack  # noqa: E402
import test_approvals_many as many  # noqa: E402
from world import cpu_ns  # noqa: E402

WAYS = {"list": ["approvals", "list"], "json": ["approvals", "--json"]}


def measure(s, args):
    """Seconds of wall clock, gatehousectl's CPU, the daemon's CPU; and what it printed."""
    before, daemon = resource.getrusage(resource.RUSAGE_CHILDREN), cpu_ns(s.pid("gatehouse"))
    start = time.monotonic()
    done = subprocess.run([s.env["GH_CTL"], *args], check=True, stdout=subprocess.PIPE)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, (cpu_ns(s.pid("gatehouse")) - daemon) / 1e9), done.stdout


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--json", metavar="FILE")
    args = p.parse_args()
    s = stack.Stack(config=many.configured, policy=stack.own_policy() + pagegate.RULES)
    try:
        s._minted["asker"] = s.mint("asker@shop.example", ["askers"])
        s.scratch("CREATE TABLE scratch.t (n int, s text)")
        many.fill(s, many.MANY)
        out = {}
        for way, words in WAYS.items():
            rounds = []
            for _ in range(args.rounds):
                figures, said = measure(s, words)
                found = len(json.loads(said)) if way == "json" else said.count(b"pending until")
                if found != many.MANY:
                    raise RuntimeError(f"{way}: {found} requests instead of {many.MANY}")
                rounds.append(figures)
            out[way] = {name: [r[i] for r in rounds] for i, name in enumerate(("wall", "gatehousectl", "daemon"))}
    finally:
        s.close()
    print(f"{many.MANY} requests; seconds, the median (and the greatest) of {args.rounds}")
    print(f"{'':8}{'wall clock':>18}{'gatehousectl CPU':>20}{'daemon CPU':>18}")
    for way, of in out.items():
        print(f"{way:8}" + "".join(f"{statistics.median(v):>{w}.3f} ({max(v):.3f})" for v, w in zip(of.values(), (10, 12, 10))))
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"requests": many.MANY, "seconds": out}, f, indent=1)


if __name__ == "__main__":
    main()
