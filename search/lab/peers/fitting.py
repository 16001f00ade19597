"""Networks and images for systems that train by Keras' own `fit`."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.datasets.split import read_split
from search.lab.peers.meter import Meter
from search.lab.peers.task import Task
from search.training.job import Job
from search.training.network import build_network
from search.training.recipe import compile_model
from search.training.scaling import scale

Part = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Images (n, h, w, c) as a network takes them, and labels (n,)."""


class Fits:
    """Builds, compiles and feeds the network of any setting, as our own trials do."""

    def __init__(self, task: Task, meter: Meter) -> None:
        self._task, self._meter = task, meter
        self._split = read_split(Path(task.prepared))
        self._n_built = 0
        self._built: Mapping[str, Any] = {}
        self.parts = cache(self._parts)
        """(training, validation) images of a setting's `scaling`."""

    def build(self, setting: Mapping[str, Any]) -> keras.Model:
        """A compiled network with fresh weights; the ones before it are forgotten."""
        keras.backend.clear_session()
        self._n_built += 1
        self._built = setting
        task = self._task
        job = Job(
            model=str(task.space["model"]),
            params=setting,
            seed=(task.seed * 100_003 + self._n_built) % 2**32,
            total_epochs=task.epochs,
            data=task.prepared,
            input_shape=task.input_shape,
            n_classes=task.n_classes,
            checkpoint="",
            evidence="",
        )
        network = build_network(job)
        compile_model(network.whole, setting, total_updates=0, outputs=network.outputs)
        return network.whole

    def fit(
        self,
        model: keras.Model,
        setting: Mapping[str, Any],
        *,
        callbacks: list[Any],
        **options: Any,
    ) -> Any:
        """Train `model` by `fit`; returns its history. Epochs are metered before `callbacks`."""
        train, validation = self.parts(scaling_of(setting))
        return model.fit(
            *train,
            validation_data=validation,
            batch_size=int(setting.get("batch_size", 32)),
            callbacks=[self.metering(), *callbacks],
            **{"verbose": 0} | options,
        )

    def metering(self) -> keras.callbacks.Callback:
        """A callback that tells the meter of every epoch of the network built last."""
        # By functions, which scikit-learn's copies of a callback share: all of them count here.
        return keras.callbacks.LambdaCallback(
            on_train_begin=lambda _logs: self._meter.begin(self._built),
            on_epoch_end=lambda _epoch, logs: self._meter.epoch(float(logs["val_accuracy"])),
        )

    def _parts(self, scaling: str) -> tuple[Part, Part]:
        split = self._split
        return (scale(split.x_train, scaling), np.asarray(split.y_train)), (
            scale(split.x_val, scaling),
            np.asarray(split.y_val),
        )


def scaling_of(setting: Mapping[str, Any]) -> str:
    """How a setting wants its images scaled."""
    return str(setting.get("scaling", "unit"))


def after_epoch(report: Callable[[int, float], None]) -> keras.callbacks.Callback:
    """A callback that calls `report` with (step from 1, validation accuracy) after every epoch."""
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: report(epoch + 1, float(logs["val_accuracy"]))
    )
