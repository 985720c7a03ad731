"""Checks of an application's migrations, where it has Flask-Migrate and a folder of them."""

from __future__ import annotations

from collections.abc import Iterator

from .checked import Checked, Fault, listed
from .migrate import changed_tables, migration_state


def pending(app: Checked) -> Iterator[Fault]:
    """The code expects tables and columns that aren't there yet."""
    if app.migrations is None:
        return
    state = migration_state(app.migrations)
    if state.pending:
        yield Fault(
            f"the database is without the migrations {listed(list(state.pending))}",
            app.migrations.upgrade("..."),
        )


def unknown(app: Checked) -> Iterator[Fault]:
    """Another version of the code has migrated the database."""
    if app.migrations is None:
        return
    state = migration_state(app.migrations)
    if state.unknown:
        yield Fault(
            f"the database is at {listed(list(state.unknown))}, which isn't among the migrations",
            "deploy the code that has them; or if they are gone for good, flask db stamp",
        )


def models(app: Checked) -> Iterator[Fault]:
    """A change of the models that nobody has made a migration for."""
    if app.migrations is None:
        return
    state = migration_state(app.migrations)
    if state.pending or state.unknown:
        return
    names = changed_tables(app.migrations)
    if names:
        yield Fault(
            f"the models differ from the migrated database: {listed(names)}",
            "flask db migrate makes the migration; or name what it should leave alone: "
            "Migrate(..., include_name=...)",
        )
