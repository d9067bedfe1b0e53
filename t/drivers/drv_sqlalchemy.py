"""SQLAlchemy on psycopg2, asyncpg and pg8000 (as far as its version takes them): Core, ORM, create_all, reflection, pool."""
import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.dialects import postgresql as pg

from checks import *

NEW = int(sa.__version__.split(".")[0]) >= 2
SCHEMA, NAME = PREFIX.split(".")
Base = orm.declarative_base()


class Author(Base):
    __tablename__ = NAME + "author"
    __table_args__ = {"schema": SCHEMA}
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(100), nullable=False, unique=True, comment="who wrote it")
    data = sa.Column(pg.JSONB)
    tags = sa.Column(pg.ARRAY(sa.Text))
    born = sa.Column(sa.DateTime(timezone=True), server_default=sa.func.now())
    books = orm.relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = NAME + "book"
    id = sa.Column(sa.Integer, sa.Identity(), primary_key=True)
    title = sa.Column(sa.Text, index=True)
    price = sa.Column(sa.Numeric(10, 2), nullable=False)
    author_id = sa.Column(sa.ForeignKey(Author.id, ondelete="CASCADE"))
    author = orm.relationship(Author, back_populates="books")
    __table_args__ = (sa.CheckConstraint(price >= 0, name=NAME + "price_positive"), sa.Index(NAME + "lower_title", sa.func.lower(title)), {"schema": SCHEMA})


def engine(driver="psycopg2", **more):
    url = sa.engine.URL.create(f"postgresql+{driver}", more.pop("user", USER), more.pop("password", PASSWORD), HOST, PORT, DATABASE)
    if driver in ("psycopg2", "psycopg"):
        tls_args = dict(sslmode="verify-full", sslrootcert=CA) if GATE else dict(sslmode="disable")
    elif driver == "asyncpg":
        tls_args = dict(ssl=tls() or False)
    else:
        tls_args = dict(ssl_context=tls())
    create = sa.create_engine
    if driver == "asyncpg":
        from sqlalchemy.ext.asyncio import create_async_engine as create
    return create(url, connect_args={**tls_args, **more.pop("connect_args", {})}, **more)


@check
def connects():
    """With what the dialect asks at its first connection."""
    e = engine()
    with e.connect() as c:
        assert c.execute(sa.text("SELECT 1")).scalar() == 1 and e.dialect.server_version_info[0] == 15 and e.dialect.default_schema_name == "public"
        assert c.get_isolation_level() == "READ COMMITTED"
    e.dispose()


@gate_only
def verifies_tls():
    e = engine(connect_args=dict(sslrootcert=WRONG_CA))
    assert "certificate verify failed" in str(raises(exc.OperationalError, e.connect))


@gate_only
def bad_token():
    assert "must be a valid OIDC access token" in str(raises(exc.OperationalError, engine(password="not.a.token").connect))


@check
def create_all():
    e = engine()
    Base.metadata.drop_all(e)
    Base.metadata.create_all(e)
    Base.metadata.create_all(e)  # finds that they are there
    e.dispose()


@check
def reflection():
    e = engine()
    inspector = sa.inspect(e)
    for what in ("get_columns", "get_pk_constraint", "get_foreign_keys", "get_unique_constraints", "get_indexes", "get_check_constraints", "get_table_comment"):
        show(f"reflection {what}", [getattr(inspector, what)(NAME + t, schema=SCHEMA) for t in ("author", "book")])
    mine = [t for t in inspector.get_table_names(schema=SCHEMA) if t.startswith(NAME)]
    show("reflection tables", (sorted(mine), SCHEMA in inspector.get_schema_names(), inspector.get_view_names(), inspector.get_enums(schema="*"),
                               sorted(inspector.get_table_names())))
    show("reflection sequences", sorted(s for s in inspector.get_sequence_names(schema=SCHEMA) if s.startswith(NAME)))
    meta = sa.MetaData()
    table = sa.Table(NAME + "book", meta, autoload_with=e, schema=SCHEMA)
    show("reflection autoload", (sorted(c.name for c in table.columns), sorted(t for t in meta.tables)))
    show("reflection view", inspector.get_view_definition("customer_directory"))
    e.dispose()


@check
def orm_queries():
    e = engine()
    born = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    with orm.Session(e) as s:
        s.add_all([Author(name=f"a{n}", data={"n": [n, None]}, tags=["x", None, 'q"'], born=born, books=[Book(title=f"t{n}.{m}", price=n + m) for m in range(3)])
                   for n in range(50)])
        s.commit()
        a = s.query(Author).options(orm.selectinload(Author.books)).filter(Author.name == "a7").one()
        assert [b.title for b in a.books] == ["t7.0", "t7.1", "t7.2"] and a.data == {"n": [7, None]} and a.tags == ["x", None, 'q"'] and a.born == born
        a.books.pop()
        a.name = EVIL
        s.commit()
        assert s.query(Author).filter_by(name=EVIL).one().id == a.id
        got = s.query(Author.name, sa.func.count(Book.id), sa.func.sum(Book.price)).join(Book).group_by(Author.id).order_by(Author.id).all()
        show("orm", [tuple(r) for r in got[:9]])
        with raises_rollback(s):
            s.add(Author(name="a1"))
            s.flush()
        nested = s.begin_nested()
        s.add(Book(title="nested", price=1))
        s.flush()
        nested.rollback()
        show("orm count", s.query(Book).count())
        s.query(Author).filter(Author.data["n"][0].as_integer() > 40).delete(synchronize_session=False)
        s.commit()
        show("orm left", (s.query(Author).count(), s.query(Book).count()))
        show("orm exists", s.query(s.query(Author).filter(Author.tags.contains(["x"])).exists()).scalar())
    e.dispose()


class raises_rollback:
    def __init__(self, session):
        self.session = session

    def __enter__(self):
        return self

    def __exit__(self, kind, e, trace):
        assert kind is exc.IntegrityError and e.orig.pgcode == "23505", e
        self.session.rollback()
        return True


@check
def core():
    e = engine()
    t = Author.__table__
    with e.begin() as c:
        c.execute(sa.insert(t), [dict(name=f"c{n}", data={}) for n in range(200)])
        row = c.execute(pg.insert(t).values(name="c1").on_conflict_do_update(index_elements=["name"], set_=dict(data={"up": 1})).returning(t.c.data)).one()
        assert row.data == {"up": 1}
        cte = sa.select(t.c.name, sa.func.row_number().over(order_by=t.c.name).label("n")).where(t.c.name.like("c%")).cte("w")
        show("core", [tuple(r) for r in c.execute(sa.select(cte).where(cte.c.n <= 5))])
        show("core distinct", c.execute(sa.select(sa.func.count(sa.distinct(t.c.data["up"].astext)))).scalar())
        c.execute(sa.delete(t).where(t.c.name.in_([f"c{n}" for n in range(200)])))
        c.execute(sa.select(t.c.id).with_for_update().limit(1)).all()
    e.dispose()


@check
def stream():
    e = engine()
    with e.connect().execution_options(stream_results=True, max_row_buffer=5000) as c:
        show_large(c.execute(sa.text(SQL_LARGE)))
    e.dispose()


@check
def isolation():
    e = engine(isolation_level="SERIALIZABLE")
    with e.connect() as c:
        assert c.execute(sa.text("SHOW transaction_isolation")).scalar() == "serializable"
    with e.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        c.execute(sa.text("SELECT 1"))
    with e.connect().execution_options(postgresql_readonly=True, postgresql_deferrable=True) as c:
        assert c.execute(sa.text("SHOW transaction_read_only")).scalar() == "on"
    e.dispose()


@check
def pool():
    """pool_pre_ping finds the connection that the server ended."""
    e = engine(pool_pre_ping=True, pool_size=2, pool_reset_on_return="rollback")
    with e.connect() as c:
        pid = c.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    end_backend(pid)
    with e.connect() as c:
        assert c.execute(sa.text("SELECT pg_backend_pid()")).scalar() != pid
    e.dispose()


@gate_only
def refused():
    e = engine()
    with e.connect() as c:
        for _ in range(2):
            err = raises(exc.ProgrammingError, c.execute, sa.text("SELECT * FROM staff WHERE id = :n"), dict(n=1))
            assert err.orig.pgcode == "42501"
            says_why(str(err.orig), err.orig.diag.message_hint)
            c.get_transaction().rollback() if c.in_transaction() else None
            assert c.execute(sa.text("SELECT 1")).scalar() == 1
    e.dispose()


@check
async def asyncpg():
    from sqlalchemy.ext.asyncio import AsyncSession
    e = engine("asyncpg")
    async with AsyncSession(e) as s:
        s.add(Author(name="async", data={"a": 1}, tags=["t"]))
        await s.commit()
        got = (await s.execute(sa.select(Author).where(Author.name == "async"))).scalar_one()
        assert got.tags == ["t"] and got.data == {"a": 1}
        await s.delete(got)
        await s.commit()
        if GATE:
            try:
                await s.execute(sa.text("SELECT * FROM staff"))
                raise AssertionError("not refused")
            except exc.DBAPIError as err:
                assert err.orig.pgcode == "42501", err
                says_why(str(err.orig))
                await s.rollback()
        show("asyncpg", (await s.execute(sa.text("SELECT count(*) FROM orders"))).scalar())
    async with e.connect() as c:
        show("asyncpg reflection", await c.run_sync(lambda c: sorted(col["name"] for col in sa.inspect(c).get_columns(NAME + "book", schema=SCHEMA))))
    async with e.connect() as c:
        rows = await c.stream(sa.text(SQL_LARGE))
        show_large([r async for r in rows])
    await e.dispose()


if NEW:
    @check
    def psycopg():
        e = engine("psycopg")
        with orm.Session(e) as s:
            show("psycopg", s.execute(sa.select(sa.func.count(Book.id))).scalar_one())
        show("psycopg reflection", sa.inspect(e).get_columns(NAME + "book", schema=SCHEMA))
        e.dispose()

    @check
    def pg8000():
        e = engine("pg8000")
        with orm.Session(e) as s:
            show("pg8000", s.execute(sa.select(sa.func.count(Book.id))).scalar_one())
        show("pg8000 reflection", sa.inspect(e).get_columns(NAME + "book", schema=SCHEMA))
        e.dispose()


main()
