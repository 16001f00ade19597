"""The learning rate of each epoch, and when to stop early: pure functions of a trial's history.

They keep no state, so that a trial cut into segments goes on as if it had not been. Their val_loss
is plain cross-entropy, without the penalties and the smoothing that Keras' own would hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LR = 0.01
PER_UPDATE = ("time_decay", "cosine")
"""Schedules that the optimizer follows itself, since the rate changes within an epoch."""
PLATEAU_DELTA = 1e-4

Params = Mapping[str, Any]
History = Sequence[Mapping[str, Any]]
"""One mapping per completed epoch, the first epoch's first."""


def base_rate(params: Params) -> float:
    """The rate that schedules start from: lr, or 0.01."""
    return float(params.get("lr", LR))


def rate_of(params: Params, history: History, step: int) -> float | None:
    """The learning rate of epoch `step` (from 1), given the epochs before; None where the optimizer
    decides.

    schedule: constant (the default) · step: lr times step_factor (0.1) for every step_epochs (10)
    epochs done, or for every epoch of a list such as "11,20" that has begun · plateau: Keras'
    ReduceLROnPlateau with plateau_metric (val_loss), plateau_factor (0.1), plateau_patience (10),
    plateau_cooldown (0) and lr_min (0) · time_decay and cosine: None. Raises ValueError for another
    schedule.
    """
    match params.get("schedule", "constant"):
        case "constant":
            return base_rate(params)
        case "step":
            return base_rate(params) * float(params.get("step_factor", 0.1)) ** _n_steps(
                params, step
            )
        case "plateau":
            return _plateau(params, history[: step - 1])
        case name if name in PER_UPDATE:
            return None
        case name:
            raise ValueError(
                f"schedule: {name!r} is not known; give constant, step, time_decay, cosine or"
                " plateau"
            )


def _n_steps(params: Params, step: int) -> int:
    epochs = params.get("step_epochs", 10)
    if isinstance(epochs, str):
        return sum(int(epoch) <= step for epoch in epochs.split(","))
    return (step - 1) // int(epochs)


def _plateau(params: Params, history: History) -> float:
    """Keras' rule, which compares and keeps rates in float32, from the first epoch on."""
    metric = params.get("plateau_metric", "val_loss")
    sign = -1 if metric == "val_loss" else 1
    patience, cooldown = (
        int(params.get("plateau_patience", 10)),
        int(params.get("plateau_cooldown", 0)),
    )
    factor, lowest = float(params.get("plateau_factor", 0.1)), float(params.get("lr_min", 0.0))
    rate, best, wait, cooling = base_rate(params), None, 0, 0
    for value in _values(history, metric):
        cooling = max(0, cooling - 1)
        if best is None or sign * np.float32(value - sign * PLATEAU_DELTA) > sign * np.float32(
            best
        ):
            best, wait = value, 0
        elif not cooling:
            wait += 1
            if wait >= patience and np.float32(rate) > np.float32(lowest):
                rate = max(float(np.float32(rate)) * factor, lowest)
                cooling, wait = cooldown, 0
    return rate


def stops_early(params: Params, history: History) -> bool:
    """Whether val_loss has not fallen below its lowest for early_stopping epochs (0: never), as
    Keras' EarlyStopping.

    Epochs without a val_loss are passed over.
    """
    patience, best, wait = int(params.get("early_stopping", 0)), None, 0
    for value in _values(history, "val_loss"):
        better = best is None or np.float32(value) < np.float32(best)
        best, wait = (value, 0) if better else (best, wait + 1)
        if 0 < patience <= wait:
            return True
    return False


def _values(history: History, metric: str) -> list[float]:
    return [float(value) for metrics in history if (value := metrics.get(metric)) is not None]
