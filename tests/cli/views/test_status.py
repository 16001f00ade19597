"""What `gridless status` tells of the queue and its workers."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from search.cli.views.status import as_dict, render_status
from search.cli.views.status_reader import Status, StatusReader, study_status
from search.errors import InputError
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState
from search.study.storage.study_state import cancel, close, pause
from search.study.storage.workers import WorkerRecord, WorkerRoster
from tests.study.helpers import begin, epoch, spec, trial

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ME = WorkerIdentity.me("me")
pytestmark = pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)
Open = Callable[[], LedgerStorage]


def at(record, started_h_ago: float, ended_h_ago: float | None = None, **changes):
    """`record` with its times, its epochs spread evenly over them."""
    began = NOW - timedelta(hours=started_h_ago)
    ended = None if ended_h_ago is None else NOW - timedelta(hours=ended_h_ago)
    pace = ((ended or NOW) - began) / max(1, record.epochs)
    curve = tuple(replace(e, at=(began + pace * e.step).timestamp()) for e in record.curve)
    return replace(record, started=began, ended=ended, curve=curve, **changes)


def shown(status: Status, width: int = 140) -> str:
    console = Console(width=width, file=StringIO())
    console.print(render_status(status, grace_s=60))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_rates_are_those_of_the_last_hour_and_of_a_younger_study_those_of_its_life(
    storage_url: str,
) -> None:
    place = Place(QueueState.OPEN)
    old = [
        at(trial(0, [0.5] * 4, "COMPLETE"), 8, 4, n_retries=1, peak_host_mb=700.0),
        at(
            trial(1, [0.6] * 3, "PRUNED"),
            0.75,
            0.5,
            n_retries=2,
            peak_host_mb=900.0,
            peak_device_mb=2000.0,
        ),
        at(trial(2, [0.9] * 2, "FAIL"), 0.5, 0.25),
        at(trial(3, [0.7] * 5, "RUNNING"), 0.25),
    ]
    found = study_status("s", place, old, NOW, spec=spec(n_trials=10), n_workers=4)
    assert (found.trials_per_hour, found.epochs_per_hour) == (2, 10)
    assert (found.n_retries, found.peak_host_mb, found.peak_device_mb) == (3, 900.0, 2000.0)
    young = study_status("s", place, old[2:], NOW, spec=spec(n_trials=10), n_workers=4)
    assert (young.trials_per_hour, young.epochs_per_hour) == (2, 14)
    empty = study_status("s", place, [], NOW, spec=spec(n_trials=10), n_workers=0)
    assert (
        empty.trials_per_hour,
        empty.epochs_per_hour,
        empty.shot.left_s,
        empty.peak_host_mb,
    ) == (0, 0, None, None)
    shot = study_status("s", place, old[:2], NOW, spec=spec(n_trials=10), n_workers=4).shot
    alone = study_status("s", place, old[:2], NOW, spec=spec(n_trials=10), n_workers=1).shot
    assert shot.left_s is not None
    assert alone.left_s == 4 * shot.left_s
    again = study_status(
        "s", place, old[:2], NOW, spec=spec(n_trials=10, finalists=2), n_workers=4
    ).shot
    assert again.finals_s > 0
    assert again.left_s == shot.left_s + again.finals_s


def test_everything_in_the_storage_is_told_of_to_people_and_to_scripts(open_storage: Open) -> None:
    storage = open_storage()
    assert "gridless submit" in shown(StatusReader(storage).read(datetime.now(UTC)))
    ledger = Ledger.open(storage, spec(name="one"), {}, priority=5)
    Ledger.open(storage, spec(name="a-study-with-a-name-as-long-as-they-come-" + "x" * 50), {})
    halted = Ledger.open(storage, spec(name="halted"), {})
    ledger.complete(begin(ledger, ME, [0.5, 0.75]), 0.75)
    ledger.give_back(begin(ledger, ME, [0.6]), paused=True)
    ledger.fail(begin(ledger, ME), "out of memory", untrainable=True)
    claim = begin(ledger, ME, [0.1, 0.2])
    ledger.report(claim, peak_host_mb=812.0)
    pause(halted, "lunch")
    WorkerRoster(storage).beat(ME, WorkerRecord("host/1", "GPU 0", "one", claim.number))
    WorkerRoster(storage).beat(replace(ME, pid=2), WorkerRecord("host/2", "GPU 1", note="no room"))
    reader = StatusReader(storage)
    status = reader.read(datetime.now(UTC))
    found = json.loads(json.dumps(as_dict(status)))
    one = next(s for s in found["studies"] if s["study"] == "one")
    rates = {"trials_per_hour", "epochs_per_hour", "left_s"}
    assert {k: v for k, v in one.items() if k not in rates} == {
        "study": "one",
        "state": "open",
        "reason": "",
        "priority": 5,
        "n_trials": 6,
        "complete": 1,
        "running": 1,
        "paused": 1,
        "waiting": 0,
        "pruned": 0,
        "failed": 1,
        "best_val_accuracy": 0.75,
        "objective": "accuracy",
        "best_value": 0.75,
        "best_trial": 0,
        "n_retries": 0,
        "peak_host_mb": 812.0,
        "peak_device_mb": None,
    }
    assert all(one[rate] >= 0 for rate in rates)
    busy, idle = found["workers"]
    assert (busy["worker"], busy["study"], busy["trial"], busy["epoch"], busy["total_epochs"]) == (
        "host/1",
        "one",
        3,
        2,
        9,
    )
    assert (idle["device"], idle["study"], idle["trial"], idle["epoch"], idle["note"]) == (
        "GPU 1",
        None,
        None,
        None,
        "no room",
    )
    text = shown(status)
    for part in ("one", "2 of 6", "75.00", "812", "paused (lunch)", "host/1", "2/9", "no room"):
        assert part in text
    assert "lost?" not in text
    for width in (1, 20, 60):
        shown(status, width)
    late = replace(status, workers=tuple(replace(w, silent_s=61.0) for w in status.workers))
    assert shown(late).count("lost?") == 2
    assert [s.name for s in StatusReader(storage, ["halted"]).read(datetime.now(UTC)).studies] == [
        "halted"
    ]


def test_a_watched_study_is_shown_as_it_is_now(open_storage: Open) -> None:
    storage = open_storage()
    ledger = Ledger.open(storage, spec(n_trials=1), {})
    reader = StatusReader(storage)

    def now() -> tuple[str, int, int]:
        [s] = reader.read(datetime.now(UTC)).studies
        return str(s.place.state), s.shot.done, s.shot.n_trials

    claim = begin(ledger, ME)
    assert now() == ("open", 0, 1)
    ledger.report(claim, [epoch(1, 0.5)])
    ledger.complete(claim, 0.5)
    close(ledger)
    assert now() == ("done", 1, 1)
    Ledger.open(storage, spec(n_trials=2), {})  # another command wants more of it
    assert now() == ("open", 1, 2)
    ledger.complete(begin(ledger, ME, [0.6]), 0.6)
    cancel(ledger)
    assert now() == ("cancelled", 2, 2)


def names_of(status: Status) -> list[str]:
    return [s.name for s in status.studies]


def test_studies_are_chosen_by_name_and_state_and_what_is_left_out_is_told(
    open_storage: Open,
) -> None:
    storage = open_storage()
    for n in range(8):
        ledger = Ledger.open(storage, spec(name=f"s{n}"), {})
        if n != 1:
            cancel(ledger)
    Ledger.open(storage, spec(name="画像"), {})
    storage.create_study("theirs", {"owner": "another program"})

    def read(*names: str, **options: Any) -> Status:
        return StatusReader(storage, names, **options).read(datetime.now(UTC))

    assert names_of(read()) == [*(f"s{n}" for n in range(8)), "画像"]
    few = read(limit=2)
    assert (names_of(few), few.n_hidden) == (["s1", "s6", "s7", "画像"], 5)
    assert "5 older ones that are over are left out; --limit 0" in shown(few)
    assert names_of(read("s0", "画*")) == ["s0", "画像"]
    assert names_of(read("s[12]", states=["open"])) == ["s1"]
    for unknown in ("nobody", "x*", "theirs"):
        with pytest.raises(InputError, match=re.escape(unknown)):
            read("s0", unknown)


def test_a_study_that_can_not_be_read_is_told_of_and_those_of_other_programs_never(
    open_storage: Open,
) -> None:
    storage = open_storage()
    storage.create_study("theirs", {"owner": "another program"})
    storage.create_study("empty", {"spec": {}})
    storage.create_study("of another version", {"spec": {"model": "mlp"}})
    storage.create_study("older", {"spec": spec(name="older").model_dump(mode="json")})
    status = StatusReader(storage).read(datetime.now(UTC))
    assert list(status.damaged) == ["empty", "of another version", "older"]
    assert "gridless storage upgrade" in status.damaged["older"]
    assert {s["study"]: s["state"] for s in as_dict(status)["studies"]} == dict.fromkeys(
        status.damaged, "damaged"
    )  # type: ignore[attr-defined]
    assert "empty" in shown(status)


def test_rates_of_a_study_that_is_over_stand_still(storage_url: str) -> None:
    trials = [at(trial(0, [0.5] * 4, "COMPLETE"), 8, 4), at(trial(1, [0.6] * 8, "COMPLETE"), 5, 3)]
    rates = set()
    for hours in (0, 1, 100):
        over = study_status(
            "s",
            Place(QueueState.DONE),
            trials,
            NOW + timedelta(hours=hours),
            spec=spec(n_trials=2),
            n_workers=1,
        )
        rates.add((over.trials_per_hour, over.epochs_per_hour))
    assert rates == {(1, 4)}


def test_a_narrow_terminal_is_told_less_in_lines_that_fit(open_storage: Open) -> None:
    storage = open_storage()
    Ledger.open(storage, spec(name="convNN-fashion.final"), {})
    status = StatusReader(storage).read(datetime.now(UTC))
    for width, parts in (
        (80, ("ended", "value", "left")),
        (120, ("per hour", "retries", "priority")),
    ):
        console = Console(width=width, file=StringIO())
        console.print(render_status(status, grace_s=60, width=width))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert all(part in text for part in parts)
        assert any(
            "convNN-fashion.final" in line and "0 of 6" in line for line in text.splitlines()
        )
