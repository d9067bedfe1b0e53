"""What the programs in Python share: where to connect, and one line of output for each check."""
import asyncio
import datetime
import decimal
import hashlib
import inspect
import os
import ssl
import subprocess
import sys
import traceback
import uuid

HOST, PORT = os.environ["GH_T_HOST"], int(os.environ["GH_T_PORT"])
USER, PASSWORD, DATABASE = os.environ["GH_T_USER"], os.environ["GH_T_PASSWORD"], os.environ["GH_T_DATABASE"]
PASSWORD_ALL = os.environ["GH_T_PASSWORD_ALL"]  # of whoever may do everything
CA, WRONG_CA = os.environ["GH_T_CA"], os.environ["GH_T_WRONG_CA"]
GATE = os.environ["GH_T_WAY"] == "gate"  # else straight to the database, without TLS
PREFIX = os.environ["GH_T_PREFIX"]  # schema and the beginning of the names of our own tables
T = PREFIX + "t"
SQL_LARGE = "SELECT n, md5(n::text) AS h FROM generate_series(1, 120000) AS n"
EVIL = "'); DROP TABLE " + T + "; -- \\' $1 %s ? :x \"\u2019"
TYPES = ("i int, b bigint, n numeric, f float8, t bool, s text, y bytea, d date, ts timestamptz, a int[], ta text[], j jsonb, u uuid, z text")
ROW = [-42, 2**53 + 1, decimal.Decimal("12345678901234567890.123456789"), 0.1, True, "t\u00ebxt \U0001f418", b"\0\xff\\'", datetime.date(2026, 2, 28),
       datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc), [1, None, 3], ["a", 'b"c', None], {"a": [1, None, "x"]}, uuid.UUID(int=7), None]
_checks = []


def settings():
    with open(os.environ["GH_T_SETTINGS"]) as f:
        return f.read().splitlines()


def check(f):
    """Runs both through the gate and straight to the database."""
    _checks.append(f)
    return f


def gate_only(f):
    """What there is no direct connection to compare with: TLS, tokens, refusals."""
    if GATE:
        _checks.append(f)
    return f


def show(name, value):
    """A result that has to be the same both ways."""
    print("=", name, str(value).replace("\n", "\\n"), flush=True)


def show_large(rows):
    digest, count = hashlib.md5(), 0
    for n, h in rows:
        count += 1
        assert n == count, (n, count)
        digest.update(h.encode())
    show("large", f"{count} {digest.hexdigest()}")


def end_backend(pid):
    """As an administrator or a crash would: the server ends that session."""
    subprocess.run([os.environ["GH_T_END_BACKEND"], str(pid)], check=True, stdout=subprocess.DEVNULL)


def tls(ca=None):
    return ssl.create_default_context(cafile=ca or CA) if GATE else None


def raises(kind, f, *args, **more):
    """The exception of that kind that f(*args) must raise."""
    try:
        f(*args, **more)
    except kind as e:
        return e
    raise AssertionError(f"nothing raised where {kind} was due")


def says_why(message, hint="Read public.orders."):
    """The rule's own words; drivers that show no hint pass the message alone."""
    assert "select on public.staff is denied by the policy: A driver's test has no business with salaries." in message, message
    assert hint == "Read public.orders.", hint


def main():
    for f in _checks:
        try:
            result = f()
            if inspect.iscoroutine(result):
                asyncio.run(result)
            print("ok", f.__name__, flush=True)
        except Exception as e:
            traceback.print_exc(file=sys.stderr)
            print(f"FAIL {f.__name__}: {type(e).__name__}: {' '.join(str(e).split())[:300]}", flush=True)
