"""Rates and early stopping, epoch for epoch what Keras' own callbacks decide."""

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.training.schedule import rate_of, stops_early

steadily = settings(deadline=None, derandomize=True, max_examples=150)
# Few distinct values around the smallest change that counts, so that ties, near-ties and
# improvements all occur.
VALUES = st.lists(st.integers(0, 12).map(lambda n: float(np.float32(0.5 + n * 5e-5))), max_size=25)
LOSSES = st.one_of(VALUES, st.lists(st.floats(0, 3, width=32), max_size=25))


def _rates(params: dict[str, Any], history: list[dict[str, float]]) -> list[Any]:
    """The rate of every epoch, each asked with the epochs before it only."""
    return [rate_of(params, history[:n], n + 1) for n in range(len(history) + 1)]


@steadily
@given(
    LOSSES,
    st.sampled_from(["val_loss", "val_accuracy"]),
    st.sampled_from([0.1, 0.2, 10**-0.5, 0.5, 0.9]),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from([0.0, 1e-3, 0.05, 0.1, 0.2]),
)
def test_plateau_is_keras_own(
    values: list[float], metric: str, factor: float, patience: int, cooldown: int, lowest: float
) -> None:
    model = SimpleNamespace(optimizer=keras.optimizers.SGD(0.1))
    callback = keras.callbacks.ReduceLROnPlateau(
        metric,
        factor,
        patience,
        mode="min" if metric == "val_loss" else "max",
        cooldown=cooldown,
        min_lr=lowest,
    )
    callback.set_model(model)
    callback.on_train_begin()
    expected = [float(model.optimizer.learning_rate)]
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {metric: value})
        expected.append(float(model.optimizer.learning_rate))
    params = {
        "lr": 0.1,
        "schedule": "plateau",
        "plateau_metric": metric,
        "plateau_factor": factor,
        "plateau_patience": patience,
        "plateau_cooldown": cooldown,
        "lr_min": lowest,
    }
    assert np.float32(_rates(params, [{metric: v} for v in values])).tolist() == expected


@steadily
@given(LOSSES, st.integers(1, 4))
def test_early_stopping_is_keras_own(values: list[float], patience: int) -> None:
    model = SimpleNamespace(stop_training=False)
    callback = keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min")
    callback.set_model(model)
    callback.on_train_begin()
    history: list[dict[str, float]] = []
    for epoch, value in enumerate(values):
        history.append({"val_loss": value})
        callback.on_epoch_end(epoch, history[-1])
        assert stops_early({"early_stopping": patience}, history) == model.stop_training
        if model.stop_training:
            return


def test_steps_and_constants() -> None:
    history = [{"val_loss": 1.0}] * 20
    assert _rates({"lr": 0.3}, history) == [0.3] * 21
    every = {"lr": 1.0, "schedule": "step", "step_factor": 0.5}
    assert _rates(every | {"step_epochs": 3}, history[:7]) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    # The document's: 1e-3, 1e-4 at epoch 11, 1e-5 at epoch 20.
    listed = {"lr": 1e-3, "schedule": "step", "step_factor": 0.1, "step_epochs": "11, 20"}
    assert _rates(listed, history) == pytest.approx([1e-3] * 10 + [1e-4] * 9 + [1e-5] * 2)


@pytest.mark.parametrize("name", ["time_decay", "cosine"])
def test_schedules_by_update_are_the_optimizers(name: str) -> None:
    assert rate_of({"schedule": name}, [], 1) is None


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="'linear' is not known"):
        rate_of({"schedule": "linear"}, [], 1)


def test_without_validation_values_nothing_is_reduced_or_stopped() -> None:
    history: list[dict[str, Any]] = [{"loss": 1.0, "val_loss": None}, *[{"loss": 1.0}] * 30]
    assert set(_rates({"lr": 0.1, "schedule": "plateau", "plateau_patience": 1}, history)) == {0.1}
    assert not stops_early({"early_stopping": 1}, history)
    assert not stops_early({}, [{"val_loss": 1.0}] * 30)
