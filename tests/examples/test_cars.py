"""The cars keep what their guide promises, on SQLite in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from carboy.ops.api_keys import create_key

with pytest.MonkeyPatch.context() as environment:
    environment.setenv("APP_ENV", "testing")
    from examples.cars.app import Car, create_app, db
    from examples.cars.config import Testing

DART = {"name": "Silverline", "model": "Dart", "doors": 3}
NOT_JSON = {"error": "The request payload is not in JSON format"}


@pytest.fixture
def app() -> Iterator[Flask]:
    """The cars; there is one."""
    app = create_app(Testing)
    with app.app_context():
        db.create_all()
        db.session.add(Car(**DART))
        db.session.commit()
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Asks with a key that may write."""
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = create_key(db.engine, "tests", ["writer"])
    return client


@pytest.fixture
def anybody(app: Flask) -> FlaskClient:
    """Asks without credentials."""
    return app.test_client()


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "/cars"),
        ("PUT", "/cars/1"),
        ("PUT", "/cars/2"),
        ("DELETE", "/cars/1"),
        ("POST", "/api/cars"),
        ("PATCH", "/api/cars/1"),
        ("DELETE", "/api/cars/1"),
    ],
)
def test_writing_takes_a_credential(anybody: FlaskClient, method: str, url: str) -> None:
    """Without one, every write is a 401 and changes nothing; with one that has no role, a 403."""
    response = anybody.open(url, method=method, json=DART)
    assert response.status_code == 401
    reader = {"X-API-Key": create_key(db.engine, "reader")}
    assert anybody.open(url, method=method, json=DART, headers=reader).status_code == 403
    assert anybody.get("/cars").json == {"count": 1, "cars": [DART]}


def test_everybody_may_read(anybody: FlaskClient) -> None:
    """Views and API answer without credentials."""
    assert anybody.get("/cars/1").json == {"message": "success", "car": DART}
    assert anybody.get("/api/cars").status_code == 200


def test_a_car_is_created(client: FlaskClient) -> None:
    """POST /cars answers a message that names the car, which is then there."""
    response = client.post("/cars", json={"name": "Orchard", "model": "Pippin", "doors": 5})
    assert response.status_code == 201
    assert response.json == {"message": "car Orchard has been created successfully."}
    assert client.get("/cars/2").json == {
        "message": "success",
        "car": {"name": "Orchard", "model": "Pippin", "doors": 5},
    }


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_form_is_no_car(client: FlaskClient, method: str) -> None:
    """A body that isn't JSON is a 415."""
    url = "/cars" if method == "POST" else "/cars/1"
    response = client.open(url, method=method, data=DART)
    assert response.status_code == 415
    assert response.json == NOT_JSON


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": None}, "name can't be null"),
        ({"name": ""}, "name is required"),
        ({"model": 3}, "model must be"),
        ({"model": "x" * 81}, "model must be"),
        ({"model": "\0"}, "NUL character"),
        ({"doors": "3"}, "doors must be"),
        ({"doors": True}, "doors must be"),
        ({"doors": -1}, "doors must be"),
        ({"doors": 2**70}, "doors must be"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_car_that_makes_no_sense_is_refused(
    client: FlaskClient, method: str, change: dict[str, object], error: str
) -> None:
    """A missing or wrong field is a 400 that names it, and nothing is stored."""
    url = "/cars" if method == "POST" else "/cars/1"
    response = client.open(url, method=method, json=DART | change)
    assert response.status_code == 400
    assert error in response.text
    assert client.get("/cars").json == {"count": 1, "cars": [DART]}


def test_cars_are_counted_and_listed(client: FlaskClient) -> None:
    """GET /cars answers all cars and how many they are."""
    for number in range(30):
        client.post("/cars", json={"name": f"n{number}", "model": "m", "doors": number % 5})
    more = [{"name": f"n{number}", "model": "m", "doors": number % 5} for number in range(30)]
    assert client.get("/cars").json == {"count": 31, "cars": [DART, *more]}


def test_a_car_is_changed(client: FlaskClient) -> None:
    """PUT /cars/<id> answers a message that names the car."""
    changed = {"name": "Silverline", "model": "Arrow", "doors": 5}
    response = client.put("/cars/1", json=changed)
    assert response.status_code == 200
    assert response.json == {"message": "car Silverline successfully updated"}
    assert client.get("/cars").json == {"count": 1, "cars": [changed]}


def test_a_car_is_deleted(client: FlaskClient) -> None:
    """DELETE /cars/<id> answers a message that names the car."""
    response = client.delete("/cars/1")
    assert response.status_code == 200
    assert response.json == {"message": "car Silverline successfully deleted"}
    assert client.get("/cars").json == {"count": 0, "cars": []}


@pytest.mark.parametrize(
    ("method", "number"), [("GET", 2), ("PUT", 2), ("DELETE", 2), ("GET", 2**40), ("GET", 2**70)]
)
def test_a_car_that_is_not_there_is_a_404(client: FlaskClient, method: str, number: int) -> None:
    """No such car, whatever is asked of it."""
    response = client.open(f"/cars/{number}", method=method, json=DART)
    assert response.status_code == 404
    assert response.json
    assert response.json["error"]


def test_the_api_has_the_cars_too(client: FlaskClient) -> None:
    """The same rows, under /api."""
    assert client.get("/api/cars?doors=eq.3").json == {"data": [{"id": 1, **DART}], "next": None}
