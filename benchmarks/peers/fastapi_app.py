"""FastAPI with SQLAlchemy's async engine on asyncpg, uvloop and orjson."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Select, insert, make_url, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from .models import Arrival, Note, User
from .statements import (
    BY_CATEGORY,
    NEWEST,
    event_cells,
    event_json,
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
CONNECTIONS = 8
"""Of each process: one thread has many requests at a time under way."""
FIELDS = ("id", "account_id", "kind", "amount", "happened_at")

engine = create_async_engine(
    make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"),
    pool_size=CONNECTIONS,
)
session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI(openapi_url=None)


def answer(content: Any, status: int = 200) -> Response:
    """JSON as orjson writes it, without FastAPI's own way there."""
    return Response(orjson.dumps(content), status, media_type="application/json")


@app.get("/users/{key}")
async def one_user(key: int) -> Response:
    """One user, or a 404."""
    async with session() as opened:
        user = await opened.get(User, key)
    if user is None:
        raise HTTPException(404)
    return answer(user_json(user))


@app.get("/posts")
async def newest_posts() -> Response:
    """The newest posts with author, category and tags, in two statements."""
    async with session() as opened:
        posts = await opened.scalars(NEWEST)
        return answer({"data": [post_json(post) for post in posts]})


@app.get("/posts/page")
async def page(category: int) -> Response:
    """The second page of a category."""
    return answer({"data": [flat_post_json(row) for row in await _rows(posts_page(category))]})


@app.get("/posts/count")
async def counted(category: int) -> Response:
    """The same, with the number of all posts of the category."""
    async with session() as opened:
        rows = await opened.execute(posts_page(category))
        total = await opened.scalar(posts_count(category))
    return answer({"data": [flat_post_json(row) for row in rows], "total": total})


@app.get("/posts/search")
async def found(q: str) -> Response:
    """The newest posts with a word in their title."""
    return answer({"data": [flat_post_json(row) for row in await _rows(search(q))]})


@app.get("/posts/by-category")
async def by_category() -> Response:
    """How many posts each category has."""
    return answer({"data": [dict(row._mapping) for row in await _rows(BY_CATEGORY)]})


async def _rows(chosen: Select[*tuple[Any, ...]]) -> Any:
    async with session() as opened:
        return await opened.execute(chosen)


@app.post("/notes")
async def create_note(request: Request) -> Response:
    """A new note."""
    note = Note(**with_moment(orjson.loads(await request.body()), "created_at"))
    async with session() as opened:
        opened.add(note)
        await opened.commit()
    return answer(note_json(note), 201)


@app.patch("/notes")
async def change_notes(request: Request, author: int) -> Response:
    """What an author's notes are to be."""
    values = orjson.loads(await request.body())
    async with session() as opened:
        await opened.execute(update(Note).where(Note.author_id == author).values(**values))
        await opened.commit()
    return Response(status_code=204)


@app.post("/notes/many")
async def create_notes(request: Request) -> Response:
    """Many new notes, in few statements."""
    rows = [with_moment(row, "created_at") for row in orjson.loads(await request.body())]
    async with session() as opened:
        await opened.execute(insert(Note), rows)
        await opened.commit()
    return Response(status_code=201)


@app.get("/events.ndjson")
async def export_ndjson(limit: int) -> Response:
    """Events a line each, read from the database while they are sent."""

    async def lines() -> AsyncIterator[bytes]:
        async for rows in _partitions(limit):
            yield b"".join([orjson.dumps(event_json(row)) + b"\n" for row in rows])

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@app.get("/events.csv")
async def export_csv(limit: int) -> Response:
    """The same as CSV."""

    async def lines() -> AsyncIterator[str]:
        yield ",".join(FIELDS) + "\n"
        async for rows in _partitions(limit):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(map(event_cells, rows))
            yield text.getvalue()

    return StreamingResponse(lines(), media_type="text/csv")


async def _partitions(limit: int) -> AsyncIterator[Any]:
    async with session() as opened:
        streamed = await opened.stream(exported(limit), execution_options={"yield_per": BATCH})
        async for rows in streamed.partitions():
            yield rows


@app.post("/arrivals.ndjson")
async def import_ndjson(request: Request) -> Response:
    """Events from lines of JSON, all or none."""

    async def rows() -> AsyncIterator[dict[str, Any]]:
        async for line in _lines(request):
            yield orjson.loads(line)

    return await _import(rows())


@app.post("/arrivals.csv")
async def import_csv(request: Request) -> Response:
    """Events from CSV, all or none."""

    async def rows() -> AsyncIterator[dict[str, Any]]:
        lines = _lines(request)
        names = (await anext(lines)).decode().strip().split(",")
        async for line in lines:
            cells = dict(zip(names, next(csv.reader([line.decode()])), strict=True))
            # asyncpg takes no text for a number.
            yield cells | {name: int(cells[name]) for name in ("id", "account_id", "amount")}

    return await _import(rows())


async def _lines(request: Request) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in request.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


async def _import(rows: AsyncIterator[dict[str, Any]]) -> Response:
    async with session() as opened:
        batch = []
        async for row in rows:
            batch.append(with_moment(row, "happened_at"))
            if len(batch) == BATCH:
                await opened.execute(insert(Arrival), batch)
                batch = []
        if batch:
            await opened.execute(insert(Arrival), batch)
        await opened.commit()
    return Response(status_code=201)
