"""What a network's outputs score on validation or test examples."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import TrialError
from search.objectives import METRICS, Truth, objective_of, shares
from search.records import Task
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
        is_own = is_logged(self.objective)
        self._measure = None if is_own else measure_of(self.objective, job.task, job.n_classes)
        self._others = {
            other.name: measure_of(other, job.task, job.n_classes)
            for other in map(objective_of, job.others)
            if not is_logged(other)
        }
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
        if self.objective.key.removeprefix("val_") not in measured:
            logged = ", ".join(f"val_{name}" for name in measured)
            raise TrialError(f"objective {self.objective.name}: the network logs {logged}")
        return {f"val_{name}": value for name, value in measured.items()}

    def evaluate(self, labels: Truth, outputs: NDArray[np.float32], step: int) -> dict[str, Any]:
        """The fields accuracy, loss and values of an `Evaluation`; else as `validate`."""
        measured = self._measured(labels, outputs, step)
        values = {f"val_{n}": v for n, v in measured.items() if n not in _BASIC}
        name, value = self.objective.name, measured[self.objective.key.removeprefix("val_")]
        if name != "accuracy":
            values.pop(self.objective.key, None)
            values[name] = value
        facts: dict[str, Any] = {name: measured.get(name) for name in _BASIC}
        return facts | ({"values": values} if values else {})

    def shares(self, labels: Truth, outputs: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What examples, or groups of them, have to the objective's value, as
        `search.objectives.shares` says; None for the accuracy of classes, which labels tell.
        """
        name = self.objective.key.removeprefix("val_")
        if name == "accuracy" and self._task is not Task.MULTILABEL:
            return None
        metric = METRICS.get(self._plain_name(name))
        if metric is not None and metric.examples is not None:
            predicted = self._outputs.probabilities(outputs)
            return shares(metric.measure, labels, predicted, metric.examples)
        if self._measure is not None:
            return shares(self._measure, labels, self._outputs.probabilities(outputs))
        return None if self._log is None else shares(self._log.of(name), labels, outputs)

    def _plain_name(self, name: str) -> str:
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
        if self._measure is not None and self.objective.name not in measured:
            measured[self.objective.name] = self._measure(labels, predicted)
        for name, measure in self._others.items():
            if name not in measured:
                measured[name] = measure(labels, predicted)
        return measured


def _check_loss(measured: dict[str, float], step: int) -> None:
    if not math.isfinite(measured["loss"]):
        raise TrialError(f"{NAN_REASON} in epoch {step}")
