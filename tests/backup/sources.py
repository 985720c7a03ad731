"""Databases to back up: what a schema may have, on each kind of server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from click.testing import CliRunner

from carboy.cli import main
from carboy.ops.backup import database
from carboy.ops.backup.backups import no_step
from carboy.ops.backup.manifest import Contents

POSTGRESQL = """
CREATE TYPE mood AS ENUM ('calm', 'wild');
CREATE TABLE people (id serial PRIMARY KEY, name text, mood mood, weight double precision,
    extra jsonb, photo bytea, at timestamptz DEFAULT now(),
    size varchar(3) CHECK (size IN ('s', 'm')));
CREATE TABLE visits (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who int REFERENCES people);
CREATE VIEW small AS SELECT name, size FROM people WHERE size IN ('s');
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM people;
CREATE INDEX ON people (lower(name));
CREATE FUNCTION as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER seen BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION as_it_is();
CREATE SCHEMA "Other";
CREATE TABLE "Other"."We ird" ("T" int, t int, hashes text);
CREATE TABLE empty ();
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE alembic_version (version_num varchar(32));
CREATE SEQUENCE tickets;
INSERT INTO people (name, mood, weight, extra, photo, size)
    SELECT 'ä' || i, 'wild', i / 3.0, '{"a": [1, null]}', '\\x00ff27', 's'
    FROM generate_series(1, 500) i;
INSERT INTO people (name) VALUES (NULL), (''), (E'a\\nb''c\\\\');
INSERT INTO visits (who) VALUES (1), (2);
INSERT INTO "Other"."We ird" VALUES (1, 2, '3');
INSERT INTO parts VALUES (7);
INSERT INTO alembic_version VALUES ('1a2b3c');
SELECT nextval('tickets');
"""
MARIADB = """
CREATE TABLE people (id int AUTO_INCREMENT PRIMARY KEY, name text, weight double, small float,
    photo blob, bits bit(9), at timestamp DEFAULT now(), extra json, place point,
    price decimal(30, 10));
CREATE TABLE visits (id int AUTO_INCREMENT PRIMARY KEY, who int REFERENCES people (id));
CREATE FUNCTION twice(n double) RETURNS double DETERMINISTIC RETURN 2 * n;
CREATE VIEW heavy AS SELECT name, twice(weight) AS weight FROM people WHERE id > 5;
CREATE TRIGGER seen BEFORE INSERT ON people FOR EACH ROW SET NEW.bits = 3;
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM visits WHERE id = 77;
CREATE TABLE `We ird``x` (`T` int, h int);
CREATE TABLE alembic_version (version_num varchar(32));
CREATE SEQUENCE tickets;
INSERT INTO people (name, weight, small, photo, extra, place, price)
    SELECT CONCAT('ä', seq), seq / 3, seq / 4, UNHEX('00ff275c'), '{"a": [1, null]}',
    POINT(1, 2), seq / 3 FROM seq_1_to_500;
INSERT INTO people (name) VALUES (NULL), (''), ('a\\nb''c\\\\');
INSERT INTO visits (who) VALUES (1), (2);
INSERT INTO `We ird``x` VALUES (1, 2);
INSERT INTO alembic_version VALUES ('1a2b3c');
SELECT NEXTVAL(tickets);
"""
SQLITE = """
CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, weight REAL, photo BLOB);
CREATE TABLE visits (id INTEGER PRIMARY KEY, who INTEGER REFERENCES people);
CREATE VIEW heavy AS SELECT name FROM people WHERE weight > 5;
CREATE INDEX by_name ON people (name);
CREATE TRIGGER seen AFTER INSERT ON people BEGIN UPDATE people SET weight = 1 WHERE id = -1; END;
CREATE VIRTUAL TABLE words USING fts5(word);
CREATE TABLE "We ird""x" ("T", h);
CREATE TABLE alembic_version (version_num TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO people (name, weight, photo) SELECT 'ä' || i, i / 3.0, x'00ff27' FROM n;
INSERT INTO people (name) VALUES (NULL), (''), (CAST(x'ff00' AS TEXT));
INSERT INTO visits (who) VALUES (1), (2);
INSERT INTO words VALUES ('hello');
INSERT INTO alembic_version VALUES ('1a2b3c');
"""
_SCRIPTS = {"postgresql": POSTGRESQL, "mariadb": MARIADB, "sqlite": SQLITE}


def fill(url: str) -> None:
    """Make all of it in an empty database."""
    run(url, *_SCRIPTS[sa.make_url(url).get_backend_name()].split(";\n"))


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A transaction."""
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def run(url: str, *statements: str) -> None:
    """Execute statements as they are."""
    with connected(url) as connection:
        for statement in filter(str.strip, statements):
            connection.exec_driver_sql(statement.replace("%", "%%"))


def number(url: str, query: str) -> int:
    """The one number that a query answers."""
    with connected(url) as connection:
        return int(connection.exec_driver_sql(query).scalar() or 0)


def contents(url: str) -> Contents:
    """All that a database holds, as manifests have it."""
    return database.database_of(sa.make_url(url)).contents(no_step)


def carboy(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command to its end: its exit code and what it said."""
    done = CliRunner().invoke(main, arguments, env=environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output
