"""A program for KerasTuner, searched from its first line to its last."""

from pathlib import Path
from typing import Any

import keras
import pytest

import search.keras_tuner as kt
from search.errors import InputError
from search.keras_tuner import searched
from tests.keras_tuner.programs import TRAIN, VALIDATION, Measures, PassesOn, Square, build


def tuner(folder: Path, **changes: Any) -> Any:
    arguments = {"max_trials": 2, "directory": str(folder), "project_name": "moved"}
    ours = {"workers": 1, "tracker": "none"}
    return kt.RandomSearch(build, "val_accuracy", **{**arguments, **ours, **changes})


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_program_runs_to_its_best_model_and_goes_on(
    own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my_dir"
    first = tuner(folder)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5)
    given = {"epochs": 2, "validation_data": VALIDATION, "callbacks": [stop]}
    first.search(*TRAIN, **given)
    capsys.readouterr()
    first.results_summary(1)
    [best] = first.oracle.get_best_trials(1)
    told = capsys.readouterr().out
    assert f"Trial {best.trial_id} summary" in told
    assert f"Score: {best.score}" in told
    [setting] = first.get_best_hyperparameters(1)
    assert setting.get("units_0") == setting.values["units_0"]
    [model] = first.get_best_models(1)
    assert model.evaluate(*VALIDATION, verbose=0)[1] == pytest.approx(best.score)
    assert first.hypermodel.build(setting).optimizer.learning_rate == setting.get("rate")
    assert list(first.study.leaderboard["epochs"]) == [2, 2]

    again = tuner(folder, max_trials=3)
    assert again.oracle.get_best_trials(1)[0].score == best.score
    again.search(*TRAIN, **given)
    assert [len(again.study.trials), len(again.oracle.trials)] == [3, 3]

    with pytest.raises(InputError, match=r"(?s)can't go on with other code .*'shuffle': False\}"):
        tuner(folder).search(*TRAIN, **given, shuffle=False)
    anew = tuner(folder, overwrite=True, max_trials=1)
    assert not anew.oracle.trials
    anew.search(*TRAIN, **given)
    assert len(anew.study.trials) == 1


def test_hyperband_tries_as_many_settings_as_there_and_pauses_them(own_home: Path) -> None:
    arguments = {"max_epochs": 4, "project_name": "hyper", "tracker": "none"}
    given = {"validation_data": VALIDATION, "verbose": 0}
    band = kt.Hyperband(PassesOn(), "val_loss", **arguments)
    band.search(*TRAIN, **given)
    epochs = list(band.study.trials["epochs"])
    assert len(epochs) == 8
    assert {1, 4} <= set(epochs)
    with pytest.raises(InputError) as caught:
        kt.Hyperband(build, "val_loss", executions_per_trial=2, **arguments).search(
            *TRAIN, **given, initial_epoch=1
        )
    problems = "\n".join(caught.value.problems)
    assert "Hyperband pauses trials, and these could not go on" in problems
    assert "initial_epoch: where a trial goes on is known here; leave it out" in problems


@pytest.mark.parametrize(("hypermodel", "strategy"), [(PassesOn(), "default"), (Measures(), "tpe")])
def test_trials_that_cannot_go_on_are_not_paused(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, hypermodel: Any, strategy: str
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(searched, "optimize", lambda **given: asked.update(given))
    tuner = kt.BayesianOptimization(hypermodel, "val_loss", max_trials=4)
    tuner.search(*TRAIN, validation_data=VALIDATION, epochs=9)
    assert [asked["strategy"], asked["epochs"], asked["n_trials"]] == [strategy, 9, 4]


def test_any_function_of_hyperparameters_is_searched(own_home: Path) -> None:
    square = Square(max_trials=3, project_name="anything", workers=1, tracker="none")
    square.search()
    scores = [trial.score for trial in square.oracle.get_best_trials(3)]
    assert scores == sorted(scores)
    assert square.get_best_hyperparameters()[0].get("x") ** 2 == pytest.approx(scores[0])
