"""A setting's optimizer, loss and constraints."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from search.training.recipe import compile_model, make_optimizer, training_params

OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop", "adadelta", "nadam"]
L = keras.layers


def _convolutions() -> keras.Model:
    """One of each kind of kernel, one of them in a network inside the network."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((8, 8, 2)), L.SeparableConv2D(4, 3)])
    layers = [
        L.Conv2D(3, 3),
        L.DepthwiseConv2D(3),
        L.Conv2DTranspose(2, 3),
        inner,
        L.Flatten(),
        L.Dense(5, "softmax"),
    ]
    return keras.Sequential([keras.Input((10, 10, 1)), *layers])


def _dense(**options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), L.Dense(6, **options), L.Dense(5, "softmax")])


def _fit(model: keras.Model, n: int = 40) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, *model.input_shape[1:])).astype(np.float32)
    model.fit(x, rng.integers(0, 5, n), batch_size=10, verbose=0)


def test_names_are_those_that_a_space_may_give_to_training() -> None:
    names = training_params()
    assert list(names) == sorted(names)
    assert {"lr", "remainder", "max_norm", "weights", "flip", "early_stopping"} < set(names)
    assert not {"dropout", "units"} & set(names)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_their_rate_and_its_changes(name: str) -> None:
    optimizer = make_optimizer({"optimizer": name, "lr": 0.25}, total_updates=10)
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25
    optimizer.learning_rate = 0.125
    assert float(optimizer.learning_rate) == 0.125
    assert optimizer.weight_decay == (0.004 if name == "adamw" else None)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_is_decoupled_from_the_gradient(name: str) -> None:
    def after(decay: float) -> Any:
        weight = keras.Variable([2.0])
        optimizer = make_optimizer(
            {"optimizer": name, "lr": 0.5, "weight_decay": decay}, total_updates=10
        )
        optimizer.apply([np.zeros(1, np.float32)], [weight])
        return float(weight[0])

    assert after(0) == 2
    assert after(0.1) == pytest.approx(2 - 0.5 * 0.1 * 2)


def test_momentum_and_nesterov_are_sgds() -> None:
    params = {"momentum": 0.9, "nesterov": True}
    sgd = make_optimizer(params, total_updates=10)
    assert (sgd.momentum, sgd.nesterov, float(sgd.learning_rate)) == (
        0.9,
        True,
        pytest.approx(0.01),
    )
    assert not hasattr(make_optimizer(params | {"optimizer": "adam"}, total_updates=10), "momentum")
    with pytest.raises(ValueError, match="'adm' is not known"):
        make_optimizer({"optimizer": "adm"}, total_updates=10)


def _rates(params: dict[str, Any], n: int) -> list[float]:
    """The rates of n updates of a gradient of one, as SGD shows them."""
    weight = keras.Variable(0.0)
    optimizer = make_optimizer(params, total_updates=n)
    values = [0.0]
    for _ in range(n):
        optimizer.apply([np.float32(1)], [weight])
        values.append(float(weight))
    return [a - b for a, b in pairwise(values)]


def test_schedules_by_update() -> None:
    decayed = _rates({"schedule": "time_decay", "lr": 0.1, "decay": 0.5}, 6)
    assert decayed == pytest.approx([0.1 / (1 + 0.5 * i) for i in range(6)], rel=1e-4)
    cosine = _rates({"schedule": "cosine", "lr": 0.1, "lr_min": 0.02}, 8)
    assert cosine == pytest.approx(
        [0.02 + 0.04 * (1 + np.cos(np.pi * i / 8)) for i in range(8)], rel=1e-4
    )
    # A least rate above the first keeps it.
    assert _rates({"schedule": "cosine", "lr": 0.1, "lr_min": 0.5}, 3) == pytest.approx(
        [0.1] * 3, rel=1e-4
    )


def test_label_smoothing_is_keras_own_for_one_hot_labels(tmp_path: Path) -> None:
    model = _dense()
    compile_model(
        model,
        {"label_smoothing": 0.2, "optimizer": "sgd", "lr": 0.5, "batch_size": 40},
        total_updates=1,
    )
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
    twin.compile(keras.optimizers.SGD(0.5), loss, metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 5, 40)
    seen = model.fit(x, y, batch_size=40, verbose=0).history
    expected = twin.fit(x, keras.utils.to_categorical(y, 5), batch_size=40, verbose=0).history
    assert seen["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert seen["accuracy"] == expected["accuracy"]
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.evaluate(x, y, verbose=0)[0] == pytest.approx(model.evaluate(x, y, verbose=0)[0])


def test_without_label_smoothing_it_is_plain_cross_entropy() -> None:
    model = _dense()
    compile_model(model, {"label_smoothing": 0.0, "batch_size": 10}, total_updates=4)
    assert model.loss == "sparse_categorical_crossentropy"
    assert model.steps_per_execution == 32


AXES: dict[str, Callable[[Any], Any]] = {
    "Conv2D": lambda w: (w**2).sum((0, 1, 2)),
    "DepthwiseConv2D": lambda w: (w**2).sum((0, 1)),
    "Conv2DTranspose": lambda w: (w**2).sum((0, 1, 3)),
    "Dense": lambda w: (w**2).sum(0),
}


def _norms(model: keras.Model) -> dict[str, Any]:
    """Norm of the weights into each unit, by layer."""
    kinds = {type(layer).__name__: layer for layer in model.layers}
    squared = {kind: squares(np.array(kinds[kind].kernel)) for kind, squares in AXES.items()}
    separable = model.layers[3].layers[0]
    squared["depthwise"] = AXES["DepthwiseConv2D"](np.array(separable.depthwise_kernel))
    squared["pointwise"] = AXES["Conv2D"](np.array(separable.pointwise_kernel))
    return {name: values**0.5 for name, values in squared.items()}


def test_max_norm_holds_every_kernel_after_a_step() -> None:
    params = {"lr": 0.5, "batch_size": 10, "max_norm": 0.25}
    free, held = _convolutions(), _convolutions()
    compile_model(free, {n: v for n, v in params.items() if n != "max_norm"}, total_updates=4)
    compile_model(held, params, total_updates=4)
    _fit(free)
    _fit(held)
    assert len(_norms(held)) == len(_norms(free)) == 6
    assert all((norms > 0.3).any() for norms in _norms(free).values())
    for name, norms in _norms(held).items():
        assert norms.max() <= 0.25 + 1e-5, name
        # Held at the norm, not below: the axes are those of one unit.
        assert norms.max() == pytest.approx(0.25, rel=1e-3), name


def test_a_builders_own_constraint_is_the_only_one() -> None:
    model = _dense(kernel_constraint=keras.constraints.MaxNorm(0.5))
    compile_model(model, {"max_norm": 0.1}, total_updates=4)
    constraints = [layer.kernel.constraint for layer in model.layers]
    assert [c and c.max_value for c in constraints] == [0.5, None]
    plain = _dense()
    compile_model(plain, {"max_norm": None}, total_updates=4)
    assert [layer.kernel.constraint for layer in plain.layers] == [None, None]
