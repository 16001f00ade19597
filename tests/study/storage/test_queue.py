"""Which study a free worker is given, and which it is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import TIME_OVER, Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QUEUE, Place, QueueState, open_studies, orphaned_studies
from search.study.storage.study_state import cancel, close, pause, resume
from tests.study.helpers import begin, spec, store_place

Open = Callable[[], LedgerStorage]
ME = WorkerIdentity.me("me")
on_sqlite = pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)


@pytest.fixture
def put(open_storage: Open) -> Callable[..., Ledger]:
    """Puts a study of this name on the queue, as a command of its own would."""

    def put_one(name: str, priority: int | None = None, **changes: Any) -> Ledger:
        return Ledger.open(open_storage(), spec(name=name, **changes), {}, priority=priority)

    return put_one


def opened_ago(ledger: Ledger, seconds: float) -> None:
    place = ledger.place()
    when = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds)
    store_place(ledger, replace(place, opened=when.isoformat()))


def test_a_larger_priority_comes_first_then_who_has_fewest_running_then_the_oldest(
    open_storage: Open, put: Callable[..., Ledger]
) -> None:
    old, busy, new, urgent, minor = (
        put("old"),
        put("busy"),
        put("new"),
        put("urgent", 5),
        put("minor", -1),
    )
    begin(busy, ME)
    for _ in range(3):
        begin(urgent, ME)
    begin(old, ME)
    old.give_back(begin(old, ME, [0.5]), paused=True)
    found = open_studies(open_storage())
    assert [s.name for s in found] == ["urgent", "new", "old", "busy", "minor"]
    counts = {s.name: s.n_running for s in found}
    assert counts == {"urgent": 3, "new": 0, "old": 1, "busy": 1, "minor": 0}
    for command, ledger in ((pause, urgent), (cancel, new)):
        command(ledger)
    ended = put("ended", 9, n_trials=1)
    ended.complete(begin(ended, ME, [0.5]), 0.5)
    close(ended)
    assert [s.name for s in open_studies(open_storage())] == ["old", "busy", "minor"]
    assert orphaned_studies(open_storage()) == ["urgent"]
    assert minor.claim(ME) is not None
    for ledger in (urgent, new, ended):
        assert ledger.claim(ME) is None
    assert len(urgent.trials()) == 3


def test_a_study_whose_time_is_over_is_handed_out_no_more_until_it_is_opened_again(
    open_storage: Open, put: Callable[..., Ledger]
) -> None:
    ledger = put("s", 3, timeout_s=60.0)
    assert ledger.place().state is QueueState.OPEN
    assert ledger.claim(ME) is not None
    opened_ago(ledger, 61)
    assert (ledger.place().state, ledger.place().reason) == (QueueState.PAUSED, TIME_OVER)
    assert ledger.claim(ME) is None
    assert open_studies(open_storage()) == []
    assert put("s", timeout_s=60.0).place() == ledger.place()
    assert (ledger.place().state, ledger.place().reason, ledger.place().priority) == (
        QueueState.OPEN,
        "",
        3,
    )
    assert ledger.claim(ME) is not None


@on_sqlite
def test_the_time_of_a_study_begins_with_its_first_trial_and_not_while_it_waits_for_a_worker(
    put: Callable[..., Ledger],
) -> None:
    ledger = put("s", timeout_s=60.0)
    late = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=3)
    assert not ledger.place().is_overdue(late)
    assert ledger.place().left_s(late) == 60.0
    assert ledger.claim(ME) is not None
    assert ledger.place().is_overdue(late)
    begun = ledger.place()
    assert ledger.claim(ME) is not None
    assert ledger.place() == begun


@on_sqlite
def test_resuming_a_study_whose_time_is_over_gives_it_that_time_again(
    put: Callable[..., Ledger],
) -> None:
    """Also before any worker has noticed, so that the queue itself still reads open."""
    ledger = put("s", timeout_s=60.0)
    opened_ago(ledger, 61)
    assert resume(ledger) is QueueState.OPEN
    assert ledger.place().state is QueueState.OPEN
    assert ledger.claim(ME) is not None


@on_sqlite
def test_a_priority_stays_until_another_is_asked_for(put: Callable[..., Ledger]) -> None:
    assert put("s").place().priority == 0
    assert put("s", 4).place().priority == 4
    ledger = put("s")
    assert ledger.place().priority == 4
    pause(ledger)
    assert resume(ledger) is QueueState.OPEN
    cancel(ledger)
    resume(ledger)
    assert ledger.place().priority == 4
    assert put("s", 0).place().priority == 0


@on_sqlite
def test_a_study_of_an_earlier_version_reads_paused_and_can_be_put_on_the_queue(
    open_storage: Open, put: Callable[..., Ledger]
) -> None:
    attrs = {"spec": spec(name="old").model_dump(mode="json"), "environment": {}, "uid": "1"}
    assert open_storage().create_study("old", attrs)
    ledger = Ledger(open_storage(), "old")
    assert ledger.place() == Place(QueueState.PAUSED)
    assert ledger.claim(ME) is None
    assert open_studies(open_storage()) == []
    assert resume(ledger) is QueueState.OPEN
    assert [s.name for s in open_studies(open_storage())] == ["old"]
    assert put("old").claim(ME) is not None
    assert QUEUE in open_storage().read_study("old")[1]  # type: ignore[index]


@on_sqlite
def test_a_place_of_wrong_types_keeps_no_other_study_from_workers(
    open_storage: Open, put: Callable[..., Ledger]
) -> None:
    put("good")
    bad = put("bad")
    for place in (
        {"state": "open", "priority": "high"},
        {"state": "open", "n_before": None},
        {"priority": 1},
        [],
    ):
        with open_storage().session() as session:
            open_storage().put_study(session, bad.study_id, {QUEUE: place})
        assert [s.name for s in open_studies(open_storage())] == ["good"]
