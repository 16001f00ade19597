"""The contract of every registered model, and what the convNN family does beyond it."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import search.models
from search import registry
from search.errors import InputError
from search.models import convnn

FASHION, DIGITS = (28, 28, 1), (8, 8, 1)
COUNTS = {
    "convNN": 721_430,
    "convNN_1": 542_230,
    "convNN_2": 542_230,
    "convNN_3": 279_126,
    "convNN_3a": 279_126,
    "convNN_4": 3_163_426,
    "convNN_6": 541_983,
    "convNN_7": 1_995,
    "convNN_8": 721_430,
    "mlp": 898_510,
}
TOO_DEEP_FOR_DIGITS = {"convNN_3", "convNN_3a", "convNN_4", "convNN_7"}
MODELS = registry.names(registry.MODELS)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_the_documents_network(name):
    model = registry.load_builder(name)({}, input_shape=FASHION, n_classes=10)
    assert not model.compiled
    assert model.input_shape == (None, *FASHION)
    assert model.output_shape == (None, 10)
    assert model.count_params() == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, FASHION) for name in MODELS] + [(name, DIGITS) for name in MODELS if name not in TOO_DEEP_FOR_DIGITS],
)
def test_one_step_trains(name, shape):
    model = registry.load_builder(name)({"dropout": 0.2, "units": 16}, input_shape=shape, n_classes=3)
    assert model.output_shape == (None, 3)
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    before = [w.copy() for w in model.get_weights()]
    loss = model.train_on_batch(np.random.default_rng(0).random((4, *shape), np.float32), np.array([0, 1, 2, 0]))
    assert np.isfinite(loss)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("name", sorted(TOO_DEEP_FOR_DIGITS))
def test_too_small_images_are_refused_with_a_remedy(name):
    build = registry.load_builder(name)
    with pytest.raises(InputError, match=r"needs images of at least .* these have 8×8; take variant 1, 2, 6, 8"):
        build({}, input_shape=DIGITS, n_classes=10)


@pytest.mark.parametrize(
    ("variant", "size"),
    [("1", 4), ("2", 4), ("3", 12), ("3a", 12), ("4", 12), ("6", 4), ("7", 28), ("8", 1)],
)
def test_smallest_size_is_exact(variant, size):
    """At this size it builds; one pixel less in either direction is refused."""
    model = convnn.build({"variant": variant}, input_shape=(size, size, 1), n_classes=2)
    assert all(layer.output.shape[1] >= 1 for layer in model.layers)
    for shape in [(size, size - 1, 1), (size - 1, size, 1)]:
        with pytest.raises(InputError, match=f"variant {variant} needs images of at least {size}×{size}"):
            convnn.build({"variant": variant}, input_shape=shape, n_classes=2)


def test_variant_7_steps_by_three():
    """On 28×28 its kernel fits once and the stride can't be seen."""
    model = convnn.build({"variant": "7"}, input_shape=(34, 31, 1), n_classes=2)
    assert model.layers[0].output.shape == (None, 3, 2, 1)


def test_unknown_variant_names_the_known_ones():
    with pytest.raises(InputError, match="variant must be one of 1, 2, 3, 3a, 4, 6, 7, 8, not '5'"):
        convnn.build({"variant": "5"}, input_shape=FASHION, n_classes=10)


@pytest.mark.parametrize(
    ("variant", "rates"),
    [
        ("1", []),
        ("2", [0.15]),
        ("3", []),
        ("3a", [0.1] * 3),
        ("4", [0.1] * 3),
        ("6", []),
        ("7", []),
        ("8", []),
    ],
)
def test_dropout_sits_where_the_document_has_it(variant, rates):
    def dropouts(params):
        model = convnn.build({"variant": variant, **params}, input_shape=FASHION, n_classes=10)
        where = [kinds(model)[i - 1] for i, kind in enumerate(kinds(model)) if kind == "Dropout"]
        return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)], where

    assert dropouts({})[0] == rates
    assert dropouts({"dropout": 0.0}) == ([], [])
    after = {"3": ["MaxPooling2D", "Conv2D", "Conv2D"], "7": ["DepthwiseConv2D"]}
    expected = after.get(variant[0].replace("4", "3"), ["MaxPooling2D"])
    assert dropouts({"dropout": 0.4}) == ([0.4] * len(expected), expected)


@pytest.mark.parametrize("name", MODELS)
def test_params_reach_every_hidden_layer(name):
    params = {"units": 7, "activation": "tanh", "initializer": "he_normal", "filters": 5, "depth": 2}
    model = registry.load_builder(name)(params, input_shape=FASHION, n_classes=4)
    configs = [layer.get_config() for layer in model.layers]
    activations = [c["activation"] for c in configs if "activation" in c]
    assert activations == ["tanh"] * (len(activations) - 1) + ["softmax"]
    kernels = [c[k] for c in configs for k in c if re.fullmatch(r"(kernel|depthwise|pointwise)_initializer", k)]
    assert {k["class_name"] for k in kernels if k} == {"HeNormal"}
    assert [c["units"] for c in configs if "units" in c][-2:] == [7, 4]
    assert {c["filters"] for c in configs if c.get("filters")} <= {5}
    if name == "mlp":
        assert kinds(model) == ["Flatten", "Dense", "Dense", "Dense"]


def test_layers_of_one_shape_start_different():
    """One initializer object shared by layers would give them equal weights."""
    model = registry.load_builder("mlp")({"units": 20}, input_shape=FASHION, n_classes=20)
    second, third = model.layers[2].get_weights()[0], model.layers[3].get_weights()[0]
    assert (second != third).any()


def test_sources_use_keras_alone():
    """Any Keras backend must be able to run them."""
    for source in Path(search.models.__file__).parent.glob("*.py"):
        assert not re.search(r"\btf\.|tensorflow|\btorch\b|\bjax\b", source.read_text()), source.name
