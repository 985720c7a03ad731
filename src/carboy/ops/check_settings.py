"""Checks of the configuration: Flask's, Carboy's, and how the application is served."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..settings import unread_dotenv
from .checked import Checked, Fault

_SECRET_BYTES = 16
_FEWEST_CHARACTERS = 8
_A_SECRET = "python -c 'import secrets; print(secrets.token_hex())' prints a good one"  # noqa: S105
# As they stand in documentation and tutorials, without case and punctuation; the long ones are
# from Flask's and from jwt.io.
_EXAMPLES = """
    changeme changethis default dev development devkey devsecret flask insecure key mykey mysecret
    mysecretkey password secret secretkey supersecret supersecretkey superdupersecret test testing
    thisisasecret thisissecret verysecret yoursecret yoursecrethere yoursecretkey
    yoursecretkeyhere youwillneverguess hardtoguessstring 5y2lf4q8z\xec
    192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf
    your256bitsecret astringsecretatleast256bitslong
"""
_KNOWN = frozenset(_EXAMPLES.split())


def debug(app: Checked) -> Iterator[Fault]:
    """DEBUG or TESTING is on."""
    for name in ("DEBUG", "TESTING"):
        if app.config is not None and app.config.get(name):
            yield Fault(
                f"{name} is on; it is for developers",
                f"leave {name} (and FLASK_{name}) out of what production sets",
            )


def profile(app: Checked) -> Iterator[Fault]:
    """The settings are a developer's; where that comes from DEBUG or TESTING, ``debug`` says it."""
    named = app.settings.profile
    config = app.config or {}
    if named != "production" and not config.get("DEBUG") and not config.get("TESTING"):
        yield Fault(
            f"the settings are those for {named}",
            "set CARBOY_PROFILE=production, or leave it out",
        )


def secret_key(app: Checked) -> Iterator[Fault]:
    """Flask's SECRET_KEY, which signs sessions and cursors, can be guessed."""
    if app.config is None:
        return
    key = app.config.get("SECRET_KEY")
    text = key.decode("latin-1") if isinstance(key, bytes) else str(key or "")
    fault = "is missing" if not text else _weakness(text)
    if fault is None and len(text.encode()) < _SECRET_BYTES:
        fault = f"is shorter than {_SECRET_BYTES} bytes"
    if fault is not None:
        yield Fault(f"SECRET_KEY {fault}; it signs sessions and cursors", f"set one; {_A_SECRET}")


def jwt_secret(app: Checked) -> Iterator[Fault]:
    """The secret of tokens can be guessed, or is known to more than it must be."""
    secret = app.settings.jwt_secret
    if not secret:
        return
    fault = _weakness(secret)
    if app.config is not None and app.config.get("SECRET_KEY") in (secret, secret.encode()):
        fault = "is SECRET_KEY; whoever issues tokens could sign sessions"
    if fault is not None:
        yield Fault(
            f"CARBOY_JWT_SECRET {fault}", f"set another, here and at the issuer; {_A_SECRET}"
        )


def cors_any(app: Checked) -> Iterator[Fault]:
    """Pages of every origin may read answers."""
    if "*" in _origins(app.settings.cors_origins):
        yield Fault(
            "CARBOY_CORS_ORIGINS is *: pages of every origin may read the API's answers",
            "name the origins of your own pages, unless the API is meant for all",
        )


def http_origin(app: Checked) -> Iterator[Fault]:
    """What such a page does can be changed on its way to the browser."""
    for name, text in (
        ("CARBOY_CORS_ORIGINS", app.settings.cors_origins),
        ("CARBOY_TRUSTED_ORIGINS", app.settings.trusted_origins),
    ):
        for origin in _origins(text):
            if origin.startswith("http://"):
                yield Fault(
                    f"{name} has {origin}, which is without TLS", "serve it by https://, or drop it"
                )


def cookie_secure(app: Checked) -> Iterator[Fault]:
    """A login's cookie goes over connections without TLS."""
    if app.logins and app.config is not None and not app.config.get("SESSION_COOKIE_SECURE"):
        yield Fault(
            "SESSION_COOKIE_SECURE is off: browsers send the login's cookie without TLS, too",
            "set SESSION_COOKIE_SECURE=True, and serve by https:// only",
        )


def rate_limit(app: Checked) -> Iterator[Fault]:
    """Nothing keeps a client from asking, or from guessing credentials, as fast as it can."""
    if not app.settings.rate_limit.strip():
        yield Fault(
            "CARBOY_RATE_LIMIT is empty: a client may make any number of requests",
            "set it, such as to 600/minute, unless something in front limits them",
        )


def rate_limit_memory(app: Checked) -> Iterator[Fault]:
    """A limit holds in each worker, not for all together."""
    settings = app.settings
    limited = settings.rate_limit.strip() or settings.rate_limit_writes.strip()
    if limited and app.workers > 1 and settings.rate_limit_storage == "memory://":
        yield Fault(
            f"requests are counted in memory: {app.workers} workers let through up to "
            f"{app.workers} times the limit",
            "set CARBOY_RATE_LIMIT_STORAGE to a Redis: redis://...",
        )


def open_metrics(app: Checked) -> Iterator[Fault]:
    """Whoever reaches the port sees how much is asked, and of what."""
    if app.settings.metrics == "open":
        yield Fault(
            "CARBOY_METRICS is open: everybody who reaches /metrics reads it",
            "set it to closed, and give Prometheus a key with the role metrics; or see to it that "
            "nobody else reaches the port",
        )


def server_timing(app: Checked) -> Iterator[Fault]:
    """How long something took can tell what it found."""
    if app.settings.server_timing and app.settings.profile == "production":
        yield Fault(
            "CARBOY_SERVER_TIMING is on: answers tell everybody how long each stage took",
            "leave it out of what production sets",
        )


def dotenv(app: Checked) -> Iterator[Fault]:
    """Settings that somebody wrote down aren't read."""
    if unread_dotenv():
        yield Fault(
            "there is a file .env, which isn't read without python-dotenv",
            "run: pip install 'carboy[server]'; or set FLASK_SKIP_DOTENV=1",
        )


def driver(app: Checked) -> Iterator[Fault]:
    """Another driver than those that Carboy is tested with, or a slow build of it."""
    if app.engine.dialect.name != "postgresql":
        return
    fix = "run: pip install 'carboy[postgresql]', and use postgresql+psycopg://..."
    if app.engine.driver != "psycopg":
        yield Fault(f"Carboy isn't tested with the driver {app.engine.driver}", fix)
        return
    from psycopg import pq

    if pq.__impl__ == "python":
        yield Fault("psycopg runs without its C part, which makes it slow", fix)


def sqlite_workers(app: Checked) -> Iterator[Fault]:
    """One writes at a time, and the others wait."""
    writes = any(not resource.read_only for resource in app.schema.exposed())
    if app.engine.dialect.name == "sqlite" and app.workers > 1 and writes:
        yield Fault(
            f"{app.workers} workers write to one SQLite file: each waits for the others' writes",
            "use one worker, or PostgreSQL",
        )


def pool(app: Checked) -> Iterator[Fault]:
    """Threads wait for a connection, and answer 503 where none comes free in time."""
    if app.connections is not None and app.connections < app.threads:
        yield Fault(
            f"the engine's pool has {app.connections} connections for {app.threads} threads: "
            "requests wait for one another",
            f"set pool_size={app.threads} for the engine, or use fewer threads",
        )


def _weakness(secret: str) -> str | None:
    """Why somebody could guess it, whatever its length."""
    if re.sub(r"[\W_]", "", secret).lower() in _KNOWN:
        return "is one that is found in examples"
    if len(set(secret)) < _FEWEST_CHARACTERS:
        return f"has fewer than {_FEWEST_CHARACTERS} different characters"
    return None


def _origins(text: str) -> list[str]:
    """Those of either setting: with commas or spaces between."""
    return text.replace(",", " ").split()
