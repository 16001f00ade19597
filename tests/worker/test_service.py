"""A worker's day: what it does when something gets in between."""

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.errors import StudyError
from search.study.storage.queue import QueueState
from search.study.storage.study_state import CANCELLED_REASON, cancel, pause, resume
from search.study.storage.workers import WorkerRoster
from search.training.job import Job
from search.worker import service
from tests.worker.helpers import HASTE, Sandbox, wait_until
from tests.worker.service_helpers import (
    Flaky,
    Put,
    Stop,
    Training,
    a_day,
    states,
    steps,
    study_of,
)


def test_a_full_disk_costs_one_trial_with_its_reason_and_not_the_worker_which_says_what_it_waits_for(
    put: Put, serve: Callable[..., Stop], storage: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = put("s", n_trials=3)
    notes: list[str] = []

    def disk_usage(folder: Path) -> SimpleNamespace:
        notes.extend(w.note for w in WorkerRoster(storage).read() if w.study == "s" and w.note)
        return SimpleNamespace(free=2**40 if notes else 0)

    monkeypatch.setenv("GRIDLESS_GRACE_S", "3")
    monkeypatch.setattr(service.shutil, "disk_usage", disk_usage)

    def fill(job: Job, step: int) -> None:
        if (job.number, step) == (0, 2):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Stop, "wait", lambda self, timeout=None: threading.Event.wait(self, 0.01))
    serve(Sandbox(Training(fill)), pace=replace(HASTE, shortest_rest=60.0, longest_rest=60.0))
    assert "the disk is full: waiting for room" in notes[0]
    first, *others = ledger.trials()
    assert (first.state, steps(first), first.untrainable) == ("FAIL", [1], False)
    assert "No space left" in (first.reason or "")
    assert [t.state for t in others] == ["COMPLETE"] * 2


def test_a_trial_trains_on_through_an_outage_and_nothing_is_lost(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    ledger = put("s", epochs=9)
    trained_while_away: list[int] = []

    def go_away(job: Job, step: int) -> None:
        if (job.number, step) == (0, 3):
            storage.n_left = 10_000
            wait_until(lambda: storage.n_refused > 0)
        if storage.n_left:
            trained_while_away.append(step)
        if (job.number, step) == (0, 9):
            storage.n_left = 5  # it is still away as the trial ends

    serve(Sandbox(Training(go_away)))
    assert trained_while_away == [3, 4, 5, 6, 7, 8, 9]
    assert storage.n_left == 0
    assert [(t.state, steps(t), t.n_segments) for t in ledger.trials()] == [
        ("COMPLETE", list(range(1, 10)), 1)
    ] * 2
    assert [t.n_retries for t in ledger.trials()] == [0, 0]


def test_a_pause_in_mid_trial_gives_it_back_and_it_goes_on_without_a_gap(
    put: Put, serve: Callable[..., Stop]
) -> None:
    ledger = put("s", epochs=9)

    def hold(job: Job, step: int) -> None:
        if (job.number, step, len(sandbox.jobs)) == (0, 4, 1):
            pause(ledger)
            sandbox.closing.wait(20)

    training = Training(hold)
    sandbox = Sandbox(training)
    serve(sandbox)
    [trial] = ledger.trials()
    assert (trial.state, trial.paused, steps(trial), trial.n_retries) == (
        "WAITING",
        False,
        [1, 2, 3],
        0,
    )
    resume(ledger)
    serve(sandbox)
    trial, other = ledger.trials()
    assert (trial.state, other.state, trial.n_segments) == ("COMPLETE", "COMPLETE", 2)
    assert [e.val_accuracy for e in trial.curve] == [step / 1000 for step in range(1, 10)]
    assert training.trained[:9] == [("s", 0, step) for step in range(1, 10)]


def test_a_cancel_in_mid_trial_ends_it_with_what_it_reached(
    put: Put, serve: Callable[..., Stop]
) -> None:
    ledger = put("s", epochs=9)

    def stop_all(job: Job, step: int) -> None:
        if step == 4:
            cancel(ledger)
            sandbox.closing.wait(20)

    sandbox = Sandbox(Training(stop_all))
    serve(sandbox)
    [trial] = ledger.trials()
    assert (trial.state, steps(trial), trial.val_accuracy) == ("PRUNED", [1, 2, 3], 0.003)
    assert trial.reason == CANCELLED_REASON
    assert ledger.place().state is QueueState.CANCELLED


def test_a_stop_in_mid_trial_gives_it_back_and_signs_out(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    ledger, roster = put("s", epochs=9), WorkerRoster(storage)

    def tell_to_stop(_job: Job, step: int) -> None:
        if step == 4:
            wait_until(lambda: [w.device for w in roster.read()] == ["CPU"])
            stop.set()
            sandbox.closing.wait(20)

    sandbox, stop = Sandbox(Training(tell_to_stop)), Stop()
    a_day(storage, sandbox, stop=stop).run()
    [trial] = ledger.trials()
    assert (trial.state, trial.paused, steps(trial), trial.n_retries) == (
        "WAITING",
        False,
        [1, 2, 3],
        0,
    )
    assert ledger.place().state is QueueState.OPEN
    assert roster.read() == []


def test_a_fault_of_the_machine_costs_no_trial_and_is_told(
    put: Put, storage: Flaky, serve: Callable[..., Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, fine = put("s"), put("fine", priority=-1)
    sandbox, notes = Sandbox(Training()), []

    def start(job: Job, log: Path) -> Any:
        if study_of(job) == "s":
            raise OSError(errno.EMFILE, "Too many open files")
        wait_until(lambda: any(w.note for w in WorkerRoster(storage).read()))
        notes.extend(w.note for w in WorkerRoster(storage).read())
        return Sandbox.start(sandbox, job, log)

    monkeypatch.setenv("GRIDLESS_GRACE_S", "1")
    monkeypatch.setattr(sandbox, "start", start)
    serve(sandbox, pace=replace(HASTE, refusal=60.0))
    assert states(fine) == ["COMPLETE"] * 2
    assert states(ledger) == ["WAITING"]
    assert "can't serve s: on this machine: [Errno 24] Too many open files" in notes[0]


def test_a_process_that_never_begins_is_given_up_and_its_trial_is_not(
    put: Put, serve: Callable[..., Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        def receive(self, wait_s: float) -> None:
            return None

        def close(self) -> None:
            return None

    ledger, sandbox = put("s"), Sandbox(Training())
    monkeypatch.setattr(sandbox, "start", lambda _job, _log: Silent())
    with pytest.raises(StudyError, match="did not begin within"):
        serve(sandbox, "s", pace=replace(HASTE, start=0.05))
    assert states(ledger) == ["WAITING"]


def test_a_worker_goes_on_beating_whatever_the_roster_holds(
    put: Put, storage: Flaky, serve: Callable[..., Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDLESS_GRACE_S", "0.1")
    beat, n_beats = WorkerRoster.beat, []

    def fails_once(self: WorkerRoster, *told: Any) -> None:
        n_beats.append(1)
        if len(n_beats) == 1:
            raise TypeError("a later version tells more")
        beat(self, *told)

    monkeypatch.setattr(WorkerRoster, "beat", fails_once)
    put("s")
    serve(Sandbox(Training()), until_idle=False)
    wait_until(lambda: [w.worker for w in WorkerRoster(storage).read()] == ["me"])
