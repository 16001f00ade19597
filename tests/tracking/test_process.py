"""How the mirror's process answers, and how it ends where a tracker or its caller does not."""

import json
import subprocess
import threading
from dataclasses import replace

import pytest

from search.errors import RetryLaterError
from search.study.tracker_choice import tracker_problem
from search.tracking import __main__ as program
from search.tracking.follow import Finished
from search.tracking.process import Request, answer_line, bring_now, end_mirror, start_mirror
from tests.study.helpers import begin, store_place
from tests.tracking.helpers import ME

DONE = Finished(2, ())


def shell(script):
    """A process in place of a mirror."""
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """An installed tracker that never comes to an end."""
    installed = tmp_path / "site" / "hanging-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: hanging\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[gridless.trackers]\nhanging = hanging:Tracker\n")
    (tmp_path / "site" / "hanging.py").write_text(
        "import time\n\n\ndef Tracker(ids):\n    time.sleep(1000)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return "hanging"


@pytest.mark.parametrize(
    ("end", "wait_s"), [("", 20), ("; exit 1", 20), ("; kill -9 $$", 20), ("; sleep 100", 1)]
)
def test_what_was_answered_counts_however_the_process_ends(end, wait_s):
    process = shell(f"echo '{answer_line('mlflow', DONE).strip()}'{end}")
    assert end_mirror(process, wait_s) == {"mlflow": DONE}
    assert process.poll() is not None


def test_the_last_answer_of_a_tracker_counts():
    late = answer_line("mlflow", Finished(0, ("all of it",), "no time"))
    process = shell(f"echo '{late}{answer_line('mlflow', DONE).strip()}'")
    assert end_mirror(process, 20) == {"mlflow": DONE}


@pytest.mark.parametrize(("script", "finished"), [("exit 1", None), ("exit 0", {})])
def test_no_answer_is_a_failure_unless_nothing_was_to_be_said(script, finished):
    assert end_mirror(shell(script), 20) == finished


def test_ctrl_c_ends_the_mirror_that_is_waited_for(monkeypatch):
    process = shell("sleep 100")

    def interrupt(timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        end_mirror(process, 20)
    assert process.poll() is not None


def test_a_tracker_that_hangs_keeps_no_answer_back_and_ends_with_the_caller(
    hanging, ledger, uri, storage, tmp_path
):
    begin(ledger, ME, [0.1])
    store_place(ledger, replace(ledger.place(), trackers=("mlflow", hanging)))
    process = start_mirror(Request(storage.url, follow=False), tmp_path / "m.log")
    ended = threading.Timer(100, process.kill)
    ended.start()
    answers = {}
    while not answers.get("mlflow", {}).get("n_sent"):
        answer = json.loads(process.stdout.readline())
        answers[answer["tracker"]] = answer
    assert answers["mlflow"]["left"] == []
    assert answers["hanging"]["error"] == "there was no time for it"
    process.stdin.close()
    assert process.wait(20) == 1
    ended.cancel()
    process.stdout.close()


def test_a_mirror_that_hangs_ends_by_itself_while_its_caller_waits(
    hanging, ledger, storage, tmp_path
):
    store_place(ledger, replace(ledger.place(), trackers=(hanging,)))
    process = start_mirror(Request(storage.url, follow=False, limit_s=0.1), tmp_path / "m.log")
    assert process.wait(60) == 1
    assert end_mirror(process, 1)["hanging"].left == ("all of it",)


def test_a_tracker_that_is_not_installed_here_is_said(ledger, uri, storage, tmp_path):
    begin(ledger, ME, [0.1])
    store_place(ledger, replace(ledger.place(), trackers=("elsewhere", "mlflow")))
    finished = bring_now(Request(storage.url), tmp_path / "m.log")
    assert finished["elsewhere"] == Finished(0, ("all of it",), tracker_problem("elsewhere"))
    assert (finished["mlflow"].n_sent, finished["mlflow"].left) == (1, ())


def test_a_storage_out_of_reach_is_a_failure(storage, monkeypatch, caplog):
    def away(_storage):
        raise RetryLaterError("the database is away")

    monkeypatch.setattr(program, "places", away)
    answers = []
    request = Request(storage.url, follow=False)
    code = program._follow_all(storage, request, threading.Event(), answers.append)
    assert (code, answers) == (1, [])
    assert "the database is away" in caplog.text
