"""The statements and the JSON that the guides' code and FastAPI's share: SQLAlchemy, used well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, text, true
from sqlalchemy.orm import InstrumentedAttribute, joinedload, load_only, selectinload

from .models import Category, Event, LargeEvent, MediumEvent, Note, Post, User

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
BY_CATEGORY = (
    select(Category.name.label("category"), func.count().label("posts"))
    .select_from(Post)
    .join(Category)
    .group_by(Category.name)
    .order_by(Category.name)
)
_FLAT = select(Post.id, Post.title, Post.created_at, Post.author_id).order_by(
    Post.created_at.desc(), Post.id.desc()
)


def columns(model: type[Event]) -> tuple[InstrumentedAttribute[Any], ...]:
    """What is shown of an event."""
    shown: Any = (model.id, model.account_id, model.kind, model.amount, model.happened_at)
    return shown  # type: ignore[no-any-return]


def _in_category(category: int) -> ColumnElement[bool]:
    return (Post.category_id == category) & Post.published.is_(true())


def posts_page(category: int) -> Select[*tuple[Any, ...]]:
    """The second page of a category."""
    return _FLAT.where(_in_category(category)).limit(20).offset(20)


def posts_count(category: int) -> Select[int]:
    """How many posts a category has."""
    return select(func.count()).select_from(Post).where(_in_category(category))


def search(word: str) -> Select[*tuple[Any, ...]]:
    """The newest posts with a word in their title."""
    words = func.to_tsvector(text("'simple'::regconfig"), func.coalesce(Post.title, ""))
    return _FLAT.where(words.bool_op("@@")(func.plainto_tsquery("simple", word))).limit(20)


def events_page(after: int | None, offset: int) -> Select[*tuple[Any, ...]]:
    """20 events of the large table, by key."""
    chosen = select(*columns(LargeEvent)).order_by(LargeEvent.id).limit(20).offset(offset)
    return chosen if after is None else chosen.where(LargeEvent.id > after)


def exported(limit: int) -> Select[*tuple[Any, ...]]:
    """Events of the medium table, by key."""
    return select(*columns(MediumEvent)).order_by(MediumEvent.id).limit(limit)


def moment(value: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def user_json(user: User) -> dict[str, Any]:
    """All of a user."""
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "created_at": moment(user.created_at),
    }


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


def flat_post_json(row: Row[Any]) -> dict[str, Any]:
    """A post without its relations."""
    return {
        "id": row.id,
        "title": row.title,
        "created_at": moment(row.created_at),
        "author_id": row.author_id,
    }


def event_json(row: Row[Any]) -> dict[str, Any]:
    """All of an event."""
    return {
        "id": row.id,
        "account_id": row.account_id,
        "kind": row.kind,
        "amount": row.amount,
        "happened_at": moment(row.happened_at),
    }


def event_cells(row: Row[Any]) -> tuple[Any, ...]:
    """A line of a CSV file."""
    return (row.id, row.account_id, row.kind, row.amount, moment(row.happened_at))


def note_json(note: Note) -> dict[str, Any]:
    """All of a note."""
    return {
        "id": note.id,
        "author_id": note.author_id,
        "title": note.title,
        "body": note.body,
        "done": note.done,
        "created_at": moment(note.created_at),
    }


def with_moment(row: dict[str, Any], name: str) -> dict[str, Any]:
    """What a client sent, with one of its texts as a moment."""
    return row | {name: datetime.fromisoformat(row[name])}
