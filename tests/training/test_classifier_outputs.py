"""What a network's outputs mean, whoever built it and however it ends."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from search.errors import InputError
from search.training.classifier_outputs import Outputs, outputs_of
from search.training.network import remarks
from search.training.own_compile import RowsOfLabels, loss_of_numbers, matching
from search.training.recipe import compile_model
from search.training.shaping import shaped

SHAPE = (4, 4, 1)
P, L, S = Outputs.PROBABILITIES, Outputs.LOGITS, Outputs.SCORES


def ending(*last: Any, start: bool = True) -> keras.Model:
    return keras.Sequential([*([keras.Input(SHAPE)] if start else []), layers.Flatten(), *last])


class Own(keras.Model):  # type: ignore[misc]
    """Its output layer is not its last one."""

    def __init__(self, activation: str | None, **options: Any) -> None:
        super().__init__()
        self.flatten = layers.Flatten()
        self.head = layers.Dense(3, activation, **options)
        self.hidden = layers.Dense(4, "gelu")

    def call(self, x: Any) -> Any:
        return self.head(self.hidden(self.flatten(x)))


class Rolling(layers.Layer):  # type: ignore[misc]
    """Random outside training, too."""

    def call(self, x: Any) -> Any:
        return x * keras.random.uniform((keras.ops.shape(x)[0], 1))


class Stepping(keras.Model):  # type: ignore[misc]
    """What it says of images is known in its steps only."""

    def train_step(self, data: Any) -> Any:
        raise NotImplementedError


class Two(Own):
    """It has another head while it trains."""

    def call(self, x: Any, training: bool = False) -> Any:
        outputs = super().call(x)
        return (outputs, outputs) if training else outputs


def in_lists() -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model([inputs], [layers.Dense(3)(layers.Flatten()(inputs))])


def of_two(together: Callable[[Any], Any]) -> keras.Model:
    """Two inputs, held together as a list, a tuple or a dict."""
    view, age = keras.Input(SHAPE, name="view"), keras.Input((1,), name="age")
    both = layers.Concatenate()([layers.Flatten()(view), age])
    return keras.Model(together([view, age]), layers.Dense(3)(both))


def by_operation() -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, keras.ops.softmax(layers.Dense(3)(layers.Flatten()(inputs))))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: ending(layers.Dense(3, "softmax")), P),
        (lambda: ending(layers.Dense(3), layers.Activation("softmax")), P),
        (lambda: ending(layers.Dense(3), layers.Softmax()), P),
        (lambda: ending(layers.Dense(3), layers.Lambda(keras.ops.softmax)), P),
        (lambda: ending(keras.Sequential([layers.Dense(3, "softmax")])), P),
        (by_operation, P),
        (lambda: Own("softmax"), P),
        (lambda: ending(layers.Dense(3)), L),
        (lambda: ending(layers.Dense(3), start=False), L),
        (lambda: ending(layers.Dense(3, "log_softmax")), L),
        (lambda: ending(keras.Sequential([layers.Dense(3)]), layers.Dropout(0.5)), L),
        (lambda: Own(None), L),
        (in_lists, L),
        (lambda: Own(None, kernel_initializer="zeros"), L),
        (lambda: ending(layers.Dense(3, "sigmoid")), S),
        (lambda: Own("sigmoid"), S),
    ],
)
def test_outputs_are_what_they_are_however_a_network_ends(
    make: Callable[[], keras.Model], expected: Outputs
) -> None:
    model = shaped(make(), SHAPE, 3)
    before = [w.numpy() for w in model.weights]
    assert before
    assert outputs_of(model, SHAPE) is expected
    assert all((a == b.numpy()).all() for a, b in zip(before, model.weights, strict=True))
    images = np.random.default_rng(1).random((5, *SHAPE), np.float32)
    given = np.asarray(model(images))
    probabilities = expected.probabilities(given)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == given.argmax(axis=1)).all()
    pixels = keras.Input(SHAPE)
    same = keras.Model(pixels, expected.in_graph(model(pixels))).predict(images, verbose=0)
    np.testing.assert_allclose(same, probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: ending(layers.Dense(1)), "3 units"),
        (lambda: ending(layers.Dense(100)), r"\(None, 100\).*3 units"),
        (lambda: keras.Sequential([keras.Input(SHAPE), layers.Dense(3)]), "flatten or pool"),
        (
            lambda: keras.Sequential([keras.Input((9, 9, 1)), layers.Flatten(), layers.Dense(3)]),
            "9×9×1.*4×4×1",
        ),
        (lambda: of_two(list), r"takes 2 inputs, view \(4×4×1\), age \(1\), but the data give one"),
        (lambda: of_two(tuple), "2 inputs"),
        (
            lambda: of_two(lambda tensors: {tensor.name: tensor for tensor in tensors}),
            r"2 inputs, age \(1\), view \(4×4×1\).*begin with one Input",
        ),
        (lambda: keras.Model(x := keras.Input(SHAPE), [x, x]), "gives 2 outputs, but one is"),
        (lambda: None, "keras.Model, not NoneType"),
        (lambda: ending(layers.Dense(3, "tanh")), "tanh.*softmax"),
        (lambda: Two(None), "while it trains"),
        (Stepping, r"Stepping has no call\(images\)"),
    ],
)
def test_a_network_that_can_not_classify_the_images_is_refused(
    make: Callable[[], Any], part: str
) -> None:
    with pytest.raises(InputError, match=part):
        outputs_of(shaped(make(), SHAPE, 3), SHAPE)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (
            lambda: ending(
                layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(3, "softmax")
            ),
            [],
        ),
        (lambda: ending(Rolling(), layers.Dense(3, "softmax")), ["random"]),
        (lambda: ending(layers.Rescaling(1 / 255), layers.Dense(3, "softmax")), ["Rescaling"]),
        (
            lambda: ending(
                keras.Sequential([layers.Rescaling(1 / 127.5, -1)]), layers.Dense(3, "softmax")
            ),
            ["Rescaling"],
        ),
        (
            lambda: ending(
                layers.Rescaling(255), layers.Rescaling(1 / 255), layers.Dense(3, "softmax")
            ),
            [],
        ),
        (lambda: ending(layers.Rescaling(2, -1), layers.Dense(3, "softmax")), []),
    ],
)
def test_what_would_spoil_a_network_unseen_is_told(
    make: Callable[[], keras.Model], parts: list[str]
) -> None:
    messages = remarks(shaped(make(), SHAPE, 3), SHAPE, is_hp=False)
    assert [part in remark for remark, part in zip(messages, parts, strict=True)] == [True] * len(
        parts
    ), messages


def test_logits_and_probabilities_of_one_network_train_alike() -> None:
    x, y = np.random.default_rng(2).random((40, *SHAPE), np.float32), np.arange(40) % 3
    losses = []
    for activation, smoothing in [(a, s) for s in (0.0, 0.1) for a in ("softmax", None)]:
        keras.utils.set_random_seed(1)
        model = ending(layers.Dense(3, activation))
        outputs = outputs_of(model, SHAPE)
        compile_model(
            model, {"lr": 0.5, "label_smoothing": smoothing}, total_updates=4, outputs=outputs
        )
        losses.append(model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[2] == pytest.approx(losses[3], rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_scores_are_trained_as_the_probabilities_that_they_are_scored_as(smoothing: float) -> None:
    x, y = np.random.default_rng(2).random((40, *SHAPE), np.float32), np.arange(40) % 3
    model = ending(layers.Dense(3, "sigmoid"))
    compile_model(
        model, {"label_smoothing": smoothing}, total_updates=4, outputs=outputs_of(model, SHAPE)
    )
    rows = Outputs.SCORES.probabilities(model.predict(x, verbose=0))
    expected = np.eye(3)[y] * (1 - smoothing) + smoothing / 3
    loss = -(expected * np.log(rows)).sum(axis=1).mean()
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", "categorical_crossentropy", "ce"]
)
def test_a_loss_of_probabilities_becomes_one_of_logits_where_outputs_are_logits(loss: str) -> None:
    given = np.array([[2.0, 1.0, -1.0], [0.5, 0.0, 3.0]], np.float32)
    expected = float(np.mean(-np.log(L.probabilities(given)[[0, 1], [0, 2]])))
    loss_here = loss_of_numbers(loss, 3)
    assert float(
        np.mean(keras.losses.get(matching(loss_here, L))(np.array([0, 2]), given))
    ) == pytest.approx(expected, rel=1e-4)
    assert matching(loss_here, P) is loss_here


def test_a_loss_of_logits_becomes_one_of_probabilities_and_others_stay() -> None:
    mended = matching(
        loss_of_numbers(
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), 3
        ),
        P,
    )
    assert isinstance(mended, RowsOfLabels)
    assert (mended.loss.from_logits, mended.loss.label_smoothing) == (False, 0.1)
    mse = loss_of_numbers("mse", 3)
    assert matching(mse, L) is mse
