"""Cars: their API under ``/api``, and views of their own beside it.

Everybody may read; writing takes a credential with the role writer or admin.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, abort, request
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.exceptions import HTTPException

from carboy import Carboy, Part

__all__ = ["Car", "app", "db"]

FIELDS = "name,model,doors"
A_CAR = f"/cars/<int(max={2**31 - 1}):car_id>"


class Base(DeclarativeBase):
    """What the tables have in common."""


db = SQLAlchemy(model_class=Base)
api = Carboy()
migrate = Migrate(directory=Path(__file__).with_name("migrations"))


class Car(Base):
    """A car."""

    __tablename__ = "cars"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    model: Mapped[str] = mapped_column(String(80))
    doors: Mapped[int]


views = Blueprint("cars", __name__)


@views.post("/cars")
def create_car() -> tuple[dict[str, str], int]:
    """Store a car."""
    require_json()
    car = api.create(Car, "name").get_json()
    return {"message": f"car {car['name']} has been created successfully."}, 201


@views.get("/cars")
def list_cars() -> Response:
    """All cars, and how many they are."""
    cars = select(Car).order_by(Car.id)
    return api.read(cars, FIELDS, envelope={"count": Part.COUNT, "cars": Part.DATA})


@views.get(A_CAR)
def show_car(car_id: int) -> Response:
    """One car."""
    car = select(Car).where(Car.id == car_id)
    return api.read(car, FIELDS, one=True, envelope={"message": "success", "car": Part.DATA})


@views.put(A_CAR)
def change_car(car_id: int) -> dict[str, str]:
    """Change what the body names."""
    require_json()
    car = api.update(Car, car_id, "name").get_json()
    return {"message": f"car {car['name']} successfully updated"}


@views.delete(A_CAR)
def delete_car(car_id: int) -> dict[str, str]:
    """Delete a car."""
    car = api.delete(Car, car_id, "name").get_json()
    return {"message": f"car {car['name']} successfully deleted"}


def require_json() -> None:
    """The words that clients of these views know, before the API's own."""
    if not request.is_json:
        abort(415, "The request payload is not in JSON format")


def sensible(values: Mapping[str, Any]) -> dict[str, str]:
    """A car has a name, a model, and a number of doors that fits on it."""
    found = {n: f"{n} is required" for n in ("name", "model") if not values.get(n, n).strip()}
    if not 0 <= values.get("doors", 0) <= 20:
        found["doors"] = "doors must be a whole number from 0 to 20"
    return found


def answer_error(error: HTTPException) -> tuple[dict[str, Any], int, list[tuple[str, str]]]:
    """Errors are JSON here as they are in the API."""
    allow = [header for header in error.get_headers() if header[0] == "Allow"]
    return {"error": error.description}, error.code or 500, allow


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


api.resource(Car, validate=sensible, public="read")

app = create_app()
