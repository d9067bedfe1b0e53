"""The benchmarks of t/bench/run, which says how to call it. world.py has what is compared.

Every benchmark runs all ways one after the other, and that several times, each time in the other direction: what the machine does meanwhile hits all
of them. Ratios are taken within a round; the table has their median, and as noise half of the range of the middle half of them.
"""
import argparse
import datetime
import fnmatch
import json
import math
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import cost
import world
from pgraw import COPY_DONE, RawClient, copy_data, query, startup
from sysbench import Sysbench, figures

MAIN_PEER = "pgbouncer"
READY = b"Z\0\0\0\5I"


class Settings:
    rounds, seconds, scale, bulk, clients, idle = 5, 3, 10, 200 << 20, (1, 8, 64), 1000

    def quick(self):
        self.rounds, self.seconds, self.scale, self.bulk, self.clients, self.idle = 1, 1, 2, 20 << 20, (8,), 100


# --- what is measured: each gives a dictionary of figures, and the number of things that were done, by which CPU time is divided ---

def pgbench(way, *args, seconds, env=None):
    done = subprocess.run(["pgbench", "-n", "-T", str(seconds), *args], env=dict(way.client_env(), **(env or {})), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    count = re.search(r"number of transactions actually processed: (\d+)", done.stdout)
    rate = re.search(r"^tps = ([0-9.]+)", done.stdout, re.M)
    failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
    if done.returncode != 0 or count is None or rate is None or (failed and failed.group(1) != "0"):
        raise RuntimeError(f"pgbench {' '.join(args)} through {way.name}: {done.stdout}")
    return float(rate.group(1)), int(count.group(1))


def rate_of(mode, clients, *args):
    def run(way, settings):
        rate, count = pgbench(way, "-M", mode, "-c", str(clients), "-j", str(min(2, clients)), *args, seconds=settings.seconds)
        return {"": rate}, count
    return run


def latency_of(mode, script=None):
    """Of one client, from pgbench's own log of every transaction (its third column, in us); script: the statement, else pgbench's, which differs each time when simple."""
    def run(way, settings):
        with tempfile.TemporaryDirectory(prefix="gh-bench.") as folder:
            what = ["-S"]
            if script is not None:
                what = ["-f", os.path.join(folder, "script")]
                with open(what[1], "w") as f:
                    f.write(script)
            _, count = pgbench(way, "-M", mode, *what, "-c", "1", "-l", f"--log-prefix={folder}/log", seconds=settings.seconds)
            times = []
            for name in os.listdir(folder):
                if not name.startswith("log"):
                    continue
                with open(os.path.join(folder, name)) as f:
                    times += [int(line.split()[2]) for line in f]
        times.sort()
        return {p: float(times[min(len(times) - 1, int(len(times) * q))]) for p, q in (("p50", .5), ("p99", .99), ("p99.9", .999))}, count
    return run


def sysbench_of(script, clients):
    """A script of sysbench's on MariaDB, prepared at the server. Its tables are made by whoever comes first."""
    def run(way, settings):
        with tempfile.TemporaryDirectory(prefix="gh-bench.") as folder:
            bench = Sysbench(folder, "127.0.0.1", way.port, way.user, way.password, way.ca, tables=2, rows=settings.scale * 5000)
            if not made:
                bench.run(script, "prepare")
                made.append(way.name)
            got = figures(bench.run(script, "run", f"--threads={clients}", f"--time={settings.seconds}"))
        return {"": got["rate"], "p95": got["p95"] * 1000}, got["transactions"]
    return run


made = []  # sysbench's tables, in this run


def connect(way):
    if way.tls:
        client = RawClient.tls(way, 60)
    else:
        client = RawClient(socket.create_connection((way.host, way.port), 60))
    client.send(startup([("user", way.user), ("database", "shop"), ("client_encoding", "UTF8")]))
    client.login(lambda: way.password)
    return client


def read_answer(client, first):
    """Reads and counts bytes as fast as Python can; nothing in the data looks like ReadyForQuery."""
    kind, _ = client.read()
    if kind != first:
        raise RuntimeError(f"the server answers {kind!r}, not {first!r}")
    memory = memoryview(bytearray(256 << 10))
    total, tail = len(client.pending), client.pending[-len(READY):]
    while tail != READY:
        n = client.sock.recv_into(memory)
        if n == 0:
            raise RuntimeError("the connection was closed in the middle of a result")
        total += n
        tail = (tail + bytes(memory[max(0, n - len(READY)):n]))[-len(READY):]
    client.pending = b""
    return total


def bulk_out(sql, first, by_hand=None):
    """by_hand: what a peer is asked instead, which does by itself what a gate makes of sql."""
    def run(way, _settings):
        client = connect(way)
        begin = time.monotonic()
        client.send(query(sql if by_hand is None or way.name in world.GATES else by_hand))
        total = read_answer(client, first)
        took = time.monotonic() - begin
        client.sock.close()
        return {"": total / took / 1e6}, total / 1e6
    return run


def bulk_in(way, settings):
    row = b"1000001\t" + b"x" * 90 + b"\n"
    message = copy_data(row * 660)  # 64 KB, as clients send it
    count = settings.bulk // len(message)
    client = connect(way)
    begin = time.monotonic()
    client.send(query("COPY public.bulk_in FROM STDIN"))
    kind, body = client.read()
    if kind != "G":
        raise RuntimeError(f"COPY FROM STDIN is answered with {kind!r}: {body!r}")
    for _ in range(count):
        client.send(message)
    client.send(COPY_DONE)
    read_answer(client, "C")
    took = time.monotonic() - begin
    client.sock.close()
    total = count * len(message)
    return {"": total / took / 1e6}, total / 1e6


class Benchmark:
    def __init__(self, name, unit, run, ways=None, before=None, gates=world.GATES, main=MAIN_PEER):
        self.name, self.unit, self.run, self.before, self.gates, self.main = name, unit, run, before, gates, main
        self.ways = ways or ("strict", "pgbouncer", "journal", "hops", "tcp", "direct")


def benchmarks(settings):
    out = [Benchmark(f"{mode}-{c}", "tx/s", rate_of(mode, c, "-S")) for mode in ("prepared", "extended", "simple") for c in settings.clients]
    out.append(Benchmark("durability-8", "tx/s", rate_of("prepared", 8, "-S"), ways=("strict", "pgbouncer", "journal", "strict-fsync"), gates=world.GATES + world.DURABLE))
    out.append(Benchmark("tpcb-8", "tx/s", rate_of("simple", 8)))
    out.append(Benchmark("connect-8", "conn/s", rate_of("simple", 8, "-S", "-C"),
                         ways=("strict", "pgbouncer", "journal", "pgbouncer-new", "hops", "tcp", "direct")))
    out += [Benchmark(f"latency-{name}", "us", latency_of(*what))
            for name, what in (("prepared", ("prepared",)), ("known", ("simple", cost.KNOWN)), ("simple", ("simple",)))]
    out.append(Benchmark("bulk-select", "MB/s", bulk_out("SELECT * FROM public.bulk", "T")))
    out.append(Benchmark("bulk-copy-out", "MB/s", bulk_out("COPY public.bulk TO STDOUT", "H")))
    masked, by_hand = "SELECT id, filler FROM public.bulk_masked", f"SELECT id, {world.MASK} AS filler FROM public.bulk_masked"
    out.append(Benchmark("bulk-select-masked", "MB/s", bulk_out(masked, "T", by_hand)))
    out.append(Benchmark("bulk-copy-out-masked", "MB/s", bulk_out(f"COPY ({masked}) TO STDOUT", "H", f"COPY ({by_hand}) TO STDOUT")))
    out += [Benchmark(f"sysbench-{name}-{c}", "tx/s", sysbench_of("oltp_" + script, c), ways=world.MY, gates=world.MY_GATES, main="my-hops")
            for name, script in (("rw", "read_write"), ("point", "point_select")) for c in (1, 8)]
    out.append(Benchmark("bulk-copy-in", "MB/s", bulk_in, before=lambda w: w.sql("TRUNCATE public.bulk_in")))
    return out


# --- the run ---

def measure(w, bench, settings):
    """A list of rounds; each maps a way to its figures, with the CPU time of the process in the middle for each thing done, in us."""
    rounds = []
    for number in range(settings.rounds):
        got = {}
        for name in bench.ways if number % 2 == 0 else reversed(bench.ways):
            way = w.ways[name]
            w.rest()
            if bench.before is not None:
                bench.before(w)
            cpu = way.cpu_ns()
            figures, count = bench.run(way, settings)
            if cpu is not None and count > 0:
                way.settle()  # what is shipped to Redis later belongs to it
                figures["cpu"] = (way.cpu_ns() - cpu) / 1000 / count
            got[name] = figures
        rounds.append(got)
    w.compact()
    return rounds


def ratio_of(rounds, gate, peer, metric):
    ratios = [r[gate][metric] / r[peer][metric] for r in rounds]
    quarters = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else None
    median = statistics.median(ratios)
    return {"median": median, "noise": (quarters[2] - quarters[0]) / 2 / median if quarters else None, "all": ratios}


def rows_of(bench, rounds):
    out = []
    for metric in [m for m in rounds[0][bench.ways[0]] if m != "cpu"]:
        middle = {way: statistics.median(r[way][metric] for r in rounds) for way in bench.ways}
        cpu = {way: statistics.median(r[way]["cpu"] for r in rounds) for way in bench.ways if "cpu" in rounds[0][way]}
        for gate in bench.gates:
            peers = {p: {"value": middle[p], "ratio": ratio_of(rounds, gate, p, metric)} for p in bench.ways if p not in bench.gates}
            out.append({"name": bench.name + (" " + metric if metric else ""), "unit": "us" if metric.startswith("p9") else bench.unit, "mode": gate, "value": middle[gate],
                        "peers": peers, "main": bench.main, "cpu_us": cpu.get(gate), "peer_cpu_us": cpu.get(bench.main)})
    return out


HEAD = ("name", "mode", "unit", "gate", MAIN_PEER, "ratio", "noise", "added", "/hops", "/tcp", "/direct", "/pgb-new", "cpu", "its cpu")
WIDTHS = (25, 13, 7, 9, 10, 7, 7, 8, 7, 7, 8, 9, 8, 8)


def line_of(cells):
    return "".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, WIDTHS))).rstrip()


def number(value):
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def table_line(row):
    def ratio(peer):
        peer = peer if peer in row["peers"] else "my-" + peer
        return f"{row['peers'][peer]['ratio']['median']:.2f}" if peer in row["peers"] else ""
    main = row["peers"][row["main"]]
    noise = main["ratio"]["noise"]
    added = row["value"] - main["value"] if row["unit"] == "us" else None
    return line_of((row["name"], row["mode"], row["unit"], number(row["value"]), number(main["value"]), ratio(row["main"]),
                    "" if noise is None else f"{noise * 100:.0f} %", "" if added is None else f"{added:+.0f}", ratio("hops"), ratio("tcp"), ratio("direct"),
                    ratio("pgbouncer-new"), number(row["cpu_us"]), number(row["peer_cpu_us"])))


COST_LINE = "{:<46}{:<7}{:>11}  {:<12}{:>11}{:>8}{:>8}"


def cost_line(row):
    noise = row.get("noise")
    return COST_LINE.format(row["name"], row["unit"], number(row["value"]), row.get("peer", ""), number(row.get("peer_value")),
                            "" if row.get("ratio") is None else f"{row['ratio']:.2f}", "" if noise is None else f"{noise * 100:.0f} %").rstrip()


def first_line(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cpus": os.cpu_count(), "memory_gib": math.ceil(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
            "kernel": platform.release(), "load_before": os.getloadavg()[0], "haproxy": first_line("/usr/sbin/haproxy", "-v"),
            "postgresql": first_line("psql", "--version"), "redis": first_line("redis-server", "--version"),
            "pgbouncer": first_line("/usr/sbin/pgbouncer", "--version"),
            "commit": first_line("git", "-c", "safe.directory=*", "-C", world.stack.TOP, "describe", "--always", "--dirty")}


def check_build():
    """A build with sanitizers would measure these."""
    linked = subprocess.run(["ldd", os.path.join(os.environ["GH_BUILD"], "gatehouse")], check=True, stdout=subprocess.PIPE, text=True).stdout
    if "libasan" in linked or "libubsan" in linked or "libtsan" in linked:
        sys.exit(f"t/bench/run: {os.environ['GH_BUILD']} is built with sanitizers: name one that is not, or unset GH_BUILD")


def arguments():
    p = argparse.ArgumentParser(prog="t/bench/run", description="Gatehouse beside pgbouncer, HAProxy alone and nothing at all.")
    p.add_argument("--quick", action="store_true", help="one short round of each: shows that it works, the figures are worth nothing")
    p.add_argument("--full", action="store_true", help="1 GB of bulk data, 4,000 idle sessions")
    p.add_argument("--json", metavar="FILE", help="all figures, those of each round too")
    p.add_argument("--rounds", type=int, metavar="N")
    p.add_argument("--seconds", type=int, metavar="N", help="of each run of pgbench")
    p.add_argument("--list", action="store_true", help="the names that would run")
    p.add_argument("names", nargs="*", metavar="NAME")
    return p.parse_args()


def compare(chosen, settings):
    w = world.World({way for b in chosen for way in b.ways})
    results = []
    try:
        w.load(settings.scale, settings.bulk)
        print(line_of(HEAD), flush=True)
        for bench in chosen:
            rounds = measure(w, bench, settings)
            rows = rows_of(bench, rounds)
            results.append({"name": bench.name, "unit": bench.unit, "rows": rows, "rounds": rounds})
            for row in rows:
                print(table_line(row), flush=True)
    finally:
        w.close()
    return results


def main():
    args, settings = arguments(), Settings()
    if args.quick:
        settings.quick()
    if args.full:
        settings.bulk, settings.idle = 1 << 30, 4000
    settings.rounds, settings.seconds = args.rounds or settings.rounds, args.seconds or settings.seconds
    def wanted(name):
        return not args.names or any(fnmatch.fnmatch(name, n) for n in args.names)
    chosen, costs = [b for b in benchmarks(settings) if wanted(b.name)], [name for name in cost.COSTS if wanted(name)]
    if not chosen and not costs:
        every = [b.name for b in benchmarks(settings)] + list(cost.COSTS)
        sys.exit(f"t/bench/run: no benchmark is called {' or '.join(args.names)}; there are:\n" + "\n".join(every))
    if args.list:
        print("\n".join([b.name for b in chosen] + costs))
        return
    check_build()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    about = dict(machine(), date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), arguments=sys.argv[1:],
                 rounds=settings.rounds, seconds=settings.seconds, scale=settings.scale, bulk_bytes=settings.bulk)
    print(f"{about['cpu']}, {about['cpus']} CPUs, {about['memory_gib']} GiB; {about['haproxy']}; {about['pgbouncer']}; {about['postgresql']}; "
          f"commit {about['commit']}; {settings.rounds} rounds of {settings.seconds} s", flush=True)
    results = compare(chosen, settings) if chosen else []
    if costs:
        print(COST_LINE.format("name", "unit", "ours", "peer", "its", "ratio", "noise").rstrip(), flush=True)
    cost_rows = []
    for name in costs:
        rows = cost.COSTS[name](settings)
        cost_rows.append({"name": name, "rows": rows})
        for row in rows:
            print(cost_line(row), flush=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"about": about, "benchmarks": results, "costs": cost_rows}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
