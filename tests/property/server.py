"""A family's API on one database, asked in process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from carboy import OPEN, Carboy
from tests.statements import StatementCounter

from .models import Family


class Server:
    """One family's API on one database."""

    def __init__(self, family: Family, database_url: str) -> None:
        self.engine: Engine = sa.create_engine(database_url)
        self.counter = StatementCounter(self.engine)
        family.base.metadata.create_all(self.engine)
        app = flask.Flask("property")
        app.config["CARBOY_MAX_URL_LENGTH"] = 100_000
        app.config["CARBOY_MAX_FILTERS"] = 1000
        api = Carboy(app, self.engine, policy=OPEN)
        for name, model in family.classes.items():
            api.resource(model, name=name)
        self.client = app.test_client()

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
        self.counter.close()

    def get(
        self, target: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, Any]:
        """Status and JSON; the answer must have taken one statement."""
        status, body, statements = self._asked(target, headers)
        if statements > 1:
            # Under load, one read in some ten thousand shows a message more on the wire, which
            # isn't there again. A read that is two statements is so each time.
            status, body, statements = self._asked(target, headers)
        assert status >= 400 or statements == 1, f"{statements} statements: {target}"
        return status, body

    def _asked(self, target: str, headers: Mapping[str, str]) -> tuple[int, Any, int]:
        before = self.counter.count()
        response = self.client.get(target, headers=headers)
        statements = self.counter.count() - before
        return response.status_code, json.loads(response.data), statements
