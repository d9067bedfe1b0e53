"""Words and functions: every keyword of the server in every place where a name may stand, and every function of policy/my_reference.c.

A word that the server takes for a name must be one to the parser, or be refused by it: never may it read a keyword where the server reads a name, or the
other way round, and find another statement. A function that is said to be the server's own must be. Ends with the line "N passed, N failed".
"""
import os
import re
import sys

import pymysql

import facts as facts_of
import server as servers

PLACES = ("select {} from t", "select t.a + {} from t", "select 1 from {}", "select 1 from t {}", "select 1 from t as {}", "select 1 {}", "select 1 as {}", "select t.{} from t",
          "select {}.a from t", "select 1 from w.{}", "update t {} set a = 1", "delete from t where {} = 1", "insert into t ({}) values (1)", "with {} as (select 1) select * from {}",
          "select 1 from t join t {} join t x", "select 1 from (select 1) {}", "select 1 from t order by {}", "select {} 'a' from t", "select a from t where a {} 1")
# What is refused here though the server takes it.
REFUSED = {"mariadb": 0, "mysql": 32}  # MANUAL and PARALLEL, reserved in MySQL 8.4


class Words:
    def __init__(self, server):
        self.kind, version = server.kind, server.version()
        self.facts = facts_of.Facts(server.kind, version)
        self.cursor = server.connect().cursor()
        for sql in ("CREATE DATABASE IF NOT EXISTS w", "USE w", "CREATE TABLE IF NOT EXISTS t (a INT)"):
            self.cursor.execute(sql)

    def error(self, sql):
        try:
            self.cursor.execute(sql)
            self.cursor.fetchall()
            return 0
        except pymysql.err.MySQLError as e:
            return e.args[0]

    def words(self):
        self.cursor.execute("SELECT word FROM information_schema.keywords")
        return sorted({row[0].upper() for row in self.cursor.fetchall() if re.fullmatch(r"[A-Za-z_0-9]+", row[0])})

    def places(self):
        wrong, refused, same = [], [], 0
        for word in self.words():
            for place in PLACES:
                sql = place.replace("{}", word)
                error, answer = self.error(sql), self.facts(sql, db="w")
                if "error" in answer:
                    if error not in (1064, 1066, 1248):  # alias used twice, derived table without one: said before it comes to the syntax
                        refused.append(f"{sql} ({error})")
                    continue
                relations = {r[1].lower() for r in answer["stmts"][0]["relations"]}
                if error == 1146 and not self.named(sql, relations):
                    wrong.append(f"{sql}: facts {sorted(relations)}")
                same += error != 1064
        return wrong, refused, same

    def named(self, sql, relations):
        """The table that the server does not know is in the facts."""
        try:
            self.cursor.execute(sql)
            return True
        except pymysql.err.MySQLError as e:
            m = re.search(r"Table '\w+\.(.*)' doesn't exist", str(e.args[1]))
            return m is None or m.group(1).lower() in relations

    def functions(self):
        top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(os.path.join(top, "policy", "my_reference.c")) as f:
            text = f.read()
        tables = text[:text.index("information_schema[]")]
        names = sorted(set(re.findall(r'"([a-z_0-9]+)"', tables)))
        wrong, missing = [], []
        if self.kind == "mariadb":
            self.cursor.execute("SELECT function FROM information_schema.sql_functions")
            names = sorted(set(names) | {row[0].lower() for row in self.cursor.fetchall()})
        for name in names:
            answer = self.facts(f"select {name}(1)", db="w")
            if "error" in answer or not answer["stmts"][0]["functions"]:
                continue
            own = answer["stmts"][0]["functions"][0][0] is None
            errors = {self.error(f"select {name}({arguments})") for arguments in ("", "1", "1,1", "1,1,1")} if name not in ("sleep", "benchmark", "get_lock") else {0}
            there = not errors <= {1305, 1630, 1064} or errors == {1064}
            if own and not there:
                wrong.append(name)
            if there and not own and errors != {1064}:
                missing.append(name)
        return len(names), wrong, missing


def run(server):
    """Prints and returns what holds."""
    words = Words(server)
    wrong, refused, same = words.places()
    for line in wrong[:20]:
        print("WRONG: " + line)
    if os.environ.get("GH_MY_SHOW"):
        print("\n".join("refused here alone: " + line for line in refused))
    count, foreign, missing = words.functions()
    ok = [not wrong, same > 5000 and len(refused) <= REFUSED[words.kind], not foreign, not missing]
    print(f"{'ok     ' if ok[0] else 'FAILED '} {len(wrong)} times a word made other tables of a statement than to the server")
    print(f"{'ok     ' if ok[1] else 'FAILED '} {same} places of words that the server takes are read, {len(refused)} are refused here alone (at most {REFUSED[words.kind]})")
    print(f"{'ok     ' if ok[2] else 'FAILED '} of {count} functions, said to be the server's own and unknown to it: {' '.join(foreign) or 'none'}")
    print(f"{'ok     ' if ok[3] else 'FAILED '} the server's own and said to be somebody else's: {' '.join(missing) or 'none'}")
    return ok


if __name__ == "__main__":
    sys.exit(servers.main(run))
