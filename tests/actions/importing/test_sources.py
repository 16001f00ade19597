"""What other programs leave is read as it is, and never run."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.actions.importing.rows import PastTrial
from search.actions.importing.sources import cell, read_past
from search.errors import InputError
from search.space.from_kerastuner import space_of


def keras_tuner_trial(
    folder: Path, row: str, status: str = "COMPLETED", **metrics: list[float]
) -> None:
    """What KerasTuner 1.4 writes of a trial, with one observation for each value of a metric's
    list.
    """
    values = {"units": 32, "tuner/epochs": 2, "tuner/bracket": 1}
    seen = {
        name: {
            "direction": "max",
            "observations": [{"value": [v, v], "step": i} for i, v in enumerate(given)],
        }
        for name, given in metrics.items()
    }
    state = {
        "trial_id": row,
        "hyperparameters": {"space": [], "values": values},
        "metrics": {"metrics": seen},
    }
    (folder / f"trial_{row}").mkdir(parents=True)
    text = json.dumps(
        state
        | {
            "score": 0.5,
            "best_step": 0,
            "status": status,
            "message": "Traceback\nValueError: no",
        }
    )
    (folder / f"trial_{row}" / "trial.json").write_text(text)


def project(folder: Path) -> Path:
    space = [
        {"class_name": "Int", "config": {"name": n, "min_value": 8, "max_value": 64, "step": 1}}
        for n in NAMES
    ]
    folder.mkdir()
    (folder / "oracle.json").write_text(
        json.dumps({"hyperparameters": {"space": space, "values": {}}})
    )
    return folder


NAMES = ("units", "tuner/epochs")


def test_a_project_of_keras_tuner(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    keras_tuner_trial(folder, "0", val_accuracy=[0.5, 0.75], loss=[1.0])
    keras_tuner_trial(folder, "1", status="FAILED")
    keras_tuner_trial(folder, "2", val_loss=[1.0])
    (folder / "trial_3").mkdir()
    (folder / "trial_3" / "trial.json").write_text("{")
    past = read_past(str(folder), None)
    assert [e["config"]["name"] for e in past.hyperparameters] == ["units"]
    good, *bad = past.trials
    assert good == PastTrial("0", {"units": 32}, 0.75)
    assert [t.row for t in bad] == ["1", "2", "3"]
    assert all(
        part in str(t.problem)
        for t, part in zip(bad, ("ValueError: no", "val_loss", "read"), strict=True)
    )


CV = {"param_model__units": [16, 32], "mean_test_score": [0.8, None], "mean_fit_time": [2.5, 0.1]}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(CV),
        json.dumps({name: dict(enumerate(column)) for name, column in CV.items()}),
        json.dumps([dict(zip(CV, row, strict=True)) for row in zip(*CV.values(), strict=True)]),
        "param_model__units,mean_test_score,mean_fit_time\n16,0.8,2.5\n32,,0.1\n",
        "param_model__units,mean_test_f1,mean_test_accuracy,mean_fit_time\n16,0.3,0.8,2.5\n32,0.3,,0.1\n",
    ],
)
def test_the_results_of_a_grid_search(tmp_path: Path, content: str) -> None:
    file = tmp_path / ("results.json" if content[0] in "{[" else "results.csv")
    file.write_text(content)
    first, second = read_past(str(file), None).trials
    assert first == PastTrial("0", {"model__units": 16}, 0.8, seconds=2.5, shown_as="1")
    assert second.val_accuracy is None


def test_a_leaderboard_or_any_table_like_it(tmp_path: Path) -> None:
    file = tmp_path / "leaderboard.csv"
    file.write_text(
        "trial,state,val_accuracy,param.lr,param.optimizer\n4,COMPLETE,0.9,0.01,adam\n5,FAIL,,0.1,sgd\n"
    )
    good, bad = read_past(str(file), None).trials
    assert good == PastTrial("4", {"lr": 0.01, "optimizer": "adam"}, 0.9)
    assert bad.problem == "its state is FAIL"


def test_rows_that_are_cut_short_or_alike_are_rows_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "cut.csv").write_text("param_units,mean_test_score\n8,0.9\n16")
    whole, cut = read_past(str(tmp_path / "cut.csv"), None).trials
    assert (whole.val_accuracy, cut.values, cut.val_accuracy) == (0.9, {"units": 16}, None)
    joined = "study,trial,val_accuracy,param.units\na,1,0.9,8\nb,1,0.8,8\n"
    (tmp_path / "joined.csv").write_text(joined)
    assert [t.row for t in read_past(str(tmp_path / "joined.csv"), None).trials] == ["a/1", "b/1"]
    folder = project(tmp_path / "project")
    keras_tuner_trial(folder, "0", val_accuracy=[0.5])
    file = folder / "trial_0" / "trial.json"
    file.write_text(file.read_text().replace('"observations": [{', '"observations": null, "x": [{'))
    assert "can't be read" in (read_past(str(folder), None).trials[0].problem or "")


@pytest.mark.parametrize(
    ("step", "default", "expected"),
    [
        (32, 100, 100),
        (32, 1000, 1000),
        (32, 1, 1),
        (32, 64, 64),
        (1, 100, 100),
        (1, 1000, 512),
        (1, 1, 32),
    ],
)
def test_a_default_is_kept_off_the_steps_and_taken_to_the_ends_of_a_range_of_many_values(
    step: int, default: int, expected: int
) -> None:
    config = {"name": "units", "min_value": 32, "max_value": 512, "step": step, "default": default}
    found = [{"class_name": "Int", "config": {**config, "sampling": "linear", "conditions": []}}]
    assert space_of("my:build", found, compiles=True).document["units"] == expected


def test_another_study_of_optunas(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    for name, direction in (("up", "maximize"), ("down", "minimize")):
        study = optuna.create_study(storage=url, study_name=name, direction=direction)
        trial = study.ask()
        trial.suggest_float("lr", 0.001, 1)
        for step, value in enumerate((0.4, 0.6)):
            trial.report(value, step)
        study.tell(trial, 0.6)
        study.ask()
        for reports in ((0.5, float("nan"), 0.3), ()):
            pruned = study.ask()
            for step, value in enumerate(reports):
                pruned.report(value, step)
            study.tell(pruned, state=optuna.trial.TrialState.PRUNED)
    for source, study_name in ((f"optuna:{url}#up", None), (str(tmp_path / "other.db"), "up")):
        past = read_past(source, study_name)
        done, running, pruned, never = past.trials
        assert (past.kind, done.row, done.val_accuracy, done.curve) == (
            "optuna",
            "0",
            0.6,
            (0.4, 0.6),
        )
        assert done.values.keys() == {"lr"}
        assert running.problem == "it is RUNNING, not COMPLETE or PRUNED"
        assert (pruned.val_accuracy, pruned.problem) == (0.5, None)
        assert "before it reported" in (never.problem or "")
    for study_name, part in ((None, "down, up"), ("gone", "no study 'gone'"), ("down", "minimize")):
        with pytest.raises(InputError, match=part):
            read_past(str(tmp_path / "other.db"), study_name)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("results.pkl", "x", "a pickle runs whatever code it holds"),
        ("results.csv", "a,b\n1,2\n", "has the columns a, b"),
        ("results.json", '{"a": 1}', "is no table"),
        ("results.json", "{", "can't be read"),
        ("other.db", "no database", "is it one"),
        ("gone.csv", None, "no such file"),
        ("gone.db", None, "no such file"),
        ("folder/inner/oracle.json", "{}", "give the project inside it: inner"),
    ],
)
def test_what_can_not_be_read_says_what_could(
    tmp_path: Path, name: str, content: str | None, part: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    with pytest.raises(InputError, match=part):
        read_past(str(tmp_path / name.partition("/")[0]), None)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 0.001), ("True", True), ("None", None), ("'=a", "=a"), ("relu", "relu")],
)
def test_cells_of_text_have_types(text: str, value: Any) -> None:
    assert cell(text) == value
    assert type(cell(text)) is type(value)
