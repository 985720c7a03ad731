"""A Flask application with Flask-SQLAlchemy, as Carboy, the guides' code and SAFRS have it."""

from __future__ import annotations

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from .models import Base

db = SQLAlchemy(model_class=Base)


def new_app(name: str) -> Flask:
    """An application on the database that DATABASE_URL names, one connection a thread."""
    app = Flask(name)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": int(os.environ["THREADS"])}
    db.init_app(app)
    return app
