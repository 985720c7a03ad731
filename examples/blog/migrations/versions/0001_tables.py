"""The guides' tables: users, categories, tags and posts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from carboy import UTCDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("username", sa.String(80), nullable=False, unique=True),
        sa.Column("email", sa.String(120), nullable=False, unique=True),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
    )
    op.create_table(
        "categories",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("description", sa.Text, nullable=False),
    )
    op.create_table(
        "tags",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False, unique=True),
    )
    author, category = (
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        sa.ForeignKey("categories.id"),
    )
    op.create_table(
        "posts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.Column("author_id", sa.Integer, author, nullable=False, index=True),
        sa.Column("category_id", sa.Integer, category, nullable=False, index=True),
    )
    post, tag = (
        sa.ForeignKey("posts.id", ondelete="CASCADE"),
        sa.ForeignKey("tags.id", ondelete="CASCADE"),
    )
    op.create_table(
        "post_tags",
        sa.Column("post_id", sa.Integer, post, primary_key=True),
        sa.Column("tag_id", sa.Integer, tag, primary_key=True, index=True),
    )


def downgrade() -> None:
    """Drop the tables with all their rows."""
    for name in ("post_tags", "posts", "tags", "categories", "users"):
        op.drop_table(name)
