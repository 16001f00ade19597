"""What a model that compiles itself would log of validation data: its own loss and metrics."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from search.objectives import Measure
from search.training.classifier_outputs import Outputs
from search.training.own_compile import RowsOfLabels, matching, only_loss, own_loss

_N_TRIED = 4


class OwnMetrics(NamedTuple):
    """The metrics that a model was compiled with, as compile() takes them."""

    metrics: list[Any]
    weighted: list[Any]


def own_metrics(model: keras.Model) -> OwnMetrics:
    """The metrics that `model` compiled itself with, before anything was trained."""
    compiled = model._compile_metrics  # compile()'s arguments are kept nowhere else
    if compiled is None:
        return OwnMetrics([], [])
    return OwnMetrics(
        list(_flat(compiled._user_metrics)), list(_flat(compiled._user_weighted_metrics))
    )


def _flat(metrics: Any) -> Iterator[Any]:
    """One output's metrics, out of the lists and names that compile() allows around them."""
    if isinstance(metrics, dict):
        metrics = list(metrics.values())
    if isinstance(metrics, list | tuple):
        for metric in metrics:
            yield from _flat(metric)
    elif metrics is not None:
        yield metrics


def logged_names(
    model: keras.Model, outputs: Outputs, n_classes: int, *, is_kept: bool
) -> tuple[str, ...]:
    """What an epoch of `model` has from validation beside the objective: val_loss, val_accuracy of
    classes, and what the model itself logs if its compile() `is_kept`.
    """
    names = ["loss", *([] if outputs is Outputs.NUMBERS else ["accuracy"])]
    if is_kept:
        shape = (_N_TRIED, outputs.width(n_classes))
        labels = np.zeros(_N_TRIED if outputs.is_by_class else shape, np.int64)
        log = OwnLog(model, outputs, n_classes)
        names += log.values(labels, np.full(shape, 1 / n_classes, np.float32))
    return tuple(f"val_{name}" for name in dict.fromkeys(names))


class OwnLog:
    """Measures predictions by the loss and metrics of a model, as `evaluate()` of Keras does."""

    def __init__(self, model: keras.Model, outputs: Outputs, n_classes: int) -> None:
        """`model` as it compiled itself."""
        loss = own_loss(model.loss, outputs, n_classes)
        self._takes_rows = isinstance(loss, RowsOfLabels)
        self._n_classes = n_classes
        self._outputs = outputs
        self._weights = model.trainable_variables
        compiled = own_metrics(model)
        # What was predicted already need not be predicted again: a network that only passes it on.
        self._passing = keras.Sequential(
            [
                keras.Input((outputs.width(n_classes),)),
                keras.layers.Identity(dtype="float32"),
            ]
        )
        self._passing.compile(
            loss=matching(only_loss(model.loss), outputs)
            if self._takes_rows
            else matching(loss, outputs),
            metrics=compiled.metrics,
            weighted_metrics=compiled.weighted,
            jit_compile=False,
        )

    def values(self, labels: NDArray[Any], outputs: NDArray[np.float32]) -> dict[str, float]:
        """Loss and metrics by the names that Keras logs, of labels as they are stored and outputs
        (n, width).

        The loss has the penalties on weights in it, as Keras' has.
        """
        targets = self._outputs.targets(labels)
        if self._takes_rows:
            targets = np.eye(self._n_classes, dtype=np.float32)[labels]
        self._passing.reset_metrics()
        logged = self._passing.test_on_batch(outputs, targets, return_dict=True)
        values = {name: float(np.mean(value)) for name, value in logged.items()}
        if self._outputs is Outputs.NUMBERS:
            values.pop("accuracy", None)  # of numbers, equality says nothing
        return values | {"loss": values["loss"] + self._penalties()}

    def of(self, name: str) -> Measure:
        """The measure of one of these values."""
        return lambda labels, outputs: self.values(labels, outputs)[name]

    def _penalties(self) -> float:
        penalized = [w for w in self._weights if getattr(w, "regularizer", None) is not None]
        return float(sum(float(w.regularizer(w)) for w in penalized))
