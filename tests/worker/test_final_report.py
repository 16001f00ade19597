"""Whoever ends a study has its report written, once, whatever ends the writer."""

import io
import subprocess
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from search.errors import InputError
from search.paths import home, storage_url
from search.report.study_report import report_study
from search.study.settings import FINAL
from search.study.storage.claim import WorkerIdentity
from search.study.storage.due_reports import due_reports, note_report, take_report
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState, places
from search.study.storage.study_state import cancel, close, pause, resume
from search.study.storage.workers import WorkerRecord, WorkerRoster
from search.worker import final_report
from search.worker.final_report import FinalReports
from search.worker.outages import Outages
from search.worker.pace import Pace
from tests.study.helpers import begin, spec
from tests.worker.helpers import wait_until

Open = Callable[[], LedgerStorage]
ME = WorkerIdentity.me("me")


@pytest.fixture
def storage() -> Iterator[LedgerStorage]:
    home().mkdir()
    made = LedgerStorage(storage_url())
    yield made
    made.remove_session()
    made.engine.dispose()


def ended(storage: LedgerStorage, name: str) -> Ledger:
    """A study of one trial that came to its end."""
    ledger = Ledger.open(storage, spec(name=name, n_trials=1), {})
    ledger.complete(begin(ledger, ME, [0.5]), 0.5)
    close(ledger)
    return ledger


@pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)
def test_a_report_is_due_once_a_study_and_its_finalists_are_over(open_storage: Open) -> None:
    storage = open_storage()
    assert due_reports(storage) == []
    ledger = Ledger.open(storage, spec(name="s", n_trials=2), {})
    claim = begin(ledger, ME, [0.5])
    pause(ledger)
    assert due_reports(storage) == []
    resume(ledger)
    cancel(ledger)
    assert due_reports(storage) == []  # its trial still runs
    ledger.complete(claim, 0.5)
    assert due_reports(storage) == ["s"]
    final = Ledger.open(storage, spec(name="s" + FINAL, n_trials=1), {})
    assert due_reports(storage) == []
    cancel(final)
    assert due_reports(storage) == ["s"]
    resume(ledger)
    assert due_reports(storage) == []
    assert Place.of({"queue": '{"state": "done", "priority": 2}'}) == Place(QueueState.DONE, 2)


@pytest.mark.parametrize("storage_url", ["sqlite", "postgresql"], indirect=True)
def test_one_worker_at_a_time_writes_a_report(open_storage: Open) -> None:
    storage = open_storage()
    ended(storage, "s")
    assert take_report(storage, "s", "a", {"a", "b"})
    assert not take_report(storage, "s", "b", {"a", "b"})
    assert take_report(storage, "s", "b", {"b"})  # a was lost
    note_report(storage, "s", "host:/there")
    assert due_reports(storage) == []
    assert not take_report(storage, "s", "a", {"a"})
    assert places(storage)["s"].report == "host:/there"
    note_report(storage, "s", "elsewhere:/here")  # written again, by a person
    assert places(storage)["s"].report == "host:/there"


def test_a_worker_writes_what_a_lost_one_left_and_rests_where_it_can_not(
    storage: LedgerStorage,
) -> None:
    for name in ("bad", "good", "other"):
        ended(storage, name)
        assert take_report(storage, name, "lost", ())
    (home() / "bad").write_text("in the way")
    WorkerRoster(storage).beat(ME, WorkerRecord("me", "CPU"))
    reports = FinalReports(
        storage, ME, ("bad", "good"), Outages(threading.Event(), pace=Pace(due_look=0.0))
    )
    wait_until(lambda: not reports.is_busy(), 120)
    reports.stop()
    assert (home() / "good" / "report.html").is_file()
    assert due_reports(storage) == ["bad", "other"]
    assert places(storage)["good"].report.endswith(f":{home() / 'good'}")
    with pytest.raises(InputError, match="bad can't be written"):
        report_study(storage, "bad", home() / "bad")
    report_study(storage, "other", home() / "other")
    assert due_reports(storage) == ["bad"]


@pytest.mark.parametrize("mirrors", [True, False])
def test_a_report_waits_a_minute_for_trackers_if_it_may_tell_them(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch, mirrors: bool
) -> None:
    ended(storage, "s")
    WorkerRoster(storage).beat(ME, WorkerRecord("me", "CPU"))
    started: list[list[str]] = []
    processes: list[subprocess.Popen[bytes]] = []
    waits: list[float] = []

    def start(program: list[str], **_: object) -> subprocess.Popen[bytes]:
        started.append(program)
        quiet = subprocess.DEVNULL
        processes.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=quiet))
        return processes[-1]

    def bring(*_: object, wait_s: float = 600.0) -> None:
        waits.append(wait_s)

    outages = Outages(threading.Event(), pace=Pace(due_look=0.0))
    reports = FinalReports(storage, ME, None, outages, mirrors=mirrors)
    monkeypatch.setattr(final_report, "subprocess", SimpleNamespace(Popen=start, PIPE=-1))
    assert reports.is_busy()
    assert processes[0].wait() == 0
    monkeypatch.setattr("search.tracking.process.bring_now", bring)
    monkeypatch.setattr("os.nice", lambda _: 0)
    monkeypatch.setattr("sys.argv", started[0][2:])
    monkeypatch.setattr("sys.stdin", io.StringIO(storage.url))
    assert final_report.main() == 0
    assert waits == ([60.0] if mirrors else [])


def test_a_report_that_is_written_while_finalists_train_does_not_count_as_the_last_word(
    storage: LedgerStorage,
) -> None:
    ended(storage, "s")
    final = Ledger.open(storage, spec(name="s" + FINAL, n_trials=1), {})
    report_study(storage, "s", home() / "s")
    cancel(final)
    assert due_reports(storage) == ["s"]
    assert not places(storage)["s"].report
