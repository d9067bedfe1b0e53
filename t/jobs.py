"""Runs test commands, some at a time, and adds up what they say.

    jobs.py [-j N] [--once NAME]... <LIST        each line: a name, a tab, a command for sh

Each command ends with the line "N passed, N failed"; one that does not counts as a failure. Its output is shown when it has ended. Ends with that line
for all of them. The first lines are started first: put what takes long there.

What failed beside others is run once more when all are through, alone, and that run counts: a machine that was busy for a minute is no finding. It is
named as unsteady all the same, which is a defect of the test or of the program, to be looked at. There is no second run for --once (where a race is what
the test looks for), nor when more than SECOND_RUNS failed.
"""
import argparse
import concurrent.futures
import re
import subprocess
import sys
import time

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed$")
SECOND_RUNS = 6


def run(job):
    """The job, (passed, failed), seconds; its output is printed."""
    name, command = job
    start = time.monotonic()
    done = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    output = done.stdout.rstrip("\n")
    closing = CLOSING.match(output.rpartition("\n")[2])
    counts = (int(closing[1]), int(closing[2])) if closing else (0, 1)
    print(f"== {name}\n{output}", flush=True)
    return job, counts, time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("--once", action="append", default=[])
    options = parser.parse_args()
    jobs = [line.rstrip("\n").split("\t", 1) for line in sys.stdin if line.strip()]
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        table = list(pool.map(run, jobs))

    again = [i for i, (_, (_, failed), _) in enumerate(table) if failed]
    unsteady = []
    if len(again) <= SECOND_RUNS:
        for i in again:
            job, (_, failed), _ = table[i]
            if job[0] not in options.once:
                print(f"== {job[0]}: {failed} failed; once more, alone", flush=True)
                table[i] = run(job)
                if not table[i][1][1]:
                    unsteady.append((job[0], failed))

    print("== seconds, passed, failed")
    for (name, _), (ok, bad), seconds in sorted(table, key=lambda row: -row[2]):
        print(f"{seconds:7.0f} {ok:5} {bad:4}  {name}")
    for name, failed in unsteady:
        print(f"UNSTEADY {name}: {failed} failed beside others, none alone")
    passed, failed = (sum(counts[i] for _, counts, _ in table) for i in (0, 1))
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
