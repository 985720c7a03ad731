"""The shortest application: a model, its API under ``/api``, and a view of its own.

Everybody may read; writing takes a credential with the role writer or admin.
"""

from __future__ import annotations

import os

from flask import Flask, Response
from flask.cli import load_dotenv
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carboy import Carboy

load_dotenv()


class Base(DeclarativeBase):
    """What the tables have in common."""


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get(
    "DATABASE_URL", "sqlite:///quickstart.sqlite"
)
db = SQLAlchemy(app, model_class=Base)
api = Carboy(app, db)


class User(Base):
    """Who can be asked for."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(80), unique=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)


api.resource(User, public="read")


@app.get("/users/<int:user_id>")
def show_user(user_id: int) -> Response:
    """One user, or a 404."""
    return api.read(select(User).where(User.id == user_id), one=True)
