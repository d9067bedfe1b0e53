"""What may be seen can be used in MySQL's dialect: as test_utility.py for PostgreSQL, on MariaDB, through PyMySQL, SQLAlchemy with it, and Django with mysqlclient."""
import unittest

import pymysql

import test_utility
import utility_sql
import utility_world
from test_utility import GROUPS


def rows(connection, database, steps):
    """Labels and types of columns, and rows, of the last step; the database's name is left out."""
    def plain(value):
        return value.replace(database, "raw") if isinstance(value, str) and value in (database, f"Tables_in_{database}", f"Tables_in_{database} (s%)") else value
    with connection.cursor() as c:
        for sql in steps:
            c.execute(sql.replace("raw", database))
        return [(plain(d[0]), d[1]) for d in c.description], [tuple(map(plain, r)) for r in c.fetchall()]


class Utility(test_utility.Same, unittest.TestCase):
    make, dialect, alchemy, statements, enough = utility_world.MyWorld, "mysql", "mysql+pymysql://", utility_sql.ALL_MYSQL, 250

    @staticmethod
    def django(to):
        return {"HOST": to["host"], "PORT": str(to["port"]), "USER": to["user"], "PASSWORD": to["password"], "NAME": to["database"], "OPTIONS": {k: to[k] for k in ("ssl",) if k in to}}

    def test_statements(self):
        """As a text, and prepared."""
        for group in GROUPS:
            n = 0
            with pymysql.connect(**self.world.gate(group)) as gate, pymysql.connect(**self.world.direct(group)) as direct:
                for sql in self.statements:
                    prepared = ["PREPARE p FROM '" + sql.replace("\\", "\\\\").replace("'", "''") + "'", "EXECUTE p"]
                    for steps in ([sql], prepared):
                        n += self.same(f"{group}: {steps[0]}", lambda: rows(gate, "raw", steps), lambda: rows(direct, group, steps))
            print(f"{group}: {n} statements", flush=True)


if __name__ == "__main__":
    unittest.main()
