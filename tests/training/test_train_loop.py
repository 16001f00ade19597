"""Epochs by each loop: the same as Keras' own, however the images are handed over."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from search.datasets.split import Prepared, read_split
from search.registry import load_builder
from search.training.feed import Part, chunks, epoch_order
from search.training.recipe import compile_model
from search.training.scaling import scale, scale_in_graph
from search.training.train_loop import PREDICT_BATCH, TrainLoop, make_train_loop

PARAMS = {"depth": 1, "units": 16, "dropout": 0.2, "lr": 0.1, "momentum": 0.9, "batch_size": 50}
MakeLoop = Callable[..., tuple[TrainLoop, keras.Model]]


@pytest.fixture(scope="module")
def part(digits: Prepared) -> Part:
    split = read_split(digits.folder)
    return Part(split.x_train[:130], split.y_train[:130])


def network(digits: Prepared) -> keras.Model:
    """The same weights, and the same dropout, whenever it is called."""
    keras.utils.set_random_seed(3)
    model = load_builder("mlp")(PARAMS, input_shape=digits.input_shape, n_classes=10)
    compile_model(model, PARAMS, total_updates=9)
    return model


@pytest.fixture(params=["compiled", "by fit"])
def make(
    request: pytest.FixtureRequest, digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeLoop]:
    def one(augment: Any = None, *more: Any) -> tuple[TrainLoop, keras.Model]:
        model = network(digits)
        if request.param == "by fit":
            monkeypatch.setattr("keras.backend.backend", lambda: "another")
        sample = np.zeros((1, *digits.input_shape), np.uint8), np.zeros(1, np.int64), *more
        return (
            make_train_loop(
                model, sample=sample, batch_size=50, prepare=scale_in_graph, augment=augment
            ),
            model,
        )

    return one


def order() -> Any:
    return epoch_order(130, 50, seed=1, step=1, drop=False)


def test_an_epoch_is_that_of_fit(make: MakeLoop, digits: Prepared, part: Part) -> None:
    """Same order, same seeds: the same weights, loss and accuracy, the last, partial batch
    included.
    """
    loop, model = make()
    plain = network(digits)
    images, labels = scale(part.images[order()]), part.labels[order()]
    for _ in range(2):
        seen = loop.train(chunks(part, order(), 50))
        history = plain.fit(images, labels, batch_size=50, shuffle=False, verbose=0).history
        assert seen == {
            name: pytest.approx(values[0], rel=1e-5) for name, values in history.items()
        }
    for ours, theirs in zip(model.variables, plain.variables, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6)
    assert int(np.asarray(model.optimizer.iterations)) == 6


def test_weights_count_in_the_loss_as_in_fit_and_not_in_the_accuracy(
    make: MakeLoop, digits: Prepared, part: Part
) -> None:
    weights = np.random.default_rng(0).random(130).astype(np.float32)
    loop, model = make(None, weights[:1])
    weighted = Part(part.images, part.labels, weights)
    seen = loop.train(chunks(weighted, order(), 50, chunk_bytes=1))
    plain = network(digits)
    images, labels = scale(part.images[order()]), part.labels[order()]
    history = plain.fit(
        *(images, labels), sample_weight=weights[order()], batch_size=50, shuffle=False, verbose=0
    ).history
    assert seen == {name: pytest.approx(values[0], rel=1e-5) for name, values in history.items()}
    assert seen["loss"] < 0.7 * make()[0].train(chunks(part, order(), 50))["loss"]
    for ours, theirs in zip(model.variables, plain.variables, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6)


def test_where_an_epoch_is_cut_into_chunks_does_not_show(make: MakeLoop, part: Part) -> None:
    whole, one = make()
    pieces, other = make()
    seen = whole.train(chunks(part, order(), 50))
    in_pieces = list(chunks(part, order(), 50, chunk_bytes=1))
    assert [len(labels) for _, labels in in_pieces] == [50, 50, 30]
    assert pieces.train(in_pieces) == pytest.approx(seen, rel=1e-5)
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-6, atol=1e-7)


def test_only_what_is_trained_on_is_augmented(make: MakeLoop, digits: Prepared, part: Part) -> None:
    """Images made black teach the first kernel nothing; what the network is asked about is as it
    was.
    """
    loop, model = make(augment=keras.layers.Rescaling(0.0))
    kernel, bias = (np.array(w) for w in model.layers[1].get_weights())
    loop.train(chunks(part, order(), 50))
    np.testing.assert_array_equal(model.layers[1].get_weights()[0], kernel)
    assert not np.array_equal(model.layers[-1].get_weights()[1], bias)
    answers = loop.predict(part.images)
    np.testing.assert_allclose(
        answers, model.predict(scale(part.images), verbose=0), rtol=1e-5, atol=1e-6
    )
    assert len({row.tobytes() for row in answers}) > 100


def test_images_of_any_number_are_asked_about_once_each(make: MakeLoop, digits: Prepared) -> None:
    """As Keras' own `predict` does, in inference mode: no dropout."""
    loop, model = make()
    images = read_split(digits.folder).x_train
    assert PREDICT_BATCH < len(images) < 3 * PREDICT_BATCH
    answers = loop.predict(images)
    assert (answers.dtype, answers.shape) == (np.float32, (len(images), 10))
    np.testing.assert_allclose(
        answers, model.predict(scale(images), verbose=0), rtol=1e-5, atol=1e-6
    )


def test_all_of_this_holds_on_jax() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "compiled"]
    variables = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*command, __file__], check=False, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("....."), done.stdout
