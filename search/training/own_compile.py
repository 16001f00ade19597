"""Models that compile themselves: what their loss is given."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from search.errors import InputError
from search.training.classifier_outputs import Outputs

_N_TRIED = 3


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
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    if loss is None or isinstance(loss, dict | list | tuple):
        what = "no loss" if loss is None else "several losses"
        raise InputError(
            f"the model compiles itself with {what}; give compile() one loss for class"
            " probabilities"
        )
    if str(loss).lower() in {"crossentropy", "ce"}:
        return "sparse_categorical_crossentropy"  # Keras' own choice for labels that are numbers
    loss_function = keras.losses.get(loss)
    probabilities = np.full((_N_TRIED, n_classes), 1 / n_classes, np.float32)
    numbers = np.arange(_N_TRIED) % n_classes
    if _is_loss(loss_function, np.eye(n_classes, dtype=np.float32)[numbers], probabilities):
        return RowsOfLabels(loss, n_classes)
    if _is_loss(loss_function, numbers, probabilities):
        return loss
    name = getattr(loss_function, "name", None) or getattr(loss_function, "__name__", str(loss))
    rule = (
        f"its loss {name} takes neither labels as numbers (n,) nor as rows of 0 and 1 (n,"
        f" {n_classes})"
    )
    raise InputError(
        f"{rule} with outputs (n, {n_classes}); use a cross-entropy of classes, or leave out"
        " compile()"
    )


def _is_loss(loss: Callable[..., Any], labels: Any, probabilities: Any) -> bool:
    try:
        losses = keras.ops.convert_to_numpy(
            loss(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(probabilities))
        )
    except (
        Exception
    ):  # whatever a loss, or the framework below it, says of shapes that it can't take
        return False
    return losses.shape in {(), (_N_TRIED,)} and bool(np.isfinite(losses).all())


def matching(loss: Any, outputs: Outputs) -> Any:
    """A model's loss with the `from_logits` that its `outputs` want, if it has such a thing."""
    resolved: Any = keras.losses.get(loss)
    if isinstance(resolved, RowsOfLabels):
        inner = matching(resolved.loss, outputs)
        return resolved if inner is resolved.loss else RowsOfLabels(inner, resolved.n_classes)
    logits = outputs is Outputs.LOGITS
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


def compile_again(model: keras.Model, *, outputs: Outputs, steps_per_execution: int) -> None:
    """Compile with the model's own optimizer and loss, with the metrics of all models here."""
    model.compile(
        optimizer=model.optimizer,
        loss=matching(model.loss, outputs),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
        jit_compile=keras.backend.backend() == "jax",
    )
