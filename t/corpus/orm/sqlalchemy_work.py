"""SQLAlchemy against the database in the environment: reflection of everything that is there, then an application's model."""
import os

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import Session, declarative_base, joinedload, relationship, selectinload

engine = sa.create_engine(f"postgresql+psycopg2://{os.environ['PGUSER']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}")
Base = declarative_base()


class Author(Base):
    __tablename__ = "author"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(80), unique=True, nullable=False)
    born = sa.Column(sa.Date)
    tags = sa.Column(pg.ARRAY(sa.Text))
    data = sa.Column(pg.JSONB, server_default="{}")
    books = relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id = sa.Column(sa.Integer, sa.Identity(), primary_key=True)
    title = sa.Column(sa.Text, sa.CheckConstraint("length(title) > 0"), index=True)
    price = sa.Column(sa.Numeric(10, 2))
    kind = sa.Column(sa.Enum("paper", "audio", name="book_kind"))
    author_id = sa.Column(sa.ForeignKey("author.id", ondelete="CASCADE"))
    author = relationship(Author, back_populates="books")


def reflect():
    inspector = sa.inspect(engine)
    for schema in inspector.get_schema_names():
        for name in inspector.get_table_names(schema) + inspector.get_view_names(schema):
            inspector.get_columns(name, schema)
            for get in (inspector.get_pk_constraint, inspector.get_foreign_keys, inspector.get_indexes, inspector.get_unique_constraints,
                        inspector.get_check_constraints, inspector.get_table_comment):
                try:
                    get(name, schema)
                except sa.exc.NoSuchTableError:
                    pass
        inspector.get_sequence_names(schema)
        inspector.get_enums(schema)


def model():
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for i in range(40):
            session.add(Author(name=f"a{i}", tags=["x", "ü'"], data={"n": i}, books=[
                Book(title=f"t{i}.{k}", price=k * 1.5, kind="paper" if k % 2 else "audio") for k in range(1, 4)]))
        session.commit()
        for i in range(40):
            session.execute(sa.select(Author).where(Author.name == f"a{i}").options(joinedload(Author.books), selectinload(Author.books))).unique().all()
            session.execute(sa.select(Book.kind, sa.func.sum(Book.price)).join(Author).where(Author.data["n"].astext.cast(sa.Integer) > i)
                            .group_by(Book.kind).having(sa.func.count() > 1).order_by(Book.kind)).all()
            session.execute(pg.insert(Author).values(id=i + 1, name=f"b{i}").on_conflict_do_update(index_elements=["id"], set_={"name": f"b{i}"}).returning(Author.id)).all()
            ranked = sa.select(Book.id, sa.func.row_number().over(partition_by=Book.author_id, order_by=Book.price.desc()).label("n")).cte("ranked")
            session.execute(sa.select(Book).join(ranked, ranked.c.id == Book.id).where(ranked.c.n == i % 3 + 1).order_by(Book.id).limit(5)).all()
            session.execute(sa.update(Book).where(Book.price < i).values(price=Book.price + 1).execution_options(synchronize_session=False))
            with session.begin_nested():
                session.execute(sa.delete(Book).where(Book.title.like(f"t{i}.%")).execution_options(synchronize_session=False))
            session.commit() if i % 2 else session.rollback()
        try:
            session.add(Author(name="b1"))
            session.commit()
        except sa.exc.IntegrityError:
            session.rollback()
    meta = sa.MetaData()
    meta.reflect(engine)
    Base.metadata.drop_all(engine)


model()
Base.metadata.create_all(engine)
reflect()
Base.metadata.drop_all(engine)
