"""What ``python -m examples`` does: fill an example's database once, and serve it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator

import sqlalchemy as sa
from flask import Flask
from flask_migrate import stamp, upgrade
from flask_sqlalchemy import SQLAlchemy
from rich.console import Console
from rich.progress import track

from carboy.ops.api_keys import create_key
from carboy.ops.migrate import find_migrations, migration_state
from carboy.serve import ServerOptions, Target, TargetError, reserve, run

HOST = "127.0.0.1"
THREADS = 4
"""No more than the pool has connections for."""
ADMIN = "1"
"""The id of the first user."""
BATCH = 250
"""Rows between two looks of the progress bar at the database."""
UNMIGRATED = {"blog": "0002", "cars": "0001"}
"""What the tables are that were made before there were migrations."""
PAGES = {
    "blog": (
        "/api/posts?select=id,title,author(username),category(name),tags(name)&limit=5",
        "/api/posts?select=id,title&q=sourdough&page=1",
        "/posts/search?q=night+train&tag=story",
        "/analytics/posts-per-category",
        "/users?page=1&per_page=10",
    ),
    "cars": ("/cars", "/cars/1", "/api/cars?doors=eq.3&order=name"),
    "quickstart": ("/users/1", "/api/users", "/api/users?username=like.a*"),
}


def main() -> None:
    """Fill, say where to look, and serve until SIGTERM or Ctrl-C."""
    example = os.environ.get("EXAMPLE") or "blog"
    if example not in PAGES:
        sys.exit(f"EXAMPLE={example}: the examples are {', '.join(PAGES)}")
    port = free_port(os.environ.get("PORT") or "8000")
    if not os.environ.get("DATABASE_URL"):
        os.environ.pop("DATABASE_URL", None)
    try:
        module = importlib.import_module(f"examples.{example}.app")
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        sys.exit(f"DATABASE_URL: {error}")
    key = fill(module.app, module.db, example)
    options = ServerOptions(HOST, port, threads=THREADS)
    run(Target(f"{module.__name__}:app"), options, ready=lambda: announce(example, port, key))


def free_port(text: str) -> int:
    """The port, if it is one and nobody listens there."""
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        sys.exit(f"PORT={text}: a port is a number from 1 to 65535")
    try:
        return reserve(HOST, int(text))[1]
    except TargetError as error:
        sys.exit(f"PORT={text}: {error}; choose another: make run PORT=8001")


def fill(app: Flask, db: SQLAlchemy, example: str) -> str | None:
    """Make the tables, and fill them if they are empty: all or nothing, in one transaction.

    Answers an API key for the new database: that of the first user, as its admin.
    """
    key = None
    with app.app_context():
        try:
            make_tables(app, db, example)
            if all(db.session.scalar(is_empty(table)) for table in db.metadata.sorted_tables):
                sample = importlib.import_module(f"examples.{example}.sample")
                for number, row in enumerate(progress(sample.sample(), sample.SIZE), 1):
                    db.session.add(row)
                    if number % BATCH == 0:
                        db.session.flush()
                db.session.commit()
                key = create_key(db.engine, "make run", ["admin"], id=ADMIN)
        except sa.exc.DBAPIError as error:
            sys.exit(f"{db.engine.url!r}: {error.orig}")
        db.session.remove()
        db.engine.dispose()
    return key


def make_tables(app: Flask, db: SQLAlchemy, example: str) -> None:
    """Run the migrations that the database doesn't have; an example without any has its models."""
    migrations = find_migrations(app.extensions)
    if migrations is None:
        db.create_all()
        return
    existing = sa.inspect(db.engine).get_table_names()
    if not migration_state(migrations).current and set(db.metadata.tables) <= set(existing):
        print("The tables are older than their migrations, and keep their rows.", file=sys.stderr)
        stamp(revision=UNMIGRATED[example])
    if migration_state(migrations).pending:
        upgrade()


def is_empty(table: sa.Table) -> sa.Select[bool]:
    """The question whether a table has no rows."""
    return sa.select(~sa.select(table).exists())


def progress(rows: Iterator[object], size: int) -> Iterator[object]:
    """The same rows, with a progress bar in a terminal and a few lines elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(rows, "Making sample data", size, console=console)
        return
    for number, row in enumerate(rows, 1):
        yield row
        if number % (size // 4 or 1) == 0:
            print(f"Making sample data: {number} of {size} rows", file=sys.stderr)


def announce(example: str, port: int, key: str | None) -> None:
    """Say which addresses are worth opening, and what it takes to write."""
    print(f"Serving examples/{example}. Worth opening:")
    for page in PAGES[example]:
        print(f"  http://{HOST}:{port}{page}")
    print("Ctrl-C stops it.")
    if key is not None:
        print("To write, send this key of an admin, which is shown only now:")
        print(f"  Authorization: Bearer {key}", flush=True)
    else:
        database = "DATABASE_URL=... " if "DATABASE_URL" in os.environ else ""
        target = f"examples.{example}.app:app --name me --id {ADMIN} --role admin"
        print("To write, make a key:")
        print(f"  {database}.venv/bin/carboy keys create {target}", flush=True)
