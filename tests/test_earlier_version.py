"""What an earlier version stored is read, reported, gone on with and sent to MLflow."""

import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import search
from search.paths import storage_url
from search.report.study_report import report_study
from search.study.storage.optuna_storage import LedgerStorage
from search.tracking.process import Request, bring_now
from tests.cli.helpers import gridless, rows
from tests.cli.test_study import finished, mlflow_runs

Command = Callable[..., tuple[int, str, str]]
STORED = Path(__file__).parent / "stored" / "version-0.1.0.tar.xz"
MADE_IN = "file:///tmp/fx/home"
"""Where the stored home lay: MLflow keeps absolute paths."""
LATER = Path(__file__).parent / "stored" / "before-projection.tar.xz"
STATES = {
    "finished": ["COMPLETE", "PRUNED", "COMPLETE"],
    "finalists": ["COMPLETE", "PRUNED", "COMPLETE"],
    "paused": ["COMPLETE", "WAITING", "WAITING", "WAITING", "WAITING"],
    "cancelled": ["COMPLETE", "PRUNED", "PRUNED", "PRUNED", "PRUNED", "PRUNED"],
    "unsent": ["COMPLETE", "COMPLETE"],
}


@pytest.fixture
def home(own_home: Path) -> Path:
    """The home as it was stored, moved here."""
    with tarfile.open(STORED) as tar:
        tar.extractall(own_home.parent, filter="data")
    shutil.move(own_home.parent / "home", own_home)
    with sqlite3.connect(own_home / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            # The names are those of this loop.
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (MADE_IN, own_home.as_uri()),
            )
    return own_home


def curves(name: str) -> pd.DataFrame:
    """Every epoch of a study, in order."""
    return search.load_study(name).curves.sort_values(["trial", "step"], ignore_index=True)


def test_every_study_and_the_archive_are_read(home: Path, command: Command) -> None:
    assert set(search.list_studies()) == set(STATES)
    for name, states in STATES.items():
        assert search.load_study(name).trials["state"].tolist() == states
    listed = {
        row["study"]: row["state"] for row in json.loads(command("status", "--json")[1])["studies"]
    }
    assert {name: listed[name].split(" ")[0] for name in STATES} == {
        "finished": "done",
        "finalists": "done",
        "paused": "paused",
        "cancelled": "cancelled",
        "unsent": "done",
    }
    archived = search.load_study(str(home.parent / "finalists.tar.gz"))
    kept = search.load_study("finalists")
    pd.testing.assert_frame_equal(archived.leaderboard, kept.leaderboard)
    pd.testing.assert_frame_equal(archived.finalists, kept.finalists)
    assert archived.finalists["n_replicates"].tolist() == [2, 2]


@pytest.mark.parametrize("name", STATES)
def test_every_leaderboard_is_written_as_it_was(home: Path, name: str) -> None:
    before = rows(home, name)
    report_study(LedgerStorage(f"sqlite:///{home / 'studies.db'}"), name, home / name)
    after = rows(home, name)
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        if old.get("n_replicates") == "2":  # that version made an interval of two
            old |= {"test_accuracy_ci_low": "", "test_accuracy_ci_high": ""}
        assert {column: new[column] for column in old} == old
    assert {file.name for file in (home / name).iterdir()} >= {
        "report.html",
        "classes.csv",
        "figures",
    }


def test_studies_go_on_from_where_they_were_and_nothing_reaches_mlflow_twice(
    home: Path, command: Command
) -> None:
    before = {name: curves(name) for name in STATES}
    submit = ("submit", "mlp", "digits", "--space", str(home.parent / "small.yaml"))
    # The first keeps its one finalist on two seeds.
    for arguments in (
        (*submit, "--name", "finalists", "--n-trials", "4"),
        (*submit, "--name", "paused", "--n-trials", "8", "--finalists", "0"),
        ("resume", "cancelled"),
    ):
        code, _, err = command(*arguments)
        assert code == 0, err
    done = gridless("worker", "--until-idle", "--workers", "1")
    assert done.returncode == 0, done.stderr

    for name, n_trials in {"finalists": 4, "paused": 8}.items():
        assert set(finished(home, name)) <= {"COMPLETE", "PRUNED"}
        assert len(finished(home, name)) == n_trials
    for name, curve in before.items():
        pd.testing.assert_frame_equal(curves(name).merge(curve[["trial", "step"]]), curve)
    assert len(curves("paused")) > len(before["paused"])
    assert set(finished(home, "finalists.final")) == {"COMPLETE"}
    assert len(finished(home, "finalists.final")) in {
        4,
        6,
    }  # another best trial is trained again, too

    for name in ("unsent", "paused"):
        code, _, err = command("sync", name)
        assert code == 0, err
        n_points = curves(name).groupby("trial").size()
        assert mlflow_runs(home, name) == {
            "study": 1,
            **{str(n): size for n, size in n_points.items()},
        }


@pytest.fixture
def later_home(own_home: Path) -> Path:
    """The home of a later version, whose workers told MLflow themselves."""
    with tarfile.open(LATER) as tar:
        tar.extractall(own_home.parent, filter="data")
    shutil.move(own_home.parent / "home", own_home)
    return own_home


def replicates(home: Path, experiment: str) -> list[tuple[str, int]]:
    """The state and points of each replicate in MLflow."""
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return [
        (
            run.data.tags["state"],
            len(client.get_metric_history(run.info.run_id, "final_test_accuracy")),
        )
        for run in client.search_runs([found.experiment_id])
        if "source_trial" in run.data.tags
    ]


def test_what_workers_had_told_mlflow_themselves_goes_on_without_doubles_or_gaps(
    later_home: Path,
) -> None:
    before = mlflow_runs(later_home, "finalists")
    assert replicates(later_home, "finalists.final") == [("COMPLETE", 1)] * 4
    space = ("--space", str(later_home.parent / "small.yaml"))
    more = ("--name", "paused", "--n-trials", "8", "--finalists", "0", "--workers", "1")
    done = gridless("study", "mlp", "digits", *space, *more)
    assert done.returncode == 0, done.stderr
    names = ("finalists", "unsent", "paused")
    request = Request(storage_url(), names, is_thorough=True)
    brought = bring_now(request, later_home / "logs" / "trackers.log")
    assert brought is not None
    assert (brought["mlflow"].left, brought["mlflow"].error) == ((), None)
    for name in names:
        n_points = curves(name).groupby("trial").size()
        assert mlflow_runs(later_home, name) == {
            "study": 1,
            **{str(n): size for n, size in n_points.items()},
        }
    assert mlflow_runs(later_home, "finalists") == before
    assert replicates(later_home, "finalists.final") == [("COMPLETE", 1)] * 4
    assert replicates(later_home, "finalists") == [], "they stay where they were"
    client = mlflow.MlflowClient(f"sqlite:///{later_home / 'mlflow.db'}")
    assert client.get_experiment_by_name("untracked") is None
