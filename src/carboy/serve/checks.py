"""What ``carboy check`` is given, a database or ``module:app``, to what can be checked."""

from __future__ import annotations

import flask

from ..extension import api_of, engine_of, policies_of, settings_of, takes_logins
from ..ops.check import Finding, check
from ..ops.checked import Checked
from .app import Target, load, without_api


def check_target(target: Target, *, workers: int, threads: int) -> list[Finding]:
    """What is wrong with a target; TargetError where it has no API, or can't be loaded."""
    served = load(target)
    try:
        if served.api is None or not isinstance(served.wsgi, flask.Flask):
            raise without_api(target)
        configured = not target.is_database
        return check_app(served.wsgi, workers=workers, threads=threads, configured=configured)
    finally:
        served.close()


def check_app(
    app: flask.Flask, *, workers: int = 1, threads: int = 8, configured: bool = True
) -> list[Finding]:
    """What is wrong with an application; one that isn't ``configured`` has no code to set it."""
    # Rules may look at the request.
    with app.test_request_context():
        return check(
            Checked(
                config=app.config if configured else None,
                settings=settings_of(app),
                engine=engine_of(app),
                schema=api_of(app).schema,
                policies=policies_of(app),
                logins=takes_logins(app),
                workers=workers,
                threads=threads,
            )
        )
