"""Flask's own trivial view: an answer that is ready, by way of its dispatch."""

from __future__ import annotations

from flask import Flask, Response

BODY = (
    b'{"id":1,"username":"user1","email":"user1@example.org","is_active":true,'
    b'"created_at":"2020-01-01T00:17:00.000000Z"}'
)
app = Flask(__name__)


@app.get("/users/1")
def one_user() -> Response:
    """The first user."""
    return Response(BODY, mimetype="application/json")
