"""The guides' own Flask code, written well by hand: eager loading, and only what is shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flask import Response, jsonify, request, stream_with_context
from sqlalchemy import insert, update

from .flask_app import db, new_app
from .lines import lines_of
from .models import Arrival, Note, User
from .statements import (
    BY_CATEGORY,
    NEWEST,
    event_cells,
    event_json,
    events_page,
    exported,
    flat_post_json,
    note_json,
    post_json,
    posts_count,
    posts_page,
    search,
    user_json,
    with_moment,
)

BATCH = 1000
"""Rows that are read or written at a time."""
FIELDS = ("id", "account_id", "kind", "amount", "happened_at")

app = new_app(__name__)


@app.get("/users/<int:key>")
def one_user(key: int) -> Response:
    """One user, or a 404."""
    return jsonify(user_json(db.get_or_404(User, key)))


@app.get("/posts")
def newest_posts() -> Response:
    """The newest posts with author, category and tags, in two statements."""
    return jsonify(data=[post_json(post) for post in db.session.scalars(NEWEST)])


@app.get("/posts/page")
def page() -> Response:
    """The second page of a category."""
    rows = db.session.execute(posts_page(int(request.args["category"])))
    return jsonify(data=[flat_post_json(row) for row in rows])


@app.get("/posts/count")
def counted() -> Response:
    """The same, with the number of all posts of the category."""
    category = int(request.args["category"])
    rows = db.session.execute(posts_page(category))
    data = [flat_post_json(row) for row in rows]
    return jsonify(data=data, total=db.session.scalar(posts_count(category)))


@app.get("/posts/search")
def found() -> Response:
    """The newest posts with a word in their title."""
    rows = db.session.execute(search(request.args["q"]))
    return jsonify(data=[flat_post_json(row) for row in rows])


@app.get("/posts/by-category")
def by_category() -> Response:
    """How many posts each category has."""
    return jsonify(data=[dict(row) for row in db.session.execute(BY_CATEGORY).mappings()])


@app.get("/events")
def events() -> Response:
    """20 events, after a key or after so many."""
    after, offset = request.args.get("after", type=int), request.args.get("offset", 0, type=int)
    return jsonify(data=[event_json(row) for row in db.session.execute(events_page(after, offset))])


@app.post("/notes")
def create_note() -> tuple[Response, int]:
    """A new note."""
    note = Note(**with_moment(request.get_json(), "created_at"))
    db.session.add(note)
    db.session.commit()
    return jsonify(note_json(note)), 201


@app.patch("/notes")
def change_notes() -> tuple[str, int]:
    """What an author's notes are to be."""
    chosen = update(Note).where(Note.author_id == int(request.args["author"]))
    db.session.execute(chosen.values(**request.get_json()))
    db.session.commit()
    return "", 204


@app.post("/notes/many")
def create_notes() -> tuple[str, int]:
    """Many new notes, in few statements."""
    rows = [with_moment(row, "created_at") for row in request.get_json()]
    db.session.execute(insert(Note), rows)
    db.session.commit()
    return "", 201


@app.get("/events.ndjson")
def export_ndjson() -> Response:
    """Events a line each, read from the database while they are sent."""

    def lines() -> Iterator[str]:
        for rows in _exported().partitions():
            yield "".join([json.dumps(event_json(row)) + "\n" for row in rows])

    return Response(stream_with_context(lines()), mimetype="application/x-ndjson")


@app.get("/events.csv")
def export_csv() -> Response:
    """The same as CSV."""

    def lines() -> Iterator[str]:
        yield ",".join(FIELDS) + "\n"
        for rows in _exported().partitions():
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(map(event_cells, rows))
            yield text.getvalue()

    return Response(stream_with_context(lines()), mimetype="text/csv")


def _exported() -> Any:
    chosen = exported(request.args.get("limit", type=int) or 0)
    return db.session.execute(chosen, execution_options={"yield_per": BATCH})


@app.post("/arrivals.ndjson")
def import_ndjson() -> tuple[str, int]:
    """Events from lines of JSON, all or none."""
    return _import(map(json.loads, lines_of(request.stream.read)))


@app.post("/arrivals.csv")
def import_csv() -> tuple[str, int]:
    """Events from CSV, all or none."""
    return _import(csv.DictReader(line.decode() for line in lines_of(request.stream.read)))


def _import(rows: Iterator[dict[str, Any]]) -> tuple[str, int]:
    while batch := [with_moment(row, "happened_at") for row in islice(rows, BATCH)]:
        db.session.execute(insert(Arrival), batch)
    db.session.commit()
    return "", 201
