import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from search.files import locked
from search.tracking.follow import Follower
from search.tracking.mlflow.send import sync
from search.tracking.outbox import Outbox, write_header
from search.tracking.uri import default_artifact_root, default_uri
from tests.tracking.helpers import client, run_trial, runs, steps


def test_every_event_arrives(folder, uri, tmp_path):
    (tmp_path / "report.html").write_text("<p>best</p>")
    outbox = Outbox(folder, "w1")
    for trial, state in enumerate(["COMPLETE", "PRUNED", "FAIL", "WAITING", None]):
        run_trial(outbox, trial, [1, 2, 3], state)
    outbox.artifacts(None, [tmp_path / "report.html", tmp_path / "never-written.html"])
    result = sync(folder, uri=uri, artifact_root=tmp_path / "artifacts")
    assert (result.n_left, result.error) == (0, None)

    sent = runs(uri)
    parent = sent.pop("mlp-digits")
    assert (parent.data.tags["gridless.kind"], parent.data.tags["model"]) == ("study", "mlp")
    assert (parent.data.params, parent.info.status) == ({"n_trials": "2"}, "RUNNING")
    assert parent.info.start_time == 50_000
    (kept,) = (tmp_path / "artifacts").rglob("report.html")
    assert kept.read_text() == "<p>best</p>"

    assert [sent[f"trial-{n:04d}"].info.status for n in range(5)] == [
        "FINISHED",
        "KILLED",
        "FAILED",
        "RUNNING",
        "RUNNING",
    ]
    states = [sent[f"trial-{n:04d}"].data.tags["state"] for n in range(5)]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "WAITING", "RUNNING"]
    first = sent["trial-0000"]
    assert first.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (first.info.start_time, first.info.end_time) == (100_000, 150_000)
    assert first.data.params == {"lr": "0.1", "units": "32"}
    assert {first.data.tags[name] for name in ("device", "reason")} == {"cpu", "told so"}
    history = client(uri).get_metric_history(first.info.run_id, "val_accuracy")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (1, 101_000, 0.1),
        (2, 102_000, 0.2),
        (3, 103_000, 0.3),
    ]


def test_a_study_whose_trials_are_over_is_finished_until_it_grows(folder, uri):
    outbox = Outbox(folder, "w1")
    run_trial(outbox, 0, [1], "COMPLETE")
    sync(folder, uri=uri, artifact_root=None)
    assert runs(uri)["mlp-digits"].info.status == "FINISHED"
    run_trial(outbox, 1, [1], None)
    sync(folder, uri=uri, artifact_root=None)
    assert runs(uri)["mlp-digits"].info.status == "RUNNING"


def test_sending_all_again_changes_nothing(folder, uri):
    run_trial(Outbox(folder, "w1"), 0, [1, 2], "WAITING")
    run_trial(Outbox(folder, "w2"), 0, [3, 4], "COMPLETE", at=200.0)
    sync(folder, uri=uri, artifact_root=None)
    before = {name: run.to_dictionary() for name, run in runs(uri).items()}
    (folder / "positions.json").unlink()
    assert sync(folder, uri=uri, artifact_root=None).n_left == 0
    assert {name: run.to_dictionary() for name, run in runs(uri).items()} == before
    assert steps(uri, runs(uri)["trial-0000"], "loss") == [1, 2, 3, 4]


@pytest.mark.parametrize("is_sent_between", [True, False])
def test_a_resumed_trial_that_repeats_a_step_has_one_point_per_step(folder, uri, is_sent_between):
    run_trial(Outbox(folder, "killed"), 0, [1, 2, 3], None)
    if is_sent_between:
        sync(folder, uri=uri, artifact_root=None)
    run_trial(Outbox(folder, "next"), 0, [3, 4], "COMPLETE", at=200.0)
    sync(folder, uri=uri, artifact_root=None)
    run = runs(uri)["trial-0000"]
    assert [steps(uri, run, key) for key in ("val_accuracy", "loss")] == [[1, 2, 3, 4]] * 2
    assert run.info.status == "FINISHED"


def test_a_killed_writers_last_line_holds_nothing_up(folder, uri):
    run_trial(Outbox(folder, "killed"), 0, [1, 2], None)
    (file,) = folder.glob("*.jsonl")
    os.truncate(file, file.stat().st_size - 3)
    run_trial(Outbox(folder, "next"), 0, [2, 3], "COMPLETE", at=200.0)
    assert sync(folder, uri=uri, artifact_root=None).n_left == 0
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2, 3]


def test_a_late_file_of_an_earlier_worker_does_not_take_the_state_back(folder, uri):
    run_trial(Outbox(folder, "second"), 0, [3, 4], "COMPLETE", at=200.0)
    sync(folder, uri=uri, artifact_root=None)
    run_trial(Outbox(folder, "first"), 0, [1, 2], "WAITING", at=100.0)
    sync(folder, uri=uri, artifact_root=None)
    run = runs(uri)["trial-0000"]
    assert (run.info.status, run.data.tags["state"], run.info.end_time) == (
        "FINISHED",
        "COMPLETE",
        250_000,
    )
    assert sorted(steps(uri, run)) == [1, 2, 3, 4]


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg", "sqlite", "nonsense"])
def test_a_store_out_of_reach_loses_nothing(folder, uri, tmp_path, scheme):
    (tmp_path / "file").touch()
    address = (
        "/" + str(tmp_path / "file" / "x.db")
        if scheme == "sqlite"
        else f"127.0.0.1:{closed_port()}/x"
    )
    run_trial(Outbox(folder, "w1"), 0, [1, 2], "COMPLETE")
    result = sync(folder, uri=f"{scheme}://{address}", artifact_root=tmp_path)
    assert (result.n_sent, result.n_left) == (0, 5)
    assert result.error
    assert sync(folder, uri=uri, artifact_root=None).n_left == 0
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2]


def test_a_store_that_was_emptied_or_replaced_gets_everything(folder, make_store):
    run_trial(Outbox(folder, "w1"), 0, [1, 2], "COMPLETE")
    sync(folder, uri=make_store("a"), artifact_root=None)
    for uri in (make_store("a"), make_store("b")):
        assert sync(folder, uri=uri, artifact_root=None).n_sent == 5
        assert steps(uri, runs(uri)["trial-0000"]) == [1, 2]


def test_no_time_is_no_loss(folder, uri):
    run_trial(Outbox(folder, "w1"), 0, [1], "COMPLETE")
    assert sync(folder, uri=uri, artifact_root=None, limit_s=-1.0).n_left == 4
    assert sync(folder, uri=uri, artifact_root=None).n_sent == 4


def test_one_process_sends_at_a_time(folder, uri):
    run_trial(Outbox(folder, "w1"), 0, [1], "COMPLETE")
    with locked(folder / ".sync.lock", wait=True):
        result = sync(folder, uri=uri, artifact_root=None)
    assert (result.n_sent, result.n_left) == (0, 4)
    assert "another process" in (result.error or "")


def test_a_follower_sees_what_another_process_sent_between_its_rounds(folder, uri):
    outbox = Outbox(folder, "w1")
    run_trial(outbox, 0, [1], None)
    calls = 0

    def stop():
        nonlocal calls
        calls += 1
        if calls < 4:  # before the first round, and before and within its turn
            return False
        if calls == 4:
            run_trial(outbox, 0, [2, 3], None)
            run_trial(outbox, 1, [1, 2], None)
            assert sync(folder, uri=uri, artifact_root=None).n_left == 0
            run_trial(Outbox(folder, "w2"), 0, [3, 4], "COMPLETE", at=200.0)
            run_trial(Outbox(folder, "w2"), 1, [2, 3], "COMPLETE", at=200.0)
        return True

    Follower(lambda: [folder], uri=uri, artifact_root=None, every_s=0.01).run(stop)
    result = json.loads((folder / "last_sync.json").read_text())
    assert (result["n_left"], result["error"]) == (0, None)
    sent = runs(uri)
    assert steps(uri, sent["trial-0000"]) == [1, 2, 3, 4]
    assert steps(uri, sent["trial-0001"]) == [1, 2, 3]


def test_what_mlflow_refuses_holds_nothing_else_up(folder, uri, caplog):
    outbox = Outbox(folder, "w1")
    run_trial(outbox, 0, [1], None)
    sync(folder, uri=uri, artifact_root=None)
    outbox.params(0, {"lr": 0.2, "long": "x" * 9000, "né(w)": 1})
    outbox.metrics(0, 2, {"val_accuracy": 0.5, "../up": 1.0}, at=120.0)
    outbox.metrics(0, 3, {f"m{n}": 1.0 for n in range(500)}, at=121.0)
    outbox.metrics(0, 4, {f"m{n}": 1.0 for n in range(500)}, at=122.0)
    outbox.end(0, "COMPLETE", at=130.0, tags={"log tail (last)": "y" * 9000})
    run_trial(outbox, 1, [1], "COMPLETE")
    assert sync(folder, uri=uri, artifact_root=None).n_left == 0
    sent = runs(uri)
    assert sent["trial-0000"].info.status == "FINISHED"
    assert sent["trial-0000"].data.tags["state"] == "COMPLETE"
    assert sent["trial-0000"].data.params["lr"] == "0.1"
    assert "long" in sent["trial-0000"].data.params
    assert steps(uri, sent["trial-0000"]) == [1, 2]
    assert [steps(uri, sent["trial-0000"], f"m{n}") for n in (0, 499)] == [[3, 4]] * 2
    assert sent["trial-0001"].info.status == "FINISHED"
    assert "MLflow refuses metrics" in caplog.text


def test_a_study_of_the_same_name_made_anew_is_not_mixed_with_the_old(tmp_path, uri):
    for life in ("first", "second"):
        write_header(tmp_path / life, {"study": "s"})
        run_trial(Outbox(tmp_path / life, "w"), 0, [1], "COMPLETE")
        assert sync(tmp_path / life, uri=uri, artifact_root=None).error is None
    mlflow = client(uri)
    sent = mlflow.search_runs([mlflow.get_experiment_by_name("s").experiment_id])
    assert Counter(run.info.run_name for run in sent) == {"s": 2, "trial-0000": 2}
    assert len({run.data.tags.get("mlflow.parentRunId") for run in sent}) == 3


def test_what_the_user_deleted_in_mlflow_is_not_brought_back(folder, uri):
    outbox = Outbox(folder, "w1")
    run_trial(outbox, 0, [1], None)
    run_trial(outbox, 1, [1], None)
    sync(folder, uri=uri, artifact_root=None)
    mlflow = client(uri)
    mlflow.delete_run(runs(uri)["trial-0000"].info.run_id)
    run_trial(outbox, 0, [2], "COMPLETE")
    assert sync(folder, uri=uri, artifact_root=None).n_left == 0
    assert set(runs(uri)) == {"mlp-digits", "trial-0001"}
    mlflow.delete_experiment(mlflow.get_experiment_by_name("mlp-digits").experiment_id)
    run_trial(outbox, 1, [2], "COMPLETE")
    result = sync(folder, uri=uri, artifact_root=None)
    assert result.n_left == 5 - 1
    assert "mlflow experiments restore" in (result.error or "")


@pytest.mark.parametrize("text", [None, "{"])
def test_without_its_header_an_outbox_is_kept(tmp_path, uri, text):
    folder = tmp_path / "outbox"
    run_trial(Outbox(folder, "w1"), 0, [1], "COMPLETE")
    if text:
        (folder / "study.json").write_text(text)
    result = sync(folder, uri=uri, artifact_root=None)
    assert result.n_left == 4
    assert "study.json" in (result.error or "")


def test_the_follower_process_ends_with_its_parent_and_sends_the_rest(folder, uri):
    outbox = Outbox(folder, "w1")
    run_trial(outbox, 0, [1], None)
    command = [sys.executable, "-m", "search.tracking", str(folder), "--uri", uri, "--follow"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    run_trial(outbox, 0, [2], "COMPLETE", at=200.0)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, b"")
    last = json.loads((folder / "last_sync.json").read_text())
    assert (last["n_left"], last["error"]) == (0, None)
    assert runs(uri)["trial-0000"].info.status == "FINISHED"


def test_the_store_is_the_users_or_a_file_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_uri(Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert default_artifact_root(Path("runs")) == tmp_path / "runs" / "mlflow-artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert default_uri(Path("runs")) == "http://mlflow:5000"
