"""What ``carboy check`` looks at: one small function for each fault, and the table of them.

An error is unsafe, or fails; a warning may be meant, or may become slow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import sqlalchemy as sa
from msgspec import Struct

from . import (
    check_access,
    check_backup,
    check_database,
    check_jobs,
    check_migrations,
    check_settings,
)
from .checked import Checked, Fault

Level: TypeAlias = Literal["error", "warning"]


class Finding(Struct, frozen=True):
    """A fault, what it means here, and what to do about it."""

    name: str
    level: Level
    detail: str
    fix: str


class Check(Struct, frozen=True):
    """One row of the table; ``finds`` says in a sentence what is a fault."""

    name: str
    level: Level
    finds: str
    run: Callable[[Checked], Iterable[Fault]]


CHECKS = (
    Check(
        "debug",
        "error",
        "`DEBUG` is on, so that errors show code, or `TESTING` is.",
        check_settings.debug,
    ),
    Check(
        "profile",
        "warning",
        "`CARBOY_PROFILE` isn't `production`.",
        check_settings.profile,
    ),
    Check(
        "secret-key",
        "error",
        "`SECRET_KEY` is missing, short, or one that is found in examples.",
        check_settings.secret_key,
    ),
    Check(
        "jwt-secret",
        "error",
        "`CARBOY_JWT_SECRET` is found in examples, repeats itself, or is `SECRET_KEY`.",
        check_settings.jwt_secret,
    ),
    Check(
        "cors-any",
        "warning",
        "`CARBOY_CORS_ORIGINS` is `*`: every page may read what anybody may.",
        check_settings.cors_any,
    ),
    Check(
        "http-origin",
        "warning",
        "An origin in `CARBOY_CORS_ORIGINS` or `CARBOY_TRUSTED_ORIGINS` is without TLS.",
        check_settings.http_origin,
    ),
    Check(
        "cookie-secure",
        "warning",
        "The application has a login, and `SESSION_COOKIE_SECURE` is off.",
        check_settings.cookie_secure,
    ),
    Check(
        "rate-limit",
        "warning",
        "`CARBOY_RATE_LIMIT` is empty.",
        check_settings.rate_limit,
    ),
    Check(
        "rate-limit-memory",
        "warning",
        "Several workers each count requests for themselves.",
        check_settings.rate_limit_memory,
    ),
    Check(
        "open-metrics",
        "warning",
        "`CARBOY_METRICS` is `open`.",
        check_settings.open_metrics,
    ),
    Check(
        "server-timing",
        "warning",
        "`CARBOY_SERVER_TIMING` is on in production.",
        check_settings.server_timing,
    ),
    Check(
        "dotenv",
        "warning",
        "There is a file `.env`, and no `python-dotenv` to read it.",
        check_settings.dotenv,
    ),
    Check(
        "driver",
        "warning",
        "The PostgreSQL driver is another than psycopg, or psycopg without its C part.",
        check_settings.driver,
    ),
    Check(
        "sqlite-workers",
        "warning",
        "Several workers write to one SQLite file.",
        check_settings.sqlite_workers,
    ),
    Check(
        "jobs-broker",
        "error",
        "`CARBOY_JOBS_BROKER` can't be reached, or Celery isn't installed.",
        check_jobs.broker,
    ),
    Check(
        "pool",
        "warning",
        "A worker has more threads than its engine has connections.",
        check_settings.pool,
    ),
    Check(
        "backup",
        "warning",
        "`CARBOY_BACKUP_URL` is empty in production, or has no verified backup of the last day.",
        check_backup.backup,
    ),
    Check(
        "policy-raises",
        "error",
        "A policy's rule raises for an actor: nobody, a signed-in one, one with every role.",
        check_access.policy_raises,
    ),
    Check(
        "open-writes",
        "error",
        "Without credentials, anybody may change or delete every row.",
        check_access.open_writes,
    ),
    Check(
        "open-creates",
        "warning",
        "Without credentials, anybody may create rows.",
        check_access.open_creates,
    ),
    Check(
        "secret-fields",
        "error",
        "A field that is named like a secret may be read without a role.",
        check_access.secret_fields,
    ),
    Check(
        "open-reads",
        "warning",
        "Without credentials, anybody may read all fields of every row.",
        check_access.open_reads,
    ),
    Check(
        "replica",
        "error",
        "`CARBOY_REPLICA_URL` can't be reached, or isn't a replica.",
        check_database.replica,
    ),
)
DATABASE_CHECKS = (
    Check(
        "tables",
        "error",
        "A resource's table isn't in the database.",
        check_database.tables,
    ),
    Check(
        "max-connections",
        "warning",
        "The pools of all workers may open more connections than the database takes.",
        check_database.max_connections,
    ),
    Check(
        "prepared-statements",
        "warning",
        "A pooler such as PgBouncer is in front of PostgreSQL, and `prepare_threshold` is set.",
        check_database.prepared_statements,
    ),
    Check(
        "api-keys",
        "warning",
        "An API key never expires.",
        check_database.api_keys,
    ),
    Check(
        "jobs-waiting",
        "warning",
        "Background jobs have been due for minutes, and nothing has taken them.",
        check_jobs.waiting,
    ),
    Check(
        "jobs-dead",
        "warning",
        "Background jobs have failed for good.",
        check_jobs.dead,
    ),
    Check(
        "search-index",
        "warning",
        "A resource's search fields have no index.",
        check_database.search_index,
    ),
    Check(
        "relation-index",
        "warning",
        "A relation's column has no index: each row of a list scans the other table.",
        check_database.relation_index,
    ),
    Check(
        "migrations",
        "error",
        "With Flask-Migrate: the database is without some of the migrations.",
        check_migrations.pending,
    ),
    Check(
        "unknown-migration",
        "warning",
        "With Flask-Migrate: the database has a migration that the code doesn't.",
        check_migrations.unknown,
    ),
    Check(
        "models",
        "warning",
        "With Flask-Migrate: the models differ from the database that the migrations make.",
        check_migrations.models,
    ),
)
REACHABLE = Check(
    "database",
    "error",
    "The database can't be reached; what is asked of it is left out.",
    check_database.unreachable,
)


def check(app: Checked) -> list[Finding]:
    """Everything that is wrong or unsafe, errors first."""
    with warnings.catch_warnings():
        # Types and indexes that SQLAlchemy doesn't know; no check needs them.
        warnings.simplefilter("ignore", sa.exc.SAWarning)
        found = [*_findings(CHECKS, app)]
        for part in app.databases():
            found += [*_findings((REACHABLE,), part)] or _findings(DATABASE_CHECKS, part)
    return sorted(found, key=lambda finding: finding.level)


def _findings(checks: Iterable[Check], app: Checked) -> Iterator[Finding]:
    for each in checks:
        for fault in each.run(app):
            yield Finding(each.name, each.level, fault.detail, fault.fix)
