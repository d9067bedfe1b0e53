"""A storm of refused logins beside running sessions: what it costs those. Prints ratios; judges nothing.

    GH_BUILD=DIR /usr/bin/python3 t/bench/storm.py [--quick] [--rate N] [--seconds N] [--rounds N] [--json FILE]

Each round is quiet, storm, quiet again, so that what the machine does meanwhile hits both. The sessions are pgbench's, at a fixed rate well under what the machine
can do; the storm is a number of processes that connect with TLS, a full handshake each, and give a token whose signature is wrong, 500 times a second
together. An attacker has cores of his own and these have not, so they run when nothing else wants to (SCHED_IDLE): what is measured is what the storm costs
HAProxy, the daemon and through them the sessions. On few cores the rate that is reached, which is printed, may be lower. Where kernel.sched_autogroup_enabled is 1, SCHED_IDLE
and nice count within a session of processes alone, and the storm gets a full share: set it to 0 while this runs.
DIR is a build without sanitizers; t/bench/run makes one.
"""
import argparse
import json
import multiprocessing
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import pgraw  # noqa: E402
import stack  # noqa: E402

STORMERS = 4
SESSIONS, SESSIONS_RATE = 4, 100


def refused_login(gate, token, context, sent):
    """True when the answer was the refusal, however long it took (wrong ones are held back). sent gets the time at which the token was on its way."""
    client = pgraw.RawClient.tls(gate, 60, context)
    try:
        client.send(pgraw.startup([("user", "storm"), ("database", "shop")]))
        client.until("R")
        client.send(pgraw.message("p", pgraw.cstr(token)))
        sent.append(time.monotonic())
        return client.read()[0] == "E"
    finally:
        client.close()


class Gate:
    """What pgraw needs of a stack, small enough for another process."""

    def __init__(self, s):
        self.host, self.port, self.env = s.host, s.port, {"GH_CA": s.env["GH_CA"]}


def stormer(gate, token, rate, seconds, results):
    """Logins in threads: an answer is held back, the next login does not wait for it."""
    import threading
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    context = ssl.create_default_context(cafile=gate.env["GH_CA"])
    done, sent, lock = [0, 0], [], threading.Lock()

    def one():
        try:
            ok = refused_login(gate, token, context, sent)
        except OSError:
            ok = False
        except pgraw.Closed:
            ok = False
        with lock:
            done[0 if ok else 1] += 1

    begin, threads = time.monotonic(), []
    for i in range(int(rate * seconds)):
        wait = begin + i / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        if time.monotonic() - begin > seconds:
            break
        threads.append(threading.Thread(target=one))
        threads[-1].start()
    for t in threads:
        t.join()
    results.put((done[0], done[1], sum(at - begin <= seconds for at in sent) / seconds))


class Sessions:
    """Sessions that run all the while; what each transaction took, and when it began, is in pgbench's own log."""

    def __init__(self, s, seconds):
        self.folder = tempfile.TemporaryDirectory(prefix="gh-storm.")
        with open(f"{self.folder.name}/script", "w") as f:
            f.write("\\set id random(1, 10000)\nSELECT total FROM public.orders WHERE id = :id;\n")
        self.process = subprocess.Popen(["pgbench", "-n", "-M", "prepared", "-f", f"{self.folder.name}/script", "-c", str(SESSIONS), "-j", "2",
                                         "-R", str(SESSIONS_RATE), "-T", str(seconds), "-l", f"--log-prefix={self.folder.name}/log"],
                                        env=s.client_env("agent"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        """(time, latency in us) of every transaction."""
        out, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError(out)
        done = []
        for name in os.listdir(self.folder.name):
            if name.startswith("log"):
                with open(os.path.join(self.folder.name, name)) as f:
                    done += [(int(c[4]) + int(c[5]) / 1e6, int(c[2])) for c in map(str.split, f)]
        self.folder.cleanup()
        return done


def figures_of(transactions, begin, end):
    times = sorted(us for when, us in transactions if begin <= when < end)
    return {name: float(times[min(len(times) - 1, int(len(times) * q))]) for name, q in (("p50", .5), ("p99", .99))} | {"n": len(times)}


def storm(s, token, rate, seconds):
    """How many wrong tokens a second came while it lasted, how many logins were refused in all, and how many went wrong in another way."""
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=stormer, args=(Gate(s), token, rate / STORMERS, seconds, results)) for _ in range(STORMERS)]
    for p in processes:
        p.start()
    got = [results.get(timeout=120) for _ in processes]
    for p in processes:
        p.join()
    return sum(rate for _, _, rate in got), sum(n for n, _, _ in got), sum(wrong for _, wrong, _ in got)


def measure(s, options):
    good = s.token("agent")
    token = good[:-8] + ("AAAAAAAA" if not good.endswith("AAAAAAAA") else "BBBBBBBB")
    rounds, length = [], options.seconds
    for i in range(options.rounds):
        sessions = Sessions(s, 3 * length + 8)
        time.sleep(2.5)
        begin = time.time()
        time.sleep(length)
        rate, refused, wrong = storm(s, token, options.rate, length)
        over = time.time()
        time.sleep(length + 2)  # the first two for the answers that were held back
        done = sessions.end()
        calm = [figures_of(done, begin, begin + length), figures_of(done, over + 2, over + 2 + length)]
        one = {"rate": rate, "refused": refused, "wrong": wrong, "storm": figures_of(done, begin + length + 0.5, begin + 2 * length),
               "quiet": {q: statistics.mean(c[q] for c in calm) for q in ("p50", "p99")}}
        one["ratio"] = {q: one["storm"][q] / one["quiet"][q] for q in ("p50", "p99")}
        rounds.append(one)
        print(f"round {i + 1}: {rate:.0f} wrong tokens/s, {refused} refused ({wrong} went wrong), p99 {one['quiet']['p99']:.0f} us quiet, "
              f"{one['storm']['p99']:.0f} us in the storm: {one['ratio']['p99']:.2f}x", flush=True)
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 3, 2
    s = stack.Stack()
    try:
        rounds = measure(s, options)
        throttled = [e for e in s.stream("gatehouse:auth") if e["type"] == "login.throttled"]
        recorded = [e for e in s.stream("gatehouse:auth") if e["type"] == "login.refused"]
    finally:
        s.close()
    figures = {"refused logins a second": statistics.median(r["rate"] for r in rounds),
               "p50 of sessions, storm / quiet": statistics.median(r["ratio"]["p50"] for r in rounds),
               "p99 of sessions, storm / quiet": statistics.median(r["ratio"]["p99"] for r in rounds),
               "logins recorded one by one": len(recorded), "numbers recorded for the others": len(throttled)}
    for name, value in figures.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"figures": figures, "rounds": rounds, "options": vars(options)}, f, indent=1)


if __name__ == "__main__":
    main()
