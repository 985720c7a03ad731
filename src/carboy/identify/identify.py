"""Who makes a request: what ``Authorization`` or ``X-API-Key`` proves, else whoever is logged in.

A credential that came decides: one that isn't valid is a 401, never the cookie's owner or nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..access import ANONYMOUS, Actor
from ..errors import Unauthorized
from ..execute import Database
from ..execute.api_keys import TOKEN_START, ApiKeys
from ..settings import SettingError, Settings
from .origin import Origins

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .tokens import Tokens

Login: TypeAlias = Callable[[], Actor | None]
"""The application's own login: who is logged in, or None. Called in Flask's request context."""

_FOUND = "carboy.actor"
_KEYS = ("jwt_secret", "jwt_public_key", "jwt_jwks")


class Identify:
    """Finds the actor of each request; one for each application.

    Raises SettingError where the settings of tokens or origins don't go together.
    """

    def __init__(self, settings: Settings, login: Login | None) -> None:
        self._login = login
        self._api_keys = ApiKeys()
        self._tokens = _tokens(settings)
        self._origins = Origins(settings.trusted_origins)

    def __call__(self, environ: WSGIEnvironment, database: Database) -> Actor:
        """Who asks; raises Unauthorized, Forbidden, and Unavailable where nobody can tell."""
        if not _has_credentials(environ):
            return ANONYMOUS if self._login is None else self._logged_in(self._login, environ)
        found: Actor | None = environ.get(_FOUND)
        if found is None:
            found = environ[_FOUND] = self._proven(environ, database)
        return found

    @property
    def headers(self) -> tuple[str, ...]:
        """The request headers that tell who asks."""
        return ("Authorization", "X-API-Key", *(("Cookie",) if self._login is not None else ()))

    def needs_flask(self, environ: WSGIEnvironment) -> bool:
        """Whether the application's login has to be asked, which needs Flask's context."""
        return self._login is not None and not _has_credentials(environ)

    def _proven(self, environ: WSGIEnvironment, database: Database) -> Actor:
        header: str | None = environ.get("HTTP_AUTHORIZATION")
        if header is None:
            return self._api_keys.actor(database, environ["HTTP_X_API_KEY"].strip())
        scheme, _, token = header.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            # No error code: RFC 6750, section 3.1, keeps those for requests by its own scheme.
            raise Unauthorized(
                "Authorization must be 'Bearer' and an API key or a token",
                headers=[("WWW-Authenticate", "Bearer")],
            )
        if token.startswith(TOKEN_START):
            return self._api_keys.actor(database, token)
        if self._tokens is None:
            raise Unauthorized.bad_token("only API keys are taken here, which start with 'carboy_'")
        return self._tokens.actor(token)

    def _logged_in(self, login: Login, environ: WSGIEnvironment) -> Actor:
        actor = login()
        if actor is None:
            return ANONYMOUS
        if not isinstance(actor, Actor):
            raise TypeError(
                f"the actor callable must answer an Actor or None, not {type(actor).__name__}"
            )
        if not actor.is_anonymous:
            # Browsers send cookies along whoever made the request.
            self._origins.check(environ)
        return actor


def _has_credentials(environ: WSGIEnvironment) -> bool:
    return "HTTP_AUTHORIZATION" in environ or "HTTP_X_API_KEY" in environ


def _tokens(settings: Settings) -> Tokens | None:
    """What verifies tokens; None where no key for them is set."""
    keys = [f"CARBOY_{name.upper()}" for name in _KEYS if getattr(settings, name)]
    if len(keys) > 1:
        raise SettingError(f"set one of {' and '.join(keys)}, for a token has one kind of key")
    if not keys:
        for name in ("jwt_algorithms", "jwt_issuer", "jwt_audience"):
            if getattr(settings, name):
                raise SettingError(
                    f"CARBOY_{name.upper()} needs a key beside it: CARBOY_JWT_SECRET, "
                    "CARBOY_JWT_PUBLIC_KEY or CARBOY_JWT_JWKS"
                )
        return None
    try:
        from .tokens import Tokens
    except ModuleNotFoundError:
        raise SettingError(f"{keys[0]} needs PyJWT: pip install 'carboy[jwt]'") from None
    return Tokens(settings)
