"""What may be seen can be used: analysts' statements and what ORMs read, as two groups through the gate, give what the same gives on a database that holds the masked data as plain data. Nothing is refused."""
import decimal
import json
import unittest

import psycopg
import sqlalchemy
from sqlalchemy import orm

import utility_orm
import utility_sql
import utility_world

GROUPS = ("agent", "regional")


class Same:
    """What a test of one dialect has of its own are a world, statements, drivers."""
    world, dialect, alchemy, statements, enough = None, None, None, (), 0

    @classmethod
    def setUpClass(cls):
        cls.world = cls.make()
        cls.addClassCleanup(cls.world.close)
        places = {f"{g}_gate": cls.world.gate(g) for g in GROUPS} | {f"{g}_direct": cls.world.direct(g) for g in GROUPS}
        utility_orm.configure(cls.dialect, {k: cls.django(to) for k, to in places.items()} | {"default": {}})
        cls.models = utility_orm.models()

    def same(self, name, through, direct):
        """Compares what two functions give; True when it is something."""
        try:
            want = direct()
        except Exception as e:
            raise AssertionError(f"{name}: wrong as it is: {e}") from e
        with self.subTest(name=name):
            self.assertEqual(through(), want)
        return bool(want)

    def test_sqlalchemy(self):
        n = 0
        for group in GROUPS:
            gate, direct = (sqlalchemy.create_engine(self.alchemy, connect_args=to) for to in (self.world.gate(group), self.world.direct(group)))

            def run(engine, what):
                with orm.Session(engine) as session:
                    if callable(what):
                        return utility_orm.plain(what(session))
                    return [utility_orm.plain(tuple(r)) for r in session.execute(what)]
            for name, what in utility_orm.alchemy(self.dialect):
                n += 1
                self.same(f"{group}, SQLAlchemy: {name}", lambda: run(gate, what), lambda: run(direct, what))
            gate.dispose()
            direct.dispose()
        print(f"SQLAlchemy: {n // len(GROUPS)} queries", flush=True)

    def test_django(self):
        from django.db import connections
        n = 0
        for group in GROUPS:
            for name, what in utility_orm.django_queries(self.dialect, self.models):
                n += 1
                self.same(f"{group}, Django: {name}", lambda: what(f"{group}_gate"), lambda: what(f"{group}_direct"))
        connections.close_all()
        print(f"Django: {n // len(GROUPS)} queries", flush=True)

    def test_enough(self):
        self.assertGreaterEqual(len(self.statements) + len(list(utility_orm.alchemy(self.dialect))) + len(list(utility_orm.django_queries(self.dialect, self.models))), self.enough)


def rows(cursor):
    return [(d.name, d.type_code) for d in cursor.description], [tuple(json.dumps(v, sort_keys=True) if isinstance(v, (dict, list)) and not any(isinstance(i, decimal.Decimal) for i in v) else v for v in r)
                                                               for r in cursor.fetchall()]


class Utility(Same, unittest.TestCase):
    make, dialect, alchemy, statements, enough = utility_world.World, "postgresql", "postgresql+psycopg2://", utility_sql.ALL, 200

    @staticmethod
    def django(to):
        keys = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
        return {name: str(to.get(key, "")) for name, key in keys.items()} | {"OPTIONS": {o: to[o] for o in ("sslmode", "sslrootcert") if o in to}}

    def test_statements(self):
        for group in GROUPS:
            n = 0
            with psycopg.connect(**self.world.gate(group), autocommit=True) as gate, psycopg.connect(**self.world.direct(group), autocommit=True) as direct:
                for sql in self.statements:
                    n += self.same(f"{group}: {sql}", lambda: rows(gate.execute(sql)), lambda: rows(direct.execute(sql)))
                    with gate.cursor(binary=True) as a, direct.cursor(binary=True) as b:
                        self.same(f"{group}, binary: {sql}", lambda: rows(a.execute(sql, prepare=True)), lambda: rows(b.execute(sql, prepare=True)))
            print(f"{group}: {n} statements", flush=True)


if __name__ == "__main__":
    unittest.main()
