"""What MLflow shows of studies, whatever happens on the way there."""

import os
import random
import shutil
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from search.paths import home_id
from search.records import Reported
from search.study.finalists import final_spec
from search.study.storage.ledger import Ledger
from search.study.storage.study_state import close
from search.study.storage.tracked import put_reported
from search.tracking.follow import Follower
from search.tracking.mlflow import store as mlflow_store
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.tracker import MlflowTracker
from search.tracking.process import Request, bring_now
from search.tracking.uri import default_artifact_root, default_uri
from tests.kept import replicate
from tests.study.helpers import begin, epoch, measured, spec, store_place
from tests.tracking.helpers import DEAD, ME, client, mirror, mirrored, runs, steps


def values(*numbers):
    return [n / 10 for n in numbers]


def end(ledger, *curves):
    """Complete a new trial for each of `curves`."""
    for curve in curves:
        ledger.complete(begin(ledger, ME, values(*curve)), max(values(*curve)), n_params=7)


def report(ledger, files=(), **said):
    """Store what a report would that was written here as `files`, or on the machine `host`."""
    host = said.pop("host", "")
    where = (host, "another") if host else (socket.gethostname(), home_id())
    paths = tuple(map(str, files))
    reported = Reported(said.pop("at", 2e9), *where, files=paths, **said)
    put_reported(ledger.storage, ledger.name, reported)
    store_place(ledger, replace(ledger.place(), due=False))


def test_a_study_arrives_with_its_trials(ledger, uri, storage):
    end(ledger, (1, 3, 2))
    claim = begin(ledger, ME, values(2))
    assert mirrored(storage).error is None
    sent = runs(uri)
    parent = sent.pop("mlp-digits")
    assert (parent.data.tags["gridless.kind"], parent.data.tags["model"]) == ("study", "mlp")
    assert (parent.data.params["n_trials"], parent.info.status) == ("2", "RUNNING")
    assert parent.data.metrics["best_val_accuracy"] == 0.3, "the collapsed row says something"
    first, second = sent["trial-0000"], sent["trial-0001"]
    assert [run.info.status for run in (first, second)] == ["FINISHED", "RUNNING"]
    assert {run.data.tags["mlflow.parentRunId"] for run in sent.values()} == {parent.info.run_id}
    assert first.data.params == {"optimizer": "adam", "lr": "0.01", "units": "16"}
    assert (
        first.data.metrics.items()
        >= {
            "best_val_accuracy": 0.3,
            "best_epoch": 2,
            "epochs": 3,
            "train_s": 6,
            "n_params": 7,
        }.items()
    )
    history = client(uri).get_metric_history(first.info.run_id, "val_accuracy")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (step, round(epoch(step, 0).at * 1000), value)
        for step, value in enumerate(values(1, 3, 2), start=1)
    ]
    began, ended = (getattr(ledger.trials()[0], name) for name in ("started", "ended"))
    assert first.info.start_time == round(began.timestamp() * 1000)
    assert first.info.end_time == round(ended.timestamp() * 1000)

    ledger.fail(claim, "no luck", untrainable=True)
    assert mirrored(storage).n_sent == 1
    failed = runs(uri)["trial-0001"]
    assert (failed.info.status, failed.data.tags["state"]) == ("FAILED", "FAIL")
    assert failed.data.tags["reason"] == "no luck"
    assert "best_val_accuracy" not in failed.data.metrics, "it must not lead a sorted table"


def test_whoever_brings_it_and_however_often_each_point_is_there_once(ledger, uri, storage):
    claim = begin(ledger, ME, values(1, 2))
    lasting = mirror(storage)
    for step in range(3, 8):
        lasting.turn()
        lasting.release()
        ledger.report(claim, [epoch(step, 0.1 * step)])
        assert mirrored(storage, owner=DEAD).n_sent == 1
    ledger.complete(claim, 0.7)
    for turn in (lasting.turn, lambda: mirrored(storage, thorough=True), lasting.turn):
        turn()
    sent = runs(uri)
    assert set(sent) == {"mlp-digits", "trial-0000"}
    for key in ("val_accuracy", "loss", "seconds"):
        assert steps(uri, sent["trial-0000"], key) == list(range(1, 8))
    before = {name: run.to_dictionary() for name, run in sent.items()}
    assert mirrored(storage).n_sent == 0
    assert {name: run.to_dictionary() for name, run in runs(uri).items()} == before


def test_a_trial_that_is_trained_anew_keeps_what_was_brought_of_a_step(ledger, uri, storage):
    claim = begin(ledger, ME, values(1, 2))
    mirrored(storage)
    ledger.forget_epochs(claim)
    ledger.report(claim, [epoch(step, 0.5) for step in (1, 2, 3)])
    ledger.complete(claim, 0.5)
    mirrored(storage)
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2, 3]


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg", "sqlite", "nonsense"])
def test_a_store_out_of_reach_loses_nothing(ledger, storage, tmp_path, monkeypatch, uri, scheme):
    (tmp_path / "file").touch()
    on_disk = "/" + str(tmp_path / "file" / "x.db")
    address = on_disk if scheme == "sqlite" else f"127.0.0.1:{closed_port()}/x"
    end(ledger, (1, 2))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://{address}")
    away = mirrored(storage)
    assert (away.n_sent, away.left) == (0, ("1 trial of mlp-digits",))
    assert away.error
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert mirrored(storage).left == ()
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2]


class Flapping:
    """A client that fails every other request or so, before or after the store has done what was
    asked.
    """

    def __init__(self, inner, chance):
        self._inner, self._chance = inner, chance

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        def call(*args, **kwargs):
            if self._chance.random() < 0.2:
                raise ConnectionError("connection refused")
            answer = method(*args, **kwargs)
            if self._chance.random() < 0.1:
                raise ConnectionResetError("the answer was lost")
            return answer

        return call


@pytest.mark.parametrize("seed", range(2))
def test_a_store_that_fails_between_requests_gets_everything_once(
    ledger, uri, storage, monkeypatch, seed
):
    chance, n_failed = random.Random(seed), 0
    claims = [begin(ledger, ME, values(1, 2)) for _ in range(2)]
    for life in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(mlflow_store, "open_client", lambda u: Flapping(open_client(u), chance))
            lasting = Follower(lambda: mirror(storage), "mlflow")
            for _ in range(500):
                if lasting.finish(None, 60).error is None:
                    break
                n_failed += 1
        if life == 0:
            for claim in claims:
                ledger.report(claim, [epoch(3, 0.3)])
                ledger.complete(claim, 0.3)
            close(ledger)
            report(ledger)
    assert n_failed > 5
    assert mirrored(storage).left == ()
    sent = runs(uri)
    parent = sent.pop("mlp-digits")
    assert (parent.info.status, len(sent)) == ("FINISHED", 2)
    for run in sent.values():
        assert [steps(uri, run, key) for key in ("val_accuracy", "loss")] == [[1, 2, 3]] * 2
        assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "COMPLETE")
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_store_that_was_emptied_or_replaced_gets_everything(
    ledger, storage, make_store, monkeypatch, tmp_path
):
    end(ledger, (1, 2), (2, 3))
    close(ledger)
    report(ledger)
    request = Request(storage.url, ("mlp-digits",), is_thorough=True)
    for name in ("a", "a", "b"):
        uri = make_store(name)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        brought = bring_now(request, tmp_path / "m.log")
        assert brought is not None
        assert (brought["mlflow"].n_sent, brought["mlflow"].left) == (2, ())
        assert steps(uri, runs(uri)["trial-0001"]) == [1, 2]
        assert runs(uri)["mlp-digits"].info.status == "FINISHED"


def test_what_the_user_deleted_in_mlflow_is_not_brought_back(ledger, uri, storage):
    claims = [begin(ledger, ME, values(1)) for _ in range(2)]
    other = Ledger.open(storage, spec(name="other", finalists=0), {})
    mirrored(storage)
    mlflow = client(uri)
    mlflow.delete_run(runs(uri)["trial-0000"].info.run_id)
    for claim in claims:
        ledger.report(claim, [epoch(2, 0.2)])
    assert mirrored(storage).left == ()
    assert set(runs(uri)) == {"mlp-digits", "trial-0001"}
    assert steps(uri, runs(uri)["trial-0001"]) == [1, 2]
    mlflow.delete_experiment(mlflow.get_experiment_by_name("mlp-digits").experiment_id)
    ledger.complete(claims[1], 0.2)
    end(other, (1,))
    refused = mirrored(storage)
    assert refused.left == ("1 trial of mlp-digits",), "the other study arrived"
    assert "mlflow experiments restore" in (refused.error or "")
    assert steps(uri, runs(uri, "other")["trial-0000"]) == [1]


def test_two_studies_of_one_name_are_not_mixed(ledger, uri, storage):
    end(ledger, (1,))
    mirrored(storage)
    storage.delete_study(ledger.study_id)
    end(Ledger.open(storage, ledger.spec, {}), (1,))
    mirrored(storage)
    mlflow = client(uri)
    sent = mlflow.search_runs([mlflow.get_experiment_by_name("mlp-digits").experiment_id])
    assert Counter(run.info.run_name for run in sent) == {"mlp-digits": 2, "trial-0000": 2}
    assert len({run.data.tags.get("mlflow.parentRunId") for run in sent}) == 3


class InStep:
    """A client that creates a run only when the other process is about to create one, too."""

    def __init__(self, inner, gate):
        self._inner, self._gate = inner, gate
        self._wait_s = 30.0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def create_run(self, *args, **kwargs):
        with suppress(threading.BrokenBarrierError):
            self._gate.wait(self._wait_s)
        self._wait_s = 0.1  # of the study's run they are sure to be; a busy machine may part them
        return self._inner.create_run(*args, **kwargs)


def test_a_process_that_was_stopped_and_wakes_leaves_no_second_run(
    ledger, uri, storage, monkeypatch
):
    end(ledger, (1, 2), (2, 3))
    gate = threading.Barrier(2)
    monkeypatch.setattr(mlflow_store, "open_client", lambda u: InStep(open_client(u), gate))
    mirrors = [mirror(storage, owner) for owner in (DEAD, ME)]
    for each in mirrors:
        # Both believe that it is their turn.
        monkeypatch.setattr(each, "_holder", lambda: None)
        monkeypatch.setattr(each._claim, "is_ours", lambda _session: True)

    def turn(each):
        # Of two that write the same tag at once SQLite refuses one: a mirror tries again.
        for _ in range(3):
            with suppress(MlflowException):
                each.turn()
                return

    threads = [threading.Thread(target=turn, args=(each,)) for each in mirrors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    mlflow = client(uri)
    experiment = mlflow.get_experiment_by_name("mlp-digits").experiment_id
    assert mlflow.search_runs([experiment], run_view_type=2), "they were not in step"
    sent = runs(uri)
    assert set(sent) == {"mlp-digits", "trial-0000", "trial-0001"}
    for name in ("trial-0000", "trial-0001"):
        assert sent[name].data.tags["mlflow.parentRunId"] == sent["mlp-digits"].info.run_id
        assert sorted(steps(uri, sent[name])) == [1, 2]


def test_what_mlflow_refuses_holds_nothing_else_up(ledger, uri, storage, caplog):
    claim = begin(ledger, ME, values(1))
    many = {f"m{n}": 1.0 for n in range(500)}
    odd = {"../up": 1.0, "né(w)": 0.5}
    ledger.report(claim, [measured(epoch(2, 0.2), **odd), measured(epoch(3, 0.3), **many)])
    ledger.report(claim, [measured(epoch(4, 0.4), **many)])
    ledger.fail(claim, "y" * 9000)
    end(ledger, (1,))
    assert mirrored(storage).left == ()
    sent = runs(uri)
    assert (sent["trial-0000"].info.status, sent["trial-0000"].data.tags["state"]) == (
        "FAILED",
        "FAIL",
    )
    assert steps(uri, sent["trial-0000"]) == [1, 2, 3, 4]
    assert [steps(uri, sent["trial-0000"], f"m{n}") for n in (0, 499)] == [[3, 4]] * 2
    assert sent["trial-0001"].info.status == "FINISHED"
    assert "MLflow refuses metrics" in caplog.text


def test_the_files_of_a_report_go_with_it_and_those_of_other_machines_are_named(
    ledger, uri, storage, tmp_path
):
    end(ledger, (1,))
    close(ledger)
    (tmp_path / "report.html").write_text("<p>best</p>")
    report(ledger, [tmp_path / "report.html", tmp_path / "never-written.html"])
    assert mirrored(storage).left == ()
    parent = runs(uri)["mlp-digits"]
    assert [file.path for file in client(uri).list_artifacts(parent.info.run_id)] == ["report.html"]
    report(ledger, ["/there/report.html"], host="far", at=3e9)
    brought = mirrored(storage)
    assert brought.left == ("the report of mlp-digits, whose files are on far",)


def test_a_report_that_mlflow_can_not_keep_is_missing(ledger, uri, storage, tmp_path, monkeypatch):
    end(ledger, (1,))
    close(ledger)
    (tmp_path / "report.html").write_text("<p>best</p>")
    report(ledger, [tmp_path / "report.html"])
    folder = default_artifact_root(Path(os.environ["GRIDLESS_HOME"]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("no folder")
    refused = mirrored(storage)
    assert any("the report of mlp-digits" in phrase for phrase in refused.left)
    assert "can't be kept in MLflow" in (refused.error or "")
    folder.unlink()
    assert mirrored(storage).left == ()


def test_artifacts_follow_a_home_that_moved(
    ledger, storage, own_home, tmp_path, template, monkeypatch
):
    end(ledger, (1,))
    close(ledger)
    for n, name in enumerate(("runs", "elsewhere")):
        moved = tmp_path / name
        if n:
            own_home.rename(moved)
            monkeypatch.setenv("GRIDLESS_HOME", str(moved))
        else:
            moved.mkdir(exist_ok=True)
            shutil.copyfile(template, moved / "mlflow.db")
        file = moved / f"report-{n}.html"
        file.write_text("<p>best</p>")
        report(ledger, [file], at=2e9 + n)
        # A process of its own: MLflow's client remembers where a run's artifacts are.
        brought = bring_now(Request(storage.url), tmp_path / "m.log")
        assert brought is not None
        assert brought["mlflow"].left == ()
    uri = f"sqlite:///{moved / 'mlflow.db'}"
    parent = runs(uri)["mlp-digits"]
    kept = client(uri).list_artifacts(parent.info.run_id)
    assert {file.path for file in kept} == {"report-0.html", "report-1.html"}
    assert not own_home.exists(), "nothing is written where the home was"
    assert steps(uri, runs(uri)["trial-0000"]) == [1]


def test_ranks_finalists_and_test_scores_reach_the_runs(uri, storage, own_home):
    ledger = Ledger.open(
        storage, spec(name="mine", n_trials=2, finalists=1, n_replicates=2), {"device": "CPU"}
    )
    end(ledger, (5, 7), (6, 9))
    mirrored(storage)
    final = Ledger.open(storage, final_spec(ledger.spec, ledger.trials()), {})
    replicate(final, own_home)
    for each in (ledger, final):
        close(each)
    report(
        ledger,
        tags={
            "0": {"finalist": "no"},
            "1": {"champion": "yes"},
            "": {"note": "The search chose trial 1."},
        },
        values={"1": {"test_accuracy_mean": 0.75}, "": {"test_accuracy_mean": 0.75}},
    )
    assert mirrored(storage).left == ()
    sent = runs(uri, "mine")
    trials = [sent[f"trial-000{n}"] for n in range(2)]
    assert [run.data.tags["rank"] for run in trials] == ["2", "1"]
    assert [run.data.tags["finalist"] for run in trials] == ["no", "yes"]
    assert trials[1].data.tags["champion"] == "yes"
    parent = sent["mine"]
    assert parent.data.tags["mlflow.note.content"] == "The search chose trial 1."
    assert (parent.data.tags["best_trial"], parent.info.status) == ("1", "FINISHED")
    assert [run.data.metrics["test_accuracy_mean"] for run in (parent, trials[1])] == [0.75] * 2
    below = {
        name: run for name, run in sent.items() if run.data.tags["gridless.kind"] == "replicate"
    }
    sources = {name: run.data.tags["source_trial"] for name, run in below.items()}
    assert sources == {f"trial {n}, seed {k}": f"{n}" for n in (0, 1) for k in (1, 2)}
    for run in below.values():
        source = sent[f"trial-000{run.data.tags['source_trial']}"]
        assert run.data.tags["mlflow.parentRunId"] == source.info.run_id
        assert run.info.status == "FINISHED"
        number = int(run.data.tags["gridless.replicate"])
        assert steps(uri, run, "final_test_accuracy") == [final.trials()[number].total_epochs]
    scores = {run.data.metrics["test_accuracy"] for run in below.values()}
    assert scores == {1 - 2 / 6, 1 - 1 / 6}
    used = {(i.dataset.name, i.tags[0].value) for i in trials[0].inputs.dataset_inputs}
    assert used == {("digits.training", "training"), ("digits.validation", "validation")}
    used = {
        (i.dataset.name, i.tags[0].value) for i in below["trial 1, seed 1"].inputs.dataset_inputs
    }
    assert used == {("digits.training+validation", "training"), ("digits.test", "test")}


def test_replicates_without_a_search_are_a_study_of_their_own(uri, storage, own_home):
    search = Ledger.open(storage, spec(name="mine", finalists=1, n_replicates=1), {})
    end(search, (5, 7))
    final = Ledger.open(storage, final_spec(search.spec, search.trials()), {})
    storage.delete_study(search.study_id)
    replicate(final, own_home)
    close(final)
    store_place(final, replace(final.place(), due=False))
    assert mirrored(storage).left == ()
    sent = runs(uri, "mine")
    parent = sent.pop("mine.final")
    assert (parent.info.status, parent.data.tags["gridless.kind"]) == ("FINISHED", "study")
    assert {run.data.tags["mlflow.parentRunId"] for run in sent.values()} == {parent.info.run_id}
    assert all("test_accuracy" in run.data.metrics for run in sent.values())


def test_the_store_is_the_users_or_a_file_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_uri(Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert default_artifact_root(Path("runs")) == tmp_path / "runs" / "mlflow-artifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert default_uri(Path("runs")) == "http://mlflow:5000"


def test_nothing_is_opened_before_it_is_needed(uri, monkeypatch):
    monkeypatch.setattr(mlflow_store, "open_client", lambda _uri: pytest.fail("it was opened"))
    assert MlflowTracker(None).target == uri
