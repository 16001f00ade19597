"""A trial of a tuner, stopped and gone on with, and what it reports."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import numpy as np
import pandas as pd
import pytest

import search.keras_tuner as kt
from search.errors import InputError
from search.keras_tuner.stored_call import restored, stored
from search.keras_tuner.training import train
from search.keras_tuner.trials import trial_of
from search.paths import home
from search.records import Epoch, Objective, State, TrialRecord
from tests.keras_tuner.programs import TRAIN, VALIDATION, Loop, Measures, build

PARAMS = {"n_layers": 1, "units_0": 16, "rate": 0.01}


class Trial:
    """A loop's trial that is stopped after so many steps."""

    seed, number = 3, 0

    def __init__(self, last: int = 99, before: "Trial | None" = None) -> None:
        self.params = PARAMS
        self.curve: list[Mapping[str, float]] = list(before.curve) if before else []
        self.state = before.state if before else None
        self._last = last
        self.folder = str(home() / "untitled_project" / "evidence")

    def steps(self, total: int) -> Iterator[int]:
        while len(self.curve) < min(total, self._last):
            yield len(self.curve) + 1

    def report(self, step: int, **metrics: float) -> None:
        assert step == len(self.curve) + 1
        self.curve.append(metrics)

    def save(self, state: Any) -> None:
        self.state = state

    def restore(self) -> Any:
        return self.state


def recipe(tuner: Any, *, goes_on: bool = True, **kwargs: Any) -> Mapping[str, Any]:
    facts = {"names": list(PARAMS), "goes_on": goes_on, "total": kwargs.get("epochs", 1)}
    call = {"args": stored("args", list(TRAIN)), "kwargs": stored("kwargs", kwargs)}
    return dict(pickle.loads(cloudpickle.dumps({**tuner.recipe, **call, **facts})))


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_a_trial_goes_on_where_it_was_stopped_with_its_callbacks(own_home: Path) -> None:
    callback = keras.callbacks.ReduceLROnPlateau("loss", patience=2, min_delta=5.0)
    tuner = kt.RandomSearch(build, "val_accuracy")
    arguments = {"epochs": 5, "validation_data": VALIDATION, "shuffle": False, "verbose": 0}
    task = recipe(tuner, callbacks=[callback], **arguments)
    whole, first = Trial(), Trial(last=2)
    train(task, whole)
    train(task, first)
    rest = Trial(before=first)
    train(task, rest)
    assert len(first.curve) == 2
    assert rest.curve == whole.curve
    assert {"val_loss", "accuracy", "learning_rate"} <= rest.curve[-1].keys()
    assert rest.curve[-1]["learning_rate"] < rest.curve[1]["learning_rate"] / 5

    objective = Objective("val_accuracy")
    curve = [Epoch(i, values, 0.1, 0.0) for i, values in enumerate(rest.curve, 1)]
    record = TrialRecord(0, State.COMPLETE, PARAMS, tuple(curve), objective=objective)
    theirs = trial_of(record, list(PARAMS), tuner.arguments.instead)
    model = tuner.load_model(theirs)
    assert model.evaluate(*VALIDATION, verbose=0)[1] == pytest.approx(theirs.score)
    assert theirs.best_step == record.best.step - 1


@pytest.mark.parametrize(
    ("hypermodel", "objective", "key"),
    [
        (Measures(), None, "val_logged_default_objective"),
        (Loop(), kt.Objective("my_loss", "min"), "val_logged_my_loss"),
        (build, ["val_loss", "val_accuracy"], "val_logged_multi_objective"),
    ],
)
def test_what_a_fit_of_its_own_returns_is_reported_at_once(
    own_home: Path, hypermodel: Any, objective: Any, key: str
) -> None:
    trial = Trial()
    tuner = kt.RandomSearch(hypermodel, objective)
    train(recipe(tuner, goes_on=False, validation_data=VALIDATION), trial)
    [metrics] = trial.curve
    assert metrics.keys() >= {key}


def test_data_sets_are_kept_as_they_were_read(own_home: Path) -> None:
    import tensorflow as tf

    examples = {"a": np.arange(6.0), "b": np.array(list("uvwxyz"))}
    batches = tf.data.Dataset.from_tensor_slices(examples).batch(4)
    kept = stored("x", (batches, pd.DataFrame({"c": [1, 2]})))
    assert stored("x", batches.shuffle(9)) == kept[0]
    assert stored("x", batches.take(1)) != kept[0]
    again, frame = restored(kept)
    [first, second] = list(again)
    assert first["a"].numpy().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert second["b"].numpy().tolist() == [b"y", b"z"]
    assert list(frame["c"]) == [1, 2]
    with pytest.raises(InputError, match=r"x: this data set never ends; leave out .repeat\(\)"):
        stored("x", batches.repeat())


def test_several_executions_are_one_step_of_their_mean(own_home: Path) -> None:
    trial = Trial()
    tuner = kt.RandomSearch(build, "val_loss", executions_per_trial=2)
    task = recipe(tuner, goes_on=False, validation_data=VALIDATION, epochs=2, verbose=0)
    train({**task, "total": 1}, trial)
    assert [metrics.keys() >= {"val_loss", "val_accuracy"} for metrics in trial.curve] == [True]
