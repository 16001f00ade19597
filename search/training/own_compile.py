"""Models that compile themselves: what their loss is given."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from search.errors import InputError
from search.training.classifier_outputs import Outputs
from search.training.recipe import training_metrics

_N_TRIED = 3
_BY_LABELS = {"crossentropy", "ce"}
"""Losses that Keras chooses by the shape of labels."""


class RowsOfLabels(keras.losses.Loss):  # type: ignore[misc]  # keras has no types
    """A loss for rows of 0 and 1 (n, n_classes), made to take labels as numbers (n,)."""

    def __init__(self, loss: Any, n_classes: int) -> None:
        """`loss` as `compile` takes it."""
        loss_function = keras.losses.get(loss)
        options = (
            {"reduction": loss_function.reduction, "dtype": loss_function.dtype}
            if isinstance(loss_function, keras.losses.Loss)
            else {}
        )
        super().__init__(name="rows_of_labels", **options)
        self.loss = loss_function
        self.n_classes = n_classes
        self._call: Callable[[Any, Any], Any] = getattr(loss_function, "call", loss_function)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image."""
        labels = keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,))
        return self._call(keras.ops.one_hot(labels, self.n_classes, dtype=y_pred.dtype), y_pred)


def loss_of_numbers(loss: Any, n_classes: int) -> Any:
    """The loss that a model was compiled with, for labels that are numbers from 0 to n_classes − 1.

    What it takes is found by trying: most of Keras' losses compare rows of 0 and 1 with
    probabilities, the sparse ones take numbers. Raises InputError for a model without a loss, with
    several, or with one that takes neither.
    """
    loss = only_loss(loss)
    if str(loss).lower() in _BY_LABELS:
        return "sparse_categorical_crossentropy"  # Keras' own choice for labels that are numbers
    loss_function = keras.losses.get(loss)
    probabilities = np.full((_N_TRIED, n_classes), 1 / n_classes, np.float32)
    numbers = np.arange(_N_TRIED) % n_classes
    if _is_loss(loss_function, np.eye(n_classes, dtype=np.float32)[numbers], probabilities):
        return RowsOfLabels(loss, n_classes)
    if _is_loss(loss_function, numbers, probabilities):
        return loss
    rule = (
        f"its loss {_name(loss)} takes neither labels as numbers (n,) nor as rows of 0 and 1 (n,"
        f" {n_classes})"
    )
    raise InputError(
        f"{rule} with outputs (n, {n_classes}); use a cross-entropy of classes, or leave out"
        " compile()"
    )


def loss_of_columns(loss: Any, width: int) -> Any:
    """The loss that a model was compiled with, for targets that are numbers (n, width) as its
    outputs are.

    Raises InputError for a model without a loss, with several, or with one that can't take these or
    is blind to them.
    """
    loss = only_loss(loss)
    if str(loss).lower() in _BY_LABELS:
        return loss
    targets = np.zeros((_N_TRIED, width), np.float32)
    outputs = np.full((_N_TRIED, width), 0.25, np.float32)
    zeros = _losses(keras.losses.get(loss), targets, outputs)
    ones = _losses(keras.losses.get(loss), targets + 1, outputs)
    if zeros is not None and ones is not None and not np.allclose(zeros, ones):
        return loss
    rule = f"its loss {_name(loss)} can't compare outputs (n, {width}) with targets (n, {width})"
    remedy = "binary_crossentropy is for sigmoids, mse for numbers"
    raise InputError(f"{rule}; {remedy}; or leave out compile()")


def only_loss(loss: Any) -> Any:
    """The one loss of what compile() was given. Raises InputError where there is none, or more."""
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    if loss is None or isinstance(loss, list | tuple):
        what = "no loss" if loss is None else "several losses"
        raise InputError(f"the model compiles itself with {what}; give compile() one")
    return loss


def _name(loss: Any) -> str:
    function = keras.losses.get(loss)
    return str(getattr(function, "name", None) or getattr(function, "__name__", loss))


def _is_loss(loss: Callable[..., Any], labels: Any, probabilities: Any) -> bool:
    return _losses(loss, labels, probabilities) is not None


def _losses(loss: Callable[..., Any], labels: Any, outputs: Any) -> Any:
    """What `loss` says, an array () or (n,); None where it is no loss of these."""
    try:
        losses = keras.ops.convert_to_numpy(
            loss(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(outputs))
        )
    except (
        Exception
    ):  # whatever a loss, or the framework below it, says of shapes that it can't take
        return None
    is_sound = losses.shape in {(), (_N_TRIED,)} and np.isfinite(losses).all()
    return losses if is_sound else None


def matching(loss: Any, outputs: Outputs) -> Any:
    """A model's loss with the `from_logits` that its `outputs` want, if it has such a thing."""
    resolved: Any = keras.losses.get(loss)
    if isinstance(resolved, RowsOfLabels):
        inner = matching(resolved.loss, outputs)
        return resolved if inner is resolved.loss else RowsOfLabels(inner, resolved.n_classes)
    logits = outputs.is_logits
    if isinstance(resolved, keras.losses.Loss):
        config = resolved.get_config() if type(resolved).__module__.startswith("keras.") else {}
        mended = config.get("from_logits", logits) != logits
        return type(resolved).from_config({**config, "from_logits": logits}) if mended else loss
    # Keras' functions have classes of the same names, which take it as an option.
    name = getattr(resolved, "__name__", "")
    of_class = getattr(keras.losses, "".join(part.title() for part in name.split("_")), None)
    if not (logits and of_class and resolved is getattr(keras.losses, name, None)):
        return loss
    return (
        of_class(from_logits=True)
        if "from_logits" in inspect.signature(of_class).parameters
        else loss
    )


def compile_again(
    model: keras.Model, *, outputs: Outputs, n_classes: int, steps_per_execution: int
) -> None:
    """Compile with the model's own optimizer and loss, with the metrics of all models here."""
    model.compile(
        optimizer=model.optimizer,
        loss=matching(own_loss(model.loss, outputs, n_classes), outputs),
        metrics=training_metrics(outputs),
        steps_per_execution=steps_per_execution,
        jit_compile=keras.backend.backend() == "jax",
    )


def own_loss(loss: Any, outputs: Outputs, n_classes: int) -> Any:
    """A model's own `loss` for targets as `Outputs.targets` makes them.

    Raises InputError where it can't take them.
    """
    if outputs.is_by_class:
        return loss_of_numbers(loss, n_classes)
    return loss_of_columns(loss, outputs.width(n_classes))
