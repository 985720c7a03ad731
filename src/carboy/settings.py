"""The settings, as one table, read once in ``init_app`` into a frozen value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flask.helpers import get_load_dotenv
from msgspec import Struct


class Setting(Struct, frozen=True):
    """One row of the table; values are of the default's type; ``minimum`` bounds integers."""

    name: str
    default: str | int | bool
    help: str
    minimum: int = 0

    @property
    def kind(self) -> str:
        """What people call its type."""
        return _KINDS[type(self.default)]


_KINDS: Mapping[type, str] = {str: "text", int: "whole number", bool: "yes or no"}

TABLE = (
    Setting(
        "CARBOY_PROFILE",
        "",
        "`development`, `testing` or `production`; empty for what TESTING and DEBUG say.",
    ),
    Setting("CARBOY_PREFIX", "/api", "The path under which the API stands."),
    Setting("CARBOY_HEALTH_PATH", "/health", "The path of the health checks; empty for none."),
    Setting("CARBOY_ADMIN_PATH", "/admin", "The path of what admins alone see; empty for none."),
    Setting(
        "CARBOY_HEALTH_TIMEOUT_MS",
        1000,
        "Milliseconds within which the database must answer to be called healthy.",
        1,
    ),
    Setting(
        "CARBOY_METRICS",
        "off",
        "Whom `/metrics` is for: `off` for nobody, `closed` for the roles `metrics` and `admin`, "
        "`open` for everybody.",
    ),
    Setting(
        "CARBOY_LOG",
        "",
        "`text` or `json` writes logs to stderr in that form, with a line a request; empty leaves "
        "that to the application.",
    ),
    Setting(
        "CARBOY_SLOW_STATEMENT_MS",
        1000,
        "Statements that take longer are logged, without their values; 0 for none.",
    ),
    Setting(
        "CARBOY_SERVER_TIMING",
        False,
        "Whether answers tell how long each stage took.",
    ),
    Setting("CARBOY_PAGE_SIZE", 20, "Rows of a list that asks for no limit.", 1),
    Setting("CARBOY_MAX_PAGE_SIZE", 1000, "The largest limit or per_page.", 1),
    Setting("CARBOY_MAX_DEPTH", 5, "How deep embeds may nest; 0 allows none."),
    Setting("CARBOY_MAX_EMBEDS", 20, "How many embeds one request may have."),
    Setting("CARBOY_MAX_FILTERS", 100, "How many conditions, list values and search words."),
    Setting("CARBOY_MAX_FIELDS", 500, "How many fields one select may name.", 1),
    Setting("CARBOY_MAX_URL_LENGTH", 8192, "The longest query string, in bytes.", 256),
    Setting("CARBOY_MAX_BODY_BYTES", 16 * 2**20, "The largest request body.", 1),
    Setting(
        "CARBOY_MAX_IMPORT_BYTES",
        4 * 2**30,
        "The largest import, in CSV or NDJSON; a row of it may be as large as a body.",
        1,
    ),
    Setting("CARBOY_IMPORT_DEADLINE", 600, "Seconds that an import may take.", 1),
    Setting("CARBOY_MAX_JSON_DEPTH", 64, "How deep the JSON of a body may nest.", 2),
    Setting("CARBOY_MAX_ROWS", 10_000, "The most rows that one request may write.", 1),
    Setting("CARBOY_IDEMPOTENCY_HOURS", 24, "How long an Idempotency-Key is remembered.", 1),
    Setting(
        "CARBOY_HISTORY_DAYS",
        0,
        "How many days of history `carboy history prune` leaves; 0 for all.",
    ),
    Setting("CARBOY_ESTIMATE_ABOVE", 1000, "count=estimated counts exactly up to this many rows."),
    Setting("CARBOY_SEARCH_CONFIG", "simple", "PostgreSQL's text search configuration for q=."),
    Setting(
        "CARBOY_DIRECT_READS",
        True,
        "Whether reads are answered in front of Flask's dispatch where the application has "
        "registered nothing that should see them.",
    ),
    Setting(
        "CARBOY_CORS_ORIGINS",
        "",
        "Origins whose pages may use the API, with commas between; `*` for all, empty for none.",
    ),
    Setting("CARBOY_CORS_CREDENTIALS", False, "Whether these pages may send cookies."),
    Setting("CARBOY_CORS_MAX_AGE", 600, "Seconds for which browsers may keep a preflight."),
    Setting(
        "CARBOY_RATE_LIMIT",
        "",
        "Requests of an actor, or of an address, such as `100/minute;2000/hour`; empty for any "
        "number.",
    ),
    Setting("CARBOY_RATE_LIMIT_WRITES", "", "Writes, which count as requests too."),
    Setting(
        "CARBOY_RATE_LIMIT_STORAGE",
        "memory://",
        "Where requests are counted: in each process, or in a Redis (`redis://...`) for all.",
    ),
    Setting(
        "CARBOY_TRUSTED_PROXIES",
        0,
        "How many proxies of your own stand in front; they say the client's address and scheme.",
    ),
    Setting(
        "CARBOY_REPLICA_URL",
        "",
        "A streaming replica of the default database (PostgreSQL), to read from; empty for none.",
    ),
    Setting("CARBOY_JOBS_PATH", "jobs", "The path of jobs, below CARBOY_PREFIX."),
    Setting(
        "CARBOY_JOBS_BROKER",
        "",
        "The Redis (`redis://...`) by which Celery runs jobs; empty: Carboy runs them itself.",
    ),
    Setting(
        "CARBOY_JOBS_THREADS",
        4,
        "How many jobs run at a time beside `carboy serve`, or in `carboy worker`; 0: `carboy "
        "serve` runs none.",
    ),
    Setting(
        "CARBOY_JOBS_LEASE",
        30,
        "Seconds after which the job of a worker that was killed is taken by another.",
        1,
    ),
    Setting("CARBOY_JOBS_TIMEOUT", 3600, "Seconds that an attempt at a job may take.", 1),
    Setting("CARBOY_JOBS_DAYS", 7, "How many days a job is kept after it has ended; 0 for ever."),
    Setting(
        "CARBOY_BACKUP_URL",
        "",
        "Where backups are kept: a folder, or a URL that fsspec knows, such as `s3://...`.",
    ),
    Setting(
        "CARBOY_BACKUP_SCHEDULE",
        "",
        "When a job makes a backup: a cron expression in UTC, such as `15 3 * * *`; empty for "
        "never.",
    ),
    Setting("CARBOY_BACKUP_KEEP", 7, "How many backups of a database are kept; 0 for all."),
    Setting(
        "CARBOY_CACHE_URL",
        "memory://",
        "Where answers are kept that a resource or a view has cached: in each process, or in a "
        "Redis (`redis://...`) for all.",
    ),
    Setting("CARBOY_CACHE_BYTES", 64 * 2**20, "How much a process keeps with `memory://`."),
    Setting(
        "CARBOY_CACHE_FOLDER",
        "",
        "The folder by which processes of one machine tell each other of writes; empty for "
        "`/dev/shm`, or the one for temporary files.",
    ),
    Setting("CARBOY_STATEMENT_CACHE", 1024, "Compiled statements kept by each process.", 1),
    Setting(
        "CARBOY_ROW_SECURITY",
        False,
        "Whether PostgreSQL's row-level security is told who asks, in each transaction.",
    ),
    Setting(
        "CARBOY_DEADLINE",
        15,
        "Seconds that a request may take; what it waits for in the database is ended then.",
        1,
    ),
    Setting(
        "CARBOY_EXPORT_DEADLINE",
        600,
        "Seconds that an export may take, however slowly it is read.",
        1,
    ),
    Setting(
        "CARBOY_EXPORTS",
        4,
        "Exports of a process at a time, each with a connection; half of the pool's at most.",
        1,
    ),
    Setting(
        "CARBOY_QUEUE",
        100,
        "Requests of a process that may wait for a connection; more are turned away at once.",
    ),
    Setting("CARBOY_JWT_SECRET", "", "The secret of tokens by HS256: 32 random bytes or more."),
    Setting("CARBOY_JWT_PUBLIC_KEY", "", "The key of tokens by RS256, ES256 or EdDSA, in PEM."),
    Setting("CARBOY_JWT_JWKS", "", "Or a set of such keys: a file, or an https:// URL."),
    Setting(
        "CARBOY_JWT_ALGORITHMS",
        "",
        "Takes fewer algorithms than the key is for; names with spaces between.",
    ),
    Setting("CARBOY_JWT_ISSUER", "", "The iss that tokens must have."),
    Setting(
        "CARBOY_JWT_AUDIENCE",
        "",
        "The aud that tokens must have; empty for tokens without one.",
    ),
    Setting("CARBOY_JWT_LEEWAY", 30, "Seconds by which clocks may differ (exp, nbf, iat)."),
    Setting("CARBOY_JWT_ID_CLAIM", "sub", "The claim that is the actor's id."),
    Setting(
        "CARBOY_JWT_ROLES_CLAIM",
        "roles",
        "The claim with the roles, or the way to it: realm_access.roles.",
    ),
    Setting(
        "CARBOY_TRUSTED_ORIGINS",
        "",
        "Other origins whose pages may write with a login's cookie; with spaces between.",
    ),
)

# What a profile changes of the defaults, which are production's. While it is developed and tested,
# an application sees all requests as Flask dispatches them: `with client:` keeps their context.
PROFILES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "development": {
            "CARBOY_DIRECT_READS": False,
            "CARBOY_LOG": "text",
            "CARBOY_SERVER_TIMING": True,
        },
        "testing": {"CARBOY_DIRECT_READS": False},
        "production": {},
    }
)


class SettingError(ValueError):
    """A setting has a value that it can't take; the message names it and what it takes."""


class Settings(Struct, frozen=True):
    """The values; each is named like its row of the table, in lower case without the prefix."""

    profile: str = "production"
    prefix: str = "/api"
    health_path: str = "/health"
    admin_path: str = "/admin"
    health_timeout_ms: int = 1000
    metrics: str = "off"
    log: str = ""
    slow_statement_ms: int = 1000
    server_timing: bool = False
    page_size: int = 20
    max_page_size: int = 1000
    max_depth: int = 5
    max_embeds: int = 20
    max_filters: int = 100
    max_fields: int = 500
    max_url_length: int = 8192
    max_body_bytes: int = 16 * 2**20
    max_import_bytes: int = 4 * 2**30
    import_deadline: int = 600
    max_json_depth: int = 64
    max_rows: int = 10_000
    idempotency_hours: int = 24
    history_days: int = 0
    estimate_above: int = 1000
    search_config: str = "simple"
    direct_reads: bool = True
    cors_origins: str = ""
    cors_credentials: bool = False
    cors_max_age: int = 600
    rate_limit: str = ""
    rate_limit_writes: str = ""
    rate_limit_storage: str = "memory://"
    trusted_proxies: int = 0
    replica_url: str = ""
    jobs_path: str = "jobs"
    jobs_broker: str = ""
    jobs_threads: int = 4
    jobs_lease: int = 30
    jobs_timeout: int = 3600
    jobs_days: int = 7
    backup_url: str = ""
    backup_schedule: str = ""
    backup_keep: int = 7
    cache_url: str = "memory://"
    cache_bytes: int = 64 * 2**20
    cache_folder: str = ""
    statement_cache: int = 1024
    row_security: bool = False
    deadline: int = 15
    export_deadline: int = 600
    exports: int = 4
    queue: int = 100
    jwt_secret: str = ""
    jwt_public_key: str = ""
    jwt_jwks: str = ""
    jwt_algorithms: str = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_leeway: int = 30
    jwt_id_claim: str = "sub"
    jwt_roles_claim: str = "roles"
    trusted_origins: str = ""

    def __repr__(self) -> str:
        # There are secrets among them, and tracebacks end up in many places.
        return f"<Settings of {self.prefix!r}>"


_START = "CARBOY_"
_NAMES = frozenset(row.name for row in TABLE)
_FALSE, _TRUE = ("0", "false", "no", "off"), ("1", "true", "yes", "on")
# Kubernetes tells every container where its services are, a service "carboy" among them:
# CARBOY_SERVICE_HOST, CARBOY_PORT_8000_TCP_ADDR.
_OF_KUBERNETES = re.compile(
    r"CARBOY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?"
    r"|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


class Source(Struct, frozen=True):
    """Where values come from, and what messages call it."""

    name: str
    values: Mapping[str, Any]


def outside() -> tuple[Source, ...]:
    """The process's environment and ``.env``: what an application's config may leave to them.

    ``.env`` is the one in the current folder, or in the nearest above it, as ``flask run`` finds
    it; FLASK_SKIP_DOTENV leaves it out. Raises SettingError where it can't be read.
    """
    given = {
        name: value
        for name, value in os.environ.items()
        if name in _NAMES or (name.startswith(_START) and not _OF_KUBERNETES.fullmatch(name))
    }
    return Source("the environment", given), Source(".env", _dotenv())


def unread_dotenv() -> bool:
    """Whether the current folder has a ``.env``, which isn't read without python-dotenv."""
    if not get_load_dotenv() or not Path(".env").is_file():
        return False
    try:
        import dotenv  # noqa: F401  whether it is there
    except ModuleNotFoundError:
        return True
    return False


def read_settings(config: Mapping[str, Any], others: tuple[Source, ...] = ()) -> Settings:
    """The settings from Flask's config, then ``others`` in their order, the profile, the defaults.

    Raises SettingError for unknown names that start with ``CARBOY_``, and for values of the wrong
    type. No message has the value of a secret.
    """
    sources = (Source("app.config", config), *others)
    for source in sources:
        _refuse_unknown(source)
    profile = _profile(config, sources)
    sources = (*sources, Source(f"the profile {profile}", PROFILES[profile]))
    values = {_attribute(row): _find(row, sources) for row in TABLE}
    return Settings(**{**values, "profile": profile})


def _dotenv() -> Mapping[str, str | None]:
    if not get_load_dotenv():
        return {}
    try:
        from dotenv import dotenv_values, find_dotenv
    except ModuleNotFoundError:
        return {}
    path = find_dotenv(usecwd=True)
    try:
        found = dotenv_values(path) if path else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} can't be read: {error}") from None
    return {name: value for name, value in found.items() if name.startswith(_START)}


def _refuse_unknown(source: Source) -> None:
    for name in source.values:
        if name.startswith(_START) and name not in _NAMES:
            nearest = get_close_matches(name, _NAMES, 1, cutoff=0)[0]
            raise SettingError(f"{name}, in {source.name}, is no setting; did you mean {nearest}?")


def _profile(config: Mapping[str, Any], sources: tuple[Source, ...]) -> str:
    named = _find(TABLE[0], sources)
    if named == "":
        if config.get("TESTING"):
            return "testing"
        return "development" if config.get("DEBUG") else "production"
    if named not in PROFILES:
        known = ", ".join(PROFILES)
        raise SettingError(f"CARBOY_PROFILE must be one of {known}, not {named!r}")
    return str(named)


def _attribute(row: Setting) -> str:
    return row.name.removeprefix(_START).lower()


def _find(row: Setting, sources: tuple[Source, ...]) -> Any:
    """The value of the first source that has one; the default where none has."""
    for source in sources:
        value = source.values.get(row.name)
        if value is not None:
            return _value(row, value, f"{row.name}, in {source.name},")
    return row.default


def _value(row: Setting, value: Any, name: str) -> Any:
    match row.default:
        case bool():
            return _yes_or_no(value, name)
        case int():
            return _number(row, value, name)
    if isinstance(value, str):
        return value
    raise SettingError(f"{name} must be text, not of type {type(value).__name__}")


def _yes_or_no(value: Any, name: str) -> bool:
    text = str(value).strip().lower()
    if not isinstance(value, str | int) or text not in (*_FALSE, *_TRUE):
        raise SettingError(f"{name} must be yes or no (true or false, 1 or 0), not {value!r}")
    return text in _TRUE


def _number(row: Setting, value: Any, name: str) -> int:
    try:
        number = int(value) if isinstance(value, str | int) else None
    except ValueError:
        number = None
    if number is None or isinstance(value, bool):
        raise SettingError(f"{name} must be a whole number, not {value!r}")
    if number < row.minimum:
        raise SettingError(f"{name} must be at least {row.minimum}, not {number}")
    return number
