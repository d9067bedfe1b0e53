"""A mixed load on both engines for a long time: does the daemon grow? Prints what it held, slopes, and a judgement.

    GH_BUILD=DIR /usr/bin/python3 t/bench/soak.py [--minutes N] [--sample SECONDS] [--pause MS] [--only KIND ...] [--json FILE]

(Requests for approval are few: each is remembered for an hour after it is over, in some 10 KB.)

Simple and prepared statements, pipelines, refused and masked ones, COPY, cursors, approvals, cancels, reconnects, bad logins, reloads of policy and configuration, catalog
changes; in MySQL's protocol simple and refused ones and reconnects. DIR is a build without sanitizers: theirs keeps what is freed.

The rule: the first third is for caches to fill and is not looked at. Of the rest, memory (RssAnon) is flat when its slope (Theil-Sen: the median of the slopes of all
pairs) over that time comes to no more than 5 % of its median or 4 MiB; descriptors and threads are flat when the median of the last quarter is no more than 2 above that
of the quarter before; and when all clients have gone, descriptors and threads are at most 2 more than before they came. Exit code 1 when something is not
flat, when the daemon has died or a client met what it should not have met.
"""
import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import psycopg  # noqa: E402
import pymysql  # noqa: E402

import stack  # noqa: E402

POLICY = """version: 1
databases: { shop: { mode: enforce }, shop_my: { mode: enforce } }
rules:
  - { name: testers-own, groups: testers, database: shop, allow: all, on: scratch.*, functions: pg_catalog.pg_sleep }
  - { name: testers-orders, groups: testers, database: shop, allow: select, on: public.orders }
  - { name: masked, groups: masked, database: shop, allow: select, on: public.customers, columns: { email: { mask: email }, phone: { mask: null }, card_number: hidden, "*": visible } }
  - { name: masked-orders, groups: masked, database: shop, allow: select, on: public.orders, rows: "total > 10", limits: { rows: 50 } }
  - { name: askers, groups: askers, database: shop, ask: insert, on: scratch.asked, approvers: dbas }
  - { name: askers-read, groups: askers, database: shop, allow: select, on: scratch.* }
  - { name: dbas, groups: dbas, database: [shop, shop_my], allow: all, on: "*.*" }
  - { name: agents-my, groups: ai-agents, database: shop_my, allow: select, on: shop.orders }
"""
KIB = 1024


class Load:
    """Threads that do one thing each, again and again; what they meet that they should not is kept."""

    def __init__(self, s, pause):
        self.stack, self.pause = s, pause
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.done, self.wrong = {}, []
        self.threads = []

    def start(self, name, make, every=None):
        """make(rng) gives a function that does it once; it is made anew after an error of the connection's that was expected."""
        self.threads.append(threading.Thread(target=self._run, args=(name, make, every), daemon=True))
        self.done[name] = 0
        self.threads[-1].start()

    def _run(self, name, make, every):
        rng = random.Random(name)
        while not self.stop.is_set():
            end = None
            try:
                once, end = make(rng)
                for _ in range(rng.randrange(50, 400)):  # then with another connection
                    if self.stop.wait(every if every is not None else rng.random() * 2 * self.pause):
                        break
                    once()
                    self.done[name] += 1
            except Exception as e:  # noqa: BLE001
                with self.lock:
                    self.wrong.append(f"{name}: {type(e).__name__}: {e}"[:300])
                self.stop.wait(1)
            finally:
                if end is not None:
                    end()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(90)
        return sum(t.is_alive() for t in self.threads)


def expect(kinds, call, *args, **more):
    try:
        call(*args, **more)
    except kinds as e:
        return e
    raise RuntimeError(f"{args[:1]}: was not refused")


class Postgres:
    def __init__(self, load):
        self.load, self.stack = load, load.stack

    def connect(self, who, **more):
        return self.stack.psycopg(who, **dict(dict(autocommit=True, connect_timeout=60), **more))

    def simple(self, rng):
        c = self.connect("tester", prepare_threshold=None)

        def once():
            n = rng.randrange(10000)
            c.execute(f"INSERT INTO scratch.t (n, s) VALUES ({n}, 'text {n}')")
            c.execute(f"SELECT id, total FROM public.orders WHERE id = {n}")
            c.execute("DELETE FROM scratch.t WHERE n = %s", [n])
        return once, c.close

    def prepared(self, rng):
        c = self.connect("tester", prepare_threshold=0)

        def once():
            c.execute("SELECT id, total FROM public.orders WHERE id = %s", [rng.randrange(10000)])
            c.execute(f"SELECT count(*) FROM scratch.t WHERE n = %s AND {rng.randrange(300)} >= 0", [rng.randrange(10000)])
            with c.pipeline():
                for n in range(5):
                    c.execute("INSERT INTO scratch.t (n, s) VALUES (%s, %s)", [n, "p" * rng.randrange(2000)])
        return once, c.close

    def refused(self, rng):
        c = self.connect("tester")

        def once():
            expect(psycopg.Error, c.execute, rng.choice(["SELECT * FROM public.staff", "SELEC 1", "DROP TABLE public.orders", "SELECT pg_read_file('/etc/passwd')",
                                                         f"SELECT {rng.randrange(9)} FROM public.staff WHERE id = {rng.randrange(10**9)}"]))
        return once, c.close

    def masked(self, rng):
        c = self.connect("masked")

        def once():
            c.execute("SELECT id, email, phone FROM public.customers WHERE id < %s", [rng.randrange(50)])
            c.execute(f"SELECT c.email, count(*) FROM public.customers c JOIN public.orders o ON o.customer_id = c.id WHERE c.id = {rng.randrange(1000)} GROUP BY 1")
            expect(psycopg.Error, c.execute, "SELECT card_number FROM public.customers")
            expect(psycopg.Error, c.execute, "SELECT id FROM public.orders")  # over its limit
        return once, c.close

    def bulk(self, rng):
        c = self.connect("tester", autocommit=False)

        def once():
            with c.cursor() as cur:
                with cur.copy("COPY scratch.t (n, s) FROM STDIN") as copy:
                    for n in range(2000):
                        copy.write_row((n, "copied"))
            with c.cursor("named") as cur:
                cur.itersize = 500
                cur.execute("SELECT id, total FROM public.orders")
                for _ in cur:
                    pass
            with c.cursor() as cur:
                with cur.copy("COPY (SELECT * FROM scratch.t) TO STDOUT") as copy:
                    for _ in copy:
                        pass
            c.rollback()
        return once, c.close

    def approvals(self, rng):
        c, ctl = self.connect("asker", prepare_threshold=None), self.stack.env["GH_CTL"]

        def once():
            sql = f"INSERT INTO scratch.asked VALUES ({rng.randrange(10**9)})"
            error = expect(psycopg.Error, c.execute, sql)
            ident = str(error).split("decision on request ")[1].split()[0]
            deny = rng.random() < 0.3
            subprocess.run([ctl, "deny" if deny else "approve", ident, "--token-file", "-"] + (["--reason", "no"] if deny else []), input=self.stack.token("dba"),
                           text=True, check=True, stdout=subprocess.DEVNULL)
            if deny:
                expect(psycopg.Error, c.execute, sql)
            else:
                c.execute(sql)
        return once, c.close

    def cancels(self, rng):
        c = self.connect("tester")

        def once():
            timer = threading.Timer(0.1 + rng.random() / 5, c.cancel)
            timer.start()
            try:
                c.execute("SELECT pg_sleep(0.2)")
            except psycopg.errors.QueryCanceled:
                pass
            timer.join()
            c.execute("SELECT 1")  # a late one may hit this
        def tolerant():
            try:
                once()
            except psycopg.errors.QueryCanceled:
                pass
        return tolerant, c.close

    def reconnects(self, rng):
        def once():
            c = self.connect(rng.choice(["tester", "masked", "dba"]))
            c.execute("SELECT 1")
            if rng.random() < 0.5:
                c.execute("BEGIN")
                c.execute("CREATE TEMP TABLE x AS SELECT 1" if c.info.user == "dba" else "SELECT 2")
            if rng.random() < 0.3:
                os.close(os.dup(c.fileno()))
                c.pgconn.finish()  # without a word of the server's
            else:
                c.close()
        return once, None

    def bad_logins(self, rng):
        def once():
            expect(psycopg.OperationalError, self.connect, f"nobody{rng.randrange(50)}", password="x" * rng.randrange(1, 9000))
        return once, None

    def catalog(self, rng):
        c = self.connect("tester")

        def once():
            c.execute("ALTER TABLE scratch.wide ADD COLUMN IF NOT EXISTS added text")
            c.execute(f"CREATE TABLE scratch.n{rng.randrange(10**9)} (a int, b text)")
            c.execute("ALTER TABLE scratch.wide DROP COLUMN added")
            names = [n for (n,) in c.execute("SELECT relname FROM pg_catalog.pg_class WHERE relname ~ '^n[0-9]+$'").fetchall()]
            for n in names:
                c.execute(f"DROP TABLE scratch.{n}")
        return once, c.close


class Mysql:
    def __init__(self, load):
        self.load, self.stack = load, load.stack

    def connect(self, who):
        env = self.stack.env
        return pymysql.connect(host=env["GH_MY_HOST"], port=int(env["GH_MY_PORT"]), user=who, password=self.stack.token(who), database="shop", ssl={"ca": env["GH_CA"]},
                               connect_timeout=60, read_timeout=60, autocommit=True)

    def simple(self, rng):
        c = self.connect("dba")

        def once():
            with c.cursor() as cur:
                cur.execute("SELECT id, total FROM orders WHERE id = %s", [rng.randrange(10000)])
                cur.fetchall()
                cur.execute("SELECT count(*) FROM customers WHERE name LIKE %s", [f"%{rng.randrange(1000)}%"])
                cur.fetchall()
                cur.execute(f"PREPARE p FROM 'SELECT {rng.randrange(100)} + ?'")
                cur.execute("SET @a = 1")
                cur.execute("EXECUTE p USING @a")
                cur.fetchall()
                cur.execute("DEALLOCATE PREPARE p")
        return once, c.close

    def refused(self, rng):
        c = self.connect("agent")

        def once():
            with c.cursor() as cur:
                cur.execute("SELECT count(*) FROM orders")
                for sql in ("SELECT * FROM staff", "SELEC", f"UPDATE orders SET total = {rng.randrange(99)}"):
                    expect(pymysql.Error, cur.execute, sql)
        return once, c.close

    def reconnects(self, rng):
        def once():
            c = self.connect("agent")
            with c.cursor() as cur:
                cur.execute("SELECT count(*) FROM orders")
            c.close()
        return once, None


class Operator:
    """Reloads, with another policy each time and sometimes one that is wrong."""

    def __init__(self, s):
        self.stack, self.n = s, 0

    def reloads(self, rng):
        def once():
            self.n += 1
            more = f"  - {{ name: more-{self.n}, groups: nobody, database: shop, allow: select, on: public.orders }}\n" if self.n % 2 else ""
            self.stack.put_policy(POLICY + more + ("  - nonsense: 1\n" if self.n % 7 == 0 else ""))
            self.stack.signal("gatehouse", signal.SIGHUP)
        return once, None


def sample(pid):
    with open(f"/proc/{pid}/status") as f:
        text = f.read()
    fields = {k: int(v) for k, v in re.findall(r"(?m)^(VmRSS|RssAnon|Threads):\s+(\d+)", text)}
    ls = subprocess.run(stack.as_root("ls", f"/proc/{pid}/fd"), stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return {"rss": fields["VmRSS"], "anon": fields["RssAnon"], "threads": fields["Threads"], "fds": len(ls)}


def settled(pid, before):
    """When all have gone: HAProxy keeps its connections to the agent for two minutes more."""
    end = time.monotonic() + 180
    while True:
        now = sample(pid)
        if time.monotonic() > end or (now["fds"] <= before["fds"] + 2 and now["threads"] <= before["threads"] + 2):
            return now
        time.sleep(5)


def slope(points):
    """Per second (Theil-Sen)."""
    step = max(1, len(points) // 400)
    points = points[::step]
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1:])


def judge(samples, before, after):
    """Lines to print, and what is not flat."""
    rest = samples[len(samples) // 3:]
    lines, bad = [], []
    span = rest[-1]["t"] - rest[0]["t"]
    for name in ("anon", "rss"):
        per_s, middle = slope([(x["t"], x[name]) for x in rest]), statistics.median(x[name] for x in rest)
        grown = per_s * span
        lines.append(f"{name}: {rest[0][name]} -> {rest[-1][name]} KiB, median {middle:.0f}; slope {per_s * 3600:+.0f} KiB/h, {grown:+.0f} KiB over {span:.0f} s")
        if name == "anon" and grown > max(4 * KIB, middle * 0.05):
            bad.append(name)
    for name in ("fds", "threads"):
        quarter = max(1, len(rest) // 4)
        last, earlier = statistics.median(x[name] for x in rest[-quarter:]), statistics.median(x[name] for x in rest[-2 * quarter:-quarter] or rest)
        lines.append(f"{name}: {earlier:g}, then {last:g}; most {max(x[name] for x in samples)}; idle before {before[name]}, after {after[name]}")
        if last > earlier + 2 or after[name] > before[name] + 2:
            bad.append(name)
    lines.append(f"anon when idle: {before['anon']} KiB before, {after['anon']} KiB after")
    return lines, bad


def warm_up(load, pg, my):
    """Whatever is opened once is open: connections of the catalog's readers, caches of parameters."""
    for make in (pg.simple, pg.masked, my.simple, my.refused):
        once, end = make(random.Random(0))
        once()
        end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--sample", type=float, default=5)
    parser.add_argument("--pause", type=float, default=40, help="milliseconds between what a client does, on average")
    parser.add_argument("--only", action="append", help="'pg approvals', 'reloads', ...: this kind alone and as fast as --pause says, to find out what grows")
    parser.add_argument("--json")
    options = parser.parse_args()
    s = stack.Stack(lambda t: t + "limits: { login_failures: 20, login_delay: 100ms }\n", policy=POLICY, mysql=True)
    try:
        for who, group in (("masked", "masked"), ("asker", "askers"), ("tester", "testers"), ("dba", "dbas"), ("agent", "ai-agents")):
            s._tokens.pop(who, None)  # an hour's
            s._minted[who] = s.mint(f"{who}@shop.example", [group], "--ttl", "24h")
        s.scratch("CREATE TABLE scratch.t (n int, s text); CREATE TABLE scratch.asked (n int); CREATE TABLE scratch.wide (a int); CREATE INDEX ON scratch.t (n)")
        load = Load(s, options.pause / 1000)
        pg, my, operator = Postgres(load), Mysql(load), Operator(s)
        warm_up(load, pg, my)
        pid = s.pid("gatehouse")
        time.sleep(3)
        before = sample(pid)
        kinds = {f"pg {n}": (getattr(pg, n), None) for n in ("simple", "prepared", "refused", "masked", "bulk", "cancels", "reconnects")}
        kinds |= {f"pg {n}": (getattr(pg, n), every) for n, every in (("approvals", 20.0), ("bad_logins", 0.5), ("catalog", 5.0))}
        kinds |= {f"my {n}": (getattr(my, n), None) for n in ("simple", "refused", "reconnects")} | {"reloads": (operator.reloads, 7.0)}
        for name, (make, every) in kinds.items():
            if not options.only or name in options.only:
                load.start(name, make, every if not options.only else None)
        begin, samples, said = time.monotonic(), [], -1
        while time.monotonic() - begin < options.minutes * 60 and os.path.exists(f"/proc/{pid}"):
            time.sleep(options.sample)
            samples.append(dict(sample(pid), t=time.monotonic() - begin))
            minute = int(samples[-1]["t"] // 60)
            if minute != said:
                said = minute
                x = samples[-1]
                print(f"{minute:4} min: anon {x['anon']:7} KiB, fds {x['fds']:4}, threads {x['threads']:3}, done {sum(load.done.values())}, wrong {len(load.wrong)}", flush=True)
        hanging = load.end()
        alive = os.path.exists(f"/proc/{pid}")
        after = settled(pid, before) if alive else dict.fromkeys(before, 0)
        s.direct("DROP SCHEMA scratch CASCADE")
    finally:
        s.close()
    lines, bad = judge(samples, before, after)
    for name, n in sorted(load.done.items()):
        print(f"  {name:16} {n}")
    print("\n".join(lines))
    for text, n in sorted({t: load.wrong.count(t) for t in load.wrong}.items())[:20]:
        print(f"wrong ({n}): {text}")
    if hanging or not alive or load.wrong:
        bad.append(f"{hanging} clients hang" if hanging else "the daemon died" if not alive else "clients met errors")
    print("not flat: " + ", ".join(bad) if bad else "flat")
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"samples": samples, "done": load.done, "wrong": load.wrong, "before": before, "after": after, "bad": bad}, f)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
