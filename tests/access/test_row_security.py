"""PostgreSQL's row-level security as a second wall: it holds where Carboy's own policy is open."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from carboy import OPEN, Carboy
from carboy.settings import SettingError
from tests.conftest import empty_postgresql_database

from .world import ANN, BOB, EVE, Asker, Post, User, fill, make_app, token

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "row-level-security.md"


@pytest.fixture
def owner(postgresql_url: str) -> Iterator[sa.Engine]:
    """The world, as the owner of its tables has it, with the policies that the page shows."""
    with empty_postgresql_database(postgresql_url) as url:
        engine = sa.create_engine(url)
        fill(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def api_engine(owner: sa.Engine) -> Iterator[sa.Engine]:
    """The API's own engine, with one connection: of a role that owns nothing."""
    name = f"blog_api_{secrets.token_hex(4)}"
    found = re.search(r"```text\n(CREATE ROLE.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    with owner.begin() as connection:
        # The driver reads a percent sign, and nothing else in it.
        connection.exec_driver_sql(found[1].replace("blog_api", name))
    url = owner.url.set(username=name, password="a password of its own")
    engine = sa.create_engine(url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()
    with owner.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def app(api_engine: sa.Engine) -> flask.Flask:
    """The world, open to everybody as far as Carboy is concerned."""
    return make_app(api_engine, open_=True, CARBOY_ROW_SECURITY=1)


def asker(app: flask.Flask, id_: int | None = None, *roles: str) -> Asker:
    """An actor."""
    return Asker(app.test_client(), None if id_ is None else token(id_, *roles))


def ids(rows: list[dict[str, Any]]) -> list[int]:
    """The rows' keys."""
    return sorted(row["id"] for row in rows)


def test_reads_see_what_the_database_shows(app: flask.Flask) -> None:
    """Lists, items, embeds, counts and estimates, for each actor over the same connection."""
    assert ids(asker(app).rows("posts")) == [1, 3, 5]
    assert ids(asker(app, ANN).rows("posts")) == [1, 2, 3, 5]
    assert ids(asker(app, EVE, "editor").rows("posts")) == [1, 2, 3, 4, 5, 6]
    assert ids(asker(app).rows("posts")) == [1, 3, 5]
    assert asker(app, ANN).get("posts/4").status_code == 404
    assert asker(app, BOB).get("posts/4").status_code == 200
    assert asker(app, BOB).json("users/1?select=posts(id)") == {"posts": [{"id": 1}]}
    assert asker(app, ANN).get("posts", Prefer="count=exact").get_json()["total"] == 4
    assert asker(app, ANN).get("posts", Prefer="count=planned").status_code == 200


@pytest.mark.parametrize("path", ["posts", "posts/1", "posts/99", "posts?nope=eq.1"])
def test_nothing_of_an_actor_stays_on_a_connection(app: flask.Flask, path: str) -> None:
    """Once it is back in the pool, the connection knows nobody: after answers and refusals."""
    engine = app.extensions["carboy"].source
    asker(app, ANN, "editor").get(path)
    asker(app, ANN, "editor").ask("PATCH", "posts/1", {"views": 1})
    asker(app, ANN, "editor").ask("POST", "posts", {"title": "t", "author_id": 99})
    query = (
        "SELECT current_setting('carboy.actor_id', true), "
        "current_setting('carboy.actor_roles', true), pg_backend_pid()"
    )
    with engine.connect() as connection:
        id_, roles, _ = connection.exec_driver_sql(query).one()
    assert (id_ or "", roles or "") == ("", "")


def test_writes_of_hidden_rows_find_nothing(app: flask.Flask, owner: sa.Engine) -> None:
    """A row that may not be changed is not there for PATCH and DELETE, one by one or in bulk."""
    ann = asker(app, ANN)
    assert ann.ask("PATCH", "posts/4", {"title": "mine"}).status_code == 404
    assert ann.ask("DELETE", "posts/3").status_code == 404
    assert ann.ask("PATCH", "posts?id=gt.2", {"title": "mine"}).status_code == 200
    assert ann.ask("PATCH", "posts/2", {"title": "mine"}).status_code == 200
    assert asker(app, BOB, "editor").ask("PATCH", "posts/1", {"views": 5}).status_code == 200
    with owner.connect() as connection:
        titles = connection.scalars(sa.select(Post.title).order_by(Post.id)).all()
    assert titles == ["Ann public", "mine", "Bob public", "Bob draft", "Eve public", "Eve draft"]


def test_what_the_database_refuses_is_a_403(app: flask.Flask, owner: sa.Engine) -> None:
    """A new row of somebody else's, and one given away; nothing of an array stays."""
    new = {"title": "new", "author_id": BOB}
    ann = asker(app, ANN)
    for body in (new, [{**new, "author_id": ANN}, new]):
        response = ann.ask("POST", "posts", body)
        assert response.status_code == 403
        assert response.get_json()["detail"] == "the database user may not do this"
    assert ann.ask("PATCH", "posts/1", {"author_id": BOB}).status_code == 403
    assert ann.ask("POST", "posts", {**new, "author_id": ANN}).status_code == 201
    with owner.connect() as connection:
        mine = sa.select(sa.func.count()).where(Post.title == "new")
        assert connection.scalar(mine) == 1


@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize(
    ("policy", "method"),
    [("FOR DELETE USING (false)", "DELETE"), ("FOR UPDATE USING (id > 5)", "PATCH")],
)
def test_what_the_database_passes_over_is_never_a_success(
    app: flask.Flask, owner: sa.Engine, policy: str, method: str
) -> None:
    """A restrictive policy makes a statement skip the row without an error: no 2xx, no change."""
    with owner.begin() as connection:
        connection.exec_driver_sql(f"CREATE POLICY less ON posts AS RESTRICTIVE {policy}")
    response = asker(app, EVE).ask(method, "posts/5", {"views": 9} if method == "PATCH" else None)
    assert response.status_code in (403, 404)
    with owner.connect() as connection:
        assert connection.scalar(sa.select(Post.views).where(Post.id == 5)) == 0


def views_client(engine: sa.Engine) -> FlaskClient:
    """An application with views of its own over the posts."""
    app = make_app(engine, open_=True, CARBOY_ROW_SECURITY=1, PROPAGATE_EXCEPTIONS=True)
    api = app.extensions["carboy"].carboy
    posts = sa.select(Post).order_by(Post.id)

    @app.get("/past-carboy")
    def past_carboy() -> flask.Response:
        answer: flask.Response = api.read(posts, "id", policy=False)
        return answer

    @app.get("/in-session")
    def in_session() -> flask.Response:
        with Session(engine) as session:
            session.get(User, 1)
            answer: flask.Response = api.read(posts, "id", session=session)
            seen = session.scalars(sa.select(Post.id).order_by(Post.id)).all()
            assert seen == [row["id"] for row in answer.get_json()]
            session.rollback()
            assert len(session.scalars(sa.select(Post.id)).all()) == 3
        return answer

    return app.test_client()


@pytest.mark.parametrize("path", ["/past-carboy", "/in-session"])
def test_views_of_ones_own_are_behind_the_wall(api_engine: sa.Engine, path: str) -> None:
    """Even where Carboy's policies are turned off; in a session until its transaction ends."""
    client = views_client(api_engine)
    headers = {"Authorization": f"Bearer {token(ANN)}"}
    assert ids(client.get(path, headers=headers).get_json()) == [1, 2, 3, 5]
    assert ids(client.get(path).get_json()) == [1, 3, 5]


def test_actors_at_the_same_time_see_their_own(api_engine: sa.Engine) -> None:
    """Many requests of several actors, by turns over one connection: none sees another's rows."""
    app = make_app(api_engine, open_=True, CARBOY_ROW_SECURITY=1)
    expected = {ANN: [1, 2, 3, 5], BOB: [1, 3, 4, 5], EVE: [1, 3, 5, 6]}

    def read(number: int) -> bool:
        id_ = (ANN, BOB, EVE)[number % 3]
        return ids(asker(app, id_).rows("posts")) == expected[id_]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(60)))


def test_without_the_setting_nobody_is_told(api_engine: sa.Engine) -> None:
    """Off by default: the database then shows what it shows to nobody."""
    app = make_app(api_engine, open_=True)
    assert ids(asker(app, ANN).rows("posts")) == [1, 3, 5]


def test_other_databases_refuse_the_setting() -> None:
    """A wall that isn't there must not be believed in."""
    app = flask.Flask("lite")
    app.config["CARBOY_ROW_SECURITY"] = 1
    api = Carboy(app, sa.create_engine("sqlite://"), policy=OPEN)
    with app.app_context(), pytest.raises(SettingError, match="CARBOY_ROW_SECURITY is for Post"):
        _ = api.schema
