"""Past trials of other programs become a finished study; what does not fit is told, row by row."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from search.actions.importing.rows import Fitted, Past, PastTrial, Rejected, fit
from search.actions.importing.store import IMPORTED, imported_spec, new_spec, take_in
from search.errors import InputError
from search.space.space import Space
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState
from search.study.storage.read import find_study, read_study
from tests.study.helpers import spec as search_spec

Open = Callable[[], LedgerStorage]
SPACE = Space.from_dict(
    {
        "model": "mlp",
        "params": {
            "units": {"type": "int", "low": 8, "high": 64},
            "optimizer": {"type": "choice", "choices": ["sgd", "adam"]},
            "lr": {"type": "float", "low": 1e-4, "high": 1, "log": True},
            "momentum": {"type": "float", "low": 0, "high": 0.9, "when": {"optimizer": "sgd"}},
        },
        "document": {"units": 16, "optimizer": "sgd", "lr": 0.1, "momentum": 0},
    }
)
ADAM = {"units": 32, "optimizer": "adam", "lr": 0.01}
SGD = {**ADAM, "optimizer": "sgd", "momentum": 0}


def past(*trials: PastTrial, place: str = "/there") -> Past:
    return Past("csv", place, trials)


def fitted(values: dict[str, Any], accuracy: Any = 0.5, **options: Any) -> Fitted | Rejected:
    return fit(PastTrial("7", values, accuracy), SPACE, **{"assumed": (), "renamed": {}} | options)


@pytest.mark.parametrize(
    ("values", "options", "setting"),
    [
        (ADAM, {}, ADAM),
        (
            ADAM | {"momentum": 0.5},
            {},
            ADAM,
        ),  # a grid gives every combination a value of everything
        ({"units": 32.0, "optimizer": "sgd", "lr": 0.01}, {"assumed": ["momentum"]}, SGD),
        ({"model__units": 32, "optimizer": "adam", "optimizer__learning_rate": 0.01}, {}, ADAM),
        ({"width": 32, "optimizer": "adam", "lr": 0.01}, {"renamed": {"width": "units"}}, ADAM),
        (
            {"model__width": 32, "optimizer": "Adam", "lr": 0.01},
            {"renamed": {"width": "units"}},
            ADAM,
        ),
        (ADAM | {"optimizer": "<class 'keras.src.optimizers.adam.Adam'>"}, {}, ADAM),
        (ADAM | {"optimizer": "<class 'keras.optimizers.Adam'>"}, {}, ADAM),
        (
            ADAM | {"optimizer": "<keras.src.optimizers.adam.Adam object at 0x7f3c5c0b5e50>"},
            {},
            ADAM,
        ),
        (ADAM | {"optimizer": "<function adam at 0x7f3c5c0b5e50>"}, {}, ADAM),
        (ADAM | {"optimizer": {"class_name": "Adam", "config": {"name": "adam"}}}, {}, ADAM),
    ],
)
def test_values_become_a_setting(values: Any, options: Any, setting: Any) -> None:
    found = fitted(values, **options)
    assert isinstance(found, Fitted)
    assert found.setting == setting
    assert found.curve == (0.5,)


@pytest.mark.parametrize(
    ("values", "accuracy", "part"),
    [
        (ADAM | {"units": 65}, 0.5, "units: 65 is out of range"),
        (
            ADAM | {"optimizer": "<class 'keras.src.optimizers.ftrl.Ftrl'>"},
            0.5,
            "Ftrl'>\" is not a choice",
        ),
        (
            ADAM | {"optimizer": "<function build.<locals>.<lambda> at 0x7f>"},
            0.5,
            "is not a choice",
        ),
        (ADAM | {"optimizer": "adamx"}, 0.5, 'optimizer: "adamx" is not a choice'),
        (ADAM | {"depth": 3}, 0.5, "depth: is not a parameter"),
        (ADAM | {"optimizer": "sgd"}, 0.5, "momentum: is missing"),
        (ADAM, None, "not a number"),
        (ADAM, math.nan, "not a number"),
        (ADAM, -1.7, "no accuracy"),
    ],
)
def test_what_does_not_fit_says_why(values: Any, accuracy: Any, part: str) -> None:
    found = fitted(values, accuracy)
    assert isinstance(found, Rejected)
    assert part in found.reason


def test_past_trials_are_a_finished_study_that_tells_where_they_came_from(
    open_storage: Open,
) -> None:
    storage = open_storage()
    spec = new_spec("old", SPACE, data="digits", data_source="digits")
    rows = (
        PastTrial("a", ADAM, 0.8, curve=(0.5, 0.8), seconds=4.0),
        PastTrial("b", {**ADAM, "lr": 7}, 0.9),
        PastTrial("c", ADAM, None, "it is FAILED"),
    )
    found = take_in(storage, spec, past(*rows), {})
    assert (found.n_new, found.n_known, [r.row for r in found.rejected]) == (1, 0, ["b", "c"])
    study = read_study(storage, "old")
    (trial,) = study.trials
    assert (trial.number, trial.state, trial.params, trial.val_accuracy, trial.best_epoch) == (
        0,
        "COMPLETE",
        ADAM,
        0.8,
        2,
    )
    assert (trial.train_s, study.spec["n_trials"]) == (4.0, 1)
    study_id, attrs = find_study(storage, "old")
    assert Place(**attrs["queue"]).state == QueueState.DONE
    (row,) = storage.read_trials(study_id, set(), -1)
    assert row.attrs[IMPORTED] == {"kind": "csv", "place": "/there", "row": "a"}


def test_the_same_rows_come_in_once_and_those_of_other_sources_beside_them(
    open_storage: Open,
) -> None:
    storage = open_storage()
    spec = new_spec("old", SPACE, data="digits", data_source="digits")
    rows = [PastTrial(str(i), ADAM, i / 10) for i in range(3)]
    assert take_in(storage, spec, past(*rows[:2]), {}).n_new == 2
    assert take_in(storage, spec, past(*rows), {})[:2] == (1, 2)
    assert take_in(storage, spec, past(*rows[:1], place="/elsewhere"), {})[:2] == (1, 0)
    study = read_study(storage, "old")
    assert [(t.number, t.val_accuracy) for t in study.trials] == [
        (0, 0.0),
        (1, 0.1),
        (2, 0.2),
        (3, 0.0),
    ]
    assert study.spec["n_trials"] == 4


def test_values_that_a_source_knows_nothing_of_are_told(open_storage: Open) -> None:
    spec = new_spec("old", SPACE, data="digits", data_source="digits")
    trial = PastTrial("a", {"units": 8, "optimizer": "adam"}, 0.5)
    assert take_in(open_storage(), spec, past(trial), {}).assumed == {"lr": 0.1}


def test_nothing_is_mixed_into_a_search_or_another_model(open_storage: Open) -> None:
    storage = open_storage()
    assert imported_spec(storage, "old", model="mlp", data="digits") is None
    searched = search_spec(name="searched")
    storage.create_study("searched", {"spec": searched.model_dump(mode="json"), "uid": "1"})
    with pytest.raises(InputError, match="is a search"):
        imported_spec(storage, "searched", model=None, data=None)
    storage.create_study(
        "old", {"spec": new_spec("old", SPACE, data="digits", data_source="digits").model_dump()}
    )
    with pytest.raises(InputError, match="--model: study 'old' has mlp, not convNN"):
        imported_spec(storage, "old", model="convNN", data=None)
