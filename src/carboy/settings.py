"""The settings, as one table, read once in ``init_app`` into a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Setting(Struct, frozen=True):
    """One row of the table; ``minimum`` bounds integers."""

    name: str
    default: str | int
    help: str
    minimum: int = 0


TABLE = (
    Setting("CARBOY_PREFIX", "/api", "The path under which the API stands."),
    Setting("CARBOY_PAGE_SIZE", 20, "Rows of a list that asks for no limit.", 1),
    Setting("CARBOY_MAX_PAGE_SIZE", 1000, "The largest limit or per_page.", 1),
    Setting("CARBOY_MAX_DEPTH", 5, "How deep embeds may nest; 0 allows none."),
    Setting("CARBOY_MAX_EMBEDS", 20, "How many embeds one request may have."),
    Setting("CARBOY_MAX_FILTERS", 100, "How many conditions, list values and search words."),
    Setting("CARBOY_MAX_FIELDS", 500, "How many fields one select may name.", 1),
    Setting("CARBOY_MAX_URL_LENGTH", 8192, "The longest query string, in bytes.", 256),
    Setting("CARBOY_MAX_BODY_BYTES", 16 * 2**20, "The largest request body.", 1),
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
        1,
        "Whether reads are answered in front of Flask's dispatch where the application has "
        "registered nothing that should see them; 0 for never.",
    ),
    Setting(
        "CARBOY_CORS_ORIGINS",
        "",
        "Origins whose pages may use the API, with commas between; `*` for all, empty for none.",
    ),
    Setting("CARBOY_CORS_CREDENTIALS", 0, "Whether these pages may send cookies; 1 for yes."),
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
    Setting("CARBOY_STATEMENT_CACHE", 1024, "Compiled statements kept by each process.", 1),
    Setting(
        "CARBOY_ROW_SECURITY",
        0,
        "Whether PostgreSQL's row-level security is told who asks, in each transaction; 1 for yes.",
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


class SettingError(ValueError):
    """A setting has a value that it can't take; the message names it and what it takes."""


class Settings(Struct, frozen=True):
    """The values; each is named like its row of the table, in lower case without the prefix."""

    prefix: str = "/api"
    page_size: int = 20
    max_page_size: int = 1000
    max_depth: int = 5
    max_embeds: int = 20
    max_filters: int = 100
    max_fields: int = 500
    max_url_length: int = 8192
    max_body_bytes: int = 16 * 2**20
    max_json_depth: int = 64
    max_rows: int = 10_000
    idempotency_hours: int = 24
    history_days: int = 0
    estimate_above: int = 1000
    search_config: str = "simple"
    direct_reads: int = 1
    cors_origins: str = ""
    cors_credentials: int = 0
    cors_max_age: int = 600
    rate_limit: str = ""
    rate_limit_writes: str = ""
    rate_limit_storage: str = "memory://"
    statement_cache: int = 1024
    row_security: int = 0
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


def read_settings(config: Mapping[str, Any]) -> Settings:
    """The settings from Flask's config."""
    return Settings(**{_attribute(row): _value(row, config.get(row.name)) for row in TABLE})


def _attribute(row: Setting) -> str:
    return row.name.removeprefix("CARBOY_").lower()


def _value(row: Setting, value: Any) -> Any:
    if value is None:
        return row.default
    if isinstance(row.default, str):
        if isinstance(value, str):
            return value
        raise SettingError(f"{row.name} must be text, not of type {type(value).__name__}")
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise SettingError(f"{row.name} must be a whole number, not {value!r}") from None
    if number < row.minimum:
        raise SettingError(f"{row.name} must be at least {row.minimum}, not {number}")
    return number
