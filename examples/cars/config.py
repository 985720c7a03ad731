"""The cars' configurations: APP_ENV names one of the classes, ``development`` by default.

DATABASE_URL and SECRET_KEY come from the environment or from a file ``.env``.
"""

from __future__ import annotations

import os

from flask.cli import load_dotenv

load_dotenv()


class Development:
    """A file in ``instance/`` unless DATABASE_URL names a database."""

    SQLALCHEMY_DATABASE_URI = os.environ.get("DATABASE_URL", "sqlite:///cars.sqlite")
    SECRET_KEY = os.environ.get("SECRET_KEY", "development")


class Testing:
    """An empty database in memory, whatever the environment says."""

    TESTING = True
    SQLALCHEMY_DATABASE_URI = "sqlite:///:memory:"
    SECRET_KEY = "testing"  # noqa: S105  it guards nothing


class Production:
    """Without a DATABASE_URL the application doesn't start."""

    SQLALCHEMY_DATABASE_URI = os.environ.get("DATABASE_URL")
    SECRET_KEY = os.environ.get("SECRET_KEY")
