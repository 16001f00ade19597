"""What a program gives in place of names and files: every problem of it at once, and what it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.actions.optimize import Asked, Ready, ready
from search.datasets import load
from search.datasets.dataset import from_arrays
from search.errors import InputError
from search.records import Task
from search.space.space import Space

X = np.arange(240, dtype=np.uint8).reshape(20, 3, 4)
Y = np.arange(20) % 2
RANGES = {"units": {"type": "int", "low": 4, "high": 8}, "optimizer": "adam", "epochs": 3}


def asked(**changes: Any) -> Ready:
    given = {
        "build": "mlp",
        "data": (X, Y),
        "space": None,
        "baseline": None,
        "task": None,
        "settings": {},
        "allow_changes": False,
    }
    return ready(Asked(**{**given, **changes}))


def test_every_problem_of_every_argument_is_told_at_once(own_home: Path) -> None:
    rows = np.zeros((2000, 100))
    with pytest.raises(InputError) as caught:
        asked(
            build=lambda hp: rows,
            data=(X, Y[:-1]),
            space={"units": {"type": "int", "low": 4}, "lr": [1, 2]},
            task="ranking",
            settings={"n_trials": 0, "objectiv": "accuracy"},
        )
    told = "\n".join(caught.value.problems)
    assert "build: it uses rows, an array of 1.5 MB" in told
    assert "task: 'ranking' is not known" in told
    assert "data: x_train and y_train must be of equal length, not 20 and 19" in told
    assert "space: params.units: key 'high' is missing" in told
    assert "space: params.lr" in told
    assert "n_trials = 0 must be at least 1" in told
    assert "'objectiv' is not a setting; did you mean 'objective'?" in told
    assert not own_home.exists()


@pytest.mark.parametrize(
    ("data", "n_test"),
    [
        ((X, Y), 0),
        ((X, Y, X[:5], Y[:5]), 5),
        (((X, Y), (X[:5], Y[:5])), 5),
        (from_arrays("any", {"x_train": X, "y_train": Y}), 0),
    ],
)
def test_arrays_become_a_data_set_by_their_content(data: Any, n_test: int) -> None:
    source, again = asked(data=data).request.data, asked(data=data).request.data
    assert source == again
    dataset = load(source)
    np.testing.assert_array_equal(dataset.x_train[..., 0], X)
    assert len(dataset.y_test) == n_test
    assert asked(data=(X[::-1], Y[::-1])).request.data != source


def test_tf_data_is_read(own_home: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    train = tf.data.Dataset.from_tensor_slices((X, Y)).batch(7)
    assert load(asked(data=train).request.data).x_train.shape == (20, 3, 4, 1)
    assert len(load(asked(data=(train, train.take(1))).request.data).y_test) == 7


def test_a_task_is_kept_with_the_data() -> None:
    labels = from_arrays("any", {"x_train": X, "y_train": np.eye(2)[Y]}, task=Task.MULTILABEL)
    assert load(asked(data=labels).request.data).task is Task.MULTILABEL
    assert load(asked(task="regression").request.data).task == "regression"
    assert (
        asked(data="mine.csv#price", task="binary").request.data
        == "mine.csv#label=price&task=binary"
    )


@pytest.mark.parametrize("data", [X, (X,), (X, Y, X), {"x": X}])
def test_what_is_no_data_is_told(data: Any) -> None:
    with pytest.raises(InputError, match=r"data: must be a data set's name, a path"):
        asked(data=data)


def test_a_space_is_a_dict_in_which_a_value_is_a_constant() -> None:
    space = asked(space=RANGES, baseline={"units": 8}).request.space
    assert isinstance(space, Space)
    assert space.document == {"units": 8, "optimizer": "adam", "epochs": 3}
    assert asked(space=space).request.space is space
    assert asked(space="spaces/mlp.yaml").request.space == Path("spaces/mlp.yaml")
    with pytest.raises(InputError, match=r"space: units: .*9"):
        asked(space=RANGES, baseline={"units": 9})
    with pytest.raises(InputError, match="baseline: it goes with a space given as a dict"):
        asked(space="mlp.yaml", baseline={"units": 9})


def test_epochs_are_given_once() -> None:
    with pytest.raises(InputError, match="epochs: it is an argument, and in the space, too"):
        asked(space=RANGES, settings={"epochs": 2})
