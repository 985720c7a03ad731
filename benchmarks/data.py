"""The blog that the peers serve: made by the database itself, the same each time."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import create_engine, text

from .peers.models import Base


class Size(Struct, frozen=True):
    """How many rows there are; each post has three tags."""

    users: int
    posts: int
    tags: int = 200
    categories: int = 20

    @property
    def links(self) -> int:
        """Rows between posts and tags."""
        return 3 * self.posts


FULL = Size(users=10_000, posts=200_000)
QUICK = Size(users=500, posts=5_000)

# Plain arithmetic on the row's number scatters the references.
_FILL = (
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
    SELECT n, 'How we did ' || md5(n::text), repeat(md5('content' || n) || ' ', 20), n % 5 <> 0,
           timestamptz '2020-06-01 00:00Z' + n * interval '11 min',
           1 + n * 7919::bigint % :users, 1 + n * 31 % :categories
    FROM generate_series(1, :posts) AS n
    """,
    """
    INSERT INTO post_tags (post_id, tag_id)
    SELECT n, 1 + (n * 13 + k * 67) % :tags
    FROM generate_series(1, :posts) AS n CROSS JOIN generate_series(0, 2) AS k
    """,
)


def fill(url: str, size: Size) -> None:
    """Make the tables and their rows in an empty PostgreSQL database."""
    engine = create_engine(url)
    counts = {"users": size.users, "posts": size.posts, "tags": size.tags}
    counts["categories"] = size.categories
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        # The rows' references are right by construction: checking each takes longer than the rest.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _FILL:
            connection.execute(text(statement), counts)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()
