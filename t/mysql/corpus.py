"""Statements of MariaDB's own test suite against a real MariaDB: what it accepts must have facts, and they must name what it touches.

    t/mysql/corpus.py                 a few files
    GH_MY_FILES=100 t/mysql/corpus.py   as many, by GH_MY_SEED; GH_MY_SUITES names folders other than main
    GH_MY_FILES=0 t/mysql/corpus.py   all of them, about an hour
    t/mysql/corpus.py FILE...         these, by name

Printed: of the statements that read or change rows and that the server executes, how many have complete facts (at least 97 %); and in how many of them the relations are those
that the server's audit plugin says it locked (at least 99.9 %). A table that the server touched and the facts do not name fails the test, whatever the rate: unless
the statement reaches it through a view, a trigger, a stored function or a foreign key, whose own text the server has already.
Ends with the line "N passed, N failed".
"""
import os
import random
import re
import struct
import sys
import warnings

import pymysql
from pymysql.constants import CLIENT

import facts as facts_of
import server as servers
import testfiles

FEW = ("union", "cte_nonrecursive", "multi_update", "insert_update", "comments", "parser", "func_group", "subselect3")
SYSTEM = ("mysql", "information_schema", "performance_schema", "sys")
DML = re.compile(rb"(?:\s|/\*(?!!).*?\*/|#[^\n]*\n|--[ \t\n][^\n]*\n)*\(*\s*(select|insert|replace|update|delete|with|values|do|load)\b", re.I | re.S)
# The server's life is ours, and time is short.
NEVER = re.compile(rb"\s*(/\*.*?\*/\s*)?(shutdown|kill|install|uninstall|change|start\s+(slave|all)|stop|reset|purge|flush|backup|binlog|set\s+password|drop\s+user|grant|revoke|"
                   rb"create\s+user|set\s+(@@)?(global|persist)|lock|xa|handler|help|rename\s+user|alter\s+user|set\s+debug|set\s+session\s+debug|signal|resignal|"
                   rb"create\s+(or\s+replace\s+)?role|set\s+role|set\s+default\s+role|repair|check|drop\s+database\s+(mysql|sys)|use\s+`?mysql)\b", re.I | re.S)
NEVER_IN = re.compile(rb"sleep\s*\(|get_lock|benchmark\s*\(|@@global\.|into\s+(out|dump)file|\bmysql\.|debug_sync|\bglobal\s|master_|wsrep", re.I)
CHANGES_STATE = re.compile(rb"(?:\s|/\*(?!!).*?\*/)*(set|use|create\s+database|drop\s+database|call|execute|begin\s+not)\b", re.I)


class Corpus:
    def __init__(self, server):
        self.server = server
        self.version = server.version()
        self.facts = facts_of.Facts("mariadb", self.version)
        self.dml = self.complete = self.compared = self.equal = self.through = 0
        self.refused, self.too_much, self.too_little = {}, [], []
        self.skipped_charset = 0
        self.audit = None

    def reset(self):
        root = self.server.connect()
        with root.cursor() as c:
            c.execute("SET GLOBAL server_audit_logging = OFF")
            c.execute("SHOW DATABASES")
            for (name,) in c.fetchall():
                if name not in SYSTEM:
                    c.execute(f"DROP DATABASE `{name.replace('`', '``')}`")
            c.execute("DELETE FROM mysql.proc WHERE db NOT IN ('sys', 'mysql')")
            c.execute("CREATE DATABASE test")
            c.execute("SET GLOBAL server_audit_events = 'TABLE', GLOBAL server_audit_logging = ON")
        root.close()

    def touched(self):
        """(db, table) of what the statements since the last call locked."""
        out = set()
        for line in self.audit.read().split("\n"):
            parts = line.split(",")
            if len(parts) >= 9 and parts[6] in ("READ", "WRITE"):
                out.add((parts[7], ",".join(parts[8:-1])))
        return out

    def state(self):
        with self.connection.cursor() as c:
            c.execute("SELECT @@sql_mode, DATABASE(), @@character_set_client LIMIT 1")  # whatever sql_select_limit is
            self.mode, self.db, charset = (v.decode("latin-1") if isinstance(v, bytes) else v or "" for v in c.fetchone())
        self.utf8 = charset.startswith("utf8") or charset in ("ascii",)
        self.touched()

    def run(self, sql):
        """None when the server executed it, else the error's number."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.connection.query(sql)
                while self.connection._result is not None and self.connection._result.has_next:
                    self.connection.next_result()
            return None
        except pymysql.err.MySQLError as e:
            if e.args[0] in (2006, 2013, 0):
                raise
            return e.args[0]
        except (UnicodeDecodeError, ValueError, IndexError, AssertionError, struct.error):
            return None  # a value that the driver cannot read; the server has answered

    def indirect(self, relations, functions):
        """Whether what the facts name may lead to tables of its own."""
        with self.connection.cursor() as c:
            if any(schema is not None for schema, _ in functions):
                return "function"
            for db, table, access in relations:
                c.execute("SELECT table_type, engine FROM information_schema.tables WHERE table_schema = %s AND table_name = %s", (db, table))
                found = c.fetchone()
                if found is None or found[0] not in ("BASE TABLE", "SYSTEM VERSIONED"):
                    return "view or " + str(found)
                c.execute(f"SHOW CREATE TABLE `{db.replace('`', '``')}`.`{table.replace('`', '``')}`")
                text = str(c.fetchone()[1])
                if text.startswith("CREATE TEMPORARY"):
                    return "temporary table"
                if "nextval(" in text.lower():
                    return "sequence"
                if found[1] and found[1].lower() in ("mrg_myisam", "federated", "connect", "spider", "sequence"):
                    return "merge"
                if access != ["select"]:
                    c.execute("SELECT count(*) FROM information_schema.triggers WHERE event_object_schema = %s AND event_object_table = %s", (db, table))
                    if c.fetchone()[0]:
                        return "trigger"
                    c.execute("SELECT count(*) FROM information_schema.referential_constraints WHERE unique_constraint_schema = %s AND referenced_table_name = %s OR "
                              "constraint_schema = %s AND table_name = %s", (db, table, db, table))
                    if c.fetchone()[0]:
                        return "foreign key"
        return None

    def count(self, path, sql, before, answer, error, touched):
        where = f"{os.path.basename(path)}: {sql[:400]!r} (sql_mode {before[0]})"
        if error is None:
            self.dml += 1
        if "error" in answer:
            if error is None:
                self.refused.setdefault(re.sub(r'"[^"]*"', '"..."', answer["error"]), []).append(where + f" [{answer['error']}]")
            return
        stmt = answer["stmts"][0]
        if error is None:
            self.complete += 1
        relations = [r for r in stmt["relations"] if r[0].lower() not in SYSTEM]
        named = {(db, table) for db, table, _ in relations}
        touched = {t for t in touched if t[0] not in SYSTEM}
        if error is not None and not touched - named:
            return  # it need not have come to all of them
        lower = {(a, b.lower()) for a, b in named}
        missing = {t for t in touched - named if (t[0], t[1].lower()) not in lower}
        extra = named - touched
        if not missing and not extra:
            self.compared += error is None
            self.equal += error is None
            return
        why = self.indirect(relations, stmt["functions"])
        self.touched()
        if why is not None:
            self.through += error is None
            return
        if any("\n" in db + table for db, table in named):
            return  # no line of the audit's
        if error is None:
            self.compared += 1
        if missing:
            self.too_much.append(f"{where}: the server touched {sorted(missing)}, facts {relations}")
        elif error is None:
            self.too_little.append(f"{where}: facts name {sorted(extra)} besides {sorted(touched)}")

    def file(self, path):
        self.reset()
        self.connection = self.server.connect(database="test", client_flag=CLIENT.MULTI_RESULTS, read_timeout=60)
        self.audit = open(self.server.audit, errors="replace")
        self.audit.seek(0, 2)
        try:
            self.state()
            for sql in testfiles.statements(path):
                if NEVER.match(sql) or NEVER_IN.search(sql):
                    continue
                dml = DML.match(sql) and not re.match(rb"\s*load\s+(index|table)", sql, re.I)
                before = (self.mode, self.db)
                answer = self.facts(sql, self.mode, self.db) if dml and self.utf8 else None
                error = self.run(sql)
                touched = self.touched()
                if dml and not self.utf8:
                    self.skipped_charset += 1
                elif dml:
                    self.count(path, sql, before, answer, error, touched)
                if CHANGES_STATE.match(sql):
                    self.state()
        except (pymysql.err.MySQLError, OSError, UnicodeDecodeError) as e:
            print(f"{os.path.basename(path)}: the connection ended: {e}")
        finally:
            try:
                self.connection.close()
            except pymysql.err.MySQLError:
                pass
            self.audit.close()

    def report(self):
        results = []

        def check(ok, text):
            results.append(ok)
            print(("ok      " if ok else "FAILED  ") + text)
        for text, list_ in sorted(self.refused.items(), key=lambda x: -len(x[1]))[:int(os.environ.get("GH_MY_SHOW", "25"))]:
            print(f"{len(list_):6} refused: {text}\n         {list_[0]}")
        for title, list_ in (("NAMES TOO LITTLE", self.too_much), ("names too much", self.too_little)):
            for line in list_[:int(os.environ.get("GH_MY_SHOW", "25"))]:
                print(f"{title}: {line}")
        rate = 100 * self.complete / max(self.dml, 1)
        equal = 100 * self.equal / max(self.compared, 1)
        check(self.dml > 0 and rate >= 97, f"{self.complete} of {self.dml} statements have complete facts: {rate:.2f} % (97 are needed)")
        check(self.compared > 0 and equal >= 99.9, f"{self.equal} of {self.compared} name the tables that the server says it touched: {equal:.3f} % (99.9 are needed); "
              f"{self.through} more reach others through views, triggers, functions and foreign keys")
        check(not self.too_much, f"{len(self.too_much)} name fewer tables than the server touched (none may)")
        print(f"({self.skipped_charset} statements in other character sets were left out)")
        return results


def run(server):
    """Prints and returns what holds."""
    count = os.environ.get("GH_MY_FILES", "")
    paths = testfiles.files(os.environ.get("GH_MY_SUITES", "main").split())
    names = sys.argv[1:] or (FEW if count == "" else ())
    if names:
        paths = [p for p in paths if os.path.basename(p)[:-len(".test")] in names]
    elif int(count) > 0:
        random.Random(int(os.environ.get("GH_MY_SEED", "1"))).shuffle(paths)
        paths = paths[:int(count)]
    corpus = Corpus(server)
    for path in paths:
        try:
            corpus.file(path)
        except (pymysql.err.MySQLError, OSError) as e:  # it has broken its server
            print(f"{os.path.basename(path)}: {e}: the server begins anew")
            server.renew()
    return corpus.report()


if __name__ == "__main__":
    sys.exit(servers.main(run))
