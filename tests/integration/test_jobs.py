"""Background jobs: queued with a write, run until they are done, and once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from carboy import Job, JobCancelled, SchemaError, SettingError
from carboy.jobs import Runner, queue
from carboy.jobs.job import Job as RunningJob
from carboy.jobs.queue import JobError, LeaseLost
from carboy.jobs.run import attempt
from carboy.jobs.table import TABLE

from .errands import Errands, Note, write_and_fail, write_note


@pytest.fixture
def errands(database_url: str) -> Iterator[Errands]:
    """An application over an empty database."""
    made = Errands(database_url)
    yield made
    made.engine.dispose()


def test_a_job_runs_with_its_arguments_and_keeps_its_result(errands: Errands) -> None:
    """From queued to done, once."""
    errands.api.job(write_note)
    id_ = errands.enqueue(write_note, {"text": "milk"})
    assert errands.job(id_)["state"] == "queued"
    assert errands.texts() == []
    assert errands.run() == 1
    found = errands.job(id_)
    assert (found["state"], found["result"], found["attempts"]) == ("done", "milk", 1)
    assert found["created_at"] <= found["started_at"] <= found["finished_at"]
    assert errands.texts() == ["milk"]
    assert errands.run() == 0


@pytest.mark.parametrize("first", [True, False], ids=["first job", "later job"])
def test_a_job_is_there_exactly_if_the_write_is(errands: Errands, first: bool) -> None:
    """What is rolled back queues nothing, even where the table of jobs wasn't there before."""
    errands.api.job(write_note)
    if not first:
        errands.enqueue(write_note, {"text": "before"})
        errands.run()
    with Session(errands.engine) as session:
        session.add(Note(text="gone", owner="ada"))
        session.flush()
        errands.enqueue(write_note, {"text": "gone too"}, session=session)
        session.rollback()
    assert errands.run() == 0
    with Session(errands.engine) as session:
        session.add(Note(text="stays", owner="ada"))
        session.flush()
        errands.enqueue(write_note, {"text": "comes"}, session=session)
        session.commit()
    assert errands.run() == 1
    assert set(errands.texts()) - {"before"} == {"stays", "comes"}


def test_a_models_event_queues_in_the_write_of_the_api(errands: Errands) -> None:
    """A refused write leaves no job; one that is stored leaves one."""
    errands.api.job(write_note)

    def after_insert(mapper: Any, connection: sa.Connection, note: Note) -> None:
        if note.owner != "job":
            errands.api.enqueue(write_note, {"text": f"re {note.text}"}, session=connection)

    sa.event.listen(Note, "after_insert", after_insert)
    try:
        dry = errands.send("POST", "/api/notes", note("a"), Prefer="tx=rollback")
        assert dry.status_code == 201
        assert errands.run() == 0
        assert errands.send("POST", "/api/notes", note("b")).status_code == 201
        assert errands.run() == 1
    finally:
        sa.event.remove(Note, "after_insert", after_insert)
    assert errands.texts() == ["b", "re b"]


def note(text: str, owner: str = "ada") -> dict[str, str]:
    """A body."""
    return {"text": text, "owner": owner}


def test_a_failed_job_is_tried_again_with_pauses_that_grow_and_then_dead(errands: Errands) -> None:
    """What an attempt wrote before it failed is gone."""
    errands.api.job(attempts=3, backoff=60)(write_and_fail)
    id_ = errands.enqueue(write_and_fail, {"text": "x"})
    pauses = []
    for number in (1, 2):
        assert errands.run() == 1
        found = errands.job(id_)
        assert (found["state"], found["attempts"]) == ("failed", number)
        due = dt.datetime.fromisoformat(found["due_at"])
        pauses.append((due - dt.datetime.now(dt.UTC)).total_seconds())
        assert errands.run() == 0, "its pause isn't over"
        errands.due_now()
    assert 40 < pauses[0] < 76
    assert 85 < pauses[1] < 151
    assert errands.run() == 1
    found = errands.job(id_)
    assert (found["state"], found["due_at"]) == ("dead", None)
    assert found["exception"] == "Unavailable: the printer is out of paper"
    assert errands.texts() == []
    assert errands.run() == 0


def test_what_a_client_did_wrong_is_not_tried_again(errands: Errands) -> None:
    """A refusal stays one."""

    @errands.api.job
    def refuse(job: Job) -> None:
        raise errands_error()

    id_ = errands.enqueue(refuse)
    errands.run()
    found = errands.job(id_)
    assert (found["state"], found["attempts"]) == ("dead", 1)
    assert found["error"]["detail"] == "no such thing"


def errands_error() -> Exception:
    """An error with a 404."""
    from carboy.errors import NotFound

    return NotFound("no such thing")


def test_a_key_makes_one_job_of_two(errands: Errands) -> None:
    """Also within one transaction; another function has keys of its own."""
    errands.api.job(write_note)
    errands.api.job(write_and_fail)
    first = errands.enqueue(write_note, {"text": "a"}, key="bill 1")
    assert errands.enqueue(write_note, {"text": "b"}, key="bill 1") == first
    with Session(errands.engine) as session:
        ids = {
            errands.enqueue(write_note, {"text": "c"}, key="bill 2", session=session)
            for _ in range(2)
        }
        session.commit()
    assert len(ids) == 1
    assert errands.enqueue(write_and_fail, {"text": "d"}, key="bill 1") != first
    assert errands.run() == 3
    assert errands.texts() == ["a", "c"]


def test_many_at_once_with_one_key_queue_one_job(errands: Errands) -> None:
    """Whoever comes second gets the first one's id."""
    errands.api.job(write_note)
    errands.enqueue(write_note, {"text": "table"})
    errands.run()
    ids: list[str] = []
    start = threading.Barrier(6)

    def add() -> None:
        start.wait()
        ids.append(errands.enqueue(write_note, {"text": "a"}, key="k"))

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 1
    assert errands.run() == 1


def test_a_jobs_own_key_is_the_same_at_every_attempt(errands: Errands) -> None:
    """For effects that the database can't take back."""

    @errands.api.job(backoff=0)
    def pay(job: Job) -> None:
        errands.seen.append((job.key, job.attempt))
        if job.attempt < 3:
            raise OSError

    id_ = errands.enqueue(pay)
    errands.enqueue(pay, key="bill 7")
    errands.run()
    assert sorted(errands.seen) == sorted((k, n) for k in (id_, "bill 7") for n in (1, 2, 3))


def test_a_job_that_is_delayed_waits(errands: Errands) -> None:
    """Its time is shown."""
    errands.api.job(write_note)
    id_ = errands.enqueue(write_note, {"text": "later"}, delay=3600)
    assert errands.run() == 0
    due = dt.datetime.fromisoformat(errands.job(id_)["due_at"])
    assert due > dt.datetime.now(dt.UTC) + dt.timedelta(minutes=55)
    errands.due_now()
    assert errands.run() == 1


def test_a_worker_whose_lease_has_ended_completes_nothing(errands: Errands) -> None:
    """Whoever took the job after it does, and its effect is there once."""
    errands.api.job(write_note)
    errands.enqueue(write_note, {"text": "once"})
    jobs = errands.jobs()
    (slow,) = queue.claim(jobs.api.database, 1, 0)
    (quick,) = queue.claim(jobs.api.database, 1, 60_000)
    assert (slow.id, slow.attempts) == (quick.id, 1)
    attempt(jobs, RunningJob(jobs.api.database, slow))
    assert errands.texts() == []
    attempt(jobs, RunningJob(jobs.api.database, quick))
    assert errands.texts() == ["once"]
    attempt(jobs, RunningJob(jobs.api.database, quick))
    assert errands.texts() == ["once"]


def test_a_job_that_takes_its_workers_along_is_dead_in_the_end(errands: Errands) -> None:
    """Each lost worker is an attempt."""
    errands.api.job(attempts=2)(write_note)
    id_ = errands.enqueue(write_note, {"text": "bomb"})
    database = errands.jobs().api.database
    for _ in range(2):
        assert len(queue.claim(database, 1, 0)) == 1
    assert queue.claim(database, 1, 0) == []
    found = errands.job(id_)
    assert (found["state"], found["attempts"]) == ("dead", 2)
    assert found["exception"] == "WorkerLost: the worker ended while it ran the job"


def test_two_workers_never_take_the_same_job(errands: Errands) -> None:
    """However many ask at once."""
    errands.api.job(write_note)
    for number in range(40):
        errands.enqueue(write_note, {"text": str(number)})
    database = errands.jobs().api.database
    taken: list[str] = []

    def take() -> None:
        while claimed := queue.claim(database, 3, 60_000):
            taken.extend(each.id for each in claimed)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


def test_waiting_jobs_are_cancelled_at_once(errands: Errands) -> None:
    """They can be queued again."""
    errands.api.job(write_note)
    id_ = errands.enqueue(write_note, {"text": "a"})
    database = errands.jobs().api.database
    assert queue.cancel(database, id_) == "cancelled"
    assert errands.run() == 0
    with pytest.raises(JobError, match="is cancelled already"):
        queue.cancel(database, id_)
    queue.retry(database, id_)
    assert errands.run() == 1
    with pytest.raises(JobError, match="neither failed nor dead"):
        queue.retry(database, id_)
    with pytest.raises(JobError, match="there is no job 'x'"):
        queue.cancel(database, "x")


def test_a_dead_job_is_tried_again_as_often_as_a_new_one(errands: Errands) -> None:
    """Once somebody says so."""
    errands.api.job(attempts=1)(write_and_fail)
    id_ = errands.enqueue(write_and_fail, {"text": "a"})
    errands.run()
    queue.retry(errands.jobs().api.database, id_)
    assert errands.job(id_)["state"] == "queued"
    assert errands.run() == 1
    assert errands.job(id_)["attempts"] == 1


def test_a_job_of_an_unknown_name_is_dead_and_says_so(errands: Errands) -> None:
    """Such as one that was queued before its function was renamed."""
    errands.api.job(name="old")(write_note)
    id_ = errands.enqueue(write_note, {"text": "a"})
    other = Errands(errands.engine.url.render_as_string(hide_password=False))
    other.run()
    found = other.job(id_)
    other.engine.dispose()
    assert found["state"] == "dead"
    assert found["exception"] == "UnknownJob: this application has no job 'old'"


def test_a_result_that_is_no_json_takes_the_effect_back(errands: Errands) -> None:
    """The job fails like any other."""

    @errands.api.job
    def odd(job: Job) -> object:
        job.session.add(Note(text="x", owner="job"))
        return object()

    id_ = errands.enqueue(odd)
    errands.run()
    assert errands.job(id_)["state"] == "failed"
    assert errands.texts() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "attempts=0 must be 1 or more"),
        ({"backoff": -1}, "must not be negative"),
        ({"schedule": "every day"}, "no cron expression such as"),
        ({"schedule": dt.timedelta()}, "a second or more"),
        ({"schedule": "0 3 * * *"}, "can't be called so"),
        ({"name": "n" * 101}, "1 to 100 characters"),
        ({"name": "carboy.x"}, "is taken"),
        ({"name": "taken"}, "is taken"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tmp_path: Any, options: dict[str, Any], message: str
) -> None:
    """Where the function is, and not when it is due."""
    errands = Errands(f"sqlite:///{tmp_path / 'x.sqlite'}")
    errands.api.job(name="taken")(write_and_fail)
    with pytest.raises(SchemaError, match=message):
        errands.api.job(**options)(write_note)
    errands.engine.dispose()


def test_what_cannot_run_is_refused_where_it_is_queued(errands: Errands) -> None:
    """A function that is no job, arguments that it doesn't take or that are no JSON, a long key."""
    with pytest.raises(SchemaError, match="is no job"):
        errands.enqueue(write_note)
    errands.api.job(write_note)
    for arguments in ({}, {"text": "a", "more": 1}, {"text": object()}):
        with pytest.raises(SchemaError, match="the job 'write_note'"):
            errands.enqueue(write_note, arguments)
    with pytest.raises(SchemaError, match="1 to 255 characters"):
        errands.enqueue(write_note, {"text": "a"}, key="k" * 256)


# --- a runner


def running(errands: Errands, threads: int = 2) -> tuple[Runner, threading.Thread]:
    """A runner in a thread of its own."""
    runner = Runner(errands.jobs(), threads)
    thread = threading.Thread(target=runner.run)
    thread.start()
    return runner, thread


def until(condition: Any) -> None:
    """Wait until something holds, for a minute at most."""
    pause = threading.Event()
    for _ in range(1200):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it never came true")


def test_a_runner_runs_jobs_until_it_is_stopped(errands: Errands) -> None:
    """Also those that come while it runs."""
    errands.api.job(write_note)
    runner, thread = running(errands)
    for number in range(5):
        errands.enqueue(write_note, {"text": str(number)})
    until(lambda: len(errands.texts()) == 5)
    runner.stop()
    thread.join(60)
    assert not thread.is_alive()


def test_progress_is_seen_while_a_job_runs_and_a_request_to_stop_ends_it(database_url: str) -> None:
    """What it wrote goes with it."""
    errands = Errands(database_url, CARBOY_JOBS_LEASE=1)
    step = threading.Event()

    @errands.api.job
    def long(job: Job) -> None:
        for number in range(100_000):
            job.progress(number, 100_000)
            step.wait(0.01)

    id_ = errands.enqueue(long)
    runner, thread = running(errands)
    try:
        until(lambda: (errands.job(id_)["progress"] or {"done": 0})["done"] > 0)
        found = errands.job(id_)
        assert (found["state"], found["progress"]["total"]) == ("running", 100_000)
        assert queue.cancel(errands.jobs().api.database, id_) == "running"
        until(lambda: errands.job(id_)["state"] == "cancelled")
    finally:
        runner.stop()
        thread.join(60)
        errands.engine.dispose()


def test_a_lease_is_renewed_as_long_as_a_job_runs(database_url: str) -> None:
    """However much longer than the lease that is, it is one attempt."""
    errands = Errands(database_url, CARBOY_JOBS_LEASE=1)
    step = threading.Event()

    @errands.api.job
    def slow(job: Job) -> None:
        errands.seen.append(job.attempt)
        step.wait(3)

    id_ = errands.enqueue(slow)
    runner, thread = running(errands)
    try:
        until(lambda: errands.job(id_)["state"] == "done")
        assert errands.seen == [1]
    finally:
        runner.stop()
        thread.join(60)
        errands.engine.dispose()


def test_a_job_that_takes_too_long_is_given_up(database_url: str) -> None:
    """It can't be completed any more, and is tried again like one that failed."""
    errands = Errands(database_url, CARBOY_JOBS_TIMEOUT=1)
    raised: list[type[BaseException]] = []
    go_on = threading.Event()

    @errands.api.job(backoff=1000)
    def slow(job: Job) -> None:
        go_on.wait(60)
        try:
            job.progress(1)
        except (LeaseLost, JobCancelled) as error:
            raised.append(type(error))
            raise

    id_ = errands.enqueue(slow)
    runner, thread = running(errands)
    try:
        until(lambda: errands.job(id_)["state"] == "failed")
        assert "took longer than 1 s (CARBOY_JOBS_TIMEOUT)" in errands.job(id_)["exception"]
        go_on.set()
        until(lambda: raised)
        assert raised == [LeaseLost]
        assert errands.job(id_)["state"] == "failed"
    finally:
        runner.stop()
        thread.join(60)
        errands.engine.dispose()


def test_a_runner_that_must_stop_gives_jobs_back(
    errands: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt doesn't count, and who runs it next completes it."""
    monkeypatch.setattr("carboy.jobs.runner._PATIENCE_SECONDS", 0.1)
    begun, go_on = threading.Event(), threading.Event()

    @errands.api.job
    def slow(job: Job) -> None:
        begun.set()
        go_on.wait(60)
        job.session.add(Note(text="once", owner="job"))

    id_ = errands.enqueue(slow)
    runner, thread = running(errands)
    assert begun.wait(60)
    runner.stop()
    thread.join(60)
    found = errands.job(id_)
    assert (found["state"], found["attempts"]) == ("queued", 0)
    go_on.set()
    assert errands.run() == 1
    assert errands.job(id_)["state"] == "done"
    assert errands.texts() == ["once"]


def test_a_schedule_is_queued_once_however_many_runners_there_are(errands: Errands) -> None:
    """The next run is in the queue before its time."""
    errands.api.job(schedule="0 3 * * *")(write_nothing)
    errands.api.job(name="often", schedule=dt.timedelta(seconds=1))(write_nothing)
    runners = [running(errands) for _ in range(2)]
    try:
        until(lambda: runs(errands, "often", "done") >= 2)
    finally:
        for runner, thread in runners:
            runner.stop()
            thread.join(60)
    assert runs(errands, "write_nothing", "queued") == 1
    with errands.engine.connect() as connection:
        query = sa.select(TABLE.c.due_at).where(TABLE.c.name == "write_nothing")
        due = dt.datetime.fromtimestamp((connection.scalar(query) or 0) / 1000, dt.UTC)
        assert (due.hour, due.minute, due.second) == (3, 0, 0)
        keys = connection.scalars(sa.select(TABLE.c.key)).all()
    assert len(keys) == len(set(keys))


def write_nothing(job: Job) -> None:
    """A job without an effect."""


def runs(errands: Errands, name: str, state: str) -> int:
    """How many jobs of a name are in a state."""
    if not sa.inspect(errands.engine).has_table("carboy_jobs"):
        return 0
    query = sa.text("SELECT count(*) FROM carboy_jobs WHERE name = :name AND state = :state")
    with errands.engine.connect() as connection:
        return int(connection.scalar(query, {"name": name, "state": state}) or 0)


def test_jobs_that_ended_long_ago_are_deleted(errands: Errands) -> None:
    """Those that wait or run are not, however old they are."""
    errands.api.job(write_note)
    old = errands.enqueue(write_note, {"text": "old"})
    errands.run()
    waiting = errands.enqueue(write_note, {"text": "waits"}, delay=60)
    database = errands.jobs().api.database
    queue.prune(database, 1)
    assert errands.job(old)["state"] == "done"
    with errands.engine.begin() as connection:
        connection.execute(sa.text("UPDATE carboy_jobs SET created_at = 0"))
        done = "UPDATE carboy_jobs SET finished_at = 0 WHERE state = 'done'"
        connection.execute(sa.text(done))
    queue.prune(database, 1)
    assert queue.find(database, old) is None
    assert errands.job(waiting)["state"] == "queued"


# --- who may see a job


def test_a_job_is_shown_to_whoever_queued_it_and_to_admins(errands: Errands) -> None:
    """To all others it isn't there; an admin sees what was raised as well."""

    @errands.api.job(attempts=1)
    def leak(job: Job) -> None:
        raise ValueError("password=hunter2")

    def start() -> Any:
        return {"id": errands.api.enqueue(leak)}

    errands.app.add_url_rule("/start", view_func=start, methods=["POST"])
    id_ = errands.send("POST", "/start").json["id"]
    errands.run()
    path = f"/api/jobs/{id_}"
    seen = errands.send("GET", path, user="ada")
    assert seen.json["error"] == {"title": "The job failed"}
    assert "hunter2" not in seen.text
    assert seen.headers["Cache-Control"] == "private, no-cache"
    whole = errands.job(id_)
    assert whole["exception"] == "ValueError: password=hunter2"
    assert whole["actor"] == {"id": "ada", "roles": []}
    for user in ("bob", "bob:writer", ""):
        answer = errands.send("GET", path, user=user)
        assert answer.status_code == 404
        unknown = errands.send("GET", "/api/jobs/x", user=user)
        assert answer.text.replace(id_, "x") == unknown.text
    assert errands.send("DELETE", path).status_code == 405


def test_the_applications_own_jobs_are_for_admins(errands: Errands) -> None:
    """Nobody in particular queued them."""
    errands.api.job(write_note)
    id_ = errands.enqueue(write_note, {"text": "a"})
    assert errands.send("GET", f"/api/jobs/{id_}", user="ada").status_code == 404
    assert errands.job(id_)["actor"] is None


def test_a_resource_called_jobs_keeps_its_place(tmp_path: Any) -> None:
    """With functions to run as well, the application must say which is to move."""
    errands = Errands(f"sqlite:///{tmp_path / 'x.sqlite'}")
    errands.api.resource(Note, name="jobs", public="read")
    errands.add("a")
    assert errands.send("GET", "/api/jobs/1").json["text"] == "a"
    change = errands.send(
        "PATCH", "/api/jobs?id=eq.1", {"text": "b"}, user="r:writer", Prefer="respond-async"
    )
    assert change.status_code == 200, "the preference can't be followed"
    errands.engine.dispose()

    errands = Errands(f"sqlite:///{tmp_path / 'x.sqlite'}")
    errands.api.resource(Note, name="jobs", public="read")
    errands.api.job(write_note)
    with pytest.raises(SchemaError, match="CARBOY_JOBS_PATH, such as to 'tasks'"):
        errands.jobs()
    errands.engine.dispose()


def test_the_path_of_jobs_is_a_setting(tmp_path: Any) -> None:
    """A name, below the API's prefix."""
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    errands = Errands(url, CARBOY_JOBS_PATH="tasks", CARBOY_PREFIX="/v1")
    errands.api.job(write_note)
    id_ = errands.enqueue(write_note, {"text": "a"})
    assert errands.send("GET", f"/v1/tasks/{id_}", user="root:admin").status_code == 200
    errands.engine.dispose()
    with pytest.raises(SettingError, match="CARBOY_JOBS_PATH must be a name"):
        Errands(url, CARBOY_JOBS_PATH="a/b")


def test_a_broker_that_is_none_is_refused_without_its_password(tmp_path: Any) -> None:
    """Where the application starts."""
    with pytest.raises(SettingError, match="begins with redis:// or rediss://") as raised:
        Errands(f"sqlite:///{tmp_path / 'x.sqlite'}", CARBOY_JOBS_BROKER="amqp://me:hunter2@x")
    assert "hunter2" not in str(raised.value)
