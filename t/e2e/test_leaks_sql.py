"""Passwords that statements set, in the dialects of both engines and in every form that a server takes, are in no record, no log and no request for approval.

What the servers say of each text tells that the text was one: an account exists that logs in by it, or the server's own log has it."""
import os
import subprocess
import unittest

import pymysql

import leaks
import stack
import test_mysql as my

POLICY = """version: 1
databases: { shop: {}, shop_my: { mode: enforce }, shop_open: { mode: observe } }
rules:
  - { name: dbas-do-everything, groups: dbas, database: [shop, shop_my], allow: all, on: "*.*", functions: "*" }
  - { name: testers-ask, groups: testers, database: [shop, shop_my], ask: all, on: "*.*", approvers: dbas }
  - { name: all-log-in, groups: [dbas, testers], database: shop_open, allow: select, on: nothing.nothing }
"""
# $ is a password of its own in each.
ACCOUNTS = (
    "create user {u} /* /* */ identified by '$'",
    "create user {u} -- \r '\n identified by '$'",
    "create user {u} # \r '\n identified by '$'",
    "create user {u} /*!99999 ' */ identified by '$'",
    "create user {u} /*!50000 identified by '$' */",
    "create user {u} /*M!100000 identified by '$' */",
    "create user {u} identified via mysql_native_password using password('$')",
    "create user {u} identified by '$' require none",
    "grant usage on *.* to {u} identified by '$'",
    "execute immediate 'create user {u} identified by ''$'''",
    "execute immediate concat('create user {u} ident', 'ified by ', '''$''')",
    "begin not atomic create user {u} identified by '$'; end",
    "begin not atomic execute immediate 'create user {u} identified by \"$\"'; end",
)
OTHERS = (
    "change master to master_password='$'",
    "change master 'c' to master_host='h', master_user='u', master_password='$'",
    "create or replace server s foreign data wrapper mysql options(user 'a', password '$')",
    "alter server s options(password '$')",
    "create or replace procedure p() create user uu identified by '$'",
    "create or replace event e on schedule every 1 year disable do set password = password('$')",
    "set @s = 'create user uu identified by ''$'''",
    "set password for nobody@nowhere = password('$')",
    "alter user nobody@nowhere identified by '$'",
    "prepare s from 'alter user nobody@nowhere identified by ''$'''",
    "create user uu identified by $",
    "create user uu idntified by '$' password",
    "create user uu identified by \"$",
    "create table shop.fed (a int) engine=federated connection='mysql://u:$@h/d/t'",
)
POSTGRESQL = (
    "CREATE ROLE leaky /* /* ' */ ' */ PASSWORD '$'",
    "ALTER ROLE leaky PASSWORD E'$'",
    "ALTER ROLE leaky PASSWORD U&'$'",
    "ALTER ROLE leaky PASSWORD $x$$$x$",
    "ALTER USER leaky -- '\r PASSWORD '$'",
    "DO $x$ BEGIN ALTER ROLE leaky PASSWORD '$'; END $x$",
    "DO 'BEGIN ALTER ROLE leaky PASSWORD ''$''; END'",
    "DO $x$ BEGIN EXECUTE format('ALTER ROLE leaky PASS' || 'WORD %L', '$'); /* password */ END $x$",
    "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql AS $x$ BEGIN ALTER ROLE leaky PASSWORD '$'; END $x$",
    "CREATE SUBSCRIPTION x CONNECTION 'host=h password=$' PUBLICATION p WITH (connect = false)",
    "ALTER SYSTEM SET primary_conninfo = 'host=h password=$'",
    "COPY t FROM PROGRAM 'PGPASSWORD=$ psql'",
    "ALTER TABLE orders OPTIONS (ADD password '$')",
    "CREATE USER MAPPING FOR leaky SERVER s OPTIONS (user 'u', password '$')",
    "CREATE ROLE leaky PASSWORD $",
    "CREATE ROLE leaky PASWORD '$' PASSWORD",
    "DROP ROLE leaky /* whose PASSWORD was '$' */",
)


class Passwords(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = my.S = stack.Stack(config=lambda text: my.config(text) + "log: { level: debug }\n", policy=POLICY, mysql=True)
        cls.addClassCleanup(cls.stack.close)
        with my.direct() as c:
            c.cursor().execute("GRANT ALL ON *.* TO shop_owner@'127.0.0.1' WITH GRANT OPTION")
        cls.secrets = []

    def filled(self, sql):
        self.secrets.append(f"nest{len(self.secrets)}hunter")
        return sql.replace("$x$", "\1").replace("$", self.secrets[-1]).replace("\1", "$x$")

    @staticmethod
    def run_my(c, sql):
        try:
            with c.cursor() as cursor:
                cursor.execute(sql)
        except pymysql.MySQLError as e:
            return e
        return None

    def logs_in(self, user, password):
        with pymysql.connect(host="127.0.0.1", port=int(self.stack.env["GH_MY_PORT_DIRECT"]), user=user, password=password) as c:
            c.ping()

    def test_nowhere(self):
        s = self.stack
        for who, database in (("dba", "shop"), ("dba", "shop_open"), ("tester", "shop")):
            with my.connect(who, database, autocommit=True) as c:
                for i, sql in enumerate(ACCOUNTS):
                    user = f"leaky{i}_{who}_{database}"
                    failed = self.run_my(c, self.filled(sql.format(u=user)))
                    if who == "dba":
                        self.assertIsNone(failed, sql)
                        self.logs_in(user, self.secrets[-1])
                    else:
                        self.assertIsNotNone(failed, sql)
                for sql in OTHERS:
                    self.run_my(c, self.filled(sql))
        for who in ("dba", "tester"):
            for sql in POSTGRESQL:
                s.psql("-c", self.filled(sql), "dbname=shop", who=who)
        last = stack.wait_until("the record", lambda: [e for e in s.audit() if e.get("sql", "").startswith("DROP ROLE leaky") and e["principal"].startswith("tester")])
        self.assertIn("***", last[0]["sql"])
        for request in subprocess.run([s.env["GH_CTL"], "approvals", "--json"], stdout=subprocess.PIPE, check=True).stdout.splitlines():
            self.assertNotIn(b"hunter", request)
        where = leaks.places(s)
        asked = next(place for place in where if place.endswith("approvals.log"))
        self.assertIn(b"***", where[asked])
        # The search finds what is there: the name of an account stands beside its password.
        for place in ("all of Redis", asked, next(p for p in where if "journal/journal-" in p)):
            self.assertIn(b"leaky", where[place], place)
        servers = ("log/postgresql.log", "log/mariadb.log", "sent to clients")
        found = [(place, secret) for place, data in where.items() for secret in self.secrets if secret.encode() in data and os.path.basename(place) not in
                 [os.path.basename(p) for p in servers]]
        self.assertEqual(found, [])
        self.assertTrue(any(secret.encode() in where["log/postgresql.log"] for secret in self.secrets))
