"""What training parameters may be, told for every space with its line."""

from pathlib import Path
from typing import Any

import pytest

from search.errors import InputError
from search.space.load import load_space
from search.space.training_params import EVERYWHERE, problems_of

GOOD: dict[str, list[Any]] = {
    "batch_size": [1, 4096],
    "epochs": [1],
    "remainder": ["keep", "drop"],
    "optimizer": ["sgd", "adam", "adamw", "rmsprop", "adadelta", "nadam"],
    "lr": [1e-9, 1, 2.5],
    "momentum": [0, 0.99],
    "nesterov": [True, False],
    "weight_decay": [0, 0.1, 2],
    "schedule": ["constant", "step", "time_decay", "cosine", "plateau"],
    "step_epochs": [1, 10, "11,20", "1, 2 ,30", "7"],
    "step_factor": [1e-3, 0.999],
    "decay": [0, 1e-4, 3],
    "plateau_factor": [0.5],
    "plateau_patience": [1, 5],
    "plateau_cooldown": [0, 2],
    "plateau_metric": ["val_loss", "val_accuracy"],
    "lr_min": [0, 1e-5],
    "early_stopping": [0, 7],
    "label_smoothing": [0, 0.99],
    "class_weight": ["none", "balanced"],
    "max_norm": [0.1, 3, None],
    "rotate": [0, 180],
    "shift": [0, 1],
    "zoom": [0, 0.2, 1.0],
    "flip": [True, False],
    "scaling": ["unit", "standardise", "standard"],
    "weights": ["none", "imagenet"],
    "dropout": [0, 0.99],
}
BAD: dict[str, list[Any]] = {
    "batch_size": [0, -1, 32.0, 1.5, True, "32", None],
    "epochs": [0, 2.0],
    "remainder": ["kept", True],
    "optimizer": ["adm", "SGD", None, 1],
    "lr": [0, -1, float("nan"), float("inf"), "0.1", True, None],
    "momentum": [1, 1.5, -0.1],
    "nesterov": [0, 1, "true", None],
    "weight_decay": [-1e-9],
    "schedule": ["linear", False],
    "step_epochs": [
        0,
        -3,
        1.5,
        True,
        None,
        "",
        "20,11",
        "11,11",
        "0,3",
        "11;20",
        "11,",
        "a",
        "1.5",
        "-1",
        "²",
    ],
    "step_factor": [0, 1],
    "decay": [-1],
    "plateau_factor": [0, 1, 2],
    "plateau_patience": [0, 1.0],
    "plateau_cooldown": [-1],
    "plateau_metric": ["loss"],
    "lr_min": [-1],
    "early_stopping": [-1, 2.5, False],
    "label_smoothing": [1, -0.1],
    "class_weight": ["even", True],
    "max_norm": [0, -3],
    "rotate": [-1, 181],
    "shift": [1.1],
    "zoom": [-0.1, 1.5],
    "flip": ["horizontal"],
    "scaling": ["standardize", 255],
    "weights": ["Imagenet", None],
    "dropout": [1, -0.1],
}

SPACE = """\
model: m
document: {}
params:
  lr: {type: float, low: 0, high: 1}
  momentum: {type: float, low: 0, high: 1.5}
  optimizer:
    type: choice
    choices:
      - sgd
      - adm
  batch_size: {type: float, low: 1, high: 64}
  nesterov: {type: int, low: 0, high: 1}
  step_epochs: {type: constant, value: "20,11"}
  plateau_patience: {type: choice, choices: [0, 2.0, 5, .nan]}
  early_stopping: {type: int, low: -1, high: "3"}
  schedule: {type: choice, choices: [cosin, 3, 3]}
  rate: {type: float, low: -5, high: 5}
"""
MISTAKES = """\
4: params.lr.low: must be above 0, not 0; give a number above 0
5: params.momentum.high: must be below 1, not 1.5; give a number from 0 and below 1
10: params.optimizer.choices.2: 'adm' is not known; did you mean 'adam'?
11: params.batch_size.type: must be int, choice or constant, not float; batch_size is a whole number from 1
12: params.nesterov.type: must be choice or constant, not int; nesterov is true or false
13: params.step_epochs.value: must be a whole number from 1 (every so many epochs) or a text such as "11,20" \
(at those epochs), not "20,11"; let the epochs increase, from 1 on
14: params.plateau_patience.choices.1: must be at least 1, not 0; give a whole number from 1
14: params.plateau_patience.choices.2: must be a whole number without a point, not 2.0; give a whole number from 1
14: params.plateau_patience.choices.4: must be a finite number, not NaN
15: params.early_stopping.high: must be a whole number without a point, not "3"
15: params.early_stopping.low: must be at least 0, not -1; give a whole number from 0
16: params.schedule.choices.1: 'cosin' is not known; did you mean 'cosine'?
16: params.schedule.choices.2: 3 is not known; known: constant, cosine, plateau, step, time_decay
16: params.schedule.choices.3: 3 is not known; known: constant, cosine, plateau, step, time_decay
16: params.schedule.choices.3: the choice 3 is listed twice; remove one
"""


def test_every_parameter_takes_what_it_can_and_nothing_else() -> None:
    assert GOOD.keys() == BAD.keys() == EVERYWHERE.keys()
    assert [(n, v) for n, values in GOOD.items() for v in values if problems_of(n, v)] == []
    assert [(n, v) for n, values in BAD.items() for v in values if not problems_of(n, v)] == []


def test_names_that_training_does_not_read_are_left_alone() -> None:
    assert (
        problems_of("units", -3)
        == problems_of("units", {"type": "float", "low": 9, "high": 1})
        == []
    )


def test_what_is_no_parameter_at_all_is_left_to_the_linter() -> None:
    for raw in (
        {},
        {"type": "flaot"},
        {"type": ["int"]},
        {"type": "int"},
        {"type": "choice", "choices": 3},
    ):
        assert problems_of("batch_size", raw) == []


def test_every_mistake_of_a_file_is_listed_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(SPACE)
    with pytest.raises(InputError) as error:
        load_space(path)
    mistakes = [p for p in error.value.problems if ": document: " not in p]
    assert mistakes == [f"{path}:{line}" for line in MISTAKES.splitlines()]
