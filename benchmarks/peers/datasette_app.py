"""Datasette on the SQLite file, as an application that any ASGI server serves."""

from __future__ import annotations

import os

from datasette.app import Datasette
from sqlalchemy import make_url

# Immutable: it needn't look whether the file has changed. Its counts are made beforehand.
app = Datasette(
    immutables=[make_url(os.environ["DATABASE_URL"]).database],
    settings={"num_sql_threads": int(os.environ["THREADS"]), "suggest_facets": False},
).app()
