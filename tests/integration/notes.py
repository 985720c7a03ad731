"""An application with one table, for tests of what surrounds the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import OPEN, Carboy


class Base(DeclarativeBase):
    """The models of this module."""


class Note(Base):
    """A row to read and write."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(unique=True)


class Fixed(Base):
    """A row that is only read."""

    __tablename__ = "fixed"

    id: Mapped[int] = mapped_column(primary_key=True)


class Notes:
    """A database, and clients of applications over it."""

    def __init__(self, folder: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{folder / 'notes.sqlite'}")
        Base.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(sa.insert(Note), [{"id": 1, "text": "one"}])

    def app(self, **config: Any) -> Flask:
        """An application whose API is built already."""
        app = Flask("notes")
        app.config.update(config)
        api = Carboy(app, self.engine, policy=OPEN)
        api.resource(Note)
        api.resource(Fixed, read_only=True)

        def own() -> Any:
            return api.read(sa.select(Note))

        app.add_url_rule("/own", view_func=own, methods=["GET", "POST"])
        with app.app_context():
            assert api.schema.exposed()
        return app

    def client(self, **config: Any) -> FlaskClient:
        """A client of a new application."""
        return self.app(**config).test_client()
