"""Studies for several objectives within a bound, of tables, from the command to what it leaves."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from search.actions import plan_study
from search.training.probe import Corner, ProbeReport
from tests.cli.helpers import gridless, rows

BOUND = 3000


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A regression of 300 rows, of which the column `split` names those to test on."""
    frame = load_diabetes(as_frame=True).frame[:300]
    frame["split"] = np.where(np.arange(300) % 5 == 0, "test", "train")
    path = tmp_path / "diabetes.csv"
    frame.to_csv(path, index=False)
    return path


def test_a_table_is_searched_for_two_objectives_within_a_bound(
    own_home: Path, table: Path, command: Any
) -> None:
    done = gridless(
        "study",
        "dense",
        f"{table}#label=target",
        "--name",
        "sugar",
        "--objective",
        "mae",
        "--objective",
        "n_params",
        "--at-most",
        f"n_params={BOUND}",
        "--n-trials",
        "6",
        "--epochs",
        "2",
        "--finalists",
        "2",
        "--n-replicates",
        "2",
        "--workers",
        "2",
    )
    assert done.returncode == 0, done.stderr
    leaderboard = rows(own_home, "sugar")
    on_front = [row for row in leaderboard if row["on_front"] == "True"]
    assert on_front[0] is leaderboard[0]
    losses = [float(row["value"]) for row in on_front]
    sizes = [int(row["n_params"]) for row in on_front]
    assert losses == sorted(losses)
    assert sizes == sorted(sizes, reverse=True)
    for row in leaderboard:
        is_broken = int(row["n_params"]) > BOUND
        assert row["broken_bounds"] == ("n_params" if is_broken else "")
        assert (row["rank"] == "", row["epochs"] == "0") == (is_broken, is_broken)
    finalists = [row for row in leaderboard if row["n_replicates"] == "2"]
    assert {row["trial"] for row in finalists} <= {row["trial"] for row in on_front} | {"0"}
    assert all(float(row["test_value_mean.n_params"]) == int(row["n_params"]) for row in finalists)
    assert all(row["tied_with_best"] == "" for row in leaderboard)

    client = mlflow.MlflowClient(f"sqlite:///{own_home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sugar")
    runs = client.search_runs([experiment.experiment_id], "tags.on_front = 'yes'")
    assert {run.data.tags["gridless.trial"] for run in runs} == {row["trial"] for row in on_front}

    code, out, err = command("predict", "sugar", str(table))
    assert code == 0, err
    assert len(pd.read_csv(table)) == len(out.splitlines()) - 1


def test_objectives_are_tried_on_the_targets_by_which_networks_will_be_measured(
    own_home: Path, table: Path, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the test set only where there are finalists."""
    sizes = []

    def probe(*_: Any, parts: Any, class_names: Any, **__: Any) -> ProbeReport:
        assert list(class_names) == ["target"]
        sizes.append({part: np.load(file).shape for part, file in parts.items()})
        return ProbeReport((Corner({}, 1, None),), {}, ())

    monkeypatch.setattr(plan_study, "probe", probe)
    for n_finalists in ("0", "1"):
        code, _, err = command(
            "study", "dense", f"{table}#label=target", "--dry-run", "--finalists", n_finalists
        )
        assert code == 0, err
    assert sizes == [{"validation": (40, 1)}, {"validation": (40, 1), "test": (60, 1)}]
