"""Whether a database has the migrations of the code that is to be served."""

from __future__ import annotations

import flask
import sqlalchemy as sa

from ..extension import settings_of
from ..ops.migrate import MigrationsError, find_migrations, migration_state
from .app import Served, Target
from .database import first_line
from .errors import TargetError


def require_migrated(served: Served, target: Target) -> str | None:
    """A warning, if any; in production, migrations that wait are a TargetError.

    A database that can't be asked is only warned of: the server answers 503 until it is back.
    """
    app = served.wsgi
    if target.is_database or served.api is None or not isinstance(app, flask.Flask):
        return None
    with app.app_context():
        try:
            fault = _fault(app, target.text)
        except sa.exc.SQLAlchemyError as error:
            reason = first_line(getattr(error, "orig", None) or error)
            return f"the database can't be asked for its migrations: {reason}"
    if fault is not None and settings_of(app).profile == "production":
        raise TargetError(fault)
    return fault


def _fault(app: flask.Flask, text: str) -> str | None:
    try:
        migrations = find_migrations(app.extensions)
    except MigrationsError as error:
        return str(error)
    if migrations is None:
        return None
    try:
        pending = migration_state(migrations).pending
    finally:
        # Each worker opens its own connections.
        migrations.engine.dispose()
    if not pending:
        return None
    waiting = "a migration waits" if len(pending) == 1 else f"{len(pending)} migrations wait"
    return f"{waiting} for the database; run: {migrations.upgrade(text)}"
