"""Models for KerasTuner of every task, and objectives, as users write them."""

from typing import Any

import keras
import numpy as np
from keras import layers


def one_unit(hp: Any) -> keras.Model:
    """Two classes by one sigmoid unit."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu")])
    model.add(layers.Dense(1, activation="sigmoid"))
    rate = hp.Choice("learning_rate", [0.05])
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy", "AUC"])
    return model


def labels(hp: Any) -> keras.Model:
    """A sigmoid for each of three labels."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, "sigmoid")])
    rate = hp.Choice("learning_rate", [0.05])
    model.compile(
        keras.optimizers.Adam(rate), "binary_crossentropy", metrics=[keras.metrics.Recall()]
    )
    return model


def numbers(hp: Any) -> keras.Model:
    """Two numbers, with a penalty on their weights."""
    penalty = keras.regularizers.L2(0.01)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(2, kernel_regularizer=penalty)])
    model.compile(keras.optimizers.Adam(hp.Choice("learning_rate", [0.05])), "mae", metrics=["mse"])
    return model


def linear(params: Any, *, input_shape: Any, n_classes: int, task: Any) -> keras.Model:
    """What compiles nothing: linear outputs for any task, which it is told."""
    units = 1 if task == "binary" else n_classes
    ends = keras.layers.Dense(units, activation=params.get("activation"))
    return keras.Sequential([keras.Input(input_shape), ends])


def cost(y_true: Any, y_prob: Any) -> float:
    """A cost of classes: a second class that is missed costs most."""
    missed = 5.0 * (1 - y_prob[y_true == 1, 1]).sum()
    return float(missed + y_prob[y_true == 0, 1].sum()) / len(y_true)


def broken(y_true: Any, y_prob: Any) -> float:
    """Raises."""
    return float(y_prob[y_true, 99].mean())


def rows(_y_true: Any, y_prob: Any) -> Any:
    """Returns an array."""
    return y_prob.mean(axis=0)


def nothing(_y_true: Any, _y_prob: Any) -> None:
    """Returns nothing."""


def unknown(_y_true: Any, _y_prob: Any) -> float:
    """Returns NaN."""
    return float(np.nan)


def of_one(y_true: Any) -> float:
    """Takes too little."""
    return float(len(y_true))


def of_every_class(y_true: Any, y_prob: Any) -> float:
    """Wants an example of each class, as a metric may."""
    for label in range(y_prob.shape[1]):
        if label not in y_true:
            raise ValueError(f"no example of {label}")
    return 1.0
