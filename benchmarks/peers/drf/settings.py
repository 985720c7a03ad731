"""Django's settings: pooled connections, no middleware, orjson on the way in and out."""

from __future__ import annotations

import os

from sqlalchemy import make_url

URL = make_url(os.environ["DATABASE_URL"])
MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"

ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": URL.database,
        "USER": URL.username,
        "PASSWORD": URL.password,
        "HOST": URL.host,
        "PORT": URL.port,
        "OPTIONS": {"pool": {"min_size": 1, "max_size": int(os.environ["THREADS"])}},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["rest_framework", "benchmarks.peers.drf"]
MIDDLEWARE: list[str] = []
REST_FRAMEWORK = {
    "DATETIME_FORMAT": MOMENT,
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["drf_orjson_renderer.parsers.ORJSONParser"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["drf_orjson_renderer.renderers.ORJSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
ROOT_URLCONF = "benchmarks.peers.drf.views"
TIME_ZONE = "UTC"
USE_TZ = True
