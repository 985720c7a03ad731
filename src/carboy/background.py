"""An application's jobs, as its code names and queues them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

import flask
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from .access import ANONYMOUS, Actor
from .errors import InvalidBody
from .execute.transaction import transaction
from .hosts import own_body, resource_of, to_flask
from .jobs import (
    ATTEMPTS,
    BACKOFF,
    JobFunction,
    Jobs,
    NewJob,
    Schedule,
    add,
    check_function,
    run_due,
    update_later,
    write_function,
)
from .ops.backup.job import backup_function
from .pipeline import Api
from .schema import Schema, SchemaError
from .settings import SettingError, Settings

F = TypeVar("F", bound=Callable[..., Any])
_LONGEST_KEY = 255
_RESERVED = "carboy."
_BROKERS = ("redis://", "rediss://")


class Background:
    """The functions that ``Carboy.job`` was given, and ways to queue them.

    ``api`` and ``actor`` answer what they are in the current application and request.
    """

    def __init__(self, api: Callable[[], Api], actor: Callable[[], Actor]) -> None:
        self._api = api
        self._actor = actor
        self._functions: dict[str, JobFunction] = {}

    @overload
    def job(self, function: F, /) -> F: ...

    @overload
    def job(
        self,
        *,
        name: str | None = None,
        attempts: int = ATTEMPTS,
        backoff: float = BACKOFF,
        schedule: Schedule | None = None,
    ) -> Callable[[F], F]: ...

    def job(
        self,
        function: Any = None,
        *,
        name: str | None = None,
        attempts: int = ATTEMPTS,
        backoff: float = BACKOFF,
        schedule: Schedule | None = None,
    ) -> Any:
        """Let a function run as a job: ``@api.job``, or ``@api.job(attempts=3)``.

        It is called with a ``Job`` and the arguments it was queued with. After an exception it is
        run again, ``attempts`` times in all, with a pause of ``backoff`` seconds that doubles.
        ``schedule`` is a cron expression in UTC, or a ``timedelta``. Raises SchemaError.
        """

        def register(found: F) -> F:
            made = JobFunction(name or found.__name__, found, attempts, backoff, schedule)
            check_function(made)
            if made.name in self._functions or made.name.startswith(_RESERVED):
                raise SchemaError(f"the name {made.name!r} is taken; give the job another: name=")
            self._functions[made.name] = made
            return found

        return register if function is None else register(function)

    def enqueue(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, Any] | None = None,
        *,
        session: Session | scoped_session[Any] | sa.Connection | None = None,
        key: str | None = None,
        delay: float = 0,
    ) -> str:
        """Queue a function that ``job`` was given, and answer the job's id.

        With ``session`` the job is there exactly if its transaction is committed; without one,
        at once. With a ``key`` that came before it answers the first job's id, whatever became of
        that. ``delay`` is in seconds. Raises SchemaError for arguments that don't fit.
        """
        made = next((f for f in self._functions.values() if f.run is function), None)
        if made is None:
            raise SchemaError(f"{function!r} is no job; give it to @api.job first")
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise SchemaError(f"a job's key has 1 to {_LONGEST_KEY} characters, not {len(key)}")
        job = NewJob(
            name=made.name,
            arguments=made.encode(arguments or {}),
            max_attempts=made.attempts,
            actor=self._actor() if flask.has_request_context() else None,
            key=key,
            due_at=int((time.time() + delay) * 1000),
        )
        return enqueue(self._api(), job, session)

    def update_later(
        self, model: Any, keys: Sequence[object], *, body: Any = None
    ) -> flask.Response:
        """Answer a view of your own with a 202, and change the rows with these keys in a job.

        ``body`` is what to change in each, in place of the request's object. The job runs under the
        policies for the request's actor. Raises ``ApiError``, which the extension answers for you.
        """
        api = self._api()
        if not isinstance(keys, list | tuple):
            raise InvalidBody("the keys of the rows to change must be an array")
        given = own_body(api.settings, body)
        resource = resource_of(api.schema, model)
        answer = update_later(api, jobs_url(api.settings), resource, keys, given, self._actor())
        return to_flask(answer)

    def run_jobs(self) -> int:
        """Run the jobs that are due, here and now, and answer how many: for tests."""
        app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
        return run_due(self.jobs(self._api(), app.app_context))

    def jobs(self, api: Api, context: Callable[[], AbstractContextManager[Any]]) -> Jobs:
        """What runs jobs needs to know of them."""
        own = {each.name: each for each in (write_function(api), backup_function(api)) if each}
        return Jobs({**self._functions, **own}, api, context)

    def check(self, schema: Schema, settings: Settings) -> None:
        """Refuse a resource in whose place jobs are to be read; raises SchemaError."""
        if self._functions and has_own(schema, settings):
            raise SchemaError(
                f"resource {settings.jobs_path!r} stands where jobs are read: set "
                "CARBOY_JOBS_PATH, such as to 'tasks', or give the resource another name="
            )


def enqueue(
    api: Api, job: NewJob, session: Session | scoped_session[Any] | sa.Connection | None = None
) -> str:
    """Queue a job within the open transaction of ``session``, or in one of its own."""
    if session is None:
        with transaction(api.database, job.actor or ANONYMOUS) as own:
            return add(api.database, own.connection(), job)
    connection = session if isinstance(session, sa.Connection) else session.connection()
    return add(api.database, connection, job)


def has_own(schema: Schema, settings: Settings) -> bool:
    """Whether a resource has the name under which jobs are read: then it is the resource's."""
    resource = schema.resources.get(settings.jobs_path)
    return resource is not None and resource.exposed


def jobs_url(settings: Settings) -> str:
    """The path of jobs as the current request's client sees it."""
    return f"{flask.request.script_root}{jobs_path(settings)}"


def check_broker(settings: Settings) -> None:
    """Refuse what is no broker; raises SettingError. It may hold a password: no message has it."""
    if settings.jobs_broker and not settings.jobs_broker.startswith(_BROKERS):
        raise SettingError(
            f"CARBOY_JOBS_BROKER must be a URL that begins with {' or '.join(_BROKERS)}"
        )


def jobs_path(settings: Settings) -> str:
    """The path of jobs within the application; SettingError for a name that is none."""
    name = settings.jobs_path
    if not name or "/" in name:
        raise SettingError(f"CARBOY_JOBS_PATH must be a name such as 'jobs', not {name!r}")
    return f"{settings.prefix.rstrip('/')}/{name}"
