"""What a network's outputs mean, by its task, its last operation and its answers to examples."""

import math
from enum import StrEnum
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from search.errors import InputError
from search.records import Task

_N_TRIED = 4
_LEAST = 1e-7
"""Added to outputs that are divided by their sum, which may be 0."""
_LARGE = 10.0


class Outputs(StrEnum):
    """What the row of outputs for an example is."""

    PROBABILITIES = "probabilities"
    """Not negative, with the sum 1."""
    LOGITS = "logits"
    """What softmax makes probabilities of."""
    SCORES = "scores"
    """From 0 to 1 for each class by itself: divided by their sum they are probabilities."""
    PROBABILITY = "the second class's probability"
    """One unit, for two classes."""
    LOGIT = "the second class's logit"
    """One unit, of which a sigmoid makes that probability."""
    LABELS = "each label's probability"
    """From 0 to 1 for each of several labels, of which any number may be right."""
    LABEL_LOGITS = "each label's logit"
    NUMBERS = "numbers"
    """Of a regression."""

    @property
    def is_logits(self) -> bool:
        """Whether a softmax or sigmoid is still to come."""
        return self in {Outputs.LOGITS, Outputs.LOGIT, Outputs.LABEL_LOGITS}

    @property
    def is_by_class(self) -> bool:
        """Whether there is one for each class, of which one is right."""
        return self in {Outputs.PROBABILITIES, Outputs.LOGITS, Outputs.SCORES}

    def width(self, n_classes: int) -> int:
        """How many there are for an example of `n_classes` classes, labels or numbers."""
        return 1 if self in {Outputs.PROBABILITY, Outputs.LOGIT} else n_classes

    def probabilities(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, n_classes) of `outputs`: (n, 1) of one unit, else of that shape.

        A regression's numbers stay what they are.
        """
        match self:
            case Outputs.LOGITS:
                return np.asarray(softmax(outputs, axis=1))
            case Outputs.SCORES:
                positive = outputs + np.float32(_LEAST)
                return np.asarray(positive / positive.sum(axis=1, keepdims=True))
            case Outputs.PROBABILITY:
                return np.concatenate([1 - outputs, outputs], axis=1)
            case Outputs.LOGIT:
                return np.concatenate([expit(-outputs), expit(outputs)], axis=1)
            case Outputs.LABEL_LOGITS:
                return np.asarray(expit(outputs))
            case _:
                return outputs

    def targets(self, labels: NDArray[Any]) -> NDArray[Any]:
        """`labels` as the loss takes them: numbers (n,) of classes, else float32 (n, width)."""
        if self.is_by_class:
            return labels
        return np.asarray(labels, dtype=np.float32).reshape(len(labels), -1)

    def in_graph(self, outputs: Any) -> Any:
        """`probabilities` of a tensor by Keras' operations, so that its file loads in safe mode."""
        match self:
            case Outputs.LOGITS:
                return keras.layers.Softmax(name="probabilities", dtype="float32")(outputs)
            case Outputs.SCORES:
                positive = keras.ops.cast(outputs, "float32") + _LEAST
                return positive / keras.ops.sum(positive, axis=-1, keepdims=True)
            case Outputs.PROBABILITY:
                second = keras.ops.cast(outputs, "float32")
                return keras.ops.concatenate([1 - second, second], axis=-1)
            case Outputs.LOGIT:
                logit = keras.ops.cast(outputs, "float32")
                both = keras.ops.concatenate([-logit, logit], axis=-1)
                return keras.ops.sigmoid(both)
            case Outputs.LABEL_LOGITS:
                return keras.ops.sigmoid(keras.ops.cast(outputs, "float32"))
            case _:
                return outputs


_MEANING = {
    "softmax": Outputs.PROBABILITIES,
    "linear": Outputs.LOGITS,
    "log_softmax": Outputs.LOGITS,
    "sigmoid": Outputs.SCORES,
    "hard_sigmoid": Outputs.SCORES,
}
"""Of Keras' activations; all others leave no class probabilities behind."""
_OF_ONE = {Outputs.SCORES: Outputs.PROBABILITY, Outputs.LOGITS: Outputs.LOGIT}
_OF_LABELS = {Outputs.SCORES: Outputs.LABELS, Outputs.LOGITS: Outputs.LABEL_LOGITS}
_REACH = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exponential": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "log_sigmoid": (-math.inf, 0.0),
}
"""The numbers that activations can give; those that are not here give any."""
_OF_CLASSES = ("softmax", "log_softmax")
Range = tuple[float, float]
"""The smallest and the largest of a regression's targets."""


def outputs_of(
    model: keras.Model,
    input_shape: tuple[int, ...],
    task: Task = Task.CLASSIFICATION,
    targets: Range | None = None,
) -> Outputs:
    """What `model`, built for examples of `input_shape`, gives for each of them.

    An activation of Keras' own as the last operation says it. Else some examples do: rows without
    negative numbers whose sum is 1 are probabilities; numbers that stay between 0 and 1 whatever
    the weights are scores; and all others logits. Raises InputError for an activation that makes
    none of these, or that can't reach a regression's `targets`.
    """
    activation = _activation_of(model)
    if task is Task.REGRESSION:
        _check_reach(activation, targets)
        return Outputs.NUMBERS
    is_one = task is not Task.MULTILABEL and _width_of(model, input_shape) == 1
    if task is not Task.MULTILABEL and not is_one:
        return _outputs_of_classes(model, input_shape, activation)
    meaning = _by_answers(model, input_shape) if activation is None else _MEANING.get(activation)
    meanings = _OF_ONE if is_one else _OF_LABELS
    if meaning not in meanings or activation in _OF_CLASSES:
        what = activation or "a softmax"
        of = "the second class" if is_one else "each label by itself"
        rule = f"its outputs pass {what}, which gives no probability of {of}"
        raise InputError(f"{rule}: end with activation sigmoid, or with none")
    return meanings[meaning]


def _check_reach(activation: str | None, targets: Range | None) -> None:
    """Raise InputError where outputs can't reach a regression's targets."""
    if activation in _OF_CLASSES:
        raise InputError(
            f"its outputs pass {activation}, which gives probabilities of classes, and the task is"
            " regression: end with no activation"
        )
    low, high = _REACH.get(activation or "", (-math.inf, math.inf))
    if targets is not None and not low <= targets[0] <= targets[1] <= high:
        rule = f"its outputs pass {activation}, which gives numbers from {low:g} to {high:g}"
        raise InputError(
            f"{rule}, but the targets go from {targets[0]:g} to {targets[1]:g}: end with no"
            " activation, or scale the targets"
        )


def _outputs_of_classes(
    model: keras.Model, input_shape: tuple[int, ...], activation: str | None
) -> Outputs:
    if activation is None:
        return _by_answers(model, input_shape)
    if activation not in _MEANING:
        rule = (
            f"its outputs pass {activation}, which gives neither probabilities of classes nor"
            " logits"
        )
        raise InputError(f"{rule}: end with activation softmax, or with none")
    return _MEANING[activation]


def _activation_of(model: keras.Model) -> str | None:
    """The name of the activation of Keras' own that is `model`'s last operation; None where there
    is none such.
    """
    last = last_operation(model)
    activation = (
        getattr(last, "activation", None) if type(last).__module__.startswith("keras.") else None
    )
    name = getattr(activation, "__name__", "")
    is_of_keras = activation is not None and activation is getattr(keras.activations, name, None)
    return name if is_of_keras else None


def _width_of(model: keras.Model, input_shape: tuple[int, ...]) -> int:
    if getattr(model, "outputs", None):
        return int(model.output_shape[-1])
    return int(_ask(model, np.zeros((1, *input_shape), np.float32)).shape[-1])


def _by_answers(model: keras.Model, input_shape: tuple[int, ...]) -> Outputs:
    """PROBABILITIES, SCORES or LOGITS, by what `model` says of some examples."""
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
