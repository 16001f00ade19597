from pathlib import Path

import pytest

from search.space.load import find_space, load_space
from search.space.space import Space

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
    "alexnet": (0.7081, "test"),
    "lab_cnn": (0.7663, "test"),
    "digits_cnn": (0.9963, "test"),
    "cifar_cnn": (0.8385, "test"),
    "vgg16_features": (0.7211, "validation"),
    "resnet": None,
    "lenet5": None,
    "small_cnn": None,
    "backbone": None,
    "dense": None,
}
DATA = {
    "alexnet": "cifar10",
    "lab_cnn": "cifar10",
    "cifar_cnn": "cifar10",
    "backbone": "cifar10",
    "digits_cnn": "mnist",
    "lenet5": "mnist",
    "small_cnn": "mnist",
    "dense": "digits",
}  # the others: fashion
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


_PLATEAU = {"schedule": "plateau", "plateau_cooldown": 0}
_SLIDES = {
    **_PLATEAU,
    "plateau_factor": 0.5,
    "plateau_patience": 5,
    "plateau_metric": "val_accuracy",
    "lr_min": 0.001,
    "optimizer": "adadelta",
    "lr": 1.0,
    "batch_size": 512,
    "epochs": 50,
    "scaling": "unit",
}
RECIPES = {  # as the documents have them
    "alexnet": {
        "optimizer": "sgd",
        "lr": 0.001,
        "momentum": 0,
        "schedule": "constant",
        "scaling": "standardise",
        "batch_size": 32,
        "remainder": "drop",
        "epochs": 50,
        "dropout": 0.5,
        "units": 1024,
        "size": 64,
    },
    "lab_cnn": {
        "optimizer": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "nesterov": False,
        "schedule": "time_decay",
        "decay": 0.01 / 25,
        "batch_size": 32,
        "epochs": 25,
        "dropout": 0.5,
        "norm_limit": 3,
    },
    "digits_cnn": {
        **_SLIDES,
        "rotate": 5,
        "zoom": 0.2,
        "shift": 0.15,
        "flip": False,
        "dropout": 0.5,
    },
    "cifar_cnn": {**_SLIDES, "rotate": 10, "zoom": 0, "shift": 0.1, "flip": True, "dropout": 0.35},
    "resnet": {
        **_PLATEAU,
        "plateau_factor": 0.1**0.5,
        "plateau_patience": 5,
        "plateau_metric": "val_loss",
        "lr_min": 0.5e-6,
        "optimizer": "adam",
        "lr": 0.001,
        "batch_size": 100,
        "epochs": 5,
        "l2": 1e-4,
    },
    "vgg16_features": {
        "schedule": "plateau",
        "plateau_factor": 0.2,
        "plateau_patience": 2,
        "plateau_cooldown": 2,
        "plateau_metric": "val_loss",
        "lr_min": 0,
        "early_stopping": 7,
        "optimizer": "adam",
        "lr": 0.001,
        "batch_size": 32,
        "epochs": 10,
        "weights": "imagenet",
        "size": 48,
    },
}


def _shipped(model: str) -> Space:
    return load_space(find_space(model))


def test_the_list_here_is_complete() -> None:
    assert {f.stem for f in Path(find_space("mlp")).parent.glob("*.yaml")} == set(PUBLISHED)


@pytest.mark.parametrize("model", PUBLISHED)
def test_shipped_space(model: str) -> None:
    space = _shipped(model)
    assert (space.model, space.data) == (model, DATA.get(model, "fashion"))
    published = space.published
    assert (published and (published.value, published.split)) == PUBLISHED[model]
    assert space.params.keys() >= SEARCHED
    assert all(space.params[n].type != "constant" for n in SEARCHED)
    assert space.max_epochs is not None
    assert space.max_epochs >= space.document["epochs"]
    assert "momentum" not in space.active({"optimizer": "adam"})
    assert [p for c in space.corners() for p in space.problems_of(c)] == []


@pytest.mark.parametrize("model", [m for m in PUBLISHED if m.startswith("convNN") or m == "mlp"])
def test_document_settings(model: str) -> None:
    assert _shipped(model).document == DOCUMENT.get(model, CONVNN)
    assert _shipped(model).max_epochs == 15


@pytest.mark.parametrize("model", RECIPES)
def test_published_recipes(model: str) -> None:
    document = _shipped(model).document
    assert {n: document.get(n) for n in RECIPES[model]} == RECIPES[model]


def test_variants_are_texts_and_the_seventh_has_no_filters() -> None:
    space = _shipped("convNN")
    assert space.params["variant"].model_dump()["choices"] == (
        "1",
        "2",
        "3",
        "3a",
        "4",
        "6",
        "7",
        "8",
    )
    assert "filters" not in space.complete({"variant": "7"})
