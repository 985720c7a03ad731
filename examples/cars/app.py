"""Cars: their API under ``/api``, and views of their own beside it."""

from __future__ import annotations

import os
from typing import Any

from flask import Blueprint, Flask, Response, abort, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import String, delete, select, update
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


class Car(Base):
    """A car."""

    __tablename__ = "cars"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    model: Mapped[str] = mapped_column(String(80))
    doors: Mapped[int]


api.resource(Car)

views = Blueprint("cars", __name__)


@views.post("/cars")
def create_car() -> tuple[dict[str, str], int]:
    """Store a car."""
    car = car_fields()
    db.session.add(Car(**car))
    db.session.commit()
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
    """Store a car in the place of another."""
    changed = update(Car).where(Car.id == car_id).values(car_fields()).returning(Car.name)
    return {"message": f"car {written(changed, car_id)} successfully updated"}


@views.delete(A_CAR)
def delete_car(car_id: int) -> dict[str, str]:
    """Delete a car."""
    deleted = delete(Car).where(Car.id == car_id).returning(Car.name)
    return {"message": f"car {written(deleted, car_id)} successfully deleted"}


def written(statement: Any, car_id: int) -> str:
    """The name of the car that the statement has written, or a 404."""
    name: str | None = db.session.scalar(statement)
    if name is None:
        abort(404, f"there is no car {car_id}")
    db.session.commit()
    return name


def car_fields() -> dict[str, Any]:
    """The name, model and doors of the request's body, or a 415 or 400."""
    if not request.is_json:
        abort(415, "The request payload is not in JSON format")
    body = request.get_json()
    if not isinstance(body, dict):
        abort(400, "a car must be a JSON object")
    for name in ("name", "model"):
        text = body.get(name)
        if not isinstance(text, str) or not text.isprintable() or not 1 <= len(text) <= 80:
            abort(400, f"{name} must be printable text of 1 to 80 characters")
    if type(body.get("doors")) is not int or not 0 <= body["doors"] <= 20:
        abort(400, "doors must be a whole number from 0 to 20")
    return {name: body[name] for name in ("name", "model", "doors")}


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
    api.init_app(app, db)
    app.register_blueprint(views)
    app.register_error_handler(HTTPException, answer_error)
    return app


app = create_app()
