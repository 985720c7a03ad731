"""The blog keeps what its guide promises, on SQLite in memory and on PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, delete, event, select
from werkzeug.test import TestResponse

from carboy.ops.api_keys import create_key

with pytest.MonkeyPatch.context() as environment:
    environment.setenv("APP_ENV", "testing")
    from examples.blog.app import Category, Post, Tag, User, create_app, db
    from examples.blog.app import api as blog_api
    from examples.blog.config import Testing

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def statements() -> list[str]:
    """What reaches the driver, as the driver itself tells it."""
    return []


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, statements: list[str]) -> Iterator[Flask]:
    """The blog with empty tables."""

    class Config(Testing):
        if request.param == "postgresql":
            SQLALCHEMY_DATABASE_URI = request.getfixturevalue("shared_postgresql_url")

    app = create_app(Config)
    with app.app_context():
        listen(db.engine, statements)
        db.create_all()
        yield app
        db.session.rollback()
        for table in reversed(db.metadata.sorted_tables):
            db.session.execute(table.delete())
        db.session.commit()
        db.session.remove()
        db.engine.dispose()


def listen(engine: Engine, statements: list[str]) -> None:
    """Keep what each of the driver's connections is asked."""

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            statements.append(str(query))
            return super().execute(query, *arguments, **options)

    def watch(connection: Any, *_: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(statements.append)
        else:
            connection.cursor_factory = Cursor

    event.listen(engine, "connect", watch)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Asks the blog."""
    return app.test_client()


Login = Callable[..., FlaskClient]


@pytest.fixture
def login(app: Flask) -> Login:
    """Makes clients that ask with an API key: for a user's id, with roles."""

    def make(id_: int, *roles: str) -> FlaskClient:
        client = app.test_client()
        client.environ_base["HTTP_X_API_KEY"] = create_key(db.engine, "k", roles, id=str(id_))
        return client

    return make


@pytest.fixture
def admin(login: Login) -> FlaskClient:
    """Asks as an administrator."""
    return login(0, "admin")


@pytest.fixture
def posts(app: Flask) -> list[Post]:
    """Three posts, the third a draft, by two users in two of three categories."""
    ada = User(username="ada", email="ada@example.com")
    bob = User(username="bob", email="bob@example.com")
    bread, trains = Category(name="Bread"), Category(name="Trains")
    slow, night = Tag(name="slow"), Tag(name="night")
    posts = [
        Post(title="Rye", content="Dark", author=ada, category=bread, tags=[slow]),
        Post(title="Sleeper", content="100% rye", author=bob, category=trains, tags=[night, slow]),
        Post(title="Draft", content="Rye?", author=ada, category=bread, published=False),
    ]
    for hours, post in enumerate(posts):
        post.created_at = NOON + timedelta(hours=hours)
    db.session.add_all([*posts, Category(name="Empty")])
    db.session.commit()
    return posts


def answer(response: TestResponse) -> Any:
    """The JSON of a response."""
    return response.json


def titles(client: FlaskClient, url: str) -> list[str]:
    """The titles of the posts that the URL lists."""
    response = client.get(url)
    assert response.status_code == 200, response.text
    return [post["title"] for post in response.json or ()]


def usernames() -> list[str]:
    """All names in the database."""
    db.session.rollback()
    return list(db.session.scalars(select(User.username).order_by(User.username)))


# --- users ---


def test_a_user_signs_up(client: FlaskClient) -> None:
    """POST /users answers 201 with what has been stored."""
    response = client.post("/users", json={"username": "ada", "email": "ada@example.com"})
    assert response.status_code == 201
    user = answer(response)
    assert set(user) == {"id", "username", "email", "created_at", "is_active"}
    assert (user["username"], user["email"], user["is_active"]) == ("ada", "ada@example.com", True)
    age = datetime.now(UTC) - datetime.fromisoformat(user["created_at"])
    assert timedelta() <= age < timedelta(minutes=1)
    assert client.get(f"/users/{user['id']}").json == user
    assert client.get(f"/api/users/{user['id']}").json == user


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "username is required; email is required"),
        ({"username": "ada"}, "email is required"),
        ({"username": "", "email": "a@b.c"}, "username is required"),
        ({"username": None, "email": "a@b.c"}, "username can't be null"),
        ({"username": 5, "email": "a@b.c"}, "username must be a string"),
        ({"username": "a\0b", "email": "a@b.c"}, "NUL character"),
        ({"username": "a\ud800", "email": "a@b.c"}, "half a surrogate pair"),
        ({"username": "x" * 81, "email": "a@b.c"}, "username must be at most 80 characters long"),
        ({"username": "ada", "email": "x" * 121}, "email must be at most 120 characters long"),
        (["ada"], "row 0 must be an object"),
        ({"username": "ada", "email": "a@b.c", "id": 99}, "id can't be written"),
        (
            {"username": "ada", "email": "a@b.c", "created_at": "2001"},
            "created_at can't be written",
        ),
    ],
)
def test_a_sign_up_without_its_fields_is_refused(
    client: FlaskClient, body: object, error: str
) -> None:
    """POST /users answers 400 and says what is missing or wrong."""
    response = client.post("/users", json=body)
    assert response.status_code == 400
    assert error in answer(response)["error"]
    assert usernames() == []


@pytest.mark.parametrize("url", ["/users", "/users/safe-create"])
@pytest.mark.parametrize("email", ["ada@example.com", "new@example.com"])
def test_a_taken_name_or_address_is_a_conflict(client: FlaskClient, url: str, email: str) -> None:
    """The constraint's refusal is a 409 that says so, and the next sign-up works."""
    assert client.post(url, json={"username": "ada", "email": "ada@example.com"}).status_code == 201
    username = "ada" if email == "new@example.com" else "new"
    response = client.post(url, json={"username": username, "email": email})
    assert response.status_code == 409
    assert "already exists" in answer(response)["error"]
    assert client.post(url, json={"username": "bob", "email": "b@example.com"}).status_code == 201
    assert usernames() == ["ada", "bob"]


def test_of_two_simultaneous_sign_ups_one_wins(shared_postgresql_url: str) -> None:
    """Two clients asking for one name at the same time get one 201 and one 409."""

    class Config(Testing):
        SQLALCHEMY_DATABASE_URI = shared_postgresql_url

    app = create_app(Config)
    with app.app_context():
        db.create_all()
    for attempt in range(10):
        together = threading.Barrier(2)
        statuses: list[int] = []

        def sign_up(name: str) -> None:
            together.wait()  # noqa: B023  joined before the next one is made
            body = {"username": name, "email": f"{threading.get_ident()}{name}@example.com"}
            statuses.append(app.test_client().post("/users", json=body).status_code)  # noqa: B023

        threads = [threading.Thread(target=sign_up, args=(f"ada{attempt}",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201, 409]
    with app.app_context():
        db.session.execute(delete(User))
        db.session.commit()
        db.engine.dispose()


@pytest.mark.parametrize(("page", "names"), [(1, ["u0", "u1"]), (3, ["u4"]), (4, []), (10**9, [])])
def test_users_come_in_pages(client: FlaskClient, page: int, names: list[str]) -> None:
    """GET /users says how many there are, and a page past the end is an empty list."""
    client.post("/users/bulk-create", json=[new_user(f"u{number}") for number in range(5)])
    found = answer(client.get(f"/users?page={page}&per_page=2"))
    assert [user["username"] for user in found.pop("users")] == names
    assert found == {"total": 5, "pages": 3, "current_page": page}


def test_pages_begin_with_ten_users(client: FlaskClient) -> None:
    """GET /users without parameters is the first page of ten."""
    client.post("/users/bulk-create", json=[new_user(f"u{number}") for number in range(11)])
    found = answer(client.get("/users"))
    assert len(found["users"]) == 10
    assert (found["total"], found["pages"], found["current_page"]) == (11, 2, 1)


def test_no_users_are_no_pages(client: FlaskClient) -> None:
    """An empty table has an empty first page."""
    assert client.get("/users").json == {"users": [], "total": 0, "pages": 0, "current_page": 1}


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "per_page=0", "per_page=1e3", f"page={10**30}"]
)
def test_a_page_is_a_number_from_one_on(client: FlaskClient, query: str) -> None:
    """What is no page is a 400 that names the parameter, not the first page."""
    response = client.get(f"/users?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in answer(response)["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"username": "eve"},
        {"email": "eve@example.com"},
        {"is_active": False},
        {"username": "eve", "email": "eve@example.com", "is_active": False},
        {},
    ],
)
def test_a_user_is_changed_by_what_the_body_names(
    client: FlaskClient, admin: FlaskClient, change: dict[str, object]
) -> None:
    """PUT /users/<id> leaves the rest as it is."""
    user = answer(client.post("/users", json=new_user("ada")))
    response = admin.put(f"/users/{user['id']}", json=change)
    assert response.status_code == 200
    assert response.json == user | change
    assert client.get(f"/users/{user['id']}").json == user | change


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"username": "bob"}, 409, "already exists"),
        ({"email": "bob@example.com"}, 409, "already exists"),
        ({"username": None}, 400, "username can't be null"),
        ({"email": ""}, 400, "email is required"),
        ({"is_active": "no"}, 400, "is_active must be true or false"),
        ({"id": 99}, 400, "id isn't the key in the URL"),
        ([], 400, "takes one object, not an array"),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(
    client: FlaskClient, admin: FlaskClient, change: object, status: int, error: str
) -> None:
    """PUT /users/<id> answers 400 or 409 and leaves the user alone."""
    ada = answer(client.post("/users", json=new_user("ada")))
    client.post("/users", json=new_user("bob"))
    response = admin.put(f"/users/{ada['id']}", json=change)
    assert response.status_code == status
    assert error in answer(response)["error"]
    assert client.get(f"/users/{ada['id']}").json == ada


def test_a_deleted_user_takes_the_posts_along(
    client: FlaskClient, login: Login, posts: list[Post]
) -> None:
    """DELETE /users/<id> answers a message; the posts and their tags go too."""
    ada = posts[0].author_id
    response = login(ada).delete(f"/users/{ada}")
    assert response.status_code == 200
    assert response.json == {"message": "User ada deleted successfully"}
    assert client.get(f"/users/{ada}").status_code == 404
    assert titles(client, "/posts/optimized") == ["Sleeper"]
    assert answer(client.get("/api/tags?select=name,posts(count())&order=name"))["data"] == [
        {"name": "night", "posts": [{"count": 1}]},
        {"name": "slow", "posts": [{"count": 1}]},
    ]


def new_user(name: str) -> dict[str, str]:
    """A sign-up's body."""
    return {"username": name, "email": f"{name}@example.com"}


def test_users_are_created_in_bulk(client: FlaskClient) -> None:
    """POST /users/bulk-create stores all of an array."""
    body = [new_user(name) for name in ("ada", "bob", "eve")]
    response = client.post("/users/bulk-create", json=body)
    assert response.status_code == 201
    assert response.json == {"message": "Created 3 users"}
    assert usernames() == ["ada", "bob", "eve"]


@pytest.mark.parametrize(
    ("rows", "status", "error"),
    [
        ([new_user("eve"), new_user("ada")], 409, "already exists"),
        ([new_user("eve"), new_user("eve")], 409, "already exists"),
        ([new_user("eve"), {"username": "zoe"}], 400, "email is required"),
        ([new_user("eve"), 5], 400, "row 1 must be an object"),
        (new_user("eve"), 400, "must be a JSON array"),
    ],
)
def test_a_bulk_is_all_or_nothing(
    client: FlaskClient, rows: object, status: int, error: str
) -> None:
    """One row that can't be stored keeps all the others out."""
    client.post("/users", json=new_user("ada"))
    response = client.post("/users/bulk-create", json=rows)
    assert response.status_code == status
    assert error in answer(response)["error"]
    assert usernames() == ["ada"]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, ["username is required", "email is required"]),
        (
            {"username": "ab", "email": "nobody"},
            ["username must have at least 3 characters", "email must be a valid address"],
        ),
        ({"username": " a ", "email": "a@b.c"}, ["username must have at least 3 characters"]),
        ({"username": "ada", "email": "a b@c.d"}, ["email must be a valid address"]),
        ({"username": "ada", "email": "@c.d"}, ["email must be a valid address"]),
    ],
)
def test_a_safe_sign_up_names_every_fault(
    client: FlaskClient, body: object, faults: list[str]
) -> None:
    """POST /users/safe-create answers 400 with all that is wrong."""
    response = client.post("/users/safe-create", json=body)
    assert response.status_code == 400
    assert response.json == {"errors": faults}
    assert usernames() == []


def test_a_safe_sign_up_answers_as_the_other(client: FlaskClient) -> None:
    """POST /users/safe-create answers 201 with the user."""
    response = client.post("/users/safe-create", json=new_user("ada"))
    assert response.status_code == 201
    assert response.json == answer(client.get(f"/users/{answer(response)['id']}"))


# --- posts ---


def test_a_search_answers_posts_with_names(client: FlaskClient, posts: list[Post]) -> None:
    """GET /posts/search shows author, category and tags by name, and no drafts."""
    assert client.get("/posts/search?q=sleeper").json == [
        {
            "id": posts[1].id,
            "title": "Sleeper",
            "author": "bob",
            "category": "Trains",
            "tags": ["slow", "night"],
            "created_at": "2026-03-01T13:00:00.000000Z",
        }
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Sleeper", "Rye"]),
        ("?q=", ["Sleeper", "Rye"]),
        ("?q=RYE", ["Sleeper", "Rye"]),
        ("?q=100%25", ["Sleeper"]),
        ("?q=%25", ["Sleeper"]),
        ("?q=_", []),
        ("?q=draft", []),
        ("?tag=slow", ["Sleeper", "Rye"]),
        ("?tag=night", ["Sleeper"]),
        ("?tag=nigh", []),
        ("?q=rye&tag=night", ["Sleeper"]),
        ("?q=dark&tag=night", []),
        ("?per_page=1", ["Sleeper"]),
        ("?per_page=1&page=2", ["Rye"]),
        ("?page=2", []),
    ],
)
def test_a_search_finds_the_newest_first(
    client: FlaskClient, posts: list[Post], query: str, found: list[str]
) -> None:
    """Words and tags narrow the search; what they hold is text and no pattern."""
    assert titles(client, f"/posts/search{query}") == found


def test_a_search_keeps_to_a_category(client: FlaskClient, posts: list[Post]) -> None:
    """category_id narrows the search; one that isn't there finds nothing."""
    bread = posts[0].category_id
    assert titles(client, f"/posts/search?category_id={bread}") == ["Rye"]
    assert titles(client, f"/posts/search?category_id={bread}&q=100") == []
    assert titles(client, "/posts/search?category_id=999999") == []


@pytest.mark.parametrize(
    "query", ["category_id=x", "category_id=", f"category_id={2**40}", "q=%00"]
)
def test_a_search_for_nonsense_is_refused(
    client: FlaskClient, posts: list[Post], query: str
) -> None:
    """A bad value is a 400 or finds nothing; it doesn't answer all posts."""
    response = client.get(f"/posts/search?{query}")
    assert (response.status_code, response.json) == (200, []) or response.status_code == 400


def test_all_posts_come_with_their_relations(client: FlaskClient, posts: list[Post]) -> None:
    """GET /posts/optimized answers what an empty search does."""
    assert client.get("/posts/optimized").json == answer(client.get("/posts/search"))
    assert titles(client, "/posts/optimized") == ["Sleeper", "Rye"]


def test_a_post_has_its_text(client: FlaskClient, posts: list[Post]) -> None:
    """GET /posts/<id> adds the content; a draft is not there yet."""
    post = answer(client.get(f"/posts/{posts[0].id}"))
    assert (post["title"], post["content"], post["author"]) == ("Rye", "Dark", "ada")
    assert client.get(f"/posts/{posts[2].id}").status_code == 404


def test_a_kept_post_is_right_at_the_first_read_after_an_update(
    client: FlaskClient, posts: list[Post]
) -> None:
    """It is kept for ten minutes, and until it, its author or its category changes."""
    path, category_id = f"/posts/{posts[0].id}", posts[0].category_id
    for outcome in ("miss", "hit"):
        assert client.get(path).headers["X-Cache"] == outcome
    posts[0].title = "Anew"
    db.session.commit()
    assert answer(client.get(path))["title"] == "Anew"
    client.get(path)
    assert client.get(path).headers["X-Cache"] == "hit"
    category = db.session.get(Category, category_id)
    assert category is not None
    category.name = "Renamed"
    db.session.commit()
    assert answer(client.get(path))["category"] == "Renamed"


def test_posts_are_counted_for_each_category(client: FlaskClient, posts: list[Post]) -> None:
    """Only published posts count, and a category without any is there too."""
    extra = Post(title="", content="1234567", author=posts[0].author, category=posts[1].category)
    db.session.add(extra)
    db.session.commit()
    assert client.get("/analytics/posts-per-category").json == [
        {"category": "Trains", "post_count": 2, "avg_content_length": 7.5},
        {"category": "Bread", "post_count": 1, "avg_content_length": 4.0},
        {"category": "Empty", "post_count": 0, "avg_content_length": 0.0},
    ]


# --- who may ---


def test_users_change_and_delete_themselves(
    client: FlaskClient, login: Login, posts: list[Post]
) -> None:
    """Without a credential it is a 401, for somebody else a 403."""
    ada, bob = posts[0].author_id, posts[1].author_id
    change = {"email": "other@example.com"}
    for asker, status in ((client, 401), (login(bob), 403), (login(bob, "editor"), 403)):
        assert asker.put(f"/users/{ada}", json=change).status_code == status
        assert asker.patch(f"/api/users/{ada}", json=change).status_code == status
        assert asker.delete(f"/users/{ada}").status_code == status
        assert asker.delete(f"/api/users/{ada}").status_code == status
    assert login(ada).put(f"/users/{ada}", json={"email": "new@example.com"}).status_code == 200
    assert login(ada).delete(f"/users/{ada}").status_code == 200
    assert usernames() == ["bob"]


def test_an_account_is_shut_by_an_admin(
    client: FlaskClient, login: Login, admin: FlaskClient
) -> None:
    """Nobody else sets ``is_active``, at the sign-up or later."""
    refused = client.post("/users", json=new_user("ada") | {"is_active": True})
    assert (refused.status_code, usernames()) == (400, [])
    ada = answer(client.post("/users", json=new_user("ada")))["id"]
    assert login(ada).put(f"/users/{ada}", json={"is_active": False}).status_code == 400
    assert admin.put(f"/users/{ada}", json={"is_active": False}).status_code == 200


def test_authors_write_their_own_posts(
    client: FlaskClient, login: Login, posts: list[Post]
) -> None:
    """The author is whoever asks; another's post can't be touched, but by an editor."""
    ada, bob = posts[0].author_id, posts[1].author_id
    new: dict[str, Any] = {"title": "New", "content": "", "category_id": posts[0].category_id}
    new["tags"] = [{"id": posts[0].tags[0].id}]
    assert client.post("/api/posts", json=new).status_code == 401
    assert login(ada).post("/api/posts", json=new | {"author_id": bob}).status_code == 400
    made = answer(login(ada).post("/api/posts?select=id,author_id,tags(name)", json=new))
    assert (made["author_id"], made["tags"]) == (ada, [{"name": "slow"}])
    url, change = f"/api/posts/{made['id']}", {"title": "Newer"}
    assert client.patch(url, json=change).status_code == 401
    assert login(bob).patch(url, json=change).status_code == 403
    assert login(bob).delete(url).status_code == 403
    assert login(ada).patch(url, json=change).status_code == 200
    assert login(bob, "editor").delete(url).status_code == 204


def test_many_posts_are_changed_in_the_background(login: Login, posts: list[Post]) -> None:
    """A 202 says where to look; the author's posts change later, another's and the rest never."""
    ada, ids = login(posts[0].author_id), [posts[0].id, posts[2].id]
    other = posts[1].id
    db.session.rollback()
    updates = {"updates": {"title": "Bread", "published": True}}
    queued = ada.post("/posts/bulk-update", json={"post_ids": ids} | updates)
    assert queued.status_code == 202
    task = answer(queued)["task_id"]
    assert answer(queued) == {"task_id": task, "message": "Bulk update queued"}
    assert queued.headers["Location"] == f"/api/jobs/{task}"
    assert titles(ada, "/posts/search") == ["Sleeper", "Rye"]
    assert blog_api.run_jobs() == 1
    assert titles(ada, "/posts/search") == ["Bread", "Sleeper", "Bread"]
    done = answer(ada.get(f"/api/jobs/{task}"))
    assert (done["state"], done["result"]["affected"]) == ("done", 2)
    assert login(99).get(f"/api/jobs/{task}").status_code == 404
    bobs = answer(ada.post("/posts/bulk-update", json={"post_ids": [other]} | updates))
    assert blog_api.run_jobs() == 1
    assert answer(ada.get(f"/api/jobs/{bobs['task_id']}"))["error"]["status"] == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"post_ids": [1], "updates": {"nothing": 1}}, 400),
        ({"post_ids": [1], "updates": {"title": "x" * 201}}, 400),
        ({"post_ids": ["x"], "updates": {"title": "x"}}, 400),
        ({"post_ids": 1, "updates": {"title": "x"}}, 400),
        ({"post_ids": [1]}, 400),
        ([], 400),
    ],
)
def test_a_change_of_many_posts_is_checked_before_it_is_queued(
    client: FlaskClient, login: Login, posts: list[Post], body: Any, status: int
) -> None:
    """And nobody in particular may ask for none."""
    ada = login(posts[0].author_id)
    db.session.rollback()
    refused = ada.post("/posts/bulk-update", json=body)
    assert refused.status_code == status, refused.text
    assert answer(refused)["error"]
    good = {"post_ids": [1], "updates": {"title": "x"}}
    assert client.post("/posts/bulk-update", json=good).status_code == 401
    assert blog_api.run_jobs() == 0


def test_a_key_of_nobody_in_the_blog_writes_no_posts(app: Flask, posts: list[Post]) -> None:
    """An id that no user can have is a 403, which says so."""
    key = {"X-API-Key": create_key(db.engine, "robot", ["editor"])}
    new = {"title": "New", "content": "", "category_id": posts[0].category_id}
    response = app.test_client().post("/api/posts", json=new, headers=key)
    assert response.status_code == 403
    assert "'author_id' is set to who asks, and can't hold their id" in answer(response)["error"]


def test_drafts_are_seen_by_their_author_and_editors(
    client: FlaskClient, login: Login, posts: list[Post]
) -> None:
    """For everybody else they aren't there, nor in counts."""
    ada, bob = posts[0].author_id, posts[1].author_id
    seen = {client: 2, login(bob): 2, login(ada): 3, login(bob, "editor"): 3}
    for asker, count in seen.items():
        assert len(answer(asker.get("/api/posts"))["data"]) == count
        draft = asker.get(f"/api/posts/{posts[2].id}")
        assert draft.status_code == (404 if count == 2 else 200)
    counted = answer(client.get(f"/api/users/{ada}?select=posts(count())"))
    assert counted == {"posts": [{"count": 1}]}


@pytest.mark.parametrize("resource", ["categories", "tags"])
def test_editors_keep_categories_and_tags(client: FlaskClient, login: Login, resource: str) -> None:
    """Everybody reads them; users can't make them."""
    url, new = f"/api/{resource}", {"name": "New"}
    assert client.get(url).status_code == 200
    assert client.post(url, json=new).status_code == 401
    assert login(1).post(url, json=new).status_code == 403
    assert login(1, "editor").post(url, json=new).status_code == 201


# --- all of it ---


def test_a_read_leaves_the_session_alone(client: FlaskClient, posts: list[Post]) -> None:
    """What a session has written but not committed outlives what clients read meanwhile."""
    db.session.add(User(username="eve", email="eve@example.com"))
    db.session.flush()
    assert client.get("/users").status_code == 200
    assert client.get("/api/users").status_code == 200
    assert posts[0].author.username == "ada"
    db.session.commit()
    assert usernames() == ["ada", "bob", "eve"]


def test_relationships_work_in_python(posts: list[Post]) -> None:
    """A category, a user and a tag know their posts, and moments are aware and in UTC."""
    db.session.expire_all()
    rye, sleeper, draft = posts
    assert set(rye.author.posts) == {rye, draft}
    assert set(rye.category.posts) == {rye, draft}
    assert set(rye.tags[0].posts) == {rye, sleeper}
    assert rye.created_at == NOON
    assert rye.created_at.utcoffset() == timedelta()


def test_a_moment_of_another_zone_is_kept(client: FlaskClient, posts: list[Post]) -> None:
    """A moment in local time is the same moment when read."""
    zone = datetime.fromisoformat("2026-01-01T00:30:00+02:00")
    posts[0].created_at = zone
    db.session.commit()
    assert posts[0].created_at == zone
    post = answer(client.get(f"/posts/{posts[0].id}"))
    assert post["created_at"] == "2025-12-31T22:30:00.000000Z"


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/users/999999", 404),
        ("GET", f"/users/{2**70}", 404),
        ("PUT", "/users/999999", 404),
        ("DELETE", "/users/999999", 404),
        ("GET", "/posts/999999", 404),
        ("PATCH", "/users/1", 405),
        ("GET", "/api/nothing", 404),
    ],
)
def test_errors_are_json(client: FlaskClient, method: str, url: str, status: int) -> None:
    """What isn't there, and what can't be done, says so in ``error``."""
    response = client.open(url, method=method, json=None if method == "GET" else {})
    assert response.status_code == status
    assert answer(response)["error"]


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [("{", "application/json", 400), ("username=ada", "text/plain", 415)],
)
def test_a_body_that_is_no_json_is_refused(
    client: FlaskClient, data: str, content_type: str, status: int
) -> None:
    """A body that can't be read is a 400, and one of another type a 415."""
    response = client.post("/users", data=data, content_type=content_type)
    assert response.status_code == status
    assert answer(response)["error"]


@pytest.mark.parametrize(
    "url",
    [
        "/users?page=2&per_page=1",
        "/users/{user}",
        "/posts/search?q=rye&tag=slow&category_id={category}",
        "/posts/optimized",
        "/posts/{post}",
        "/analytics/posts-per-category",
        "/api/posts?select=title,author(username),category(name),tags(name)&page=1",
    ],
)
def test_each_reading_view_is_one_statement(
    client: FlaskClient, posts: list[Post], url: str, statements: list[str]
) -> None:
    """However many rows and relations, one statement reaches the driver."""
    post = posts[0]
    path = url.format(user=post.author_id, category=post.category_id, post=post.id)
    db.session.remove()
    client.get("/api/tags")  # the first request of all looks once for SQLite's search indexes
    for _ in range(2):
        statements.clear()
        response = client.get(path)
        assert response.status_code == 200
        # A kept answer needs none.
        assert len(statements) == (response.headers.get("X-Cache") != "hit"), statements


def test_admins_see_the_blogs_figures(app: Flask) -> None:
    """Beside those of its tables: posts of the last week, and users who may sign in."""
    now = datetime.now(UTC)
    ada = User(username="ada", email="a@b.c")
    category = Category(name="News")
    db.session.add_all([ada, category, User(username="bob", email="b@b.c", is_active=False)])
    for days in (1, 6, 8):
        moment = now - timedelta(days=days)
        db.session.add(
            Post(title="t", content="c", author=ada, category=category, created_at=moment)
        )
    db.session.commit()
    key = create_key(db.engine, "me", ["admin"])
    found = app.test_client().get("/admin/db-stats", headers={"X-API-Key": key}).json
    assert found is not None
    assert found["statistics"] == {"recent_posts_7_days": 2, "active_users": 1}
    rows = {table["table"]: table["rows"] for table in found["databases"][0]["tables"]}
    assert rows == {"users": 2, "posts": 3, "categories": 1, "tags": 0}
