"""What a network's outputs score on validation or test examples."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import TrialError
from search.objectives import METRICS, Truth, objective_of, shares
from search.records import Objective, Task
from search.training.evidence import scores
from search.training.job import Job
from search.training.measure import is_logged, measure_of
from search.training.network import Network
from search.training.own_log import OwnLog

NAN_REASON = "the loss became NaN or infinite"
_BASIC = ("loss", "accuracy")


class Scorer:
    """Loss, accuracy and what the search is for, by the means of a job's network."""

    def __init__(self, job: Job, network: Network) -> None:
        """`network` as its builder compiled it. Raises InputError for what can't be measured."""
        self.objective = objective_of(job.objective)
        self.has_accuracy = job.task is not Task.REGRESSION
        self._task = job.task
        self._outputs = network.outputs
        self._objectives = [self.objective, *map(objective_of, job.others)]
        self._measures = {
            objective.name: measure_of(objective, job.task, job.n_classes)
            for objective in self._objectives
            if not is_logged(objective)
        }
        is_own = len(self._measures) < len(self._objectives)
        judges_itself = network.compiled and (is_own or not self.has_accuracy)
        self._log = OwnLog(network.whole, network.outputs, job.n_classes) if judges_itself else None

    def none(self) -> dict[str, None]:
        """What an epoch has where nothing validates."""
        return {f"val_{name}": None for name in _BASIC if name == "loss" or self.has_accuracy}

    def validate(self, labels: Truth, outputs: NDArray[np.float32], step: int) -> dict[str, float]:
        """The values of epoch `step`, by names that begin with val_: loss, accuracy of classes, the
        objective, and what a model that judges itself logs.

        `labels` as they are stored, `outputs` (n, width). Raises TrialError where the loss or the
        objective is no finite number.
        """
        measured = self._measured(labels, outputs, step)
        return {f"val_{name}": value for name, value in measured.items()}

    def evaluate(self, labels: Truth, outputs: NDArray[np.float32], step: int) -> dict[str, Any]:
        """The fields accuracy, loss and values of an `Evaluation`; else as `validate`."""
        measured = self._measured(labels, outputs, step)
        values = {f"val_{name}": value for name, value in measured.items() if name not in _BASIC}
        for objective in self._objectives:
            value = measured[_plain(objective)]
            if objective.name != "accuracy":
                values.pop(objective.key, None)
                values[objective.name] = value
        facts: dict[str, Any] = {basic: measured.get(basic) for basic in _BASIC}
        return facts | ({"values": values} if values else {})

    def shares(self, labels: Truth, outputs: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What examples, or groups of them, have to the objective's value, as
        `search.objectives.shares` says; None for the accuracy of classes, which labels tell.
        """
        name = _plain(self.objective)
        if name == "accuracy" and self._task is not Task.MULTILABEL:
            return None
        metric = METRICS.get(self._metric_of(name))
        if metric is not None and metric.examples is not None:
            predicted = self._outputs.probabilities(outputs)
            return shares(metric.measure, labels, predicted, metric.examples)
        measure = self._measures.get(self.objective.name)
        if measure is not None:
            return shares(measure, labels, self._outputs.probabilities(outputs))
        return None if self._log is None else shares(self._log.of(name), labels, outputs)

    def _metric_of(self, name: str) -> str:
        """The metric of ours that a value is; a loss of its own is none."""
        if name != "loss":
            return name
        if self._log is not None:
            return ""
        return "log_loss" if self.has_accuracy else "mse"

    def _measured(self, labels: Truth, outputs: NDArray[np.float32], step: int) -> dict[str, float]:
        predicted = self._outputs.probabilities(outputs)
        measured = scores(predicted, labels, self._task)
        _check_loss(measured, step)
        if self._log is not None:
            logged = self._log.values(labels, outputs)
            _check_loss(logged, step)
            finite = {name: value for name, value in logged.items() if math.isfinite(value)}
            accuracy = {n: v for n, v in measured.items() if n == "accuracy"}
            measured |= finite | accuracy
        for name, measure in self._measures.items():
            if name not in _BASIC:
                measured[name] = measure(labels, predicted)
        for objective in self._objectives:
            if _plain(objective) not in measured:
                names = ", ".join(f"val_{other}" for other in measured)
                raise TrialError(f"objective {objective.name}: no finite one among {names}")
        return measured


def _plain(objective: Objective) -> str:
    """What its value is called among an epoch's, without val_."""
    return objective.key.removeprefix("val_")


def _check_loss(measured: dict[str, float], step: int) -> None:
    if not math.isfinite(measured["loss"]):
        raise TrialError(f"{NAN_REASON} in epoch {step}")
