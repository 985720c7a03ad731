"""Views of an application's own whose answers are kept, and what it writes itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue

from .access import Actor
from .cache import Caches, Keeping, KeptView, Outcome, Ran
from .databases import engines_in
from .events import cached
from .hosts import in_first_context
from .pipeline import Api
from .schema import SchemaError

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])
# An application may know its users by these without Carboy's knowing.
_CREDENTIALS = ("Authorization", "Cookie", "X-API-Key")
_PRIVATE = "private, no-cache"


class CachedViews:
    """Which views of an application are cached; ``used`` says whether any is."""

    def __init__(self, api: Callable[[], Api], actor: Callable[[], Actor]) -> None:
        self._api = api
        self._actor = actor
        self.used = False

    def cached(self, seconds: int, *, stale: int = 0) -> Callable[[View], View]:
        """Keep a view's answers for some seconds, or until a table that it has read is written.

        For ``stale`` seconds more, an answer may be shown while one request asks again. Only a 200
        to GET or HEAD is kept, without Set-Cookie and Vary; for each URL, actor and set of
        credentials apart.
        """
        if seconds < 1 or stale < 0:
            raise SchemaError("cached(seconds, stale=...): whole seconds, such as cached(600)")
        keeping = Keeping(seconds, stale)

        def decorate(view: View) -> View:
            self.used = True

            @wraps(view)
            def answer(*arguments: Any, **names: Any) -> ResponseReturnValue:
                if flask.request.method not in ("GET", "HEAD"):
                    return view(*arguments, **names)
                return self._answer(keeping, lambda: view(*arguments, **names))

            return cast(View, answer)

        return decorate

    def _answer(
        self, keeping: Keeping, view: Callable[[], ResponseReturnValue]
    ) -> ResponseReturnValue:
        own: list[flask.Response] = []

        def run() -> Ran:
            own.append(flask.make_response(view()))
            return _ran(own[0])

        request, who = flask.request, self._actor()
        if not who.is_anonymous and type(who.id) not in (str, int, UUID):
            return view()  # its representation may not tell it from another
        cache = self._api().caches[None]
        asked = (
            request.url,
            request.headers.get("Accept"),
            [request.headers.get(name) for name in _CREDENTIALS],
            (who.id, sorted(who.roles)),
        )
        kept, outcome = cache.view(keeping, request.endpoint or "", asked, run)
        response = own[0] if own else flask.Response(kept.body, kept.status, list(kept.headers))
        return _finished(response, outcome)


def _ran(response: flask.Response) -> Ran:
    """What others may have of a view's answer."""
    whole = response.status_code == 200 and not response.is_streamed
    theirs = "Set-Cookie" in response.headers or "Vary" in response.headers
    if not whole or theirs or response.cache_control.no_store or flask.session.modified:
        return Ran(None, shared=False)
    headers = tuple((name, value) for name, value in response.headers if name != "Content-Length")
    return Ran(KeptView(response.status_code, headers, response.get_data()))


def _finished(response: flask.Response, outcome: Outcome) -> flask.Response:
    """The answer with its ETag, or a 304, and what the cache did."""
    cached(outcome)
    response.headers["X-Cache"] = outcome
    if response.status_code == 200 and not response.is_streamed:
        response.headers.setdefault("Cache-Control", _PRIVATE)
        response.add_etag()
        response.make_conditional(flask.request)
    return response


def hear_writes(app: flask.Flask, source: Any, caches: Caches) -> None:
    """Hear of the writes of an application from its first context on, before any request."""

    def look() -> bool:
        try:
            engines = engines_in(source)
        except (SchemaError, RuntimeError, KeyError):
            return False  # Flask-SQLAlchemy gets the application later
        caches.watch(engines)
        return True

    in_first_context(app, look)
