"""Django against the database in the environment: all migrations of its own applications, introspection, and what an application does with its models."""
import os
import sys

import django
from django.conf import settings

APPS = ["admin", "auth", "contenttypes", "flatpages", "messages", "redirects", "sessions", "sites"]
settings.configure(
    INSTALLED_APPS=["django.contrib." + name for name in APPS], SITE_ID=1, SECRET_KEY="x", USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.UnsaltedMD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "HOST": os.environ["PGHOST"],
                           "PORT": os.environ["PGPORT"], "USER": os.environ["PGUSER"]}})
django.setup()

from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.contrib.flatpages.models import FlatPage  # noqa: E402
from django.contrib.sites.models import Site  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Avg, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Window  # noqa: E402
from django.db.models.functions import Concat, ExtractYear, Length, Lower, RowNumber, TruncMonth  # noqa: E402

quiet = open(os.devnull, "w")


def models():
    groups = [Group.objects.create(name=f"group {i}") for i in range(20)]
    User.objects.bulk_create(User(username=f"user{i}", email=f"U{i}@example.org", first_name="ä" * (i % 7), is_staff=i % 3 == 0) for i in range(200))
    for i, user in enumerate(User.objects.order_by("pk")[:40]):
        user.groups.set(groups[: i % 5])
        user.user_permissions.add(*Permission.objects.all()[: i % 4])
    for user in User.objects.prefetch_related(Prefetch("groups", queryset=Group.objects.order_by("-name")), "user_permissions")[:50]:
        list(user.groups.all())
    for i in range(60):
        list(User.objects.filter(Q(username__icontains=str(i)) | Q(email__iexact=f"u{i}@EXAMPLE.org")).exclude(pk=i).order_by(Lower("email"), "-pk")[i % 3:10])
        User.objects.filter(pk=i + 1).update(last_name=Concat(F("first_name"), F("username")))
        User.objects.filter(username__regex=rf"^user{i}[0-9]$").count()
        User.objects.filter(groups__name__in=[g.name for g in groups[:i % 9]]).distinct().exists()
        User.objects.values("is_staff").annotate(n=Count("pk"), mean=Avg(Length("username"))).order_by("n").first()
    list(User.objects.annotate(year=ExtractYear("date_joined"), month=TruncMonth("date_joined")).values_list("year").annotate(n=Count("pk")))
    list(User.objects.annotate(has=Exists(Group.objects.filter(user=OuterRef("pk"))), one=Subquery(
        Group.objects.filter(user=OuterRef("pk")).order_by("name").values("name")[:1])).filter(has=True))
    list(User.objects.annotate(n=Window(RowNumber(), partition_by=F("is_staff"), order_by=F("username").asc())).values("n", "username")[:20])
    list(User.objects.filter(is_staff=True).union(User.objects.filter(pk__lt=10)).order_by("username"))
    for i in range(20):
        try:
            with transaction.atomic():
                User.objects.create(username=f"new{i}")
                with transaction.atomic():
                    User.objects.create(username="user1")  # not unique: rolls back to a savepoint
        except django.db.IntegrityError:
            pass
        with transaction.atomic():
            user = User.objects.select_for_update().get(username=f"user{i}")
            user.is_active = False
            user.save()
        Group.objects.get_or_create(name=f"group {i + 10}")
        Group.objects.update_or_create(name=f"group {i}", defaults={"name": f"renamed {i}"})
    page = FlatPage.objects.create(url="/a/", title="t", content="%s ' \" \\ ü")
    page.sites.add(Site.objects.get_current())
    for row in User.objects.order_by("pk").iterator(chunk_size=50):  # a cursor of the server
        row.get_full_name()
    User.objects.filter(username__startswith="new").delete()
    Group.objects.filter(name__startswith="renamed").delete()


call_command("migrate", verbosity=0)
models()
call_command("inspectdb", stdout=quiet)
call_command("dumpdata", "--all", stdout=quiet)
call_command("showmigrations", stdout=quiet)
call_command("sqlsequencereset", *[a for a in APPS if a != "messages"], stdout=quiet)
with connection.cursor() as cursor:
    for table in connection.introspection.get_table_list(cursor):
        connection.introspection.get_constraints(cursor, table.name)
        connection.introspection.get_sequences(cursor, table.name)
for app in ("admin", "flatpages", "redirects"):
    call_command("migrate", app, "zero", verbosity=0)
call_command("flush", "--noinput", verbosity=0)
connection.close()
sys.exit(0)
