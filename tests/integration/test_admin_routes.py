"""Routes outside the resources: where they stand, and whom they answer."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from carboy import ANONYMOUS, Actor, Carboy
from carboy.admin import Route, Visit, visit
from carboy.errors import Forbidden, MethodNotAllowed, Unauthorized
from carboy.respond import respond_json


def app_with(**config: Any) -> Flask:
    """An application whose database can't be reached."""
    app = Flask(__name__)
    app.config.update(config)
    Carboy(app, sa.create_engine("postgresql+psycopg://127.0.0.1:1/none"))
    return app


def test_liveness_needs_neither_a_database_nor_a_right_key() -> None:
    """Whoever starts and stops processes has no key, and asks of the process alone."""
    client = app_with().test_client()
    answer = client.get("/health/live", headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_the_path_of_the_health_checks_is_a_setting() -> None:
    """An application may have a /health of its own."""
    assert app_with(CARBOY_HEALTH_PATH="/_up").test_client().get("/_up/live").status_code == 200
    assert app_with(CARBOY_HEALTH_PATH="").test_client().get("/health/live").status_code == 404


def test_another_method_is_a_405_that_names_the_right_ones() -> None:
    """Also for routes that no key is needed for."""
    answer = app_with().test_client().post("/health/live")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def asked(who: Actor, method: str = "GET") -> int:
    """The status of a route for admins."""
    route = Route("secret", "/secret", lambda _: respond_json({}))
    api: Any = None
    return visit(route, method, Visit(who, {}, api)).status


def test_a_route_is_for_admins_unless_it_says_otherwise() -> None:
    """A forgotten word leaves it closed."""
    assert asked(Actor("1", frozenset({"admin"}))) == 200
    with pytest.raises(Forbidden, match="the role admin"):
        asked(Actor("1", frozenset({"writer"})))
    with pytest.raises(Unauthorized):
        asked(ANONYMOUS)
    with pytest.raises(MethodNotAllowed):
        asked(Actor("1", frozenset({"admin"})), "DELETE")
