"""Runs test commands, some at a time, and adds up what they say.

    jobs.py [-j N] <LIST        each line: a name, a tab, a command for sh

Each command ends with the line "N passed, N failed"; one that does not counts as a failure. Its output is shown when it has ended. Ends with that line
for all of them. The first lines are started first: put what takes long there.
"""
import argparse
import concurrent.futures
import re
import subprocess
import sys
import time

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$")


def run(job):
    name, command = job
    start = time.monotonic()
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return name, done.stdout, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", type=int, default=2)
    jobs = [line.rstrip("\n").split("\t", 1) for line in sys.stdin if line.strip()]
    passed = failed = 0
    table = []
    with concurrent.futures.ThreadPoolExecutor(parser.parse_args().j) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, job) for job in jobs]):
            name, output, seconds = future.result()
            lines = output.rstrip("\n").splitlines()
            closing = CLOSING.match(lines[-1]) if lines else None
            ok, bad = (int(closing[1]), int(closing[2])) if closing else (0, 1)
            passed, failed = passed + ok, failed + bad
            table.append((name, seconds, ok, bad))
            print(f"== {name}", output.rstrip("\n"), sep="\n", flush=True)
    print("== seconds, passed, failed")
    for name, seconds, ok, bad in sorted(table, key=lambda row: -row[1]):
        print(f"{seconds:7.0f} {ok:5} {bad:4}  {name}")
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
