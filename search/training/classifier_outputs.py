"""What a classifier's outputs mean, by its last operation and by its answers to images."""

from enum import StrEnum
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from search.errors import InputError

_N_TRIED = 4
_LEAST = 1e-7
"""Added to outputs that are divided by their sum, which may be 0."""
_LARGE = 10.0


class Outputs(StrEnum):
    """What the row of outputs for an image is."""

    PROBABILITIES = "probabilities"
    """Not negative, with the sum 1."""
    LOGITS = "logits"
    """What softmax makes probabilities of."""
    SCORES = "scores"
    """From 0 to 1 for each class by itself: divided by their sum they are probabilities."""

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities (n, n_classes) of `outputs` of that shape."""
        if self is Outputs.LOGITS:
            return np.asarray(softmax(outputs, axis=1))
        if self is Outputs.SCORES:
            positive = outputs + np.float32(_LEAST)
            return np.asarray(positive / positive.sum(axis=1, keepdims=True))
        return outputs

    def in_graph(self, outputs: Any) -> Any:
        """`probabilities` of a tensor by Keras' operations, so that its file loads in safe mode."""
        if self is Outputs.LOGITS:
            return keras.layers.Softmax(name="probabilities", dtype="float32")(outputs)
        if self is Outputs.SCORES:
            positive = keras.ops.cast(outputs, "float32") + _LEAST
            return positive / keras.ops.sum(positive, axis=-1, keepdims=True)
        return outputs


_MEANING = {
    "softmax": Outputs.PROBABILITIES,
    "linear": Outputs.LOGITS,
    "log_softmax": Outputs.LOGITS,
    "sigmoid": Outputs.SCORES,
    "hard_sigmoid": Outputs.SCORES,
}
"""Of Keras' activations; all others leave no class probabilities behind."""


def outputs_of(model: keras.Model, input_shape: tuple[int, ...]) -> Outputs:
    """What `model`, built for images of `input_shape`, gives for each image.

    An activation of Keras' own as the last operation says it. Else some images do: rows without
    negative numbers whose sum is 1 are probabilities; numbers that stay between 0 and 1 whatever
    the weights are scores; and all others logits. Raises InputError for an activation that makes
    none of these.
    """
    last = last_operation(model)
    activation = (
        getattr(last, "activation", None) if type(last).__module__.startswith("keras.") else None
    )
    name = getattr(activation, "__name__", "")
    if activation is not None and activation is getattr(keras.activations, name, None):
        if name not in _MEANING:
            rule = (
                f"its outputs pass {name}, which gives neither probabilities of classes nor logits"
            )
            raise InputError(f"{rule}: end with activation softmax, or with none")
        return _MEANING[name]
    images = np.random.default_rng(0).random((_N_TRIED, *input_shape), np.float32)
    rows = _ask(model, images)
    if not (np.isfinite(rows).all() and _is_within_unit(rows)):
        return Outputs.LOGITS
    # 16 bits have no more than 3 digits.
    if np.abs(rows.sum(axis=1) - 1).max() <= (
        1e-3 if keras.config.dtype_policy().name == "float32" else 2e-2
    ):
        return Outputs.PROBABILITIES
    return Outputs.SCORES if _stays_within_unit(model, images) else Outputs.LOGITS


def is_random(model: keras.Model, images: NDArray[np.float32]) -> bool:
    """Whether `model`, outside training, gives other outputs for the same image each time."""
    rows = _ask(model, np.concatenate([images, images]))
    return not np.allclose(
        rows[: len(images)], rows[len(images) :], rtol=1e-2, atol=1e-4, equal_nan=True
    )


def last_operation(model: keras.Model) -> Any:
    """What gives a model's outputs: a layer, an operation of keras.ops, or the model itself."""
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        return model
    steps = model.layers if isinstance(model, keras.Sequential) else model.operations
    return last_operation(steps[-1]) if isinstance(steps[-1], keras.Model) else steps[-1]


def _ask(model: keras.Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = model(keras.ops.convert_to_tensor(images), training=False)
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(rows, "float32")))


def _is_within_unit(rows: NDArray[np.float32]) -> bool:
    return bool(rows.min() >= -1e-6 and rows.max() <= 1 + 1e-6)


def _stays_within_unit(model: keras.Model, images: NDArray[np.float32]) -> bool:
    """Whether outputs stay in 0…1 with large random weights: with small ones they may by chance."""
    weights = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    draw = np.random.default_rng(0)
    try:
        for variable in model.trainable_variables:
            variable.assign(draw.normal(0, _LARGE, variable.shape))
        return _is_within_unit(_ask(model, images))
    finally:
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
