"""An index in the order in which posts are listed."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

NAME = "ix_posts_newest"


def upgrade() -> None:
    """Make the index; on PostgreSQL without keeping anybody from writing meanwhile."""
    columns = ["published", "created_at", "id"]
    with op.get_context().autocommit_block():
        op.create_index(NAME, "posts", columns, postgresql_concurrently=True)


def downgrade() -> None:
    """Drop the index."""
    with op.get_context().autocommit_block():
        op.drop_index(NAME, "posts", postgresql_concurrently=True)
