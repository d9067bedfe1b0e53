"""Django: migrate, inspectdb and the ORM's queries, on mysqlclient or (where it is not there) PyMySQL in its place."""
import io

import django
from django.conf import settings as conf
from django.core.management import call_command

from my_checks import *

try:
    import MySQLdb  # noqa: F401
except ImportError:
    import pymysql
    pymysql.version_info = (2, 2, 1, "final", 0)  # what Django asks of mysqlclient
    pymysql.install_as_MySQLdb()

OPTIONS = dict(charset="utf8mb4", **(dict(ssl=dict(ca=CA)) if GATE else {}))
DB = dict(ENGINE="django.db.backends.mysql", HOST=HOST, PORT=PORT, USER=USER, PASSWORD=PASSWORD, NAME=DATABASE, OPTIONS=OPTIONS, CONN_MAX_AGE=60)
conf.configure(DATABASES={"default": DB, "migrator": {**DB, "PASSWORD": PASSWORD_ALL}, "bad": {**DB, "PASSWORD": "not.a.token"},
                          "wrong_ca": {**DB, "OPTIONS": {**OPTIONS, "ssl": dict(ca=WRONG_CA)}}},
               INSTALLED_APPS=["django_app"], USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", DATABASE_ROUTERS=[])
django.setup()

from django.db import IntegrityError, OperationalError, connection, connections, transaction as tx  # noqa: E402
from django.db.migrations.recorder import MigrationRecorder  # noqa: E402

from django_app import table  # noqa: E402
from django_app.models import Author, Book  # noqa: E402

MigrationRecorder.Migration._meta.db_table = table("migrations")  # its own table has our prefix too


@check
def connects():
    with connection.cursor() as cur:
        cur.execute("SELECT 1")
        assert cur.fetchone() == (1,)
    assert connection.mysql_is_mariadb and connection.mysql_version[:2] == (10, 11) and connection.is_usable()


@gate_only
def verifies_tls():
    text = str(raises(OperationalError, connections["wrong_ca"].ensure_connection))
    assert "certificate" in text or "SSL" in text, text


@gate_only
def bad_token():
    assert "must be a valid OIDC access token" in str(raises(OperationalError, connections["bad"].ensure_connection))


def migrate(*args):
    out = io.StringIO()
    call_command("migrate", "django_app", *args, database="migrator", stdout=out, no_color=True)
    return out.getvalue()


@check
def migrates():
    """As whoever may do everything: it looks at information_schema for tables and constraints."""
    with connections["migrator"].cursor() as cur:
        for name in ("book", "author", "migrations"):
            cur.execute(f"DROP TABLE IF EXISTS {table(name)}")
    call_command("makemigrations", "--check", "--dry-run", stdout=io.StringIO())
    show("migrates", migrate())
    show("migrates back", migrate("zero"))
    show("migrates again", migrate())
    call_command("check", databases=["migrator"], stdout=io.StringIO())


@check
def inspectdb():
    out = io.StringIO()
    call_command("inspectdb", "orders", database="migrator", stdout=out)
    show("inspectdb", out.getvalue())
    c = connections["migrator"]
    with c.cursor() as cur:
        show("inspectdb constraints", sorted((n, sorted((k, str(v)) for k, v in d.items())) for n, d in c.introspection.get_constraints(cur, "orders").items()))
        show("inspectdb relations", c.introspection.get_relations(cur, "orders"))
        show("inspectdb sequences", c.introspection.get_sequences(cur, "orders"))


@check
def orm_queries():
    from django.db.models import Avg, Count, F, Q, Sum, Window
    from django.db.models.functions import Lower, RowNumber
    born = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc)
    Author.objects.bulk_create(Author(name=f"a{n}", data={"n": [n, None]}, born=born, price=decimal.Decimal("1.50") * n, raw=b"\0\xff", key=uuid.UUID(int=n),
                                      took=datetime.timedelta(days=n, microseconds=5)) for n in range(60))
    for a in Author.objects.filter(name__in=["a1", "a2", "a3"]):
        Book.objects.bulk_create(Book(title=f"{a.name}.{m}", author=a) for m in range(3))
    a = Author.objects.prefetch_related("books").get(name="a2")
    assert a.data == {"n": [2, None]} and a.born == born and bytes(a.raw) == b"\0\xff" and a.key == uuid.UUID(int=2) and a.took.days == 2
    assert sorted(b.title for b in a.books.all()) == ["a2.0", "a2.1", "a2.2"]
    a.name = EVIL
    a.save()
    assert Author.objects.get(name=EVIL).pk == a.pk and Author.objects.filter(name__icontains="DROP table").count() == 1
    show("orm", list(Author.objects.annotate(c=Count("books")).filter(c__gt=0).order_by("id").values_list("name", "c", "price")))
    show("orm aggregate", sorted(Author.objects.aggregate(Avg("price"), Sum("price")).items()))
    show("orm json", Author.objects.filter(data__n__0__gte=50).count())
    show("orm window", [b.n for b in Book.objects.annotate(n=Window(RowNumber(), order_by=F("title").asc())).order_by("title")])
    show("orm q", Author.objects.filter(Q(name__startswith="a5") | ~Q(price__lt=80)).annotate(l=Lower("name")).exclude(books__title="x").count())
    assert Author.objects.get_or_create(name="new")[1] and Author.objects.update_or_create(name="new", defaults=dict(price=1))[1] is False
    Author.objects.filter(name="new").update(price=F("price") + 1)
    show("orm regex", Author.objects.filter(name__regex="^a1[0-9]$").count())
    show("orm delete", Author.objects.filter(name="a3").delete())
    show("orm iterator", sum(1 for _ in Author.objects.iterator(chunk_size=10)))


@check
def transaction():
    class Undo(Exception):
        pass
    try:
        with tx.atomic():
            Author.objects.create(name="undone")
            raise Undo
    except Undo:
        pass
    with tx.atomic():
        try:
            with tx.atomic():  # a savepoint
                Author.objects.create(name="a1")
        except IntegrityError as e:
            assert e.args[0] == 1062
        Author.objects.create(name="kept")
        Author.objects.select_for_update().get(name="kept")
    show("transaction", sorted(Author.objects.filter(name__in=["undone", "kept"]).values_list("name", flat=True)))


@gate_only
def refused():
    for _ in range(2):
        with connection.cursor() as cur:
            e = raises(OperationalError, cur.execute, STAFF + " WHERE id = %s", [1])
            assert e.args[0] == 1142, e
            says_why(e.args[1])
        assert Author.objects.filter(name="kept").exists()
    try:
        with tx.atomic():
            Author.objects.filter(name="kept").delete()
            with connection.cursor() as cur:
                cur.execute("DELETE FROM orders")
    except OperationalError as e:
        assert e.args[0] == 1142, e
    assert Author.objects.filter(name="kept").exists()


@check
def reconnect():
    """As between two requests: close_if_unusable_or_obsolete."""
    with connection.cursor() as cur:
        cur.execute("SELECT CONNECTION_ID()")
        end_backend(cur.fetchone()[0])
    raises(Exception, lambda: Author.objects.count())
    connection.close_if_unusable_or_obsolete()
    assert Author.objects.filter(name="kept").exists()


main()
