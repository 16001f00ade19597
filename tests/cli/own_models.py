"""A user's own model, which can go wrong in every way that real ones do."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

import keras

SECRET = "s3cr3t-w0rd"
"""Stands in tests for passwords of the database and of MLflow."""
SPACE = """
model: own_models:build
document: {fault: none, lr: 0.1, batch_size: 100, epochs: 2}
params:
  fault:
    type: choice
    choices: [none, raises, exits, is killed, hangs, runs out of memory, goes nan, interrupts, quits, stops]
  lr: {type: float, low: 1e-3, high: 1, log: true}
  batch_size: {type: constant, value: 100}
  epochs: {type: constant, value: 2}
"""


def build(
    params: Mapping[str, Any], *, input_shape: tuple[int, int, int], n_classes: int
) -> keras.Model:
    """One dense layer, or a fault. Faults spare the probe, which must survive to see the study."""
    if any(SECRET in value for value in os.environ.values()):
        raise RuntimeError("a password is in sight")
    if "GRIDLESS_DEVICE_MEMORY_MB" in os.environ:  # as in workers only
        _fail(params["fault"])
    scale = float("nan") if params["fault"] == "goes nan" else 1.0
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(scale),
            keras.layers.Flatten(),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def _fail(fault: str) -> None:
    match fault:
        case "raises":
            raise RuntimeError("no such layer")
        case "exits":
            os._exit(7)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hangs":
            time.sleep(600)
        case "runs out of memory":
            raise MemoryError("cannot allocate 9 TiB")
        case "interrupts":
            raise KeyboardInterrupt
        case "quits":
            sys.exit("enough")
        case "stops":
            raise StopError("enough")


class StopError(BaseException):
    """No Exception, as some libraries have them."""
