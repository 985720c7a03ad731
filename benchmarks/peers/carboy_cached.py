"""Carboy with a cache: in the process, and in Redis."""

from __future__ import annotations

import inspect
import os
from typing import Any

from flask import Flask

from carboy import OPEN, Carboy

from .flask_app import db, new_app
from .models import User

# Without a cache the answers don't say X-Cache: hit, and the benchmark says that it isn't there.
THERE = "cache" in inspect.signature(Carboy.resource).parameters


def _app(name: str, cache_url: str) -> Flask:
    app = new_app(f"{__name__}.{name}")
    options: dict[str, Any] = {}
    if THERE:
        app.config["CARBOY_CACHE_URL"] = cache_url
        options = {"cache": 600}
    Carboy(app, db, policy=OPEN).resource(User, **options)
    return app


in_process = _app("in_process", "memory://")
in_redis = _app("in_redis", os.environ["REDIS_URL"])
