"""Carboy with a cache: in the process, and in Redis."""

from __future__ import annotations

import os

from flask import Flask

from carboy import OPEN, Carboy

from .flask_app import db, new_app
from .models import User


def _app(name: str, cache_url: str) -> Flask:
    app = new_app(f"{__name__}.{name}")
    app.config["CARBOY_CACHE_URL"] = cache_url
    Carboy(app, db, policy=OPEN).resource(User, cache=600)
    return app


in_process = _app("in_process", "memory://")
in_redis = _app("in_redis", os.environ["REDIS_URL"])
