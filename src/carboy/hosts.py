"""What an application brings along: Flask's routes and request bodies, an engine, a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import flask
import msgspec
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Mapper
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BaseConverter

from .errors import BadRequest, PayloadTooLarge
from .ops import migrate
from .request import Upload, check_content_type, lower_limit
from .respond import Response
from .schema import Resource, Schema, SchemaError, subject_of
from .settings import Settings


class KeyConverter(BaseConverter):
    """A row's key in a path: any text, slashes and line breaks included."""

    regex = r"(?s:.+)"
    part_isolating = False


def add_view(app: flask.Flask, endpoint: str, view: Callable[..., Any], paths: set[str]) -> None:
    """Let a view answer every method, even those that HTTP doesn't know: a 405 is a problem too.

    ``add_url_rule`` can't say so, and adds an OPTIONS of its own.
    """
    app.view_functions[endpoint] = view
    for path in sorted(paths):
        rule = app.url_rule_class(
            path, endpoint=endpoint, methods=None, strict_slashes=True, merge_slashes=False
        )
        rule.provide_automatic_options = False  # type: ignore[attr-defined]
        app.url_map.add(rule)


def prepare_migrations(app: flask.Flask) -> None:
    """Tell Flask-Migrate of Carboy, whichever of the two got the application first."""
    if "migrate" in app.extensions:
        migrate.prepare(app.extensions)
        return

    def look_again() -> bool:
        migrate.prepare(app.extensions)
        return True

    in_first_context(app, look_again)


def in_first_context(app: flask.Flask, run: Callable[[], bool]) -> None:
    """Run something in the application's first context, and in the next until it is done."""

    def look(_: flask.Flask, **__: Any) -> None:
        if run():
            # What listens to this signal keeps reads from going in front of Flask.
            flask.appcontext_pushed.disconnect(look)

    flask.appcontext_pushed.connect(look, app, weak=False)


class _Answer(flask.Response):
    """Without a Content-Type that the answer itself doesn't have: an empty one has none."""

    default_mimetype = None


def to_flask(response: Response) -> flask.Response:
    """An answer as Flask's views return it."""
    body = response.body if response.stream is None else response.stream
    return _Answer(body, response.status, list(response.headers))


def body_of(settings: Settings) -> bytes:
    """The request's body, read no further than the limit; Flask's own may be lower."""
    request = flask.request
    limit, setting = lower_limit(
        request.max_content_length, settings.max_body_bytes, "CARBOY_MAX_BODY_BYTES"
    )
    # A body that is sent in chunks is cut off at the maximum without a word, so one byte more is
    # read than is allowed.
    request.max_content_length = limit + 1
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes ({setting})")
    cut_off = BadRequest("the body ends before its Content-Length")
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        raise too_large from None
    except ClientDisconnected:
        raise cut_off from None
    if len(body) > limit:
        raise too_large
    # Servers that end the input themselves, as granian does, don't tell that it was cut off.
    if len(body) < (request.content_length or 0):
        raise cut_off
    return body


def upload_of(settings: Settings) -> Upload:
    """The request's body as it arrives, with the limit of an import; Flask's own may be lower."""
    own, limit = flask.request.max_content_length, settings.max_import_bytes
    return Upload(flask.request.environ, *lower_limit(own, limit, "CARBOY_MAX_IMPORT_BYTES"))


def own_body(settings: Settings, body: Any) -> bytes:
    """What a view of the application's own writes: its own data, or the request's JSON."""
    if body is not None:
        return msgspec.json.encode(body)
    check_content_type(flask.request.content_type)
    return body_of(settings)


def cursor_key_of(app: flask.Flask, engine: Engine) -> bytes:
    """Signs cursors; the same in every worker even where the application has no secret."""
    secret = app.secret_key or engine.url.render_as_string(hide_password=False)
    material = secret if isinstance(secret, bytes) else str(secret).encode()
    return hashlib.sha256(b"carboy cursors" + material).digest()


def resource_of(schema: Schema, model: Any) -> Resource:
    """The resource of a mapped class; raises SchemaError where it has none."""
    subject = subject_of(model)
    found = schema.of_mapper(subject) if isinstance(subject, Mapper) else None
    if found is None:
        raise SchemaError(f"give {model!r} to api.resource() first")
    return found
