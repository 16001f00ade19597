from pathlib import Path

import pytest

from search.space.load import find_space, load_space
from search.space.types import Space

SEARCHED = {"batch_size", "lr", "dropout", "epochs", "initializer", "units", "optimizer"}
PUBLISHED = {
    "convNN": (0.8603, "test"),
    "convNN_1": (0.8426, "test"),
    "convNN_2": (0.8444, "test"),
    "convNN_3": (0.8393, "test"),
    "convNN_3a": (0.8511, "test"),
    "convNN_4": (0.8522, "test"),
    "convNN_6": (0.8526, "test"),
    "convNN_7": (0.3764, "test"),
    "convNN_8": (0.8603, "test"),
    "mlp": (0.9209, "train"),
}
CONVNN = {
    "filters": 32,
    "units": 100,
    "dropout": 0,
    "activation": "relu",
    "initializer": "glorot_uniform",
    "optimizer": "sgd",
    "lr": 0.05,
    "momentum": 0,
    "nesterov": False,
    "batch_size": 500,
    "epochs": 10,
}
DOCUMENT = {
    "convNN": {"variant": "8", **CONVNN},
    "convNN_2": {**CONVNN, "dropout": 0.15},
    "convNN_3a": {**CONVNN, "dropout": 0.1},
    "convNN_4": {**CONVNN, "dropout": 0.1},
    "convNN_7": {n: v for n, v in CONVNN.items() if n != "filters"},
    "mlp": {
        **{n: v for n, v in CONVNN.items() if n != "filters"},
        "depth": 3,
        "units": 500,
        "initializer": "lecun_uniform",
        "lr": 0.1,
        "batch_size": 10,
        "epochs": 15,
    },
}


def _shipped(model: str) -> Space:
    return load_space(find_space(model))


def test_the_list_here_is_complete() -> None:
    assert {f.stem for f in Path(find_space("mlp")).parent.glob("*.yaml")} == set(PUBLISHED)


@pytest.mark.parametrize("model", PUBLISHED)
def test_shipped_space(model: str) -> None:
    space = _shipped(model)
    assert (space.model, space.data) == (model, "fashion")
    assert space.published is not None
    assert (space.published.value, space.published.split) == PUBLISHED[model]
    assert space.document == DOCUMENT.get(model, CONVNN)
    assert space.params.keys() >= SEARCHED
    assert all(space.params[n].type != "constant" for n in SEARCHED)
    assert space.max_epochs == 15
    assert "momentum" not in space.active({"optimizer": "adam"})
    assert [p for c in space.corners() for p in space.problems_of(c)] == []


def test_variants_are_texts_and_the_seventh_has_no_filters() -> None:
    space = _shipped("convNN")
    assert space.params["variant"].model_dump()["choices"] == ("1", "2", "3", "3a", "4", "6", "7", "8")
    assert "filters" not in space.complete({"variant": "7"})
