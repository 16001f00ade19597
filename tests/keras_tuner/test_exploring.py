"""What a program can vary, seen by running its trials up to where they train."""

from pathlib import Path
from typing import Any

import pytest

import search.keras_tuner as kt
from search.keras_tuner.exploring import Found, explored
from tests.keras_tuner.programs import TRAIN, VALIDATION, Loop, Measures, PassesOn, Square, build

GIVEN = {"validation_data": VALIDATION, "epochs": 2}


def found(hypermodel: Any, *, kind: type = kt.RandomSearch, **arguments: Any) -> Found:
    return explored(kind(hypermodel, "val_accuracy", **arguments), TRAIN, GIVEN)


@pytest.mark.parametrize(
    ("hypermodel", "names", "goes_on"),
    [
        (build, set(), True),
        (PassesOn(), {"batch_size"}, True),
        (Measures(), set(), False),
        (Loop(), {"start"}, False),
    ],
)
def test_what_build_and_fit_ask_for_is_found(
    own_home: Path, hypermodel: Any, names: set[str], goes_on: bool
) -> None:
    seen = found(hypermodel)
    whens = {each.name: dict(each.when) for each in seen.hypers}
    assert whens.keys() == {"n_layers", "units_0", "units_1", "rate"} | names
    assert whens["units_1"] == {"n_layers": (2,)}
    assert seen.goes_on is goes_on
    assert seen.space("m").document["rate"] == 1e-3
    assert not own_home.exists()


def test_trials_of_several_executions_are_run_whole() -> None:
    assert not found(build, executions_per_trial=2).goes_on


def test_a_run_of_its_own_is_run_once_with_the_defaults() -> None:
    seen = found(None, kind=Square)
    assert [(each.name, each.default) for each in seen.hypers] == [("x", -1.0)]


def test_hyperparameters_that_are_given_override_the_builder_s() -> None:
    own = kt.HyperParameters()
    own.Choice("rate", [0.1, 0.2])
    own.Fixed("n_layers", 2)
    ranges = {each.name: each.raw for each in found(build, hyperparameters=own).hypers}
    assert ranges["rate"] == {"type": "choice", "choices": [0.1, 0.2]}
    assert ranges["n_layers"] == {"type": "constant", "value": 2}
    assert ranges["units_1"]["high"] == 48

    only = found(build, hyperparameters=own, tune_new_entries=False)
    ranges = {each.name: each.raw for each in only.hypers}
    assert ranges["units_0"] == {"type": "constant", "value": 16}
    assert ranges["rate"]["type"] == "choice"
