"""A trial's reports on their way to a storage that may be away, slow or no longer interested."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from search.errors import ClaimLostError, GridlessError, RetryLaterError, StudyError
from search.records import Epoch
from search.study.storage.claim import Claim
from search.study.storage.queue import Place, QueueState
from search.worker.outages import Outages
from search.worker.reporter import Reporter
from tests.study.helpers import epoch
from tests.worker.helpers import HASTE, wait_until

CLAIM = Claim(1, 0, "token")


class Storage:
    """Stands for a ledger: remembers what it was told; may be made to wait, or to fail."""

    def __init__(self) -> None:
        self.reports: list[tuple[list[int], dict[str, Any]]] = []
        self.state = QueueState.OPEN
        self.error: Exception | None = None
        self.fails_after_commit = False
        self.n_failed = 0
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()

    def report(self, claim: Claim, epochs: Sequence[Epoch] = (), **facts: Any) -> None:
        assert claim is CLAIM
        self.is_asked.set()
        self.may_answer.wait(10)
        if self.error and not self.fails_after_commit:
            self._fail()
        self.reports.append(([e.step for e in epochs], facts))
        if self.error:
            self._fail()

    def place(self) -> Place:
        if self.error:
            self._fail()
        return Place(self.state)

    def _fail(self) -> None:
        self.n_failed += 1
        assert self.error is not None
        raise self.error

    @property
    def steps(self) -> list[int]:
        return [step for steps, _ in self.reports for step in steps]


@pytest.fixture
def storage() -> Storage:
    return Storage()


@contextmanager
def held(storage: Storage) -> Iterator[None]:
    """The reporter is in the middle of telling the storage."""
    storage.is_asked.clear()
    storage.may_answer.clear()
    yield
    storage.may_answer.set()


@pytest.fixture
def send(storage: Storage) -> Iterator[Callable[..., Reporter]]:
    """Starts reporters; they end with the test, whatever became of it."""
    started: list[Reporter] = []

    def start(outages: Outages | None = None) -> Reporter:
        reporter = Reporter(storage, CLAIM, outages or Outages(threading.Event(), pace=HASTE))  # type: ignore[arg-type]
        started.append(reporter.__enter__())
        return reporter

    yield start
    storage.may_answer.set()
    for reporter in started:
        reporter.take()


def test_what_comes_in_a_burst_goes_in_one_transaction_and_in_order(
    storage: Storage, send: Callable[..., Reporter]
) -> None:
    reporter = send()
    with held(storage):
        reporter.put(epoch(1, 0.1), {"n_params": 7})
        assert storage.is_asked.wait(10)
        for step in range(2, 30):
            reporter.put(epoch(step, 0.1))
        reporter.put(facts={"peak_host_mb": 1.0})
        reporter.put(facts={"peak_host_mb": 2.0})
    reporter.flush()
    assert storage.reports == [([1], {"n_params": 7}), (list(range(2, 30)), {"peak_host_mb": 2.0})]
    reporter.put(epoch(30, 0.1))
    reporter.flush()
    assert storage.steps == list(range(1, 31))
    assert not reporter.take()


def test_a_fact_that_changes_while_it_is_sent_is_sent_again(
    storage: Storage, send: Callable[..., Reporter]
) -> None:
    reporter = send()
    with held(storage):
        reporter.put(facts={"peak_host_mb": 1.0, "device": "CPU"})
        assert storage.is_asked.wait(10)
        reporter.put(facts={"peak_host_mb": 2.0})
    reporter.flush()
    assert storage.reports == [
        ([], {"peak_host_mb": 1.0, "device": "CPU"}),
        ([], {"peak_host_mb": 2.0}),
    ]


@pytest.mark.parametrize("fails_after_commit", [False, True])
def test_an_outage_holds_nobody_up_and_then_all_arrives_in_order(
    storage: Storage, send: Callable[..., Reporter], fails_after_commit: bool
) -> None:
    """Whether or not a report took effect, it is made again: the storage overwrites a step with
    itself.
    """
    outages = Outages(threading.Event(), pace=HASTE)
    reporter = send(outages)
    storage.error, storage.fails_after_commit = RetryLaterError("away"), fails_after_commit
    for step in range(1, 6):
        reporter.put(epoch(step, 0.1))  # returns at once, or this test never ends
    wait_until(lambda: storage.n_failed >= 3)
    assert reporter.state() is QueueState.OPEN
    reporter.put(epoch(6, 0.1))
    assert storage.steps == [] or fails_after_commit
    storage.error = None
    n_before = len(storage.reports)
    reporter.flush()
    if fails_after_commit:
        assert storage.reports[-1][0][-1] == 6
        assert sorted(set(storage.steps)) == [1, 2, 3, 4, 5, 6]
        assert all(steps == sorted(steps) for steps, _ in storage.reports)
    else:
        assert storage.steps == [1, 2, 3, 4, 5, 6]
    assert len(storage.reports) > n_before
    assert outages.grace_s == float("inf")


def test_what_is_not_sent_when_a_trial_ends_is_taken_along(
    storage: Storage, send: Callable[..., Reporter]
) -> None:
    reporter = send()
    reporter.put(epoch(1, 0.1))
    reporter.flush()
    storage.error = RetryLaterError("away")
    reporter.put(epoch(2, 0.1), {"n_params": 7})
    reporter.put(epoch(3, 0.1))
    unsent = reporter.take()
    assert ([e.step for e in unsent.epochs], unsent.facts) == ([2, 3], {"n_params": 7})
    assert storage.steps == [1]


def test_a_stop_does_not_wait_for_a_storage_that_is_away(
    storage: Storage, send: Callable[..., Reporter]
) -> None:
    stop = threading.Event()
    reporter = send(Outages(stop, pace=HASTE))
    storage.error = RetryLaterError("away")
    reporter.put(epoch(1, 0.1))
    wait_until(lambda: storage.n_failed > 0)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(StudyError, match="out of reach"):
        reporter.flush()
    assert [e.step for e in reporter.take().epochs] == [1]


@pytest.mark.parametrize("error", [ClaimLostError("taken over"), RuntimeError("a fault of ours")])
def test_whatever_ends_the_reporter_is_raised_in_the_trial(
    storage: Storage, send: Callable[..., Reporter], error: Exception
) -> None:
    """A trial whose reports nobody carries must not go on as if they arrived."""
    reporter = send()
    storage.error = error
    reporter.put(epoch(1, 0.1))

    def is_told() -> bool:
        try:
            reporter.state()
        except GridlessError as told:
            return str(error) in str(told)
        return False

    wait_until(is_told)
    with pytest.raises(GridlessError, match=str(error)):
        reporter.flush()


def test_a_trial_hears_of_a_pause_and_of_a_cancel_and_keeps_its_claim_alive(
    storage: Storage, send: Callable[..., Reporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDLESS_GRACE_S", "0.06")
    reporter = send()
    for state in (QueueState.PAUSED, QueueState.OPEN, QueueState.CANCELLED):
        storage.state = state
        wait_until(lambda state=state: reporter.state() is state)  # type: ignore[misc]
    wait_until(lambda: len(storage.reports) >= 3)
    assert set(map(str, storage.reports)) == {"([], {})"}
