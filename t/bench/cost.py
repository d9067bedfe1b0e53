"""What t/bench/run measures by itself, without a peer or beside pgbouncer alone: instructions, memory, and the costs of a statement's size, tables and rules.

Each function gives a list of rows: name, unit, ours, and where there is one a peer (its name), its value, the ratio and the noise (of ratios, as in bench.py).

Instructions are those of the whole daemon in user space, by valgrind's callgrind, which counts alike however loaded the machine is. A daemon lives twice with different
numbers of statements, and the difference counts; the first life of all does not, because it meets a changed schema and an empty folder. valgrind knows no SHA
instructions, so OpenSSL hashes with ordinary ones in there, about 1,200 for each 64 bytes where a processor takes a tenth of that; "without SHA" leaves libcrypto out.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile

import world
from pgraw import query, startup, RawClient

stack = world.stack

PGBOUNCER_SESSIONS = 800  # Debian's is content with 1,024 files
KNOWN = "SELECT abalance FROM pgbench_accounts WHERE aid = 42;\n"
ANY = "\\set aid random(1, 100000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"


class Counted:
    """A stack whose daemon runs under callgrind."""

    WRAPPER = """#!/bin/sh
exec valgrind -q --tool=callgrind --callgrind-out-file={out} --toggle-collect=worker_main --toggle-collect=run {real} "$@"
"""

    def __init__(self, mode):
        self.dir = tempfile.mkdtemp(prefix="gh-bench.", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.out = os.path.join(self.dir, "counts")
        real = os.path.join(os.environ["GH_BUILD"], "gatehouse")
        with open(os.path.join(self.dir, "gatehouse"), "w") as f:
            f.write(self.WRAPPER.format(out=self.out, real=real))
        os.chmod(f.name, 0o755)
        os.symlink(os.path.join(os.environ["GH_BUILD"], "gatehousectl"), os.path.join(self.dir, "gatehousectl"))
        self._forget()
        self.stack = stack.Stack(config=lambda text: world.edit(text, world.PLAIN, ("mode: strict", "mode: " + mode)), policy=world.policy(), build=self.dir)
        self.token = self.stack.mint("bench@shop.example", ["benchmarks"], "--ttl", "24h", key="rs256")
        env = dict(os.environ, PGOPTIONS="-c role=shop_owner")
        subprocess.run(["pgbench", "-i", "-q", "-s", "1", self.stack.env["GH_PG_DIRECT_URL"]], env=env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.life("simple", KNOWN, 1)

    def close(self):
        self.stack.close()
        shutil.rmtree(self.dir)

    def _forget(self):
        """An empty file that the daemon may write to after it has given up root's rights."""
        if os.path.exists(self.out):
            subprocess.run(stack.as_root("rm", self.out), check=True)
        open(self.out, "w").close()
        os.chmod(self.out, 0o666)

    def life(self, protocol, script, count):
        """Instructions of a life with so many statements: all, and those of libcrypto."""
        self.stack.stop("gatehouse")
        self._forget()
        self.stack.start("gatehouse")
        env = dict(self.stack.client_env(), PGUSER="bench", PGPASSWORD=self.token)
        alive = ["psql", "-XAtqc", "SELECT 1"]
        stack.wait_until("a session", lambda: subprocess.run(alive, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode == 0, 120)
        with tempfile.NamedTemporaryFile("w", prefix="gh-bench.", suffix=".sql") as f:
            f.write(script)
            f.flush()
            done = subprocess.run(["pgbench", "-n", "-M", protocol, "-c", "1", "-t", str(count), "-f", f.name], env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if f"actually processed: {count}/{count}" not in done.stdout:
            raise RuntimeError(f"pgbench under callgrind: {done.stdout}")
        self.stack.stop("gatehouse")
        listing = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", "--show-percs=no", self.out], check=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, text=True).stdout
        total, crypto = 0, 0
        for line in listing.splitlines():
            cells = re.match(r"\s*([\d,]+)\s+(\S.*)", line)
            if cells is None:
                continue
            n = int(cells.group(1).replace(",", ""))
            if "PROGRAM TOTALS" in line:
                total = n
            elif "[" in line and "libcrypto" in line:
                crypto += n
        return total, crypto


def instructions(settings):
    few, many = (100, 600) if settings.rounds == 1 else (200, 2200)
    rows = []
    for mode in ("journal", "strict"):
        counted = Counted(mode)
        try:
            for name, protocol, script in (("simple, known text", "simple", KNOWN), ("simple, new texts", "simple", ANY), ("prepared", "prepared", ANY)):
                one, two = counted.life(protocol, script, few), counted.life(protocol, script, many)
                total, crypto = ((b - a) / (many - few) for a, b in zip(one, two))
                rows.append({"name": f"instructions, {name}, {mode}", "unit": "each", "value": total})
                rows.append({"name": "  without SHA", "unit": "each", "value": total - crypto})
        finally:
            counted.close()
    return rows


# --- memory ---

def _resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) << 10


def _sessions(way, count, used):
    """Resident bytes of the process in the middle for each of count sessions that wait for their client."""
    clients = []
    try:
        before = 0
        for i in range(count + count // 10):
            if i == count // 10:  # what the first ones take once for all is not theirs
                before = _resident(way.middle)
            clients.append(RawClient.tls(way, 60))
            clients[-1].send(startup([("user", way.user), ("database", "shop"), ("client_encoding", "UTF8")]))
            clients[-1].login(lambda: way.password)
            if used:
                clients[-1].send(query("SELECT 1"))
                clients[-1].until("Z")
        return (_resident(way.middle) - before) / count
    except OSError as e:
        raise RuntimeError(f"session {len(clients)} through {way.name}: {e}") from e
    finally:
        for c in clients:
            c.sock.close()


def memory(settings):
    """Sessions that have run a statement, which have a connection to the server, and then sessions that have just logged in. Once: later ones would find the memory
    that the first have left."""
    rows = []
    w = world.World({"journal", "pgbouncer"})
    try:
        w.load(1, 1 << 20)
        for name, count, used in (("memory, 60 used sessions", 60, True), (f"memory, {settings.idle} idle sessions", settings.idle, False)):
            ours, theirs = _sessions(w.ways["journal"], count, used), _sessions(w.ways["pgbouncer"], min(count, PGBOUNCER_SESSIONS), used)
            rows.append({"name": name, "unit": "bytes", "value": ours, "peer": "pgbouncer", "peer_value": theirs, "ratio": ours / theirs if theirs > 0 else None})
    finally:
        w.close()
    return rows


# --- size, tables, rules ---

def statement(_settings):
    program = os.path.join(os.environ["GH_BUILD"], "t", "bench", "bench_statement")
    if not os.path.exists(program):
        subprocess.run(["make", "-C", os.environ["GH_BUILD"], "t/bench/bench_statement"], check=True, stdout=subprocess.DEVNULL)
    rows = json.loads(subprocess.run(["bash", "-c", 'ulimit -s unlimited; exec "$0" --json', program], check=True, stdout=subprocess.PIPE, text=True).stdout)
    first = {}
    out = []
    for r in rows:
        kind = r["name"].split("-")[0]
        base = first.setdefault(kind, r)
        cost = r["facts_us"] + r["judged_us"]
        row = {"name": f"statement, {r['name'].replace('-', ' ')}", "unit": "us", "value": cost, "noise": r["noise"], "judged_us": r["judged_us"]}
        if r is not base:
            row.update(peer="per " + r["unit"] if r["unit"] != "rule" else base["name"], peer_value=base["facts_us"] + base["judged_us"],
                       ratio=r["per_unit_us"] / base["per_unit_us"] if r["unit"] != "rule" else cost / (base["facts_us"] + base["judged_us"]))
        out.append(row)
    return out


COSTS = {"instructions": instructions, "memory": memory, "statement": statement}
