"""SQLAlchemy on PyMySQL, mysqlclient (where it is there), aiomysql and Connector/Python (as far as its version takes them): Core, ORM, create_all, reflection, pool."""
import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.dialects import mysql

from my_checks import *

NEW = int(sa.__version__.split(".")[0]) >= 2
NAME = PREFIX
Base = orm.declarative_base()


class Author(Base):
    __tablename__ = NAME + "author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(200), nullable=False, unique=True, comment="who wrote it")
    data = sa.Column(sa.JSON)
    raw = sa.Column(sa.LargeBinary)
    born = sa.Column(mysql.DATETIME(fsp=6), server_default=sa.func.now(6))
    books = orm.relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = NAME + "book"
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.String(200), index=True)
    price = sa.Column(sa.Numeric(10, 2), nullable=False)
    author_id = sa.Column(sa.ForeignKey(Author.id, ondelete="CASCADE"))
    author = orm.relationship(Author, back_populates="books")
    __table_args__ = (sa.CheckConstraint(price >= 0, name=NAME + "price_positive"), {"mysql_charset": "utf8mb4", "mysql_engine": "InnoDB"})


def engine(driver="pymysql", **more):
    url = sa.engine.URL.create(f"mysql+{driver}", USER, more.pop("password", PASSWORD), HOST, PORT, DATABASE, query=dict(charset="utf8mb4") if driver != "mysqlconnector" else {})
    ca = more.pop("ca", CA)
    if driver == "mysqlconnector":
        args = dict(ssl_ca=ca, ssl_verify_cert=True) if GATE else dict(ssl_disabled=True)
    elif driver == "aiomysql":
        args = dict(ssl=tls(ca)) if GATE else {}
    else:
        args = dict(ssl=dict(ca=ca)) if GATE else {}
    create = sa.create_engine
    if driver == "aiomysql":
        from sqlalchemy.ext.asyncio import create_async_engine as create
    return create(url, connect_args=args, **more)


@check
def connects():
    """With what the dialect asks at its first connection."""
    e = engine()
    with e.connect() as c:
        assert c.execute(sa.text("SELECT 1")).scalar() == 1 and e.dialect.is_mariadb and e.dialect.default_schema_name == "shop"
        assert c.get_isolation_level() == "REPEATABLE READ"
    e.dispose()


@gate_only
def verifies_tls():
    assert "certificate" in str(raises(exc.OperationalError, engine(ca=WRONG_CA).connect))


@gate_only
def bad_token():
    assert "must be a valid OIDC access token" in str(raises(exc.OperationalError, engine(password="not.a.token").connect))


@check
def create_all():
    """As whoever may do everything: older versions look at information_schema for what is there."""
    e = engine(password=PASSWORD_ALL)
    Base.metadata.drop_all(e)
    Base.metadata.create_all(e)
    Base.metadata.create_all(e)  # finds that they are there
    e.dispose()


@check
def reflection():
    """What it reads of one's own tables; lists of all tables need somebody who may see all."""
    e = engine()
    inspector = sa.inspect(e)
    for what in ("get_columns", "get_pk_constraint", "get_foreign_keys", "get_unique_constraints", "get_indexes", "get_check_constraints", "get_table_comment"):
        show(f"reflection {what}", [getattr(inspector, what)(NAME + t) for t in ("author", "book")])
    meta = sa.MetaData()
    table = sa.Table(NAME + "book", meta, autoload_with=e)
    show("reflection autoload", (sorted(c.name for c in table.columns), sorted(t for t in meta.tables)))
    e.dispose()
    e = engine(password=PASSWORD_ALL)
    inspector = sa.inspect(e)
    show("reflection tables", (sorted(t for t in inspector.get_table_names() if t.startswith(NAME)), "shop" in inspector.get_schema_names(), inspector.get_view_names()))
    e.dispose()


@check
def orm_queries():
    e = engine()
    born = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
    with orm.Session(e) as s:
        s.add_all([Author(name=f"a{n}", data={"n": [n, None]}, raw=b"\0\xff\\'", born=born, books=[Book(title=f"t{n}.{m}", price=n + m) for m in range(3)]) for n in range(50)])
        s.commit()
        a = s.query(Author).options(orm.selectinload(Author.books)).filter(Author.name == "a7").one()
        assert [b.title for b in a.books] == ["t7.0", "t7.1", "t7.2"] and a.data == {"n": [7, None]} and a.raw == b"\0\xff\\'" and a.born == born
        a.books.pop()
        a.name = EVIL
        s.commit()
        assert s.query(Author).filter_by(name=EVIL).one().id == a.id
        got = s.query(Author.name, sa.func.count(Book.id), sa.func.sum(Book.price)).join(Book).group_by(Author.id).order_by(Author.id).all()
        show("orm", [tuple(r) for r in got[:9]])
        s.add(Author(name="a1"))
        assert raises(exc.IntegrityError, s.flush).orig.args[0] == 1062
        s.rollback()
        nested = s.begin_nested()
        s.add(Book(title="nested", price=1))
        s.flush()
        nested.rollback()
        show("orm count", s.query(Book).count())
        s.query(Author).filter(Author.data["n"][0].as_integer() > 40).delete(synchronize_session=False)
        s.commit()
        show("orm left", (s.query(Author).count(), s.query(Book).count()))
    e.dispose()


@check
def core():
    e = engine()
    t = Author.__table__
    with e.begin() as c:
        c.execute(sa.insert(t), [dict(name=f"c{n}", data={}) for n in range(200)])
        insert = mysql.insert(t).values(name="c1", data={"up": 1})
        c.execute(insert.on_duplicate_key_update(data=insert.inserted.data))
        assert c.execute(sa.select(t.c.data).where(t.c.name == "c1")).scalar() == {"up": 1}
        cte = sa.select(t.c.name, sa.func.row_number().over(order_by=t.c.name).label("n")).where(t.c.name.like("c%")).cte("w")
        show("core", [tuple(r) for r in c.execute(sa.select(cte).where(cte.c.n <= 5).order_by(cte.c.n))])
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
        assert c.execute(sa.text("SELECT @@tx_isolation")).scalar() == "SERIALIZABLE"
    with e.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        assert c.execute(sa.text("SELECT @@autocommit")).scalar() == 1
    e.dispose()


@check
def pool():
    e = engine(pool_size=2, max_overflow=2, pool_pre_ping=True, pool_recycle=1800)
    with e.connect() as c:
        backend = c.execute(sa.text("SELECT CONNECTION_ID()")).scalar()
    end_backend(backend)
    with e.connect() as c:  # pre_ping has seen it
        assert c.execute(sa.text("SELECT CONNECTION_ID()")).scalar() != backend
    e.dispose()
    e = engine(pool_size=1, max_overflow=0)  # without it the first statement fails, and the pool knows why
    with e.connect() as c:
        end_backend(c.execute(sa.text("SELECT CONNECTION_ID()")).scalar())
        assert raises(exc.DBAPIError, c.execute, sa.text("SELECT 1")).connection_invalidated
    with e.connect() as c:
        assert c.execute(sa.text("SELECT 1")).scalar() == 1
    e.dispose()


@gate_only
def refused():
    e = engine()
    with e.connect() as c:
        for _ in range(3):
            err = raises(exc.OperationalError, c.execute, sa.text("SELECT * FROM staff WHERE id = :n"), dict(n=1))
            assert err.orig.args[0] == 1142
            says_why(err.orig.args[1])
            assert c.execute(sa.text("SELECT 1")).scalar() == 1
    e.dispose()


def other(driver):
    e = engine(driver)
    with orm.Session(e) as s:
        show(driver, s.execute(sa.select(sa.func.count(Book.id))).scalar())
        s.add(Author(name=driver, raw=b"\0\xff"))
        s.flush()
        assert s.query(Author).filter_by(name=driver).one().raw == b"\0\xff"
        s.rollback()
    show(driver + " reflection", [c["name"] for c in sa.inspect(e).get_columns(NAME + "book")])
    e.dispose()


if NEW:
    @check
    def mysqlconnector():
        other("mysqlconnector")
else:
    @check
    def mysqldb():
        other("mysqldb")


@check
async def aiomysql():
    from sqlalchemy.ext.asyncio import AsyncSession
    e = engine("aiomysql")
    async with AsyncSession(e) as s:
        s.add(Author(name="async", data={"a": 1}))
        await s.commit()
        got = (await s.execute(sa.select(Author).where(Author.name == "async"))).scalar_one()
        await s.delete(got)
        await s.commit()
        show("aiomysql", (await s.execute(sa.text("SELECT count(*) FROM orders"))).scalar())
    async with e.connect() as c:
        show_large([r async for r in await c.stream(sa.text(SQL_LARGE))])
    await e.dispose()


main()
