"""A library whose answers are kept: authors, their books, readers who own loans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from carboy import OPEN, Actor, Carboy, Policy


class Base(DeclarativeBase):
    """The models of this module."""


class Author(Base):
    """Books go with their author."""

    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    books: Mapped[list[Book]] = relationship(back_populates="author", passive_deletes=True)


class Book(Base):
    """What is read most."""

    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50))
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id", ondelete="CASCADE"))
    author: Mapped[Author] = relationship(back_populates="books")


class Loan(Base):
    """Its owner's alone."""

    __tablename__ = "loans"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(sa.String(50))
    book: Mapped[str] = mapped_column(sa.String(50))


class Shelf(Base):
    """Nothing else depends on it."""

    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    room: Mapped[str] = mapped_column(sa.String(50))


OWN = Policy(read=lambda who: Loan.owner == who.id, create=True, update=True, delete=True)


class Library:
    """A database, and applications over it that keep their answers."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.engine = self.new_engine()
        Base.metadata.create_all(self.engine)
        with Session(self.engine) as session:
            ann = Author(name="Ann", books=[Book(title="one"), Book(title="two")])
            loans = [Loan(owner=name, book=f"of {name}") for name in ("ann", "bob")]
            session.add_all([ann, Author(name="Bob"), *loans, Shelf(room="hall")])
            session.commit()
        self.engines = [self.engine]
        self.runs = 0

    def new_engine(self) -> sa.Engine:
        """Another engine, as another process would have; SQLite enforces foreign keys."""
        engine = sa.create_engine(self.url)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA foreign_keys = ON"))
        return engine

    def close(self) -> None:
        """Give the connections back."""
        for engine in self.engines:
            engine.dispose()

    def app(
        self, *, cache: int = 600, stale: int = 0, loans: Policy = OWN, **config: Any
    ) -> flask.Flask:
        """An application as a process of its own would have it: engine, store and all."""
        engine = self.new_engine()
        self.engines.append(engine)
        app = flask.Flask("library")
        app.config |= {"SECRET_KEY": "k" * 32, "CARBOY_CACHE_FOLDER": str(self.folder), **config}
        api = Carboy(app, engine, actor=_login, policy=OPEN)
        for model in (Author, Book, Shelf):
            api.resource(model, cache=cache, stale=stale)
        api.resource(Loan, cache=cache, policy=loans)
        self._add_views(app, api, engine)
        app.extensions["library_engine"] = engine
        return app

    def client(self, **options: Any) -> FlaskClient:
        """A client of a new application."""
        return self.app(**options).test_client()

    def write(self, client: FlaskClient, change: Callable[[Session], Any]) -> None:
        """What a view of the application's does with a session of its own."""
        with client.application.app_context(), Session(engine_of(client)) as session:
            change(session)
            session.commit()

    def _add_views(self, app: flask.Flask, api: Carboy, engine: sa.Engine) -> None:
        @app.get("/shown/<int:key>")
        @api.cached(600)
        def shown(key: int) -> Any:
            self.runs += 1
            return api.read(sa.select(Book).where(Book.id == key), "title,author(name)", one=True)

        @app.get("/loaded/<int:key>")
        @api.cached(600)
        def loaded(key: int) -> Any:
            self.runs += 1
            with Session(engine) as session:
                book = session.get(Book, key)
                if book is None:
                    flask.abort(404)
                return {"title": book.title, "author": book.author.name}

        @app.get("/mine")
        @api.cached(600)
        def mine() -> Any:
            self.runs += 1
            return {"who": str(api.actor.id)}

        @app.get("/cookie")
        @api.cached(600)
        def cookie() -> Any:
            self.runs += 1
            response = flask.jsonify(number=self.runs)
            response.set_cookie("number", str(self.runs))
            return response

        @app.get("/session")
        @api.cached(600)
        def in_session() -> Any:
            self.runs += 1
            flask.session["number"] = self.runs
            return {"number": self.runs}


def engine_of(client: FlaskClient) -> sa.Engine:
    """The engine of a client's application."""
    engine: sa.Engine = client.application.extensions["library_engine"]
    return engine


def _login() -> Actor | None:
    name = flask.request.headers.get("X-User")
    return None if name is None else Actor(name)
