"""PostgreSQL: pg_dump and pg_restore, and contents of the snapshot that was dumped."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.conninfo import make_conninfo

from .database import Dumped, Read
from .manifest import BackupError, Contents, Manifest, Table, digest_of
from .programs import Step, found, read_from, write_to
from .store import Create

_DUMP = "database.dump"
_FOLDERS = "usr/lib/postgresql/*/bin"
_INSTALL = (
    "PostgreSQL's client programs (Debian: apt-get install postgresql-client-{version}; "
    "Fedora: dnf install postgresql; macOS: brew install libpq)"
)
_SWAP_SECONDS = 30

# Values and definitions are spelled the same in every session.
_SPELLING = """
    SET search_path = ''; SET row_security = off; SET datestyle = 'ISO, YMD';
    SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET bytea_output = 'hex';
    SET extra_float_digits = 1; SET xmlbinary = 'base64'; SET lc_monetary = 'C';
    SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
"""
# What belongs to an extension comes with it, and isn't dumped.
_RELATIONS = """
    SELECT c.oid, c.relkind, n.nspname, c.relname
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""
_HASH = """
    SELECT count(*), coalesce(sum(('x' || left(h, 16))::bit(64)::bigint), 0),
           coalesce(sum(('x' || substr(h, 17, 16))::bit(64)::bigint), 0)
    FROM (SELECT encode(sha256(convert_to((t.*)::text, 'UTF8')), 'hex') h FROM ONLY {} t) hashes
"""
_SEQUENCE = """
    SELECT last_value + CASE WHEN is_called THEN seqincrement::numeric ELSE 0 END
    FROM {} CROSS JOIN pg_catalog.pg_sequence WHERE seqrelid = %s
"""
_DEFINITIONS = f"""
    WITH own AS ({_RELATIONS})
    SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view '
               WHEN 'S' THEN 'sequence ' ELSE 'table ' END || format('%I.%I', nspname, relname),
           coalesce(string_agg(CASE WHEN attname IS NOT NULL THEN
               format('%I %s %s %s%s %s', attname, format_type(atttypid, atttypmod),
               attnotnull, attidentity, attgenerated, pg_get_expr(adbin, adrelid)) END, ', '
               ORDER BY attnum), '') || CASE WHEN relkind IN ('v', 'm')
               THEN pg_get_viewdef(own.oid) ELSE '' END
    FROM own LEFT JOIN pg_attribute a
        ON a.attrelid = own.oid AND attnum > 0 AND NOT attisdropped AND relkind <> 'S'
    LEFT JOIN pg_attrdef ON adrelid = own.oid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') GROUP BY own.oid, relkind, nspname, relname
    UNION ALL
    SELECT 'index ' || format('%I.%I', nspname, relname), pg_get_indexdef(oid)
    FROM own WHERE relkind IN ('i', 'I')
    UNION ALL
    SELECT 'constraint ' || format('%I.%I.%I', nspname, relname, conname),
           pg_get_constraintdef(k.oid)
    FROM own JOIN pg_constraint k ON conrelid = own.oid WHERE contype <> 'n'
    UNION ALL
    SELECT 'trigger ' || format('%I.%I.%I', nspname, relname, tgname), pg_get_triggerdef(t.oid)
    FROM own JOIN pg_trigger t ON tgrelid = own.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'policy ' || format('%I.%I.%I', nspname, relname, polname),
           concat_ws(' ', polcmd, polpermissive, pg_get_expr(polqual, polrelid),
               pg_get_expr(polwithcheck, polrelid))
    FROM own JOIN pg_policy ON polrelid = own.oid
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure::text, pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND prokind IN ('f', 'p')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
            AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'type ' || format('%I.%I', nspname, typname),
           string_agg(enumlabel, ',' ORDER BY enumsortorder)
    FROM pg_enum JOIN pg_type t ON t.oid = enumtypid JOIN pg_namespace n ON n.oid = typnamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
        AND d.objid = t.oid AND d.deptype = 'e')
    GROUP BY nspname, typname
    UNION ALL
    SELECT 'extension ' || extname, '' FROM pg_extension
"""  # noqa: S608  made of constants
# Restored expressions have their casts and parentheses in other places.
_CASTS = re.compile(r'::(?:"[^"]+"|[a-z_]+)(?:\.(?:"[^"]+"|[a-z_]+))?(?: varying)?|[\s()\[\],]')
_OPTIONS = """
    SELECT pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d) ->> 'datlocprovider',
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
    FROM pg_database d WHERE datname = current_database()
"""
_SETTINGS = """
    SELECT split_part(line, '=', 1), substr(line, strpos(line, '=') + 1)
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) line
    WHERE datname = %s AND setrole = 0
"""
_GRANTS = """
    SELECT privilege_type, rolname, is_grantable
    FROM pg_database, aclexplode(datacl) LEFT JOIN pg_roles r ON r.oid = grantee
    WHERE datname = %s
"""


class PostgreSQL:
    """A PostgreSQL database by its URL."""

    kind = "postgresql"

    def __init__(self, url: sa.URL) -> None:
        self.name = url.database or url.username or "postgres"
        plain = url.set(drivername="postgresql+psycopg", database=self.name)
        parameters = dict(plain.get_dialect()().create_connect_args(plain)[1])
        self._url = plain
        self._parameters = parameters
        # Lists of processes show what is on a command line.
        self._environment = {"PGPASSWORD": str(parameters.get("password", ""))}
        shown = {name: value for name, value in parameters.items() if name != "password"}
        self._conninfo = make_conninfo(**shown)

    def server(self) -> str:
        with self._connected() as connection:
            return _version(connection)

    def dump(self, create: Create, step: Step) -> Dumped:
        with self._connected() as connection, _faults():
            program, version = _program("pg_dump", connection.info.server_version // 10_000)
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            snapshot = _one(connection, "SELECT pg_export_snapshot()")[0]
            before = _sequences(connection)
            options = dict(zip(_OPTION_NAMES, _one(connection, _OPTIONS), strict=True))
            arguments = ["--format=custom", "--no-password", f"--snapshot={snapshot}"]
            with create(_DUMP) as output:
                command = [program, *arguments, f"--dbname={self._conninfo}"]
                read_from(command, output, self._environment)
            return Dumped(
                server=_version(connection),
                program=version,
                options={name: value for name, value in options.items() if value},
                contents=_contents(connection, before, step),
            )

    @contextmanager
    def loaded(self, manifest: Manifest, read: Read, *, owners: bool) -> Iterator[PostgreSQL]:
        scratch = PostgreSQL(self._url.set(database=f"carboy_{secrets.token_hex(6)}"))
        name = sql.Identifier(scratch.name)
        with self._elsewhere() as server:
            least = max(server.info.server_version // 10_000, int(manifest.program.split(".")[0]))
            program, _ = _program("pg_restore", least)
            arguments = ["--single-transaction", "--exit-on-error", "--no-password"]
            if not owners:
                arguments += ["--no-owner", "--no-privileges", "--no-publications"]
                arguments += ["--no-subscriptions", "--no-tablespaces", "--no-comments"]
            with _faults():
                server.execute(_creation(name, manifest.options))
            try:
                with closing(read(_DUMP)) as dump:
                    command = [program, *arguments, f"--dbname={scratch._conninfo}"]
                    write_to(command, dump, self._environment)
                yield scratch
            finally:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                server.execute(drop.format(name))

    def contents(self, step: Step) -> Contents:
        with self._connected() as connection, _faults():
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return _contents(connection, _sequences(connection), step)

    def is_empty(self) -> bool:
        with self._elsewhere() as server:
            if not _is_there(server, self.name):
                return True
        with self._connected() as connection, _faults():
            definitions = _definitions(connection)
        return all(name.startswith("extension ") for name in definitions)

    def take(self, scratch: PostgreSQL) -> None:
        """The scratch database gets this one's name, owner, grants and settings."""
        old = f"{scratch.name}_replaced"
        with self._elsewhere() as server, _faults():
            is_there = _is_there(server, self.name)
            if is_there:
                _copy_properties(server, self.name, scratch.name)
            end = time.monotonic() + _SWAP_SECONDS
            while not _swapped(server, self.name, scratch.name, old if is_there else None):
                if time.monotonic() > end:
                    raise BackupError(f"{self.name} is in use all the time; stop the servers")
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            server.execute(drop.format(sql.Identifier(old)))

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        with _faults():
            connection = psycopg.connect(**{"connect_timeout": "10", **self._parameters})
        with connection:
            connection.execute(_SPELLING)
            connection.commit()
            yield connection

    @contextmanager
    def _elsewhere(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection to another database of the server, from which this one can be renamed."""
        database = "template1" if self.name == "postgres" else "postgres"
        with _faults():
            other = {"connect_timeout": "10", **self._parameters, "dbname": database}
            # Read-only is meant for the target itself.
            connection = psycopg.connect(**other, autocommit=True)
        with connection:
            yield connection


_OPTION_NAMES = ("encoding", "collate", "ctype", "provider", "locale")


def _program(name: str, least: int) -> tuple[str, str]:
    return found([name], _FOLDERS, least, _INSTALL)


@contextmanager
def _faults() -> Iterator[None]:
    """What PostgreSQL refuses, as a BackupError."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        hint = ""
        if "create database" in str(error):
            hint = "; a scratch database takes ALTER ROLE ... CREATEDB"
        raise BackupError(f"PostgreSQL: {_line(error)}{hint}") from None
    except psycopg.Error as error:
        raise BackupError(f"PostgreSQL: {_line(error)}") from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _version(connection: psycopg.Connection[Any]) -> str:
    return str(connection.info.parameter_status("server_version")).partition(" ")[0]


def _one(connection: psycopg.Connection[Any], query: Any, *values: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = connection.execute(query, values or None).fetchone()
    assert found is not None
    return found


def _relations(
    connection: psycopg.Connection[Any], kind: str
) -> dict[str, tuple[int, sql.Identifier]]:
    """The tables (r) or sequences (S), in the order of their names."""
    found = connection.execute(f"{_RELATIONS} AND c.relkind = %s ORDER BY 3, 4", [kind])
    return {
        f"{schema}.{name}": (oid, sql.Identifier(schema, name)) for oid, _, schema, name in found
    }


def _sequences(connection: psycopg.Connection[Any]) -> dict[str, int]:
    return {
        name: int(_one(connection, sql.SQL(_SEQUENCE).format(quoted), oid)[0])
        for name, (oid, quoted) in _relations(connection, "S").items()
    }


def _contents(connection: psycopg.Connection[Any], before: dict[str, int], step: Step) -> Contents:
    tables: dict[str, Table] = {}
    known = _relations(connection, "r")
    for number, (name, (_, quoted)) in enumerate(known.items()):
        step("compare", number, len(known))
        rows, *hashes = _one(connection, sql.SQL(_HASH).format(quoted))
        tables[name] = Table(rows, ":".join(map(str, hashes)))
    after = _sequences(connection)
    return Contents(
        tables=tables,
        schema=_definitions(connection),
        sequences={
            name: (min(value, after[name]), max(value, after[name]))
            for name, value in before.items()
        },
        alembic=_alembic(connection, tables),
    )


def _definitions(connection: psycopg.Connection[Any]) -> dict[str, str]:
    return {
        name: digest_of(_CASTS.sub("", definition or ""))
        for name, definition in sorted(connection.execute(_DEFINITIONS).fetchall())
    }


def _alembic(connection: psycopg.Connection[Any], tables: dict[str, Table]) -> list[str]:
    if "public.alembic_version" not in tables:
        return []
    return sorted(
        r[0] for r in connection.execute("SELECT version_num FROM public.alembic_version")
    )


def _creation(name: sql.Identifier, options: dict[str, str]) -> sql.Composed:
    """CREATE DATABASE with the encoding and the locale of the database that was backed up."""
    parts: list[sql.Composable] = [sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name)]
    words = {"encoding": "ENCODING", "collate": "LC_COLLATE", "ctype": "LC_CTYPE"}
    if options.get("provider") == "i":
        parts.append(sql.SQL("LOCALE_PROVIDER icu"))
        words["locale"] = "ICU_LOCALE"
    for option, word in words.items():
        parts.append(sql.SQL(word + " {}").format(sql.Literal(options[option])))
    return sql.SQL(" ").join(parts)


def _is_there(server: psycopg.Connection[Any], name: str) -> bool:
    query = "SELECT FROM pg_database WHERE datname = %s"
    return server.execute(query, [name]).fetchone() is not None


def _copy_properties(server: psycopg.Connection[Any], name: str, other: str) -> None:
    """Give a database the owner, the settings and the grants of another."""
    quoted = sql.Identifier(other)
    grants = server.execute(_GRANTS, [name]).fetchall()
    settings = server.execute(_SETTINGS, [name]).fetchall()
    for setting, value in settings:
        server.execute("SELECT set_config(%s, %s, false)", [setting, value])
        alter = sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT")
        server.execute(alter.format(quoted, sql.SQL(setting)))
    if grants:
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(quoted))
    for privilege, role, grantable in grants:
        grant = sql.SQL("GRANT {} ON DATABASE {} TO {} {}").format(
            sql.SQL(privilege),
            quoted,
            sql.Identifier(role) if role else sql.SQL("PUBLIC"),
            sql.SQL("WITH GRANT OPTION" if grantable else ""),
        )
        server.execute(grant)
    query = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    owner = sql.Identifier(_one(server, query, name)[0])
    server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(quoted, owner))


def _swapped(server: psycopg.Connection[Any], name: str, scratch: str, old: str | None) -> bool:
    """Rename both databases at once; False while somebody is connected to one of them."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = ANY(%s) AND backend_type = 'client backend'",
        [[name, scratch]],
    )
    try:
        with server.transaction():
            if old is not None:
                server.execute(rename.format(sql.Identifier(name), sql.Identifier(old)))
            server.execute(rename.format(sql.Identifier(scratch), sql.Identifier(name)))
    except psycopg.errors.ObjectInUse:
        time.sleep(0.05)
        return False
    return True
