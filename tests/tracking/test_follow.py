"""One process for the studies of a home folder."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from search.files import locked
from search.tracking import follow
from search.tracking.follow import Follower, outboxes
from search.tracking.mlflow import send as mirror
from search.tracking.mlflow.send import sync
from search.tracking.outbox import Outbox, write_header
from tests.tracking.helpers import run_trial, runs, steps


def make_study(home, name, *, state="COMPLETE"):
    write_header(home / name / "outbox", {"study": name})
    outbox = Outbox(home / name / "outbox", "w")
    run_trial(outbox, 0, [1], state)
    return outbox


def last(home, name):
    try:
        return json.loads((home / name / "outbox" / "last_sync.json").read_text())
    except FileNotFoundError:
        return None


@pytest.fixture
def home(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def start(home, uri, monkeypatch):
    """Follow all studies of `home` for one round, and one more after each thing that happens."""

    def begin(*happen, quiet_s=30.0):
        left = [lambda: None, *happen]

        def find():
            if left:
                left.pop(0)()
            else:
                over.set()
            return outboxes(home)

        over = threading.Event()
        monkeypatch.setattr(follow, "_QUIET_S", quiet_s)
        Follower(find, uri=uri, artifact_root=None, every_s=0.0).run(over.is_set)

    return begin


def test_all_studies_are_followed_also_later_ones_and_none_waits_for_a_broken_one(
    home, uri, start, monkeypatch
):
    make_study(home, "broken")
    (home / "broken" / "outbox" / "study.json").write_text("{")
    make_study(home, "torn")
    (home / "torn" / "outbox" / "not-a-file.jsonl").mkdir()
    first = make_study(home, "first", state=None)
    (home / "empty").mkdir(parents=True)
    seen = {}

    def look():
        seen.update({name: last(home, name)["n_left"] for name in ("first", "broken")})
        make_study(home, "later")
        run_trial(first, 0, [2], "COMPLETE", at=200.0)

    start(look)
    assert seen == {"first": 0, "broken": 4}
    assert last(home, "first") == {"n_sent": 7, "n_left": 0, "error": None}
    assert last(home, "later") == {"n_sent": 4, "n_left": 0, "error": None}
    assert "study.json is missing or damaged" in last(home, "broken")["error"]
    assert "not-a-file.jsonl" in last(home, "torn")["error"]
    assert steps(uri, runs(uri, "first")["trial-0000"]) == [1, 2]
    assert runs(uri, "later")["later"].info.status == "FINISHED"


def test_a_quiet_study_is_settled_while_the_mirror_goes_on(home, uri, start):
    make_study(home, "s")
    seen = []

    def look():
        seen.append(runs(uri, "s")["s"].info.status)

    start(look, look, look, quiet_s=0.0)
    assert seen[0] == "RUNNING"
    assert seen[-1] == "FINISHED"


def test_an_idle_study_costs_no_connection_and_no_reading(home, uri, start, monkeypatch):
    make_study(home, "old")
    assert sync(home / "old" / "outbox", uri=uri, artifact_root=None).error is None
    requests = []
    monkeypatch.setattr(mirror, "StudyStore", lambda *args: requests.append("a connection"))
    real = mirror.read_events
    monkeypatch.setattr(
        mirror, "read_events", lambda *args: requests.append("a reading") or real(*args)
    )
    counts = []
    nothing = [lambda: None] * 20
    start(lambda: counts.append(len(requests)), *nothing, lambda: counts.append(len(requests)))
    assert counts[0] == counts[1]
    assert "a connection" not in requests


def test_at_its_end_a_follower_sends_what_another_process_leaves(home, uri, start, monkeypatch):
    make_study(home, "s")
    busy = locked(home / "s" / "outbox" / ".sync.lock", wait=True)
    busy.__enter__()
    monkeypatch.setattr(follow.time, "sleep", lambda _seconds: busy.__exit__(None, None, None))
    start()
    assert last(home, "s") == {"n_sent": 4, "n_left": 0, "error": None}


def test_what_there_was_no_time_for_is_told(home, uri):
    make_study(home, "s")
    follower = Follower(lambda: outboxes(home), uri=uri, artifact_root=None)
    follower.send_rest(0.0)
    assert last(home, "s") == {"n_sent": 0, "n_left": 4, "error": "MLflow did not answer in time"}
    follower.send_rest(None)
    assert last(home, "s")["n_left"] == 0


def test_the_process_ends_by_a_signal_and_sends_the_rest(home, uri):
    """It is told of two outboxes, as by `gridless study`: the finalists' appears when the search is
    over.
    """
    outbox = make_study(home, "s", state=None)
    named = [str(home / name / "outbox") for name in ("s", "s.final")]
    command = [sys.executable, "-m", "search.tracking", *named, "--follow"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    while last(home, "s") is None and process.poll() is None:
        time.sleep(0.05)
    make_study(home, "s.final")
    run_trial(outbox, 0, [2], "COMPLETE", at=200.0)
    process.terminate()
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, b"")
    assert last(home, "s") == {"n_sent": 7, "n_left": 0, "error": None}
    assert last(home, "s.final") == {"n_sent": 4, "n_left": 0, "error": None}
    assert runs(uri, "s")["s"].info.status == runs(uri, "s")["trial-0000"].info.status == "FINISHED"
