"""The blog: its API under ``/api``, and views of its own beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, abort, redirect, request
from flask_migrate import Migrate
from sqlalchemy import Float, Select, and_, cast, func, or_, select
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from carboy import Carboy, Part
from carboy.errors import InvalidBody

from .models import Category, Post, Tag, User, db, now
from .policies import EDITED, POSTS, USERS

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
migrate = Migrate(directory=Path(__file__).with_name("migrations"))
views = Blueprint("blog", __name__)


@views.get("/")
def home() -> BaseResponse:
    """What the API holds."""
    return redirect("/api")


# --- users ---


@views.post("/users")
def create_user() -> Response:
    """Sign up; a taken name or address is a 409."""
    return api.create(User, USER)


@views.post("/users/safe-create")
def create_user_safely() -> Response | tuple[dict[str, Any], int]:
    """Sign up by stricter rules; every fault is named."""
    try:
        return api.create(User, USER, validate=strict)
    except InvalidBody as error:
        return {"errors": [problem.detail for problem in error.problems]}, 400


@views.post("/users/bulk-create")
def create_users() -> tuple[dict[str, Any], int]:
    """Sign up many, all or none."""
    rows = request.get_json()
    if not isinstance(rows, list):
        abort(400, "the body must be a JSON array")
    api.create(User, "id", body=rows)
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
    return api.update(User, user_id, USER)


@views.delete(A_USER)
def delete_user(user_id: int) -> dict[str, str]:
    """Delete a user and their posts."""
    deleted = api.delete(User, user_id, "username").get_json()
    return {"message": f"User {deleted['username']} deleted successfully"}


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
@api.cached(600)
def show_post(post_id: int) -> Response:
    """One published post, with its text."""
    post = select(Post).where(Post.id == post_id, Post.published)
    return api.read(post, f"{POST},content", one=True)


@views.post("/posts/bulk-update")
def update_posts() -> Response:
    """Change many posts in the background: ``{"post_ids": [1, 2], "updates": {...}}``."""
    body = request.get_json()
    if not isinstance(body, dict) or body.keys() != {"post_ids", "updates"}:
        abort(400, "the body must be an object with post_ids and updates")
    return api.update_later(Post, body["post_ids"], body=body["updates"])


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


# --- what admins see ---


@api.statistic
def recent_posts_7_days() -> Select[int]:
    """How many posts are younger than a week."""
    return select(func.count()).where(Post.created_at > now() - timedelta(days=7))


@api.statistic
def active_users() -> Select[int]:
    """How many users may sign in."""
    return select(func.count()).where(User.is_active)


# --- what clients send ---


def filled(values: Mapping[str, Any]) -> dict[str, str]:
    """A name or an address is more than white space."""
    names = ("username", "email")
    return {name: f"{name} is required" for name in names if not values.get(name, name).strip()}


def strict(values: Mapping[str, Any]) -> dict[str, str]:
    """The rules of ``safe-create``."""
    found = {}
    if len(values.get("username", "abc").strip()) < 3:
        found["username"] = "username must have at least 3 characters"
    if not EMAIL.fullmatch(values.get("email", "a@b.c")):
        found["email"] = "email must be a valid address"
    return found


def whole_number(name: str, default: int | None = None) -> int:
    """A parameter of the query string from 1 on, or a 400."""
    text = request.args.get(name, default)
    if not re.fullmatch("[0-9]{1,10}", str(text)) or not 1 <= int(str(text)) <= MAX_KEY:
        abort(400, f"{name} must be a whole number from 1 to {MAX_KEY}")
    return int(str(text))


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
    migrate.init_app(app, db)
    api.init_app(app, db)
    app.register_blueprint(views)
    app.register_error_handler(HTTPException, answer_error)
    return app


api.resource(User, writable=("username", "email", "is_active"), validate=filled, policy=USERS)
api.resource(Category, policy=EDITED)
api.resource(Post, search=("title", "content"), order="created_at.desc", policy=POSTS)
api.resource(Tag, policy=EDITED)

app = create_app()
