"""The blog that the peers serve: made by the database itself, the same each time."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from sqlalchemy import Engine, create_engine, insert, select, text

from .peers.models import Base, Category, Post, User


class Size(Struct, frozen=True):
    """How many rows there are; each post has three tags, each account 200 events.

    ``small``, ``medium`` and ``large`` are the tables of events. ``transferred`` rows are exported
    and imported, ``by_hand`` of them by peers that make an object of each row. ``depth`` rows are
    before a deep page.
    """

    users: int
    posts: int
    small: int
    medium: int
    large: int
    by_hand: int
    tags: int = 200
    categories: int = 20
    many: int = 10_000
    notes: int = 10_000
    authors: int = 100

    @property
    def links(self) -> int:
        """Rows between posts and tags."""
        return 3 * self.posts

    @property
    def words(self) -> int:
        """How many words there are to search for; each is in 200 titles."""
        return self.posts // 200

    @property
    def transferred(self) -> int:
        """All rows of the medium table."""
        return self.medium

    @property
    def depth(self) -> int:
        """A tenth of the large table."""
        return self.large // 10

    @property
    def small_accounts(self) -> int:
        """Accounts of the small table."""
        return self.small // 200

    @property
    def large_accounts(self) -> int:
        """Accounts of the large table."""
        return self.large // 200


FULL = Size(
    users=10_000, posts=200_000, small=10_000, medium=1_000_000, large=10_000_000, by_hand=50_000
)
QUICK = Size(
    users=500, posts=5_000, small=1_000, medium=5_000, large=20_000, by_hand=1_000, many=1_000,
    notes=1_000,
)  # fmt: skip

# Plain arithmetic on the row's number scatters the references.
_BLOG = (
    """
    INSERT INTO users (id, username, email, is_active, created_at)
    SELECT n, 'user' || n, 'user' || n || '@example.org', n % 10 <> 0,
           timestamptz '2020-01-01 00:00Z' + n * interval '17 min'
    FROM generate_series(1, :users) AS n
    """,
    "INSERT INTO categories (id, name) SELECT n, 'Category ' || n"
    " FROM generate_series(1, :categories) AS n",
    "INSERT INTO tags (id, name) SELECT n, 'tag' || n FROM generate_series(1, :tags) AS n",
    """
    INSERT INTO posts (id, title, content, published, created_at, author_id, category_id)
    SELECT n, 'How we did ' || md5(n::text) || ' by word' || 1 + n % :words,
           repeat(md5('content' || n) || ' ', 20), n % 7 <> 0,
           timestamptz '2020-06-01 00:00Z' + n * interval '11 min',
           1 + n * 7919::bigint % :users, 1 + n * 31 % :categories
    FROM generate_series(1, :posts) AS n
    """,
    """
    INSERT INTO post_tags (post_id, tag_id)
    SELECT n, 1 + (n * 13 + k * 67) % :tags
    FROM generate_series(1, :posts) AS n CROSS JOIN generate_series(0, 2) AS k
    """,
    # The very expression that searches use.
    "CREATE INDEX ix_posts_title_words ON posts"
    " USING gin (to_tsvector('simple'::regconfig, coalesce(title, '')))",
)
_EVENTS = (
    "TRUNCATE {table}",
    "ALTER TABLE {table} SET UNLOGGED",
    # Rows first, indexes after: far faster for ten million.
    "ALTER TABLE {table} DROP CONSTRAINT {table}_pkey",
    "DROP INDEX ix_{table}_account",
    """
    INSERT INTO {table} (id, account_id, kind, amount, happened_at)
    SELECT n, 1 + n * 7919::bigint % :accounts, (ARRAY['view', 'click', 'order'])[1 + n % 3],
           n * 31::bigint % 10000, timestamptz '2020-01-01 00:00Z' + n * interval '13 s'
    FROM generate_series(1, :rows) AS n
    """,
    "ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (id)",
    "CREATE INDEX ix_{table}_account ON {table} (account_id, happened_at, id)",
)
_NOTES = """
INSERT INTO notes (author_id, title, body, done, created_at)
SELECT 1 + n % :authors, 'Note ' || n, repeat(md5(n::text), 2), false,
       timestamptz '2024-01-01 00:00Z' + n * interval '7 s'
FROM generate_series(1, :notes) AS n
"""


def fill(url: str, size: Size, *, large: bool = True) -> None:
    """Make the tables and their rows in an empty PostgreSQL database.

    Unless ``large``, the large table of events stays empty.
    """
    engine = create_engine(url)
    counts = {
        name: getattr(size, name) for name in ("users", "posts", "tags", "categories", "words")
    }
    events = {"events_small": size.small, "events_medium": size.medium}
    events |= {"events_large": size.large} if large else {}
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        # The rows' references are right by construction: checking each takes longer than the rest.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
        for statement in _BLOG:
            connection.execute(text(statement), counts)
        for table, rows in events.items():
            values = {"rows": rows, "accounts": rows // 200}
            for statement in _EVENTS:
                connection.execute(text(statement.format(table=table)), values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        # It would work in some measurements and not in others.
        connection.execute(text("ALTER SYSTEM SET autovacuum = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def empty_anew(engine: Engine, table: str, size: Size) -> None:
    """Make a table that is written to what it was before anybody wrote to it."""
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {table} RESTART IDENTITY"))
        if table == "notes":
            connection.execute(text(_NOTES), {"authors": size.authors, "notes": size.notes})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM ANALYZE {table}"))
        connection.execute(text("CHECKPOINT"))


def copy_to_sqlite(url: str, path: Path) -> str:
    """Copy users, categories and posts into a new SQLite file; answers its URL."""
    source, target = create_engine(url), create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(target)
    with source.connect() as reading, target.begin() as writing:
        for model in (User, Category, Post):
            found = reading.execution_options(yield_per=10_000).execute(select(model.__table__))
            for rows in found.mappings().partitions():
                writing.execute(insert(model), [dict(row) for row in rows])
    with target.begin() as connection:
        connection.execute(text("ANALYZE"))
    source.dispose()
    target.dispose()
    return f"sqlite:///{path}"
