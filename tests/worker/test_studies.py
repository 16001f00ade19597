"""Which studies a worker serves, and which it leaves alone."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.datasets.split import prepare
from search.errors import GridlessError, InputError
from search.paths import cache
from search.pickled import Pickled, python_version
from search.registry import pickled_digest
from search.study.storage.builders import store_builder
from search.study.storage.ledger import Ledger
from search.study.storage.queue import QueueState
from search.study.storage.study_state import cancel, pause, resume
from search.study.storage.workers import WorkerRecord, WorkerRoster
from search.training.job import Job
from tests.study.helpers import begin
from tests.worker.helpers import HASTE, Sandbox, wait_until
from tests.worker.service_helpers import (
    DEAD,
    ME,
    OTHER,
    Flaky,
    Put,
    Stop,
    Training,
    images,
    n_running,
    states,
    study_of,
)


def test_one_worker_shares_itself_out_among_studies_and_serves_the_urgent_one_first(
    put: Put, serve: Callable[..., Stop]
) -> None:
    """With one device, too, nobody waits until an older study of the same priority is over."""
    ledgers = [put("a", n_trials=4), put("b", n_trials=4), put("urgent", priority=1)]
    sandbox = Sandbox(Training())
    serve(sandbox)
    order = [study_of(job) for job in sandbox.jobs]
    assert order[:2] == ["urgent"] * 2
    assert sorted(order[2:]) == ["a"] * 4 + ["b"] * 4
    for n in range(2, len(order)):
        assert abs(order[2:n].count("a") - order[2:n].count("b")) <= 1, order
    assert all(ledger.place().state is QueueState.DONE for ledger in ledgers)


def test_a_study_is_over_at_once_although_its_workers_have_others_to_serve(
    put: Put, serve: Callable[..., Stop]
) -> None:
    long, short = (
        put("long", n_trials=3),
        put("short", n_trials=2, priority=1, epochs=9, strategy="halving"),
    )
    seen: list[tuple[QueueState, list[str]]] = []

    def look(job: Job, step: int) -> None:
        if (study_of(job), job.number, step) == ("long", 1, 1):
            seen.append((short.place().state, states(short)))

    serve(Sandbox(Training(look)))
    assert seen == [(QueueState.DONE, states(short))]
    assert set(states(short)) <= {"COMPLETE", "PRUNED"}
    assert long.place().state is QueueState.DONE


def test_a_study_that_can_not_be_served_here_is_left_alone_until_it_can(
    put: Put, serve: Callable[..., Stop], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    here, elsewhere = put("here"), put("elsewhere", priority=9, data="other")
    put("stranger", priority=8, model="nobody.here:build")
    serve(Sandbox(Training()))
    assert here.place().state is QueueState.DONE
    assert (elsewhere.place().state, states(elsewhere)) == (QueueState.OPEN, [])
    reasons = {r.getMessage().split(" is left alone")[0]: r.getMessage() for r in caplog.records}
    assert "/nowhere/other.npz" in reasons["study elsewhere"]
    assert "nobody" in reasons["study stranger"]
    with pytest.raises(GridlessError, match=r"/nowhere/other\.npz"):
        serve(Sandbox(Training()), "here", "elsewhere")
    caplog.clear()
    serve(Sandbox(Training()), until_idle=False)
    wait_until(lambda: any("elsewhere" in r.getMessage() for r in caplog.records))
    prepare(
        images("other"), seed=3, validation_fraction=0.25, cache=cache()
    )  # somebody copied the data over
    wait_until(lambda: states(elsewhere) == ["COMPLETE"] * 2)


def test_pickled_code_is_run_by_workers_that_were_told_to_alone(
    put: Put,
    serve: Callable[..., Stop],
    storage: Flaky,
    caplog: pytest.LogCaptureFixture,
) -> None:
    builder = Pickled("build", {"build": "a lambda"}, python_version(), b"")
    study = put("theirs", model=builder.model, code={"build": pickled_digest(builder.model)})
    store_builder(storage, "theirs", builder)
    serve(Sandbox(Training()))
    assert states(study) == []
    assert "`gridless worker --allow-pickled` runs it, if you trust them" in caplog.text
    serve(Sandbox(Training()), allows_pickled=True)
    assert states(study) == ["COMPLETE"] * 2


def test_a_worker_kept_for_one_study_waits_while_that_is_paused(
    put: Put, serve: Callable[..., Stop]
) -> None:
    ledger, other = put("s"), put("other")
    pause(ledger)
    stop = serve(Sandbox(Training()), "s", until_idle=False)
    wait_until(lambda: stop.n_naps > 3)
    resume(ledger)
    wait_until(lambda: states(ledger) == ["COMPLETE"] * 2)
    assert states(other) == []


def test_a_busy_worker_closes_what_nobody_works_on(put: Put, serve: Callable[..., Stop]) -> None:
    """A study whose last trial a lost worker had ended, and a cancelled one with a lost worker's
    trial.
    """
    over, left, long = (
        put("over", n_trials=1, priority=-1),
        put("left", priority=-2),
        put("long", n_trials=9),
    )
    claim = over.claim(DEAD)
    assert claim is not None
    over.start(claim, {"optimizer": "adam", "lr": 0.01, "units": 16}, seed=1)
    over.complete(claim, 0.5)
    assert left.claim(DEAD) is not None
    cancel(left)
    seen: list[Any] = []

    def look(job: Job, _step: int) -> None:
        if job.number == 8:
            seen.append((over.place().state, states(left)))

    serve(Sandbox(Training(look)), pace=replace(HASTE, tidy=0.0))
    assert len(long.trials()) == 9
    assert seen[0] == (QueueState.DONE, ["PRUNED"])


def test_a_study_that_is_deleted_is_left_and_one_of_the_same_name_is_served(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    other = put("other", priority=-1)

    def delete(job: Job, _step: int) -> None:
        if (study_of(job), job.number) == ("s", 0) and storage.get_study_id_from_name("s") == first:
            storage.delete_study(first)
            put("s", n_trials=1)

    put("s")
    first = storage.get_study_id_from_name("s")
    serve(Sandbox(Training(delete)))
    assert states(other) == ["COMPLETE"] * 2
    assert states(Ledger(storage, "s")) == ["COMPLETE"]


def test_a_study_that_is_found_deleted_in_the_middle_of_a_trial_is_left(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    class Deleting(Sandbox):
        def start(self, job: Job, log: Path) -> Any:
            if study_of(job) == "s":
                storage.delete_study(storage.get_study_id_from_name("s"))
                raise InputError("study 's' was deleted")
            return super().start(job, log)

    put("s", priority=1)
    other = put("other")
    serve(Deleting(Training()))
    assert states(other) == ["COMPLETE"] * 2


@pytest.mark.parametrize("strategy", ["random", "halving"])
@pytest.mark.parametrize("key", ["epoch:1", "queue", "spec"])
def test_a_damaged_study_is_left_alone_and_the_others_are_served(
    put: Put,
    storage: Flaky,
    serve: Callable[..., Stop],
    caplog: pytest.LogCaptureFixture,
    strategy: str,
    key: str,
) -> None:
    """Its record is damaged while a trial of it waits to go on."""
    mine, other = put("s", priority=1, strategy=strategy, epochs=9), put("other")
    mine.give_back(begin(mine, OTHER, [0.5]), paused=False)
    with storage.session() as session:
        for table in ("trial_user_attributes", "study_user_attributes"):
            statement = f"UPDATE {table} SET value_json = '{{' WHERE key = '{key}'"
            session.connection().exec_driver_sql(
                statement + (" AND study_id = 1" if table[:2] == "st" else "")
            )
    caplog.set_level(logging.ERROR)
    serve(Sandbox(Training()), pace=replace(HASTE, refusal=60.0))
    assert states(other) == ["COMPLETE"] * 2
    if key != "queue":  # without a place it is not on the queue
        assert any(
            "study s is left alone" in r.getMessage() and "damaged" in r.getMessage()
            for r in caplog.records
        )
    assert n_running(storage) == 0


def test_a_damaged_entry_of_the_roster_is_none(storage: Flaky) -> None:
    roster = WorkerRoster(storage)
    for pid in (1, 2):
        roster.beat(replace(ME, pid=pid), WorkerRecord(f"host/{pid}", "CPU"))
    with storage.session() as session:
        session.connection().exec_driver_sql(
            "UPDATE study_user_attributes SET value_json = '{' WHERE key LIKE '%/1/%'"
        )
    assert [w.worker for w in WorkerRoster(storage).read()] == ["host/2"]
    roster.beat(ME, WorkerRecord("host/3", "CPU"))
    with storage.reading(), storage.session() as session:
        assert len(storage.study_attrs(session, 1)) == 2
