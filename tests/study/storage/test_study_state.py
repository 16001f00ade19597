"""What is decided of a whole study, on every storage: pause, resume, cancel, close, and trials of
lost workers.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

from search.errors import ClaimLostError, RetryLaterError, StudyError
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.lost_trials import requeue_lost
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState
from search.study.storage.study_state import CANCELLED_REASON, cancel, close, finish, pause, resume
from search.worker.outages import Outages
from tests.study.helpers import begin, epoch, forget_beats, spec

Open = Callable[[], LedgerStorage]
ME = WorkerIdentity.me("me")
DEAD = replace(ME, worker="dead", pid=2**22 + 1)
ASKER = replace(ME, worker="asker", pid=1)
on_sqlite = pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)


@pytest.fixture
def ledger(open_storage: Open) -> Ledger:
    return Ledger.open(open_storage(), spec(), {})


def states(ledger: Ledger) -> list[str]:
    return [t.state for t in ledger.trials()]


@on_sqlite
def test_a_paused_study_hands_out_nothing_and_goes_on_where_it_was(ledger: Ledger) -> None:
    waiting, running = begin(ledger, ME, [0.5]), begin(ledger, ME)
    ledger.give_back(waiting, paused=False)
    assert pause(ledger, "lunch") is QueueState.PAUSED
    assert (ledger.place().state, ledger.place().reason) == (QueueState.PAUSED, "lunch")
    assert ledger.claim(ME) is None
    ledger.report(running, [epoch(1, 0.4)])  # its worker has not seen it yet
    ledger.give_back(running, paused=False)
    assert states(ledger) == ["WAITING", "WAITING"]
    assert pause(ledger) is QueueState.PAUSED
    assert ledger.place().reason == "lunch"
    assert resume(ledger) is QueueState.OPEN
    assert [c.number for c in (ledger.claim(ME), ledger.claim(ME), ledger.claim(ME)) if c] == [
        0,
        1,
        2,
    ]


def test_a_cancelled_study_keeps_what_ended_and_starts_the_rest_when_it_is_resumed(
    ledger: Ledger,
) -> None:
    ledger.complete(begin(ledger, ME, [0.9]), 0.9)
    at_rung, interrupted, running = (
        begin(ledger, ME, [0.3, 0.6, 0.5]),
        begin(ledger, ME),
        begin(ledger, ME, [0.2]),
    )
    lost = begin(ledger, DEAD, [0.1])
    ledger.give_back(at_rung, paused=True)
    ledger.give_back(interrupted, paused=False)
    assert cancel(ledger) is QueueState.CANCELLED
    assert states(ledger) == ["COMPLETE", "PRUNED", "PRUNED", "RUNNING", "RUNNING"]
    ledger.prune(running, 0.2, CANCELLED_REASON)  # as its worker does on seeing it
    assert requeue_lost(ledger, ASKER, grace_s=60) == [lost.number]
    assert states(ledger) == ["COMPLETE"] + ["PRUNED"] * 4
    assert [t.reason for t in ledger.trials()] == [None] + [CANCELLED_REASON] * 4
    assert [t.value for t in ledger.storage.get_all_trials(ledger.study_id)] == [
        0.9,
        0.6,
        None,
        0.2,
        0.1,
    ]
    assert ledger.claim(ME) is None
    assert close(ledger) is None
    assert resume(ledger) is QueueState.OPEN
    last = ledger.claim(ME)
    assert last is not None
    assert last.number == 5
    assert ledger.claim(ME) is None
    ledger.complete(last, 0.1)
    assert close(ledger) == []
    assert cancel(ledger) is QueueState.DONE
    assert states(ledger)[0] == "COMPLETE"


def test_a_trial_given_back_as_its_study_is_cancelled_does_not_wait_for_ever(
    open_storage: Open,
) -> None:
    """A worker that has not seen the cancel yet pauses its trial at a rung, or is stopped."""
    ledger = Ledger.open(open_storage(), spec(name="two", n_trials=2), {})
    at_rung, stopped = begin(ledger, ME, [0.5]), begin(ledger, ME)
    cancel(ledger)
    ledger.give_back(at_rung, [epoch(2, 0.6)], paused=True)
    ledger.give_back(stopped, paused=False)
    assert states(ledger) == ["PRUNED", "PRUNED"]
    assert ledger.trials()[0].epochs == 2
    assert close(ledger) is None
    assert ledger.place().state is QueueState.CANCELLED


@on_sqlite
def test_a_study_is_done_once_closed_or_once_its_budget_is_spent_and_a_larger_one_goes_on(
    open_storage: Open,
) -> None:
    ledger = Ledger.open(open_storage(), spec(name="b", budget=1.0), {})
    ledger.give_back(begin(ledger, ME, [0.5] * 3), paused=True)
    finish(ledger, "its budget is spent", n_before=0)
    assert (ledger.place().state, states(ledger)) == (QueueState.DONE, ["WAITING"])
    assert ledger.claim(ME) is None
    assert pause(ledger) is QueueState.DONE
    assert resume(ledger) is QueueState.DONE
    Ledger.open(open_storage(), spec(name="b", budget=2.0), {})
    assert ledger.place().reason == ""
    promoted = ledger.claim(ME, promote=0)
    assert promoted is not None
    assert ledger.spec.budget == 2.0
    ledger.complete(promoted, 0.5)
    for _ in range(5):
        ledger.complete(begin(ledger, ME, [0.5]), 0.5)
    assert close(ledger) == []
    assert ledger.place().state is QueueState.DONE


def test_a_hung_worker_loses_its_trial_and_its_late_report_is_refused(ledger: Ledger) -> None:
    """Its process lives on this machine, it is only silent."""
    hung = begin(ledger, replace(ME, worker="hung"), [0.5])
    assert requeue_lost(ledger, ASKER, grace_s=60) == []
    forget_beats(ledger)
    assert requeue_lost(ledger, ASKER, grace_s=60) == [0]
    again = ledger.claim(ME)
    assert again is not None
    assert (again.number, again.new) == (0, False)
    with pytest.raises(ClaimLostError):
        ledger.report(hung, [epoch(2, 0.9)])
    ledger.report(again, [epoch(2, 0.6)])
    [trial] = ledger.trials()
    assert ([e.val_accuracy for e in trial.curve], trial.n_retries, trial.worker) == (
        [0.5, 0.6],
        1,
        "me",
    )
    assert requeue_lost(ledger, ASKER, grace_s=60) == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a worker takes for the time and for the seconds since its machine began; waiting takes
    none.
    """
    now = SimpleNamespace(wall=1e9, steady=1e6)
    fake = SimpleNamespace(time=lambda: now.wall, monotonic=lambda: now.steady)
    monkeypatch.setattr("search.worker.outages.time", fake)
    monkeypatch.setenv("GRIDLESS_GRACE_S", "60")
    return now


def later(clock: SimpleNamespace, seconds: float) -> None:
    clock.wall += seconds
    clock.steady += seconds


@on_sqlite
def test_nobody_is_judged_for_one_grace_period_after_a_start_an_outage_or_a_jump_of_the_clock(
    ledger: Ledger, clock: SimpleNamespace
) -> None:
    begin(ledger, ME)
    forget_beats(ledger)  # all that a clock set forward, or an outage, shows
    outages = Outages(threading.Event())

    def wait(seconds: int) -> None:
        for _ in range(seconds):
            later(clock, 1)
            outages.note_beat()

    def jump() -> None:
        clock.wall += 3600

    def sleep_of_the_machine() -> None:
        clock.wall += 8 * 3600

    def back() -> None:
        clock.wall -= 1800

    for what in (lambda: None, outages.note_outage, jump, sleep_of_the_machine, back):
        what()
        assert outages.grace_s == math.inf
        assert requeue_lost(ledger, ASKER, grace_s=outages.grace_s) == []
        wait(59)
        assert outages.grace_s == math.inf
        wait(2)
        assert outages.grace_s == 60
    assert requeue_lost(ledger, ASKER, grace_s=outages.grace_s) == [0]


def test_a_call_is_repeated_through_an_outage_and_given_up_in_the_end(
    clock: SimpleNamespace,
) -> None:
    stop = threading.Event()
    stop.wait = lambda timeout=None: later(clock, timeout or 0) or stop.is_set()  # type: ignore[assignment,func-returns-value]
    outages = Outages(stop, give_up_s=100)
    for _ in range(2):
        later(clock, 31)
        outages.note_beat()
    assert outages.grace_s == 60
    asked: list[float] = []

    def away() -> str:
        asked.append(clock.steady)
        if len(asked) < 5:
            raise RetryLaterError("away")
        return "there"

    assert outages.call(away) == "there"
    pauses = [b - a for a, b in pairwise(asked)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert outages.grace_s == math.inf

    def never() -> None:
        raise RetryLaterError("away for good")

    began = clock.steady
    with pytest.raises(StudyError, match="away for good"):
        outages.call(never)
    assert 100 < clock.steady - began < 115
    stop.set()
    began = clock.steady
    with pytest.raises(StudyError):
        outages.call(never)
    assert clock.steady == began
