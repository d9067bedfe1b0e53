"""Start-up and tree statements of graphical tools (gui_*.sql): all of them run for whoever may also read activity, and for a plain tester all but those
that are marked to need that grant, which are refused and leave the session usable. Sent as pgAdmin does (a Query message) and as pgjdbc does (Parse)."""
import glob
import re

import psycopg
from psycopg import ClientCursor

from checks import *

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD_TOOLS = os.environ["GH_T_PASSWORD_TOOLS"]


def statements(tool):
    """(text, needs a grant, varies) of each; blank lines part them."""
    with open(os.path.join(HERE, f"gui_{tool}.sql")) as f:
        parts = re.split(r"\n\s*\n", f.read().strip())
    for part in parts:
        lines = part.splitlines()
        marks = " ".join(line for line in lines if re.fullmatch(r"--( (grant|varies))+", line))
        yield "\n".join(line for line in lines if not line.startswith("--")), "grant" in marks, "varies" in marks


def connect(password):
    tls = dict(sslmode="verify-full", sslrootcert=CA) if GATE else dict(sslmode="disable")
    return psycopg.connect(host=HOST, port=PORT, user=USER, password=password, dbname=DATABASE, autocommit=True, prepare_threshold=None, **tls)


def run(tool):
    with connect(PASSWORD_TOOLS) as conn:
        count = 0
        for count, (sql, _, varies) in enumerate(statements(tool), 1):
            for cursor in (ClientCursor(conn), conn.cursor(binary=False)):
                if isinstance(cursor, ClientCursor) or not re.search(";.", sql):
                    try:
                        if isinstance(cursor, ClientCursor):
                            cursor.execute(sql)
                        else:
                            cursor.execute(sql.replace("%", "%%"), [], prepare=True)
                    except psycopg.Error as e:
                        raise AssertionError(f"{sql}: {e}")
            rows = cursor.fetchall() if cursor.description and not varies else []
            show(f"{tool} {count}", f"{len(rows)} {hashlib.md5(repr(rows).encode()).hexdigest()}")
        assert count > 20, count


def run_without_grant(tool):
    with connect(PASSWORD) as conn:
        for sql, grant, _ in statements(tool):
            try:
                conn.execute(sql)
                assert not grant, f"it ran without a grant: {sql}"
            except psycopg.errors.InsufficientPrivilege as e:
                assert grant, f"{sql}: {e}"
                assert conn.execute("SELECT 1").fetchone() == (1,)


for name in sorted(re.search("gui_(.*).sql", path)[1] for path in glob.glob(os.path.join(HERE, "gui_*.sql"))):
    def with_grant(tool=name):
        run(tool)

    def without_grant(tool=name):
        run_without_grant(tool)

    with_grant.__name__, without_grant.__name__ = name, name + "_without_grant"
    check(with_grant)
    gate_only(without_grant)

main()
