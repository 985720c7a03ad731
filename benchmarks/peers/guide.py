"""The guides' own Flask code, written well by hand: eager loading, and only what is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, jsonify
from sqlalchemy import select
from sqlalchemy.orm import joinedload, load_only, selectinload

from .models import Post, User, db, new_app

app = new_app(__name__)

NEWEST = (
    select(Post)
    .options(
        load_only(Post.title, Post.created_at),
        joinedload(Post.author, innerjoin=True).load_only(User.username),
        joinedload(Post.category, innerjoin=True),
        selectinload(Post.tags),
    )
    .order_by(Post.created_at.desc(), Post.id.desc())
    .limit(20)
)


@app.get("/posts")
def newest_posts() -> Response:
    """The newest posts with author, category and tags, in two statements."""
    return jsonify(data=[post_json(post) for post in db.session.scalars(NEWEST)])


@app.get("/users/<int:key>")
def one_user(key: int) -> Response:
    """One user, or a 404."""
    user = db.get_or_404(User, key)
    return jsonify(
        id=user.id,
        username=user.username,
        email=user.email,
        is_active=user.is_active,
        created_at=moment(user.created_at),
    )


def post_json(post: Post) -> dict[str, Any]:
    """What a list shows of a post."""
    return {
        "id": post.id,
        "title": post.title,
        "created_at": moment(post.created_at),
        "author": {"id": post.author.id, "username": post.author.username},
        "category": {"id": post.category.id, "name": post.category.name},
        "tags": [{"id": tag.id, "name": tag.name} for tag in post.tags],
    }


def moment(value: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
