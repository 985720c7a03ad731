"""What ``carboy check`` is given, a database or ``module:app``, to what can be checked."""

from __future__ import annotations

import flask

from ..extension import built_api, takes_logins
from ..ops.check import Finding, check
from ..ops.checked import Checked
from ..ops.migrate import find_migrations
from .app import Target, application


def check_target(target: Target, *, workers: int, threads: int) -> list[Finding]:
    """What is wrong with a target; TargetError where it has no API, or can't be loaded."""
    configured = not target.is_database
    with application(target) as app:
        return check_app(app, workers=workers, threads=threads, configured=configured)


def check_app(
    app: flask.Flask, *, workers: int = 1, threads: int = 8, configured: bool = True
) -> list[Finding]:
    """What is wrong with an application; one that isn't ``configured`` has no code to set it."""
    # Rules may look at the request.
    with app.test_request_context():
        api = built_api(app)
        return check(
            Checked(
                config=app.config if configured else None,
                settings=api.settings,
                engine=api.database.engine,
                binds={key: of.engine for key, of in api.databases.items() if key},
                replica=api.replica.database.engine if api.replica is not None else None,
                schema=api.schema,
                policies=api.policies.policies,
                logins=takes_logins(app),
                migrations=find_migrations(app.extensions),
                workers=workers,
                threads=threads,
            )
        )
