"""What programs read through SQLAlchemy and Django's ORM, for test_utility.py: models of utility_world.py's tables, and queries as applications write them. Each gives plain values."""
import datetime

import django
import sqlalchemy as sa
from django.conf import settings
from sqlalchemy import orm

# --- SQLAlchemy ---

Base = orm.declarative_base()


class Country(Base):
    __tablename__ = "countries"
    country_id = sa.Column(sa.Integer, primary_key=True)
    country = sa.Column(sa.Text)
    area_id = sa.Column(sa.Integer)


class Client(Base):
    __tablename__ = "clients"
    client_id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)
    email = sa.Column(sa.Text)
    phone = sa.Column(sa.Text)
    card = sa.Column(sa.String(20))
    born = sa.Column(sa.Date)
    balance = sa.Column(sa.Numeric(12, 2))
    country_id = sa.Column(sa.ForeignKey("countries.country_id"))
    segment = sa.Column(sa.CHAR(8))
    country = orm.relationship(Country)
    purchases = orm.relationship("Purchase", back_populates="client", order_by="Purchase.purchase_id")


class Purchase(Base):
    __tablename__ = "purchases"
    purchase_id = sa.Column(sa.Integer, primary_key=True)
    client_id = sa.Column(sa.ForeignKey("clients.client_id"))
    status = sa.Column(sa.CHAR(1))
    total = sa.Column(sa.Numeric(12, 2))
    day = sa.Column(sa.Date)
    urgency = sa.Column(sa.Text)
    client = orm.relationship(Client, back_populates="purchases")


class Shopper(Base):
    __tablename__ = "shoppers"
    shopper_id = sa.Column(sa.Integer, primary_key=True)
    first = sa.Column(sa.Text)
    last = sa.Column(sa.Text)
    email = sa.Column(sa.Text)
    born = sa.Column(sa.Date)
    income = sa.Column(sa.Integer)
    city = sa.Column(sa.Text)
    children = sa.Column(sa.SmallInteger)
    sales = orm.relationship("Sale", back_populates="shopper", order_by="Sale.sale_id")


class Sale(Base):
    __tablename__ = "sales"
    sale_id = sa.Column(sa.Integer, primary_key=True)
    store_id = sa.Column(sa.ForeignKey("stores.store_id"))
    good_id = sa.Column(sa.Integer)
    shopper_id = sa.Column(sa.ForeignKey("shoppers.shopper_id"))
    quantity = sa.Column(sa.Integer)
    price = sa.Column(sa.Numeric(8, 2))
    at = sa.Column(sa.DateTime(timezone=True))
    shopper = orm.relationship(Shopper, back_populates="sales")
    store = orm.relationship("Store")


class Store(Base):
    __tablename__ = "stores"
    store_id = sa.Column(sa.Integer, primary_key=True)
    store = sa.Column(sa.Text)
    city = sa.Column(sa.Text)
    manager = sa.Column(sa.Text)


def plain(value):
    """An object's or row's values, with what was loaded of its relations."""
    if isinstance(value, Base):
        state = sa.inspect(value)
        return type(value).__name__, sorted((k, plain(v) if k in state.mapper.relationships else v) for k, v in state.dict.items() if not k.startswith("_"))
    if isinstance(value, (list, tuple, sa.engine.Row)):
        return [plain(v) for v in value]
    return value


# What the dialect has not, or says in words of its own.
NOT_MYSQL = {"SQLAlchemy": {"distinct on", "filter", "rollup", "lateral", "values", "any array", "json", "string_agg"}, "Django": {"distinct on", "difference", "intersection"}}


def possible(orm_name, dialect, queries):
    return ((name, what) for name, what in queries if dialect != "mysql" or name not in NOT_MYSQL[orm_name])


def alchemy(dialect):
    """Queries, by a name: a select, or a function of a session."""
    return possible("SQLAlchemy", dialect, alchemy_queries())


def alchemy_queries():
    f, s, a = sa.func, sa.select, orm.aliased
    c, u, h, x, t, n = Client, Purchase, Shopper, Sale, Store, Country
    other = a(h)
    total = f.sum(x.price * x.quantity)
    newest = s(x.at).where(x.shopper_id == h.shopper_id).order_by(x.at.desc()).limit(1)
    ranked = s(x.sale_id, x.store_id, f.rank().over(partition_by=x.store_id, order_by=(x.price.desc(), x.sale_id)).label("place")).subquery()
    big = s(u.client_id, f.sum(u.total).label("total")).group_by(u.client_id).having(f.sum(u.total) > 5000).cte("big")
    numbers = s(sa.literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(s(numbers.c.n + 1).where(numbers.c.n < 6))
    given = sa.values(sa.column("k", sa.Integer), name="given").data([(1,), (2,), (77,)])
    cheap = s(x.sale_id).where(x.price < 20)
    yield "all clients", s(c).order_by(c.client_id)
    yield "all shoppers", s(h).order_by(h.shopper_id)
    yield "get", lambda e: [e.get(c, 7), e.get(h, 3), e.get(t, 1), e.get(c, 9999)]
    yield "first", lambda e: [e.query(c).order_by(c.client_id).first(), e.query(h).filter_by(city="Oslo").order_by(h.shopper_id).first()]
    yield "count", lambda e: [e.query(c).count(), e.query(x).filter(x.price > 50).count(), e.query(c).filter(c.email.like("a%")).count()]
    yield "exists", lambda e: [e.query(e.query(c).filter(c.client_id == k).exists()).scalar() for k in (1, 2, 60, 9999)]
    yield "page", s(c).order_by(c.name, c.client_id).limit(10).offset(20)
    yield "page 2", s(h.shopper_id, h.email).order_by(h.income.desc(), h.shopper_id).limit(7).offset(7)
    yield "in", s(c.client_id, c.email).where(c.client_id.in_([1, 5, 7, 11, 40])).order_by(c.client_id)
    yield "in nothing", s(c).where(c.client_id.in_([]))
    yield "not in", s(h.shopper_id).where(~h.city.in_(["Oslo", "Riga"])).order_by(h.shopper_id)
    yield "and or", s(c).where(sa.or_(c.segment == "AUTO", sa.and_(c.balance > 1000, c.country_id != 3))).order_by(c.client_id)
    yield "like", s(h.shopper_id, h.email).where(h.email.contains("web1"), h.first.startswith("A")).order_by(h.shopper_id)
    yield "ilike", s(h.shopper_id).where(h.last.ilike("O%"), h.email.endswith(".example")).order_by(h.shopper_id)
    yield "escape", s(c.client_id).where(c.email.contains("a_b%", autoescape=True)).order_by(c.client_id)
    yield "null", s(c.client_id).where(c.phone.is_(None), c.email.isnot(None)).order_by(c.client_id)
    yield "between", s(u).where(u.day.between(datetime.date(2025, 3, 1), datetime.date(2025, 5, 1))).order_by(u.purchase_id)
    yield "born", s(c.client_id, c.born).where(c.born >= datetime.date(1960, 1, 1), c.born < datetime.date(1970, 1, 1)).order_by(c.client_id)
    yield "extract", s(f.extract("year", c.born), f.count()).group_by(f.extract("year", c.born)).order_by(f.extract("year", c.born))
    yield "distinct", s(h.city, h.children).distinct().order_by(h.city, h.children)
    yield "distinct on", s(h).distinct(h.city).order_by(h.city, h.shopper_id)
    yield "label", s((c.name + " <" + c.email + ">").label("who")).order_by(sa.desc("who")).limit(5)
    yield "concat", s(f.concat(h.first, " ", h.last)).order_by(h.shopper_id)
    yield "case", s(c.client_id, sa.case((c.balance < 0, "owes"), (c.balance > 5000, "rich"), else_="fine").label("k")).order_by(c.client_id)
    yield "coalesce", s(f.coalesce(c.phone, c.email, "none")).order_by(c.client_id)
    yield "cast", s(sa.cast(c.client_id, sa.String) + "/" + sa.cast(c.born, sa.String)).order_by(c.client_id)
    yield "null if", s(f.nullif(h.city, "Oslo"), f.length(h.email)).order_by(h.shopper_id)
    yield "aggregates", s(f.count(), f.count(c.phone), f.sum(c.balance), f.max(c.email), f.min(c.born), f.count(sa.distinct(c.segment)))
    yield "group", s(h.city, f.count(h.shopper_id), f.max(h.income)).group_by(h.city).order_by(h.city)
    yield "having", s(h.last, f.count().label("n")).group_by(h.last).having(f.count() > 3).order_by(sa.desc("n"), h.last)
    yield "filter", s(f.count(h.shopper_id).filter(h.children > 1), f.sum(h.income).filter(h.city == "Riga"))
    yield "rollup", s(h.city, h.children, f.count()).group_by(f.rollup(h.city, h.children)).order_by(h.city, h.children)
    yield "join", s(c.name, u.purchase_id, u.total).join(u, u.client_id == c.client_id).where(u.status == "F").order_by(u.purchase_id)
    yield "relation join", s(c.name, n.country).join(c.country).order_by(c.client_id)
    yield "outer join", s(c.client_id, f.count(u.purchase_id)).outerjoin(c.purchases).group_by(c.client_id).order_by(c.client_id)
    yield "two joins", s(h.email, t.manager, x.price).select_from(x).join(x.shopper).join(x.store).where(x.price > 80).order_by(x.sale_id)
    yield "self join", s(h.shopper_id, other.shopper_id).join(other, sa.and_(h.city == other.city, h.shopper_id < other.shopper_id)).where(h.income < 9000).order_by(h.shopper_id, other.shopper_id)
    yield "has", s(x.sale_id).where(x.shopper.has(Shopper.city == "Turku")).order_by(x.sale_id)
    yield "any", s(h.shopper_id).where(h.sales.any(x.price > 85)).order_by(h.shopper_id)
    yield "not any", s(h.shopper_id, h.email).where(~h.sales.any()).order_by(h.shopper_id)
    yield "scalar subquery", s(h.shopper_id, newest.scalar_subquery()).order_by(h.shopper_id)
    yield "correlated count", s(c.client_id, s(f.count()).where(u.client_id == c.client_id).correlate(c).scalar_subquery()).order_by(c.client_id)
    yield "in subquery", s(h.email).where(h.shopper_id.in_(s(x.shopper_id).where(x.quantity == 8))).order_by(h.shopper_id)
    yield "exists subquery", s(c.client_id).where(sa.exists().where(u.client_id == c.client_id, u.total > 4500)).order_by(c.client_id)
    yield "window", s(ranked).where(ranked.c.place <= 3).order_by(ranked.c.store_id, ranked.c.place)
    yield "window 2", s(c.client_id, f.row_number().over(order_by=(c.balance, c.client_id)), f.sum(c.balance).over(partition_by=c.segment)).order_by(c.client_id)
    yield "rows", s(x.sale_id, f.sum(x.price).over(order_by=x.sale_id, rows=(-2, 0))).where(x.store_id == 1).order_by(x.sale_id)
    yield "cte", s(c.name, big.c.total).join(big, big.c.client_id == c.client_id).order_by(big.c.total.desc(), c.client_id)
    yield "recursive", s(numbers.c.n, h.email).join(h, h.shopper_id == numbers.c.n).order_by(numbers.c.n)
    yield "union", sa.union(s(h.city), s(t.city)).order_by("city")
    yield "union all", sa.union_all(s(c.email).where(c.client_id < 4), s(h.email).where(h.shopper_id < 4)).order_by(sa.text("1"))
    yield "except", sa.except_(s(h.shopper_id), s(x.shopper_id)).order_by("shopper_id")
    yield "intersect", sa.intersect(s(h.first), s(h.first).where(h.children == 0)).order_by("first")
    yield "lateral", s(t.store, sa.text("top.price")).select_from(t).join(s(x.price).where(x.store_id == t.store_id).order_by(x.price.desc(), x.sale_id).limit(2).lateral("top"), sa.true()).order_by(t.store_id, sa.text("2 DESC"))
    yield "from subquery", s(f.avg(sa.text("n"))).select_from(s(f.count().label("n")).where(x.price > 10).group_by(x.store_id).subquery())
    yield "values", s(given.c.k, h.email).select_from(given).join(h, h.shopper_id == given.c.k).order_by(given.c.k)
    yield "text", sa.text("SELECT client_id, email FROM clients WHERE balance > :b ORDER BY client_id").bindparams(b=2000)
    yield "tuple in", s(x.sale_id).where(sa.tuple_(x.store_id, x.good_id).in_([(1, 2), (2, 8), (3, 15)])).order_by(x.sale_id)
    yield "any array", s(h.shopper_id).where(h.city == sa.any_(sa.literal(["Oslo", "Bari"], sa.ARRAY(sa.Text)))).order_by(h.shopper_id)
    yield "not exists", s(t.store_id, t.manager).where(~s(x.sale_id).where(x.price > 80, x.store_id == t.store_id).exists()).order_by(t.store_id)
    yield "subquery of ids", s(f.count()).select_from(x).where(x.sale_id.notin_(cheap))
    yield "total", s(h.city, total).join(x, x.shopper_id == h.shopper_id).group_by(h.city).order_by(total.desc(), h.city)
    yield "json", s(f.json_agg(f.json_build_object("id", h.shopper_id, "mail", h.email))).where(h.shopper_id < 4)
    yield "string_agg", s(h.city, f.string_agg(h.first, sa.literal_column("', ' ORDER BY first, shopper_id"))).group_by(h.city).order_by(h.city)
    yield "joined load", lambda e: e.execute(s(c).options(orm.joinedload(c.country)).order_by(c.client_id).limit(6)).scalars().unique().all()
    yield "joined many", lambda e: e.execute(s(c).options(orm.joinedload(c.purchases)).where(c.client_id < 9).order_by(c.client_id)).scalars().unique().all()
    yield "select in load", lambda e: e.execute(s(h).options(orm.selectinload(h.sales)).where(h.shopper_id < 6).order_by(h.shopper_id)).scalars().all()
    yield "subquery load", lambda e: e.query(h).options(orm.subqueryload(h.sales)).filter(h.city == "Bari").order_by(h.shopper_id).all()
    yield "lazy load", lambda e: [[p.total for p in k.purchases] for k in e.query(c).filter(c.client_id.in_((2, 5))).order_by(c.client_id)]
    yield "load only", s(c).options(orm.load_only(c.email)).order_by(c.client_id).limit(4)
    yield "defer", s(h).options(orm.defer(h.email)).order_by(h.shopper_id).limit(4)
    yield "limit in subquery", s(f.count()).select_from(s(h.shopper_id).order_by(h.income.desc(), h.shopper_id).limit(5).subquery())
    yield "stream", lambda e: [list(r) for r in e.execute(s(x.sale_id, x.price).order_by(x.sale_id).execution_options(stream_results=True, yield_per=50))]


# --- Django ---

def configure(dialect, databases):
    """Aliases and what Django needs to connect; once in a process."""
    settings.configure(DATABASES={k: dict(ENGINE="django.db.backends." + dialect, **v) for k, v in databases.items()}, USE_TZ=True, TIME_ZONE="UTC", INSTALLED_APPS=[__name__], DEFAULT_AUTO_FIELD="django.db.models.AutoField")
    django.setup()


def models():
    from django.db import models as m
    class DCountry(m.Model):
        country_id, country, area_id = m.IntegerField(primary_key=True), m.TextField(), m.IntegerField()
        class Meta: app_label, db_table, managed = __name__, "countries", False  # noqa: E701
    class DClient(m.Model):
        client_id, name, email, phone, card = m.IntegerField(primary_key=True), m.TextField(), m.TextField(), m.TextField(null=True), m.CharField(max_length=20)
        born, balance, segment = m.DateField(), m.DecimalField(max_digits=12, decimal_places=2), m.CharField(max_length=8)
        country = m.ForeignKey(DCountry, m.DO_NOTHING, db_column="country_id")
        class Meta: app_label, db_table, managed = __name__, "clients", False  # noqa: E701
    class DPurchase(m.Model):
        purchase_id, status, total, day, urgency = m.IntegerField(primary_key=True), m.CharField(max_length=1), m.DecimalField(max_digits=12, decimal_places=2), m.DateField(), m.TextField()
        client = m.ForeignKey(DClient, m.DO_NOTHING, db_column="client_id", related_name="purchases")
        class Meta: app_label, db_table, managed = __name__, "purchases", False  # noqa: E701
    class DShopper(m.Model):
        shopper_id, first, last, email, born = m.IntegerField(primary_key=True), m.TextField(), m.TextField(), m.TextField(), m.DateField()
        income, city, children = m.IntegerField(), m.TextField(), m.SmallIntegerField()
        class Meta: app_label, db_table, managed = __name__, "shoppers", False  # noqa: E701
    class DStore(m.Model):
        store_id, store, city, manager = m.IntegerField(primary_key=True), m.TextField(), m.TextField(), m.TextField()
        class Meta: app_label, db_table, managed = __name__, "stores", False  # noqa: E701
    class DSale(m.Model):
        sale_id, good_id, quantity, price, at = m.IntegerField(primary_key=True), m.IntegerField(), m.IntegerField(), m.DecimalField(max_digits=8, decimal_places=2), m.DateTimeField()
        shopper = m.ForeignKey(DShopper, m.DO_NOTHING, db_column="shopper_id", related_name="sales")
        store = m.ForeignKey(DStore, m.DO_NOTHING, db_column="store_id")
        class Meta: app_label, db_table, managed = __name__, "sales", False  # noqa: E701
    return DClient, DPurchase, DShopper, DSale, DStore


def django_queries(dialect, m):
    """Functions of an alias, by a name."""
    return possible("Django", dialect, all_django_queries(m))


def all_django_queries(m):
    from django.db.models import Avg, Case, Count, Exists, F, FilteredRelation, Max, Min, OuterRef, Prefetch, Q, StdDev, Subquery, Sum, TextField, Value, When, Window
    from django.db.models.functions import Coalesce, Concat, ExtractYear, Length, Lower, Rank, RowNumber, Substr, TruncMonth, Upper
    client, purchase, shopper, sale, store = m
    def c(d): return client.objects.using(d)  # noqa: E704
    def u(d): return purchase.objects.using(d)  # noqa: E704
    def h(d): return shopper.objects.using(d)  # noqa: E704
    def x(d): return sale.objects.using(d)  # noqa: E704
    def newest(d): return x(d).filter(shopper=OuterRef("pk")).order_by("-at", "pk")  # noqa: E704
    yield "values", lambda d: list(c(d).order_by("pk").values())
    yield "values_list", lambda d: list(h(d).order_by("pk").values_list())
    yield "flat", lambda d: list(h(d).order_by("pk").values_list("email", flat=True))
    yield "get", lambda d: [c(d).filter(pk=k).values().first() for k in (1, 7, 60)]
    yield "count", lambda d: [c(d).count(), x(d).filter(price__gt=30).count(), h(d).filter(email__startswith="a").count()]
    yield "exists", lambda d: [h(d).filter(city=k).exists() for k in ("Oslo", "Paris")]
    yield "first last", lambda d: [h(d).order_by("income", "pk").values().first(), h(d).order_by("income", "pk").values().last()]
    yield "slice", lambda d: list(c(d).order_by("name", "pk").values_list("pk", "email")[10:20])
    yield "reverse", lambda d: list(c(d).order_by("balance", "pk").reverse().values_list("pk")[:5])
    yield "in", lambda d: list(c(d).filter(pk__in=[3, 5, 8]).order_by("pk").values())
    yield "in_bulk", lambda d: sorted((k, v.email) for k, v in h(d).in_bulk([1, 2, 5]).items())
    yield "exclude", lambda d: list(h(d).exclude(city="Oslo").exclude(children__gte=2).order_by("pk").values_list("pk"))
    yield "Q", lambda d: list(c(d).filter(Q(segment="AUTO") | Q(balance__gt=1000) & ~Q(country_id=3)).order_by("pk").values_list("pk"))
    yield "contains", lambda d: list(h(d).filter(email__contains="web1", first__icontains="A").order_by("pk").values_list("pk", "email"))
    yield "iexact", lambda d: list(h(d).filter(city__iexact="oslo").order_by("pk").values_list("pk"))
    yield "regex", lambda d: list(h(d).filter(email__regex=r"^[a-c].*@web0").order_by("pk").values_list("pk"))
    yield "endswith", lambda d: list(c(d).filter(card__endswith="19").order_by("pk").values_list("pk", "card"))
    yield "isnull", lambda d: [c(d).filter(phone__isnull=True).count(), c(d).filter(phone__isnull=False).count()]
    yield "range", lambda d: list(u(d).filter(day__range=(datetime.date(2025, 2, 1), datetime.date(2025, 6, 1))).order_by("pk").values())
    yield "year", lambda d: list(c(d).filter(born__year=1961).order_by("pk").values_list("pk", "born"))
    yield "month", lambda d: [c(d).filter(born__month=1).count(), x(d).filter(at__hour__gte=20).count(), x(d).filter(at__week_day=2).count()]
    yield "date", lambda d: list(x(d).filter(at__date=datetime.date(2025, 1, 10)).order_by("pk").values_list("pk"))
    yield "dates", lambda d: list(u(d).dates("day", "month"))
    yield "datetimes", lambda d: list(x(d).datetimes("at", "month"))
    yield "distinct", lambda d: list(h(d).order_by("city").values_list("city").distinct())
    yield "distinct on", lambda d: list(h(d).order_by("city", "pk").distinct("city").values())
    yield "aggregate", lambda d: sorted(c(d).aggregate(Count("pk"), Sum("balance"), Max("email"), Min("born"), Avg("balance")).items())
    yield "aggregate 2", lambda d: sorted(x(d).filter(price__gt=10).aggregate(n=Count("shopper", distinct=True), s=Sum(F("price") * F("quantity"))).items())
    yield "aggregate slice", lambda d: sorted(h(d).order_by("-income", "pk")[:5].aggregate(Avg("income")).items())
    yield "deviation", lambda d: round(x(d).aggregate(s=StdDev("quantity"))["s"], 6)
    yield "group", lambda d: list(h(d).values("city").annotate(n=Count("pk"), top=Max("income")).order_by("city"))
    yield "having", lambda d: list(h(d).values("last").annotate(n=Count("pk")).filter(n__gt=2).order_by("last"))
    yield "annotate", lambda d: list(c(d).annotate(n=Count("purchases")).order_by("pk").values_list("pk", "email", "n"))
    yield "annotate objects", lambda d: [(k.pk, k.email, k.n) for k in c(d).annotate(n=Count("purchases")).filter(n__gt=2).order_by("-n", "pk")]
    yield "annotate filter", lambda d: list(h(d).annotate(big=Count("sales", filter=Q(sales__price__gt=50))).order_by("pk").values_list("pk", "big"))
    yield "sum per", lambda d: list(h(d).annotate(t=Sum("sales__price")).order_by(F("t").desc(nulls_last=True), "pk").values_list("pk", "t"))
    yield "group by year", lambda d: list(c(d).annotate(y=ExtractYear("born")).values("y").annotate(n=Count("pk")).order_by("y"))
    yield "trunc", lambda d: list(x(d).annotate(k=TruncMonth("at")).values("k").annotate(s=Sum("price")).order_by("k"))
    yield "related filter", lambda d: list(x(d).filter(shopper__city="Turku", store__city="Oslo").order_by("pk").values_list("pk", "shopper__email", "store__manager"))
    yield "reverse filter", lambda d: list(h(d).filter(sales__price__gt=85).distinct().order_by("pk").values_list("pk"))
    yield "two reverse", lambda d: list(h(d).filter(sales__price__gt=60).filter(sales__quantity=2).order_by("pk").distinct().values_list("pk"))
    yield "exclude related", lambda d: list(h(d).exclude(sales__price__lt=10).order_by("pk").values_list("pk"))
    yield "select_related", lambda d: [(k.pk, k.shopper.email, k.store.manager) for k in x(d).select_related("shopper", "store").order_by("pk")[:30]]
    yield "prefetch", lambda d: [(k.pk, [p.total for p in k.purchases.all()]) for k in c(d).prefetch_related(Prefetch("purchases", u(d).order_by("pk"))).order_by("pk")[:12]]
    yield "only", lambda d: [k.email for k in c(d).only("email").order_by("pk")[:5]]
    yield "defer", lambda d: [k.first for k in h(d).defer("email", "born").order_by("pk")[:5]]
    yield "subquery", lambda d: list(h(d).annotate(last_at=Subquery(newest(d).values("at")[:1])).order_by("pk").values_list("pk", "last_at"))
    yield "exists outer", lambda d: list(h(d).filter(Exists(x(d).filter(shopper=OuterRef("pk"), price__gt=88))).order_by("pk").values_list("pk"))
    yield "not exists", lambda d: list(h(d).filter(~Exists(x(d).filter(shopper=OuterRef("pk")))).order_by("pk").values_list("pk", "email"))
    yield "in subquery", lambda d: list(h(d).filter(pk__in=x(d).filter(quantity=8).values("shopper")).order_by("pk").values_list("pk"))
    yield "case", lambda d: list(c(d).annotate(k=Case(When(balance__lt=0, then=Value("owes")), When(balance__gt=5000, then=Value("rich")), default=Value("fine"))).order_by("pk").values_list("pk", "k"))
    yield "conditional", lambda d: sorted(h(d).aggregate(a=Count("pk", filter=Q(children=0)), b=Count(Case(When(city="Oslo", then=1)))).items())
    yield "functions", lambda d: list(h(d).annotate(k=Concat(Upper("last"), Value(", "), Lower("first"), output_field=TextField()), n=Length("email"), p=Substr("email", 1, 4)).order_by("pk").values_list("k", "n", "p"))
    yield "coalesce", lambda d: list(c(d).annotate(k=Coalesce("phone", "email")).order_by("pk").values_list("k"))
    yield "F", lambda d: list(x(d).filter(price__gt=F("quantity") * 10).order_by("pk").values_list("pk"))
    yield "order by F", lambda d: list(h(d).order_by(Lower("last"), F("income").desc(), "pk").values_list("pk"))
    yield "window", lambda d: list(h(d).annotate(r=Window(Rank(), partition_by="city", order_by=F("income").desc())).order_by("pk").values_list("pk", "r"))
    yield "row number", lambda d: list(c(d).annotate(r=Window(RowNumber(), order_by=[F("balance"), F("client_id")])).order_by("pk").values_list("pk", "r"))
    yield "union", lambda d: list(h(d).values_list("city").union(store.objects.using(d).values_list("city")).order_by("city"))
    yield "difference", lambda d: list(h(d).values_list("pk").difference(x(d).values_list("shopper")).order_by("shopper_id"))
    yield "intersection", lambda d: list(h(d).values_list("first").intersection(h(d).filter(children=0).values_list("first")).order_by("first"))
    yield "filtered relation", lambda d: list(h(d).annotate(big=FilteredRelation("sales", condition=Q(sales__price__gt=70))).filter(big__quantity__gt=3).order_by("pk", "big__pk").values_list("pk", "big__pk"))
    yield "iterator", lambda d: [k.pk for k in x(d).order_by("pk").iterator(chunk_size=100)]
    yield "earliest latest", lambda d: [x(d).earliest("at", "pk").pk, x(d).latest("at", "pk").pk]
    yield "raw", lambda d: [(k.pk, k.email) for k in c(d).raw("SELECT client_id, email FROM clients WHERE balance > %s ORDER BY client_id", [3000])]
    yield "none", lambda d: list(c(d).none()) + list(c(d).filter(pk__in=[]))
