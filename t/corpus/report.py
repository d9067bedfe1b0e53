"""Counts, examples and the table."""
import collections
import re

import pgraw
import tee

# Why an answer differs from run to run; the first that matches the statement names the cause.
UNSTABLE = (
    ("the time of day", r"now\s*\(|current_time|current_date|localtime|clock_timestamp|_timestamp\s*\(|timeofday|'(now|today|yesterday|tomorrow)|uuid_generate_v1|age\s*\("),
    ("random numbers", r"random\s*\(|gen_random|gen_salt|tablesample|uuid_generate|pgp_|salt|password|rolpassword"),
    ("process ids", r"pg_backend_pid|pg_stat_activity|pg_locks|virtualtransaction|pid\b|\blisten\b|notify"),
    ("times and buffers in EXPLAIN ANALYZE", r"explain.*analy[sz]e|explain_(?:merge|parallel|resultcache|memoize|filter|analyze|sq)|explain_\w+"),
    ("counters of activity", r"pg_stat|pg_wal|pg_current_(?:wal|xact)|lsn|pg_control|pg_buffercache|pgstat|pg_walinspect|pg_get_wal|pg_visibility|heap_page|page_header"),
    ("sizes", r"pg_size_pretty"),
    ("files and the server's folder", r"data_directory|pg_relation_filepath|pg_ls_|pg_stat_file|config_file|port|pg_settings|inet_server|tablespace_location|pg_hba|show all|pg_file_settings"),
)


UNSTABLE_FILES = (
    ("contrib/dblink", "the server's connections to itself"),
    ("contrib/postgres_fdw", "the server's connections to itself"),
    ("contrib/test_decoding", "replication slots: log positions, process ids"),
)


SIZE = re.compile(rb"\0\0\0[\4-\24]\d+ (?:bytes|[kMG]B)")  # a value of DataRow, with its length


def cause_of(patterns, text):
    for cause, pattern in patterns:
        if re.search(pattern, text, re.I | re.S):
            return cause
    return "unexplained"


def refusal_cause(record, text):
    reason = record["reason"]
    for pattern, cause in ((r"^the setting (\S+) may not", r"pinned setting: \1"), (r"^(changing|showing) the setting (\S+)", r"setting: \2"),
                           (r"^the function (\S+) is not", r"function: \1"), (r" on (\S+) is not allowed", r"not granted: \1"),
                           (r"^(.*?) at or near .*", r"\1 at or near ...")):
        m = re.search(pattern, reason)
        if m:
            return m.expand(cause)
    return reason


class Report:
    def __init__(self, verbose):
        self.verbose = verbose
        self.total = self.identical = 0
        self.refusals, self.unstables = collections.Counter(), collections.Counter()
        self.examples = {}
        self.differences = []
        self.syntax = 0

    def same(self, text):
        self.total += 1
        self.identical += 1

    def refused(self, text, record, gate, direct):
        self.total += 1
        cause = f"{record['sqlstate']} {refusal_cause(record, text)}"
        if record["sqlstate"] == "42601":
            ours, theirs = [next((pgraw.error_fields(m[5:]) for m in side if m[0] == 69), None) for side in (gate, direct)]
            same = theirs is not None and [ours.get(k) for k in "CMP"] == [theirs.get(k) for k in "CMP"]
            cause = "no valid SQL: the server gives the same SQLSTATE, message and position" if same else \
                "valid SQL for the server, whose minor version's grammar is newer than the parser library's" if theirs is None else \
                "no valid SQL: the server refuses it too, with another message or SQLSTATE (the parser library has neither the patches nor the codes)"
        self.refusals[cause] += 1
        self.examples.setdefault(cause, text)
        if self.verbose:
            print("refused:", cause, "|", " ".join(text.split())[:300], flush=True)

    def known(self, text, gate, direct):
        """Not deterministic, also when the two direct answers happen to agree."""
        if self.file.endswith("/stats") and "pg_stat_wal" in text:
            return True  # compares with a value that an earlier statement of this run put into it
        # When a page of an index is free again depends on which transactions had ended by then, so sizes are compared as "some size".
        if "pg_size_pretty(" in text and [SIZE.sub(b"", m[5:]) for m in gate] == [SIZE.sub(b"", m[5:]) for m in direct]:
            return True
        # A partition on a server that cannot be reached: how many rows of the others come before the error is a matter of time.
        error = [m for m in gate if m[0] == 69]
        return "postgres_fdw" in self.file and "async_pt" in text and bool(error) and error == [m for m in direct if m[0] == 69]

    def unstable(self, text, gate, direct):
        self.total += 1
        cause = next((cause for name, cause in UNSTABLE_FILES if self.file.startswith(name)), None) or cause_of(UNSTABLE, text)
        self.unstables[cause] += 1
        self.examples.setdefault(cause, text)
        if self.verbose and cause == "unexplained":
            print("unstable:", " ".join(text.split())[:600], "\n gate\n", tee.show(gate), "\n direct\n", tee.show(direct), flush=True)

    def different(self, text, gate, direct, why=""):
        self.total += 1
        self.differences.append(text)
        if len(self.differences) <= 200:
            print(f"DIFFERENT {why}\n  {text[:1500]}\n gate:\n{tee.show(gate)}\n direct:\n{tee.show(direct)}", flush=True)

    def begin_file(self, name):
        self.file = name
        return self.mark()

    def mark(self):
        return self.total, self.identical, sum(self.refusals.values()), sum(self.unstables.values()), len(self.differences)

    def end_file(self, name, before, problem, seconds):
        total, same, refused, unstable, different = (now - then for now, then in zip(self.mark(), before))
        ok = problem is None and different == 0 and total > 0
        if problem:
            print(problem)
        print(f"{'ok    ' if ok else 'FAILED'} {name:42} {total:6} statements, {same:6} identical, {refused:4} refused, {unstable:4} not deterministic,"
              f" {different:3} different  {seconds:5.1f} s", flush=True)
        return ok

    def table(self, whole):
        """Prints it; yields the checks."""
        refused, unstable = sum(self.refusals.values()), sum(self.unstables.values())
        print(f"\nstatements          {self.total:7}\nidentical           {self.identical:7}\nrefused             {refused:7}  {100 * refused / max(1, self.total):.2f} %")
        for cause, n in self.refusals.most_common():
            print(f"    {n:6}  {cause[:150]}\n            {' '.join(self.examples[cause].split())[:150]}")
        print(f"not deterministic   {unstable:7}  {100 * unstable / max(1, self.total):.2f} %")
        for cause, n in self.unstables.most_common():
            print(f"    {n:6}  {cause}\n            {' '.join(self.examples[cause].split())[:150]}")
        print(f"different           {len(self.differences):7}")
        yield not self.differences
        if whole:
            yield self.total >= 5000
            yield refused < 0.02 * self.total
            yield unstable < 0.01 * self.total
