"""The blog: its API under ``/api``, and views of its own beside it."""

from __future__ import annotations

import os
import re
from typing import Any

from flask import Blueprint, Flask, Response, abort, request
from sqlalchemy import Float, Select, and_, cast, delete, event, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import HTTPException

from carboy import Carboy, Part

from .models import Category, Post, Tag, User, db

__all__ = ["Category", "Post", "Tag", "User", "app", "db"]

USER = "id,username,email,created_at,is_active"
POST = (
    "id,title,...author(author:username),...category(category:name),...tags(tags:name),created_at"
)
MAX_KEY = 2**31 - 1
A_USER = f"/users/<int(max={MAX_KEY}):user_id>"
A_POST = f"/posts/<int(max={MAX_KEY}):post_id>"
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

api = Carboy()
api.resource(User)
api.resource(Category)
api.resource(Post, search=("title", "content"), order="created_at.desc")
api.resource(Tag)

views = Blueprint("blog", __name__)


# --- users ---


@views.post("/users")
def create_user() -> Response:
    """Sign up; a taken name or address is a 409."""
    body = json_object(request.get_json())
    refuse(faults(body))
    return created(body)


@views.post("/users/safe-create")
def create_user_safely() -> Response | tuple[dict[str, Any], int]:
    """Sign up by stricter rules; every fault is named."""
    body = json_object(request.get_json())
    if found := faults(body, strict=True):
        return {"errors": found}, 400
    return created(body)


@views.post("/users/bulk-create")
def create_users() -> tuple[dict[str, Any], int]:
    """Sign up many, all or none."""
    rows = request.get_json()
    if not isinstance(rows, list):
        abort(400, "the body must be a JSON array")
    for number, row in enumerate(rows):
        refuse([f"row {number}: {fault}" for fault in faults(json_object(row))])
    if rows:
        users = [{"username": row["username"], "email": row["email"]} for row in rows]
        db.session.execute(insert(User), users)
        db.session.commit()
    return {"message": f"Created {len(rows)} users"}, 201


@views.get("/users")
def list_users() -> Response:
    """One page of users, and how many there are."""
    return api.read(
        select(User).order_by(User.id),
        USER,
        page=whole_number("page", 1),
        per_page=whole_number("per_page", 10),
        envelope={
            "users": Part.DATA,
            "total": Part.TOTAL,
            "pages": Part.PAGES,
            "current_page": Part.PAGE,
        },
    )


@views.get(A_USER)
def show_user(user_id: int) -> Response:
    """One user."""
    return api.read(select(User).where(User.id == user_id), USER, one=True)


@views.put(A_USER)
def change_user(user_id: int) -> Response:
    """Change what the body names."""
    body = json_object(request.get_json())
    changes: dict[str, Any] = {
        name: body[name] for name in ("username", "email", "is_active") if name in body
    }
    refuse(faults(changes, partial=True))
    if changes:
        db.session.execute(update(User).where(User.id == user_id).values(changes))
    user = select(User).where(User.id == user_id)
    response = api.read(user, USER, one=True, session=db.session)
    db.session.commit()
    return response


@views.delete(A_USER)
def delete_user(user_id: int) -> dict[str, str]:
    """Delete a user and their posts."""
    deleted = delete(User).where(User.id == user_id).returning(User.username)
    username = db.session.scalar(deleted)
    if username is None:
        abort(404, f"there is no user {user_id}")
    db.session.commit()
    return {"message": f"User {username} deleted successfully"}


# --- posts ---


@views.get("/posts/search")
def search_posts() -> Response:
    """Published posts by words, category and tag, the newest first."""
    posts = newest_posts()
    q, tag = request.args.get("q", ""), request.args.get("tag", "")
    if not (q + tag).isprintable():
        abort(400, "q and tag must be printable text")
    if q:
        found = (column.icontains(q, autoescape=True) for column in (Post.title, Post.content))
        posts = posts.where(or_(*found))
    if "category_id" in request.args:
        posts = posts.where(Post.category_id == whole_number("category_id"))
    if tag:
        posts = posts.where(Post.tags.any(Tag.name == tag))
    return api.read(posts, POST)


@views.get("/posts/optimized")
def list_posts() -> Response:
    """Posts with author, category and tags: one statement, however many they are."""
    return api.read(newest_posts(), POST)


@views.get(A_POST)
def show_post(post_id: int) -> Response:
    """One published post, with its text."""
    post = select(Post).where(Post.id == post_id, Post.published)
    return api.read(post, f"{POST},content", one=True)


@views.get("/analytics/posts-per-category")
def posts_per_category() -> Response:
    """How many posts each category has, and how long they are, most posts first."""
    length = func.coalesce(func.round(func.avg(func.length(Post.content)), 2), 0)
    count = func.count(Post.id)
    return api.read(
        select(
            Category.name.label("category"),
            count.label("post_count"),
            cast(length, Float).label("avg_content_length"),
        )
        .outerjoin(Post, and_(Post.category_id == Category.id, Post.published))
        .group_by(Category.id, Category.name)
        .order_by(count.desc(), Category.name)
    )


def newest_posts() -> Select[Post]:
    """A page of the published posts: ``per_page`` (100) of them, from ``page`` (1) on."""
    size = whole_number("per_page", 100)
    newest = select(Post).where(Post.published).order_by(Post.created_at.desc(), Post.id.desc())
    return newest.limit(size).offset((whole_number("page", 1) - 1) * size)


# --- what clients send ---


def json_object(value: object) -> dict[str, Any]:
    """The value, or a 400."""
    if not isinstance(value, dict):
        abort(400, "a user must be a JSON object")
    return value


def whole_number(name: str, default: int | None = None) -> int:
    """A parameter of the query string from 1 on, or a 400."""
    text = request.args.get(name, default)
    if not re.fullmatch("[0-9]{1,10}", str(text)) or not 1 <= int(str(text)) <= MAX_KEY:
        abort(400, f"{name} must be a whole number from 1 to {MAX_KEY}")
    return int(str(text))


def refuse(found: list[str]) -> None:
    """A 400 that says what is wrong, if anything is."""
    if found:
        abort(400, "; ".join(found))


def faults(body: dict[str, Any], *, strict: bool = False, partial: bool = False) -> list[str]:
    """All that is wrong with a user's fields; with ``partial`` they may be absent."""
    found = []
    for name, longest in (("username", 80), ("email", 120)):
        value = body.get(name)
        if name not in body and partial:
            continue
        if value is None or value == "":
            found.append(f"{name} is required")
        elif not isinstance(value, str) or not value.isprintable() or len(value) > longest:
            found.append(f"{name} must be printable text of at most {longest} characters")
        elif strict and name == "username" and len(value.strip()) < 3:
            found.append("username must have at least 3 characters")
        elif strict and name == "email" and not EMAIL.fullmatch(value):
            found.append("email must be a valid address")
    if partial and not isinstance(body.get("is_active", True), bool):
        found.append("is_active must be true or false")
    return found


def created(body: dict[str, Any]) -> Response:
    """Store a new user; the constraints say whether name and address are free."""
    user = User(username=body["username"], email=body["email"])
    db.session.add(user)
    db.session.flush()
    stored = select(User).where(User.id == user.id)
    response = api.read(stored, USER, one=True, session=db.session, status=201)
    db.session.commit()
    return response


@views.errorhandler(IntegrityError)
def answer_conflict(_: IntegrityError) -> tuple[dict[str, str], int]:
    """The only constraints that these views can break are the unique ones of a user."""
    db.session.rollback()
    return {"error": "username or email already exists"}, 409


def answer_error(error: HTTPException) -> tuple[dict[str, Any], int, list[tuple[str, str]]]:
    """Errors are JSON here as they are in the API."""
    allow = [header for header in error.get_headers() if header[0] == "Allow"]
    return {"error": error.description}, error.code or 500, allow


# --- the application ---


def create_app(config: object = None) -> Flask:
    """The application, by a class of config.py; APP_ENV names it where none is given."""
    app = Flask(__name__)
    environment = os.environ.get("APP_ENV", "development")
    app.config.from_object(config or f"{__package__}.config.{environment.title()}")
    db.init_app(app)
    api.init_app(app, db)
    app.register_blueprint(views)
    app.register_error_handler(HTTPException, answer_error)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", enforce_foreign_keys)
    return app


def enforce_foreign_keys(connection: Any, _: object) -> None:
    """SQLite minds them only when told to, on each connection."""
    connection.execute("PRAGMA foreign_keys = ON")


app = create_app()
