"""Which studies a mirror brings, in whose turn, and how its process ends."""

import subprocess
import sys
from dataclasses import replace

import pytest

from search.errors import RetryLaterError
from search.study.storage.ledger import Ledger
from search.study.storage.queue import QueueState
from search.tracking.process import Request, bring_now, end_mirror, start_mirror
from search.tracking.protocol import GoneError
from tests.kept import keep
from tests.study.helpers import begin, epoch, spec, store_place
from tests.tracking.helpers import DEAD, ELSEWHERE, ME, mirror, runs, steps


@pytest.fixture
def storage(open_storage):
    """Each kind of database."""
    return open_storage()


class Notes:
    """A tracker that remembers what it was brought."""

    is_local = True
    target = "memory"

    def __init__(self, ids=None):
        self.trials = []
        self.ended = []

    def trial_changed(self, study, trial, new):
        self.trials.append((study.name, trial.number, trial.state, [e.step for e in new]))

    def study_ended(self, search, files):
        self.ended.append((search.study.name, len(search.study.trials)))


def test_a_trial_is_brought_when_it_changed_and_its_epochs_once(ledger, storage):
    notes = Notes()
    each = mirror(storage, make=lambda _ids: notes)
    claim = begin(ledger, ME, [0.1, 0.2])
    each.turn()
    each.turn()
    ledger.report(claim, [epoch(3, 0.3)])
    each.turn()
    ledger.give_back(claim, paused=True)
    each.turn()
    again = ledger.claim(ME, promote=0)
    ledger.complete(again, 0.4, [epoch(4, 0.4)])
    mirror(storage, make=lambda _ids: notes).turn()
    assert notes.trials == [
        ("mlp-digits", 0, "RUNNING", [1, 2]),
        ("mlp-digits", 0, "RUNNING", [3]),
        ("mlp-digits", 0, "WAITING", []),
        ("mlp-digits", 0, "COMPLETE", [4]),
    ]


def test_many_trials_are_brought_each_once_a_part_at_a_time(storage, monkeypatch):
    monkeypatch.setattr("search.study.storage.tracked._CHUNK", 3)
    ledger = Ledger.open(storage, spec(name="many", n_trials=8), {})
    for n in range(8):
        claim = begin(ledger, ME, [0.1])
        if n % 2:
            ledger.complete(claim, 0.1)
        else:
            ledger.give_back(claim, paused=True)
    notes = Notes()
    for _ in range(3):
        mirror(storage, make=lambda _ids: notes).turn()
    complete = [number for _, number, state, _ in notes.trials if state == "COMPLETE"]
    assert complete == [1, 3, 5, 7]
    assert {number for _, number, _, new in notes.trials if new} == set(range(8))
    assert sum(bool(new) for *_, new in notes.trials) == 8


@pytest.mark.parametrize(
    ("trackers", "state", "has_outbox", "names", "is_brought"),
    [
        (("mlflow",), QueueState.OPEN, False, None, True),
        (("mlflow",), QueueState.DONE, False, None, True),
        ((), QueueState.OPEN, True, None, False),
        (("other",), QueueState.OPEN, False, None, False),
        (None, QueueState.OPEN, False, None, True),
        (None, QueueState.DONE, False, None, False),
        (None, QueueState.DONE, True, None, True),
        (None, QueueState.DONE, False, ("mlp-digits",), True),
        (("mlflow",), QueueState.OPEN, False, ("another",), False),
    ],
)
def test_a_study_is_brought_to_the_trackers_that_it_asked_for(
    ledger, storage, own_home, trackers, state, has_outbox, names, is_brought
):
    begin(ledger, ME, [0.1])
    store_place(ledger, replace(ledger.place(), trackers=trackers, state=state))
    if has_outbox:  # as earlier versions left it where they told MLflow
        (own_home / "mlp-digits" / "outbox").mkdir(parents=True)
        (own_home / "mlp-digits" / "outbox" / "study.json").write_text("{}")
    notes = Notes()
    mirror(storage, make=lambda _ids: notes).turn(names)
    assert bool(notes.trials) is is_brought


def test_one_process_brings_them_until_it_ends_or_is_lost(ledger, storage, tmp_path, monkeypatch):
    begin(ledger, ME, [0.1])
    first = mirror(storage, ELSEWHERE, Notes)
    with monkeypatch.context() as patch:
        patch.setenv("GRIDLESS_HOME", str(tmp_path / "another"))
        second = mirror(storage, ME, Notes)
    shared = [mirror(storage, owner, make_shared) for owner in (ELSEWHERE, ME)]
    assert first.turn().holder is None, "each machine has a target of its own"
    assert second.turn().holder is None
    assert shared[0].turn().n_sent == 1
    late = shared[1].turn()
    assert (late.n_sent, late.holder) == (0, "far/1")
    shared[0].release()
    assert shared[1].turn().holder is None
    assert shared[0].turn().holder == "me"


def make_shared(_ids):
    notes = Notes()
    notes.is_local = False
    return notes


def test_a_dead_process_is_taken_over_from_at_once(ledger, storage):
    begin(ledger, ME, [0.1])
    assert mirror(storage, DEAD, make_shared).turn().holder is None
    assert mirror(storage, ME, make_shared).turn().holder is None


def test_an_end_is_brought_when_the_study_is_over_or_reported_and_again_when_it_grew(
    ledger, storage
):
    notes = Notes()
    each = mirror(storage, make=lambda _ids: notes)
    ledger.complete(begin(ledger, ME, [0.1]), 0.1)
    each.turn()
    assert notes.ended == []
    store_place(ledger, replace(ledger.place(), state=QueueState.DONE, due=True))
    each.turn()
    assert notes.ended == [], "its report is still to be written"
    store_place(ledger, replace(ledger.place(), due=False))
    each.turn()
    each.turn()
    assert notes.ended == [("mlp-digits", 1)]
    store_place(ledger, replace(ledger.place(), state=QueueState.OPEN))
    ledger.complete(begin(ledger, ME, [0.2]), 0.2)
    each.turn()
    assert len(notes.ended) == 1
    store_place(ledger, replace(ledger.place(), state=QueueState.DONE))
    each.turn()
    assert notes.ended == [("mlp-digits", 1), ("mlp-digits", 2)]


def test_a_damaged_study_keeps_no_other_back(ledger, storage):
    begin(ledger, ME, [0.1])
    other = Ledger.open(storage, spec(name="other"), {})
    begin(other, ME, [0.1])
    with storage.session() as session:
        [trial_id] = storage.open_trials(ledger.study_id)
        storage.put(session, trial_id, user={"epoch:1": "no epoch"})
    notes = Notes()
    turn = mirror(storage, make=lambda _ids: notes).turn()
    assert [name for name, *_ in notes.trials] == ["other"]
    assert "damaged" in turn.errors["mlp-digits"]


def test_a_study_that_a_tracker_fails_at_keeps_no_other_back(ledger, storage):
    class Fails(Notes):
        def trial_changed(self, study, trial, new):
            if study.name == "mlp-digits":
                raise KeyError("a fault of its own")
            super().trial_changed(study, trial, new)

    begin(ledger, ME, [0.1])
    begin(Ledger.open(storage, spec(name="other"), {}), ME, [0.1])
    notes = Fails()
    turn = mirror(storage, make=lambda _ids: notes).turn()
    assert [name for name, *_ in notes.trials] == ["other"]
    assert "a fault of its own" in turn.errors["mlp-digits"]


def test_a_study_that_takes_the_place_of_a_deleted_one_is_brought_whole(ledger, storage):
    class Deletes(Notes):
        def trial_changed(self, study, trial, new):
            super().trial_changed(study, trial, new)
            if len(self.trials) == 1:
                storage.delete_study(ledger.study_id)
                begin(Ledger.open(storage, spec(name="next"), {}), ME, [0.1])

    begin(ledger, ME, [0.1])
    notes = Deletes()
    each = mirror(storage, make=lambda _ids: notes)
    for _ in range(2):
        each.turn()
    assert [name for name, *_ in notes.trials] == ["mlp-digits", "next"]


def test_what_is_gone_of_finalists_is_gone_of_their_search(storage, own_home):
    class Loses(Notes):
        is_lost = False

        def trial_changed(self, study, trial, new):
            if self.is_lost and study.name.endswith(".final"):
                self.is_lost = False
                raise GoneError(study.name)
            super().trial_changed(study, trial, new)

    keep(storage, own_home)
    notes = Loses()
    mirror(storage, make=lambda _ids: notes).turn()
    before = [(name, number) for name, number, *_ in notes.trials]
    assert len(before) == 4
    notes.trials.clear()
    notes.is_lost = True
    each = mirror(storage, make=lambda _ids: notes)
    for thorough in (True, False):
        each.turn(thorough=thorough)
    assert [(name, number) for name, number, *_ in notes.trials][-4:] == before
    assert notes.trials[-1][3] == [1], "with its epochs"


def test_a_mirror_that_was_taken_over_from_says_nothing_of_how_far_it_came(ledger, storage):
    class Slow(Notes):
        is_local = False

        def trial_changed(self, study, trial, new):
            super().trial_changed(study, trial, new)
            first.release()
            assert second.turn().holder is None
            each = second._claim
            assert each.take() is None

    begin(ledger, ME, [0.1])
    first = mirror(storage, ELSEWHERE, lambda _ids: Slow())
    second = mirror(storage, ME, make_shared)
    with pytest.raises(RetryLaterError, match="taken over"):
        first.turn()


@pytest.mark.slow
def test_the_process_ends_with_its_parent_and_brings_the_rest(ledger, uri, storage, tmp_path):
    claim = begin(ledger, ME, [0.1])
    process = start_mirror(Request(storage.url, ("mlp-digits",)), tmp_path / "logs" / "m.log")
    ledger.complete(claim, 0.2, [epoch(2, 0.2)])
    finished = end_mirror(process, 120)
    log = (tmp_path / "logs" / "m.log").read_text()
    assert finished is not None, log
    assert (finished["mlflow"].left, finished["mlflow"].error) == ((), None), log
    assert runs(uri)["trial-0000"].info.status == "FINISHED"
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2]


def test_a_storage_that_is_not_there_is_said(tmp_path):
    request = Request(f"sqlite:///{tmp_path}", None)
    assert bring_now(request, tmp_path / "logs" / "m.log") is None
    assert "can't be used" in (tmp_path / "logs" / "m.log").read_text()


def test_no_password_is_among_the_arguments_or_in_the_log(tmp_path):
    url = "postgresql://me:secret@127.0.0.1:9/studies"
    process = start_mirror(Request(url), tmp_path / "m.log")
    assert "secret" not in " ".join(map(str, process.args))
    assert end_mirror(process, 60) is None
    assert "secret" not in (tmp_path / "m.log").read_text()


def test_workers_never_import_mlflow():
    code = "import sys, search.worker.__main__; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
