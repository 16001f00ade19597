"""One segment of a trial: from its last checkpoint, epoch by epoch, until it is done, paused or stopped."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.datasets.split import Split, read_split
from search.errors import TrialError
from search.registry import load_builder
from search.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from search.training.job import Job
from search.training.recipe import compile_model

NAN_REASON = "the loss became NaN or infinite"
_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
OnEpoch = Callable[[int, Mapping[str, Any]], str]
"""Called with (step, metrics) after each epoch; answers "go on", "pause" or "stop"."""


def train(job: Job, *, on_built: Callable[[int], None], on_epoch: OnEpoch) -> str:
    """Train `job` from its checkpoint on; "done", "pause" or "stop".

    Repeats bit for bit on the same CPU type, threads, versions and backend, however it was cut into segments: the
    weights start from the trial's seed, and each epoch's order of images from (seed, epoch).
    `on_built(n_params)` is called before the first epoch. Epochs that a checkpoint holds are reported again, since
    whoever listens may have missed the last.

    Raises TrialError when the loss is not finite or the network can't be built.
    """
    keras.utils.set_random_seed(job.seed)
    model = load_builder(job.model)(job.params, input_shape=tuple(job.input_shape), n_classes=job.n_classes)
    compile_model(model, job.params)
    model.optimizer.build(model.trainable_variables)
    state = [*model.variables], [*model.optimizer.variables]
    history = _restore(job, *state)
    on_built(int(model.count_params()))
    for metrics in history:
        if (answer := on_epoch(metrics["step"], metrics)) != "go on":
            return answer
    data = _Batches(read_split(Path(job.data)), job)
    for step in range(len(history) + 1, job.total_epochs + 1):
        history.append(_train_epoch(model, data, step))
        arrays = [[keras.ops.convert_to_numpy(v) for v in part] for part in state]
        save_checkpoint(
            Path(job.checkpoint), Checkpoint(job.fingerprint(keras.backend.backend()), tuple(history), *arrays)
        )
        if (answer := on_epoch(step, history[-1])) != "go on":
            return answer
    return "done"


def _restore(job: Job, model: list[Any], optimizer: list[Any]) -> list[Mapping[str, Any]]:
    found = load_checkpoint(Path(job.checkpoint), job.fingerprint(keras.backend.backend()))
    if found is None:
        return []
    for variable, value in zip([*model, *optimizer], [*found.model, *found.optimizer], strict=True):
        variable.assign(value)
    return list(found.history)


class _Batches:
    """The images of a job as the network takes them: float32 in 0…1, in each epoch's own order."""

    def __init__(self, split: Split, job: Job) -> None:
        self._x, self._y = split.x_train, split.y_train
        self._seed = job.seed
        self.batch_size = int(job.params.get("batch_size", 32))
        self.validation = _scaled(split.x_val), np.asarray(split.y_val)

    def epoch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """All training images and labels, permuted by (seed, step)."""
        order = np.random.default_rng([self._seed, step]).permutation(len(self._y))
        return _scaled(self._x[order]), self._y[order]


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def _train_epoch(model: keras.Model, data: _Batches, step: int) -> dict[str, Any]:
    began = time.perf_counter()
    x, y = data.epoch(step)
    lr = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    seen = model.fit(
        x,
        y,
        batch_size=data.batch_size,
        shuffle=False,
        initial_epoch=step - 1,
        epochs=step,
        validation_data=data.validation,
        validation_batch_size=max(data.batch_size, 500),
        verbose=0,
    ).history
    if missing := [name for name in _METRICS if name not in seen]:
        raise TrialError(f"training reported no {', '.join(missing)}: the model must leave compile() and metrics alone")
    metrics = {name: float(seen[name][-1]) for name in _METRICS}
    if not all(math.isfinite(metrics[name]) for name in ("loss", "val_loss")):
        raise TrialError(f"{NAN_REASON} in epoch {step}")
    return metrics | {"step": step, "lr": lr, "seconds": time.perf_counter() - began, "at": time.time()}
