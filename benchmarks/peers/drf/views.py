"""The views: related rows are loaded with the list, and what isn't shown is left out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.dateparse import parse_datetime
from django.views.decorators.csrf import csrf_exempt
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from ..lines import lines_of
from .models import Arrival, MediumEvent, Note, Post, User
from .serializers import (
    EVENT,
    FlatPostSerializer,
    NoteSerializer,
    PostSerializer,
    UserSerializer,
)
from .settings import MOMENT

BATCH = 1000
NEWEST = (
    Post.objects.select_related("author", "category")
    .prefetch_related("tags")
    .only("title", "created_at", "author__username", "category__name")
    .order_by("-created_at", "-id")
)
FLAT = Post.objects.only("title", "created_at", "author_id").order_by("-created_at", "-id")
TITLE = SearchVector("title", config="simple")


@api_view()
def one_user(request: Request, key: int) -> Response:
    """One user, or a 404."""
    return Response(UserSerializer(get_object_or_404(User, pk=key)).data)


@api_view()
def newest_posts(request: Request) -> Response:
    """The newest posts with author, category and tags, in two statements."""
    return Response({"data": PostSerializer(NEWEST[:20], many=True).data})


def _in_category(request: Request) -> QuerySet:
    return FLAT.filter(category_id=int(request.query_params["category"]), published=True)


@api_view()
def page(request: Request) -> Response:
    """The second page of a category."""
    return Response({"data": FlatPostSerializer(_in_category(request)[20:40], many=True).data})


@api_view()
def counted(request: Request) -> Response:
    """The same, with the number of all posts of the category."""
    chosen = _in_category(request)
    data = FlatPostSerializer(chosen[20:40], many=True).data
    return Response({"data": data, "total": chosen.count()})


@api_view()
def found(request: Request) -> Response:
    """The newest posts with a word in their title."""
    words = SearchQuery(request.query_params["q"], config="simple")
    chosen = FLAT.annotate(words=TITLE).filter(words=words)[:20]
    return Response({"data": FlatPostSerializer(chosen, many=True).data})


@api_view()
def by_category(request: Request) -> Response:
    """How many posts each category has."""
    chosen = Post.objects.values(name=F("category__name")).annotate(posts=Count("*"))
    rows = chosen.order_by("name")
    return Response({"data": [{"category": r["name"], "posts": r["posts"]} for r in rows]})


@api_view(["POST", "PATCH"])
def notes(request: Request) -> Response:
    """A new note; or what an author's notes are to be."""
    if request.method == "POST":
        note = NoteSerializer(data=request.data)
        note.is_valid(raise_exception=True)
        note.save()
        return Response(note.data, status=201)
    chosen = Note.objects.filter(author_id=int(request.query_params["author"]))
    chosen.update(**request.data)
    return Response(status=204)


@api_view(["POST"])
def create_notes(request: Request) -> Response:
    """Many new notes, checked one by one and inserted together."""
    rows = NoteSerializer(data=request.data, many=True)
    rows.is_valid(raise_exception=True)
    Note.objects.bulk_create([Note(**row) for row in rows.validated_data], batch_size=BATCH)
    return Response(status=201)


def export_ndjson(request: HttpRequest) -> StreamingHttpResponse:
    """Events a line each, read from the database while they are sent."""

    def lines() -> Iterator[str]:
        for rows in _batches(request):
            yield "".join([json.dumps(dict(zip(EVENT, row, strict=True))) + "\n" for row in rows])

    return StreamingHttpResponse(lines(), content_type="application/x-ndjson")


def export_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The same as CSV."""

    def lines() -> Iterator[str]:
        yield ",".join(EVENT) + "\n"
        for rows in _batches(request):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            yield text.getvalue()

    return StreamingHttpResponse(lines(), content_type="text/csv")


def _batches(request: HttpRequest) -> Iterator[list[tuple[Any, ...]]]:
    chosen = MediumEvent.objects.order_by("id").values_list(*EVENT)[: int(request.GET["limit"])]
    rows = chosen.iterator(chunk_size=BATCH)
    while batch := list(islice(rows, BATCH)):
        yield [(*row[:-1], row[-1].strftime(MOMENT)) for row in batch]


@csrf_exempt
def import_ndjson(request: HttpRequest) -> StreamingHttpResponse:
    """Events from lines of JSON, all or none."""
    return _import(map(json.loads, lines_of(request.read)))


@csrf_exempt
def import_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Events from CSV, all or none."""
    return _import(csv.DictReader(line.decode() for line in lines_of(request.read)))


def _import(rows: Iterator[dict[str, Any]]) -> StreamingHttpResponse:
    moments = (row | {"happened_at": parse_datetime(row["happened_at"])} for row in rows)
    with transaction.atomic():
        while batch := [Arrival(**row) for row in islice(moments, BATCH)]:
            Arrival.objects.bulk_create(batch)
    return StreamingHttpResponse(status=201)


urlpatterns = [
    path("users/<int:key>", one_user),
    path("posts", newest_posts),
    path("posts/page", page),
    path("posts/count", counted),
    path("posts/search", found),
    path("posts/by-category", by_category),
    path("notes", notes),
    path("notes/many", create_notes),
    path("events.ndjson", export_ndjson),
    path("events.csv", export_csv),
    path("arrivals.ndjson", import_ndjson),
    path("arrivals.csv", import_csv),
]
