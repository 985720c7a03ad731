"""Celery and its broker: they carry the ids of jobs to workers. What counts is in the database.

So a message that comes twice finds its job taken or done, and one that is lost is sent again.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, bootsteps
from celery.worker import state
from kombu.exceptions import OperationalError

from ..settings import Settings
from . import queue
from .job import Job
from .run import Jobs, attempt
from .watch import Watch

TASK = "carboy.run"
QUEUE = "carboy"
_AFTER_TIMEOUT_SECONDS = 10
_MARGIN_SECONDS = 60
_START_SECONDS = 60.0
_LOOK_SECONDS = 2.0

BrokerError = OperationalError
"""The broker can't be reached."""


def make_celery(settings: Settings) -> Celery:
    """A Celery application that knows the broker, and no task yet."""
    # Attempts that take too long are given up first, and if that doesn't end them, killed.
    limit = settings.jobs_timeout + _AFTER_TIMEOUT_SECONDS
    celery = Celery("carboy", broker=settings.jobs_broker, set_as_current=False)
    celery.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # Redis hands a message out again after it; no job runs as long.
            "visibility_timeout": limit + _MARGIN_SECONDS,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
        },
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_time_limit=limit,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        # By default it kills its processes after 4, which a busy machine may need to start them.
        worker_proc_alive_timeout=_START_SECONDS,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
    )
    return celery


def add_task(celery: Celery, jobs: Jobs) -> None:
    """Let Celery's workers run the jobs whose ids they are told."""
    database, lease = jobs.api.database, jobs.api.settings.jobs_lease * 1000

    def run(id_: str) -> None:
        for claimed in queue.claim(database, 1, lease, id_):
            watch, job = Watch(jobs), Job(database, claimed)
            watch.add(job)
            with watch.watching():
                attempt(jobs, job)

    celery.task(name=TASK)(run)
    celery.steps["consumer"].add(Unacknowledged)


class Unacknowledged(bootsteps.StartStopStep):  # type: ignore[misc]  # untyped
    """Connects a worker to its broker again where it holds messages that nobody works on.

    Where the broker goes just as jobs end, Celery can't acknowledge them, says so, and goes on. But
    they still count: once they are as many as the worker may hold, it asks for no more, and so
    never sees that its connection is gone.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._entry: Any = None

    def start(self, consumer: Any) -> None:
        """Look again and again, between messages."""
        self._entry = consumer.timer.call_repeatedly(_LOOK_SECONDS, self._look, (consumer,))

    def stop(self, _: Any) -> None:
        """Leave the connection that is over."""
        if self._entry is not None:
            self._entry.cancel()

    def _look(self, consumer: Any) -> None:
        held = consumer.task_consumer.channel.qos
        if not held.can_consume() and not state.reserved_requests:
            # As a lost connection, which it is: Celery makes a new one.
            raise ConnectionError("messages couldn't be acknowledged")


class Carrier:
    """Sends the ids of jobs to the broker; raises BrokerError."""

    def __init__(self, settings: Settings) -> None:
        self._celery = make_celery(settings)

    def waiting(self) -> int:
        """How many messages no worker has fetched yet."""
        with self._connected() as connection:
            declared = connection.default_channel.queue_declare(QUEUE)
            return int(declared.message_count)

    def send(self, ids: list[str]) -> None:
        """Tell the workers of jobs."""
        with self._connected() as connection, self._celery.amqp.Producer(connection) as producer:
            for id_ in ids:
                self._celery.send_task(TASK, (id_,), producer=producer, retry=False)

    def _connected(self) -> Any:
        connection = self._celery.connection_for_write()
        connection.ensure_connection(max_retries=0)
        return connection
