"""Params → a compiled model. Every training parameter that a space may vary is read here."""

from collections.abc import Mapping
from typing import Any

import keras

SMALL_BATCH_STEPS = 32
_PARAMS = ("batch_size", "epochs", "lr", "momentum", "nesterov", "optimizer")


def training_params() -> tuple[str, ...]:
    """The names that training reads; a space's other parameters belong to the builder."""
    return _PARAMS


def make_optimizer(params: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """The optimizer of `params`: optimizer (sgd by default), lr (0.01), momentum and nesterov (sgd only).

    Raises ValueError for an optimizer that is not known.
    """
    name, lr = params.get("optimizer", "sgd"), float(params.get("lr", 0.01))
    match name:
        case "sgd":
            momentum = float(params.get("momentum", 0.0))
            # Nesterov's correction is undefined without momentum; Keras applies it as plain SGD.
            return keras.optimizers.SGD(lr, momentum=momentum, nesterov=bool(params.get("nesterov", False)))
        case "adam":
            return keras.optimizers.Adam(lr)
        case "rmsprop":
            return keras.optimizers.RMSprop(lr)
        case "adadelta":
            return keras.optimizers.Adadelta(lr)
    raise ValueError(f"optimizer: {name!r} is not known; give sgd, adam, rmsprop or adadelta")


def compile_model(model: keras.Model, params: Mapping[str, Any]) -> None:
    """Compile `model` for integer labels with cross-entropy and accuracy.

    Several steps run per call where batches are small, since the call then costs as much as the step. XLA is off:
    on CPUs it made an epoch of these networks three times as long.
    """
    model.compile(
        optimizer=make_optimizer(params),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution(int(params.get("batch_size", 32))),
        jit_compile=keras.backend.backend() == "jax",
    )


def steps_per_execution(batch_size: int) -> int:
    """Training steps run per call for a batch size: 32 for the smallest, 1 from 500 images on."""
    return max(1, min(SMALL_BATCH_STEPS, 500 // batch_size))
