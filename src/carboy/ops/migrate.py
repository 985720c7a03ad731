"""Migrations with Flask-Migrate: which the database has, and which wait.

Nothing here runs a migration; ``flask db upgrade`` does. Alembic comes with Flask-Migrate, and is
imported only where an application has that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.engine import Engine

from ..errors import CommandError
from ..schema import UTCDateTime

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_TABLES = "carboy_"
_SEARCH_TABLES = "_carboy_fts"
_SEARCH_INDEXES = "_carboy_search"


class MigrationsError(CommandError):
    """The folder of migrations can't be read; the message says why."""


class Migrations(Struct, frozen=True, eq=False):
    """An application's migrations, read from their folder once.

    ``options`` are those that env.py is to give to Alembic; ``metadata`` is None where only env.py
    knows the models, as with Flask-SQLAlchemy-Lite.
    """

    script: ScriptDirectory
    engine: Engine
    metadata: sa.MetaData | None
    options: Mapping[str, Any]
    command: str

    def upgrade(self, app: str) -> str:
        """The command that runs what is pending, for an application as ``flask --app`` takes it."""
        return f"flask --app {app} {self.command} upgrade"


class MigrationState(Struct, frozen=True):
    """Where a database is: its own revisions, the folder's newest, and those that wait, in order.

    ``unknown`` are revisions of the database that the folder doesn't have, as where older code
    runs on a database that is ahead of it; then nothing is ``pending``.
    """

    current: tuple[str, ...]
    heads: tuple[str, ...]
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def find_migrations(extensions: Mapping[str, Any]) -> Migrations | None:
    """What Flask-Migrate knows of an application, by ``app.extensions``, in its context.

    None without Flask-Migrate, or without a folder. Raises MigrationsError.
    """
    known = extensions.get("migrate")
    if known is None or not Path(known.directory).is_dir():
        return None
    from alembic.script import ScriptDirectory

    try:
        script = ScriptDirectory.from_config(known.migrate.get_config())
        script.get_heads()
    except Exception as error:
        # Revisions are Python files of the application's own.
        raise MigrationsError(f"migrations in {known.directory} can't be read: {error}") from error
    return Migrations(
        script=script,
        engine=known.db.engine,
        metadata=getattr(known.db, "metadata", None),
        options=known.configure_args,
        command=known.migrate.command,
    )


def migration_state(migrations: Migrations) -> MigrationState:
    """Which migrations the database has, and which wait; one short query.

    Raises SQLAlchemyError where the database can't be asked.
    """
    from alembic.runtime.migration import MigrationContext

    with migrations.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=dict(migrations.options))
        current = tuple(sorted(context.get_current_heads()))
    heads = tuple(migrations.script.get_heads())
    known = {revision.revision for revision in migrations.script.walk_revisions()}
    unknown = tuple(revision for revision in current if revision not in known)
    if unknown:
        return MigrationState(current, heads, unknown=unknown)
    waiting = migrations.script.iterate_revisions("heads", current, implicit_base=True)
    pending = tuple(revision.revision for revision in waiting)[::-1]
    return MigrationState(current, heads, pending)


def changed_tables(migrations: Migrations) -> list[str]:
    """The tables that ``flask db migrate`` would change, for their models are others by now.

    To be asked of a database that has every migration. It goes by what Migrate was given; what an
    env.py adds to that isn't known here.
    """
    if migrations.metadata is None:
        return []
    from alembic.autogenerate import produce_migrations
    from alembic.runtime.migration import MigrationContext

    with migrations.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=dict(migrations.options))
        upgrade = produce_migrations(context, migrations.metadata).upgrade_ops
    assert upgrade is not None
    return sorted({str(getattr(op, "table_name", type(op).__name__)) for op in upgrade.ops})


def prepare(extensions: Mapping[str, Any]) -> None:
    """Let ``flask db migrate`` leave alone what Carboy has made, and import what it writes.

    It goes through the options of Flask-Migrate, which the application's own ones stay behind.
    """
    known = extensions.get("migrate")
    if known is None:
        return
    options = known.configure_args
    include_name, render_item = options.get("include_name"), options.get("render_item")

    def include(name: str | None, type_: str, parents: Any) -> bool:
        if name is not None and _is_own(name, type_):
            return False
        return include_name is None or include_name(name, type_, parents)

    def render(type_: str, object_: Any, context: Any) -> str | Literal[False]:
        if type(object_) is UTCDateTime:
            context.imports.add("import carboy")
            return "carboy.UTCDateTime()"
        return render_item is not None and render_item(type_, object_, context)

    options |= {"include_name": include, "render_item": render}


def _is_own(name: str, type_: str) -> bool:
    """Whether ``execute.tables`` or ``ops.search_index`` has made it."""
    if type_ == "table":
        return name.startswith(_TABLES) or _SEARCH_TABLES in name
    return type_ == "index" and name.endswith(_SEARCH_INDEXES)
