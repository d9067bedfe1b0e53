"""Statements that nobody wrote, and mutations of them, against a real MariaDB: never may the facts name fewer tables than the server uses.

    GH_MY_DIFFER=1000000 t/mysql/differ.py     so many statements (4,000); GH_MY_SEED another sequence

The generator shares nothing with the parser: it puts pieces of text into each other, puts blanks and comments between them, and half of the time breaks the result with
quotes, comment marks, words and parentheses at random places. The server runs it, in a mode that changes from batch to batch; MariaDB's audit plugin says which
tables it locked. Every other session, and all of MySQL's (see server.py), are those of somebody who may only read, or has rights on some tables alone, and may
call nothing: what the server says that he lacks must be in the facts, with that access. Texts may hold several statements. Ends with the line "N passed, N failed".
"""
import os
import random
import re
import sys
import time

import pymysql
from pymysql.constants import CLIENT

import facts as facts_of
import server as servers

MODES = ("", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "IGNORE_SPACE", "PIPES_AS_CONCAT", "HIGH_NOT_PRECEDENCE", "", "")
TABLES = ("ta", "tb", "tc", "td", "te", "d2.ua", "d2.ub", "`d2`.`uc`", "d1.ta", "`tb`", "`t d`")
RULES = {
    "s": ["{q}", "{q}", "{q}", "{q}", "insert into {t} (x) {q}", "insert into {t} values ({e},{e})", "insert into {t} set x={e}", "replace {t} (x,y) {q}",
          "insert into {t} (x) values ({e}),({e}) on duplicate key update x={e}, y=values(x)", "update {f} set {c}={e} where {e}", "update {t} {al} set x={e}",
          "delete from {t} where {e}", "delete {t} from {t} join {f} where {e}", "delete from {a} using {t} as {a}, {f} where {e}", "do {e}", "set @v={e}",
          "insert ignore into {t} (x) {q} returning {e}", "delete from {t} where {e} returning x", "explain {q}", "set statement max_statement_time=2 for {q}",
          "with {cn} as ({q}) {q}", "prepare p1 from '{q0}'", "execute immediate '{q0}'", "call p({e})", "with {cn} as ({q}) update {f} set x={e}", "with {cn} as ({q}) delete from {t} where {e}", "with {cn} as ({q}) delete {a} from {f}", "create or replace temporary table tt {q}", "show columns from {t}"],
    "q": ["select {es} from {f}", "select {es} from {f}", "select {es} from {f} where {e}", "select {e} from {f} group by {e} having {e}", "select {e}", "({q})",
          "{q} union {q}", "{q} union all {q}", "({q}) union ({q}) order by 1 limit 1", "{q} intersect {q}", "{q} except {q}", "with {cn} as ({q}) select {es} from {f}",
          "with {cn} as ({q}), {cn} as ({q}) {q}", "with recursive {cn} as ({q}) {q}", "select distinct {es} from {f} order by {e} limit 1", "select {e} from {f} for update",
          "values (1),({e})", "select sql_no_cache {es} from {f} limit 0, 1", "select straight_join {es} from {f} window w as (partition by {e} order by {e})",
          "select {e} into @v from {f}", "select {e} from {f} lock in share mode", "select {e} from dual", "with {cn}(x) as ({q}) select {e} from {cn}", "table {t}", "select {e} from {f} for share of {a}", "({q}) limit 1",
          "with {cn} as ({q}) ({q}) union {q}", "with {cn} as (select 1 x) select {e} from (with {cn} as ({q}) {q}) {al}", "with {cn} as ({q}) select ({q}), {e} from {cn}", "select {e} from {f} qualify {e}"],
    "q0": ["select x from {t}", "select x from {t} where x in (select x from {t})", "select 1", "select \"a\" from {t}"],
    "f": ["{t}", "{t}", "{t} {al}", "{t} as {al}", "{f} join {t} on {e}", "{f}, {f}", "({f})", "({f}, {f})", "({q}) {al}", "({q}) as {al}", "{f} left join {t} using (x)",
          "{f} natural join {t}", "{t} use index (k)", "(({q}) union {q}) {al}", "(({q})) {al}", "{f} straight_join {t}", "{cn}", "{cn}", "{cn} {al}",
          "json_table('[1]','$[*]' columns(x int path '$')) {al}", "{{ oj {t} left join {t} on {e} }}", "{f} right outer join ({f}) on {e}", "{t} force key for join (k) ignore index (k)",
          "({t} join {t})", "(({t} {al}))", "{f} cross join {t}", "{f} inner join {t} join {t} on {e} on {e}", "(({q}) {al} join {t})", "{t} partition (p0)", "seq_1_to_3", "{t}, lateral ({q}) {al}"],
    "e": ["x", "y", "1", "1", "{a}.x", "'{w}'", "\"{w}\"", "({q})", "({q})", "exists ({q})", "{e} in ({q})", "{e} in ({e},{e})", "{e} + {e}", "{e} and {e}", "{e} or {e}", "{e} || {e}",
          "not {e}", "{e} between {e} and {e}", "case when {e} then {e} else {e} end", "count(*)", "count( {e})", "max({e})", "{e} like {e} escape '|'", "interval 1 day + {e}",
          "@v:={e}", "coalesce({e},{e})", "f({e})", "if({e},{e},{e})", "trim(both 'x' from {e})", "extract(year from {e})", "cast({e} as char(5))", "convert({e} using utf8mb4)",
          "{e} is not null", "row({e},{e})=({e},{e})", "({e},{e}) in ({q})", "{e} = any ({q})", "{e} <=> all ({q})", "group_concat(distinct {e} order by {e} separator ',')",
          "rank() over (order by {e})", "sum({e}) over (partition by {e} order by {e} rows between unbounded preceding and 1 following)", "x'41'", "_utf8mb4'{w}'", "date'2001-01-01'",
          "{{d'2001-01-01'}}", "-{e}", "!{e}", "~{e}", "{e} div {e}", "{e} mod {e}", "{e} << {e}", "{e} | {e}", "{e} collate utf8mb4_bin", "binary {e}", "default(x)", "now()",
          "substring({e} from {e} for {e})", "position({e} in {e})", "date_add({e}, interval {e} hour)", "1e1", "1.", ".5", "0x41", "@@sql_mode", "@`v`", "@'{w}'", "N'{w}'",
          "'{w}' '{w}'", "{e} regexp {e}", "{e} not in ({q})", "{e} xor {e}", "null", "true", "t1.1a", "nextval(sq)", "next value for sq", "values(x)", "{e} sounds like {e}", "d2.g({e})"],
    "es": ["{e}", "{e}", "*", "{a}.*", "{e}, {e}", "{e} as {al}", "{e} '{w}'", "{e} {al}", "ta.*, {e}"],
    "t": list(TABLES), "al": ["aa", "ab", "`a c`", "ta", "tb", "ac"], "a": ["aa", "ab", "ta", "tb", "d1.ta"], "cn": ["ca", "cb", "ta", "tb", "Ta", "`ca`"],
    "c": ["x", "y", "ta.x", "aa.x", "d2.ua.y"], "w": ["", "a", " ta ", "\\'", "''", "x from td", "/*", "*/", "-- ", "\\\\", "`", "#"],
}
BLANKS = [" "] * 12 + ["\n", "\t", "/**/", "/* te */", "-- te\n", "--\tte\n", "#te\n", " /*! */ ", " /*!50000 */ ", " /*!99999 te */ ", " /*!99999 te /* */ te */ ", " /*M!100100 */ ",
                       " /*M!200000 , te */ ", " /*!50701 , te */ ", "/*+ no_bnl(te) */", "  ", "\r\n", "/***/", "/*'*/", "/*`*/", "--\n"]
BREAKS = ["'", '"', "`", "\\", "/*", "*/", "/*!", "/*!50000", "/*!50000 ", "/*!99999 ", "/*M!", "/*M!100100 ", "--", "-- ", "#", "\n", "(", ")", ",", " tb ", " from te ", " union select 1 from te ",
          ";", "; select 1 from te ", " as ", ".", "@", "@@", "_utf8", "N", "x'", "1e", "0x", "$", "é", " for update ", " select ", " where ", " join te ", " on 1 ", " using (x) ", "*", "=",
          " into @v ", " in ", " limit 1 ", " order by ", " values ", " (select 1 from te) ", " table ", " union ", " with ca as (select 1 from te) ", "-", "+", ":=", "{", "}", "''", "``", '""', " not ",
          " exists ", " as ta ", " ta.* ", " d2.", " procedure analyse() ", "/*!", "*/ ", " partition ", " over ", " interval ", " window ", " offset ", " fetch ", " lateral ", " returning ", ".from te ", " .te ", " . te ", " .x", "d2 .ua"]


VERBS = ("select", "insert", "update", "delete", "execute")


class Differ:
    def __init__(self, server):
        self.server = server
        self.maria = server.kind == "mariadb"
        self.facts = facts_of.Facts(server.kind, server.version())
        self.random = random.Random(int(os.environ.get("GH_MY_SEED", "1")))
        self.ran = self.equal = self.more = self.refused = self.syntax = 0
        self.fewer, self.over, self.crashes = [], {}, []
        self.connection = self.audit = None

    def databases(self):
        root = self.server.connect(client_flag=CLIENT.MULTI_STATEMENTS)
        with root.cursor() as c:
            if self.maria:
                c.execute("SET GLOBAL server_audit_events = 'TABLE', GLOBAL server_audit_logging = ON")
            else:
                c.execute("SET GLOBAL log_bin_trust_function_creators = ON")
            c.execute("CREATE USER IF NOT EXISTS some@localhost, reader@localhost")
            for db, names in (("d1", ("ta", "tb", "tc", "td", "te", "t d")), ("d2", ("ua", "ub", "uc"))):
                c.execute(f"DROP DATABASE IF EXISTS {db}")
                c.execute(f"CREATE DATABASE {db}")
                c.execute(f"USE {db}")
                for name in names:
                    c.execute(f"CREATE TABLE `{name}` (x INT DEFAULT 1, y INT, `1a` INT, KEY k (x)) ENGINE={'MyISAM' if self.maria else 'InnoDB'} PARTITION BY HASH (x) PARTITIONS 1")
                    c.execute(f"GRANT SELECT ON `{name}` TO reader@localhost")
                    if name not in ("te", "ua"):
                        c.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON `{name}` TO some@localhost")
                c.execute(f"GRANT CREATE TEMPORARY TABLES ON {db}.* TO reader@localhost")
                c.execute(f"GRANT EXECUTE, CREATE TEMPORARY TABLES ON {db}.* TO some@localhost")
            for kind, name in (("FUNCTION", "d2.g"), ("FUNCTION", "d1.f"), ("PROCEDURE", "d1.p")):  # left behind by a server that died
                c.execute(f"DROP {kind} IF EXISTS {name}")
            c.execute("CREATE FUNCTION d2.g(i INT) RETURNS INT DETERMINISTIC RETURN i")
            c.execute("CREATE FUNCTION d1.f(i INT) RETURNS INT DETERMINISTIC RETURN i")
            c.execute("CREATE PROCEDURE d1.p(i INT) SELECT i")
            if self.maria:
                c.execute("CREATE SEQUENCE d1.sq")
                c.execute("GRANT SELECT ON d1.sq TO reader@localhost, some@localhost")
        root.close()

    def session(self):
        """A new session, in another mode."""
        if self.connection is not None:
            try:
                self.connection.close()
            except pymysql.err.MySQLError:
                pass
        self.connection = self.server.connect(client_flag=CLIENT.MULTI_STATEMENTS, database="d1",
                                              user=self.random.choice(("root", "root", "reader", "some") if self.maria else ("reader", "some")))
        self.mode = self.random.choice(MODES)
        with self.connection.cursor() as c:
            c.execute("SET sql_select_limit = 3" + (", max_statement_time = 1" if self.maria else ""))
            c.execute("SET sql_mode = %s", (self.mode,))
        if self.maria:
            self.audit = self.audit or open(self.server.audit, errors="replace")
            self.audit.seek(0, 2)

    def make(self, rule, depth):
        choice = self.random.choice(RULES[rule] if depth < 5 else RULES[rule][:3])
        out, i = [], 0
        while i < len(choice):
            if choice.startswith(("{{", "}}"), i):
                out.append(choice[i])
                i += 2
            elif choice[i] == "{":
                end = choice.index("}", i)
                out.append(self.make(choice[i + 1:end], depth + 1))
                i = end + 1
            elif choice[i] == " " and self.noisy:
                out.append(self.random.choice(BLANKS))
                i += 1
            else:
                out.append(choice[i])
                i += 1
        return "".join(out)

    def mutate(self, text):
        for _ in range(self.random.choice((1, 1, 2, 3, 5))):
            at = self.random.randrange(len(text) + 1)
            what = self.random.randrange(6)
            if what < 4:
                text = text[:at] + self.random.choice(BREAKS) + text[at:]
            elif what == 4:
                text = text[:at] + text[at + self.random.randrange(1, 6):]
            else:
                end = min(len(text), at + self.random.randrange(1, 20))
                to = self.random.randrange(len(text) + 1)
                text = text[:to] + text[at:end] + text[to:]
        return text

    def statement(self):
        self.noisy = self.random.random() < 0.5
        text = self.make("s", 0)
        if self.random.random() < 0.1:
            text += self.random.choice((";", "; ", ";\n-- x\n", " ;")) + self.make("s", 2)
        return self.mutate(text) if self.random.random() < 0.5 else text

    def run(self, sql):
        """0, or the error's number, 1064 for syntax; and what the server says is lacking: {(access, table)}, or {("execute", routine)}."""
        lacking = set()
        try:
            self.connection.query(sql)
            while self.connection._result is not None and self.connection._result.has_next:
                self.connection.next_result()
            error = 0
        except pymysql.err.MySQLError as e:
            error = e.args[0]
            m = re.search("^(.*?) command denied to user .*? for (table|routine|column) (.*)$", str(e.args[1]), re.S) if error in (1142, 1143, 1370) else None
            if m and m.group(2) != "column":
                name = m.group(3)
                name = name[1:-1] if name[0] == "'" else re.sub("^`(?:[^`]|``)*`[.]`(.*)`$", r"\1", name, flags=re.S).replace("``", "`")
                name = name.lower() if error == 1370 else name
                lacking = {(verb.lower(), name) for verb in m.group(1).split(", ") if verb.lower() in VERBS}
        except (UnicodeDecodeError, ValueError, IndexError):
            error = 0
        return error, lacking

    def touched(self):
        out = set()
        for line in self.audit.read().split("\n") if self.maria else ():
            parts = line.split(",")
            if len(parts) >= 9 and parts[6] in ("READ", "WRITE") and parts[7] in ("d1", "d2"):
                out.add((parts[7], ",".join(parts[8:-1])))
        return out

    def one(self):
        text = self.statement()
        sql = text.encode()
        if b"sql_mode=" in sql or len(sql) > 20000:
            return
        answer = self.facts(sql, self.mode, "d1", multi=True)
        error, lacking = self.run(sql)
        if error in (2006, 2013, 0) and not self.connection.open:
            if not self.server.alive():
                self.crashes.append(text)
            self.session()
            return
        touched = self.touched()
        self.ran += 1
        if error == 1064:
            self.syntax += 1
        if "error" in answer:
            self.refused += 1
            if error != 1064:
                self.over.setdefault(answer["error"].split('"')[-1] + f" ({error})", []).append(text)
            return
        named = {(r[0], r[1]) for s in answer["stmts"] for r in s["relations"]}
        access = {(verb, r[1]) for s in answer["stmts"] for r in s["relations"] for verb in r[2]}
        access |= {("execute", name.lower()) for s in answer["stmts"] for schema, own in s["functions"] for name in (own, f"{schema or 'd1'}.{own}")}
        fewer = (touched - named) | (lacking - access)
        if fewer and not any(s["opaque"] for s in answer["stmts"]):  # what CALL or EXECUTE IMMEDIATE of an expression do is known to nobody
            self.fewer.append(f"mode {self.mode!r}: {text!r}: the server wanted {sorted(fewer)} besides {sorted(access)} (error {error})")
        elif error == 0:
            self.equal += touched == named
            self.more += touched != named


def run(server):
    """Prints and returns what holds."""
    count = int(os.environ.get("GH_MY_DIFFER", "4000"))
    differ = Differ(server)
    begin = time.monotonic()
    for i in range(count):
        try:
            if i % 5000 == 0:
                differ.databases()
            if i % 250 == 0:
                differ.session()
            differ.one()
        except pymysql.err.OperationalError:  # it died of what it had been sent before
            if server.alive():
                raise
            differ.crashes.append("(something before)")
            differ.databases()
            differ.session()
        if len(differ.fewer) >= 20:
            break
    seconds = time.monotonic() - begin
    for line in differ.fewer:
        print("FEWER: " + line)
    if os.environ.get("GH_MY_SHOW"):
        for text, list_ in sorted(differ.over.items(), key=lambda x: -len(x[1]))[:int(os.environ["GH_MY_SHOW"])]:
            print(f"{len(list_):6} refused here alone: {text}: {min(list_, key=len)!r}")
        for text in differ.crashes[:5]:
            print(f"the server died of {text!r}")
    if differ.crashes:
        print(f"({len(differ.crashes)} statements killed the server)")
    over = sum(map(len, differ.over.values()))
    accepted = differ.ran - differ.syntax
    ok = [not differ.fewer, accepted > differ.ran / 20, over < accepted / 2]
    print(f"{'ok     ' if ok[0] else 'FAILED '} {differ.ran} statements ({differ.ran / max(seconds, 1):.0f}/s): {len(differ.fewer)} with facts that name fewer tables than the server used")
    print(f"{'ok     ' if ok[1] else 'FAILED '} {accepted} were read by the server, {differ.equal + differ.more} ran to their end" +
          (f"; in {differ.equal} the tables are equal" if differ.maria else ""))
    print(f"{'ok     ' if ok[2] else 'FAILED '} {over} are refused here alone")
    return ok


if __name__ == "__main__":
    sys.exit(servers.main(run))
