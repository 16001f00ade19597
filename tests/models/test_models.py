"""The contract of every registered model, and what the convNN family does beyond it."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import search.models
from search import registry
from search.datasets.facts import facts_of
from search.errors import InputError
from search.models import convnn
from search.records import Task
from search.space.load import find_space, load_space
from search.training.classifier_outputs import Outputs, outputs_of
from search.training.network import build_whole

FASHION, DIGITS, CIFAR, IMAGENET = (28, 28, 1), (8, 8, 1), (32, 32, 3), (224, 224, 3)
# At the document's data, as it prints them.
COUNTS = {
    "alexnet": (CIFAR, 2_915_338),
    "backbone": (IMAGENET, 25_636_712),
    "cifar_cnn": (CIFAR, 1_769_674),
    "convNN": (FASHION, 721_430),
    "convNN_1": (FASHION, 542_230),
    "convNN_2": (FASHION, 542_230),
    "convNN_3": (FASHION, 279_126),
    "convNN_3a": (FASHION, 279_126),
    "convNN_4": (FASHION, 3_163_426),
    "convNN_6": (FASHION, 541_983),
    "convNN_7": (FASHION, 1_995),
    "convNN_8": (FASHION, 721_430),
    "dense": (FASHION, 118_282),
    "digits_cnn": (FASHION, 2_782_090),
    "lab_cnn": (CIFAR, 4_293_194),
    "lenet5": ((32, 32, 1), 61_706),
    "mlp": (FASHION, 898_510),
    "resnet": (FASHION, 11_186_186),
    "small_cnn": (FASHION, 93_322),
    "vgg16_features": (FASHION, 14_714_688 + 267_786),
}
TRAINABLE = {"alexnet": 2_913_034, "resnet": 11_178_378, "vgg16_features": 267_786}
TOO_SMALL = {  # what the refusal of 8×8 images proposes
    "cifar_cnn": "take depth 2, or larger images",
    "convNN_3": "take variant 1, 2, 6, 8, or larger images",
    "convNN_3a": "take variant 1, 2, 6, 8, or larger images",
    "convNN_4": "take variant 1, 2, 6, 8, or larger images",
    "convNN_7": "take variant 1, 2, 6, 8, or larger images",
    "digits_cnn": "take depth 2, or larger images",
    "lenet5": "take padding 12, a smaller kernel_size, or larger images",
    "resnet": "take depth 2, or larger images",
    "small_cnn": "take depth 2, or larger images",
}
FILTERS = {  # of the convolutions in order, at filters 5 and depth 2; of the others all have 5
    "alexnet": [5, 10, 10, 10, 10],
    "cifar_cnn": [5, 5, 10, 10],
    "digits_cnn": [5, 10],
    "lab_cnn": [5, 10, 20],
    "lenet5": [5, 13, 100],
    "resnet": [5, 5, 5, 5, 5, 10, 10, 10, 10, 10],
    "small_cnn": [5, 10],
}
MODELS = registry.names(registry.MODELS)
BASED = {"backbone", "vgg16_features"}
STEPS = [
    (name, shape)
    for name in MODELS
    for shape in (DIGITS, FASHION, CIFAR)
    if not (shape == DIGITS and name in TOO_SMALL) and (name not in BASED or shape == FASHION)
]


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_the_documents_network(name):
    shape, count = COUNTS[name]
    model = registry.load_builder(name)(
        {}, input_shape=shape, n_classes=1000 if shape == IMAGENET else 10
    )
    assert not model.compiled
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, 1000 if shape == IMAGENET else 10)
    assert model.count_params() == count
    if name in TRAINABLE:
        assert sum(np.prod(w.shape) for w in model.trainable_weights) == TRAINABLE[name]


@pytest.mark.parametrize("name", MODELS)
def test_a_space_names_the_builders_defaults(name):
    """The document's setting of the shipped space builds what the builder does without any."""
    space = load_space(find_space(name))

    def described(params):
        model = registry.load_builder(name)(
            params, input_shape=facts_of(space.data).input_shape, n_classes=10
        )
        return [
            (
                (layer.name, layer.trainable, layer.input_shape)
                if isinstance(layer, keras.Model)
                else {k: v for k, v in layer.get_config().items() if k != "name"}
            )
            for layer in model.layers
        ]

    assert described(space.document) == described({})


@pytest.mark.parametrize(("name", "shape"), STEPS)
def test_one_step_trains(name, shape):
    # Few filters: what is shown is that the layers fit and gradients flow, which needs no
    # time-consuming width.
    params = {"dropout": 0.2, "units": 16, "filters": 4}
    model = registry.load_builder(name)(params, input_shape=shape, n_classes=3)
    assert model.output_shape == (None, 3)
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    before = [w.copy() for w in model.get_weights()]
    loss = model.train_on_batch(
        np.random.default_rng(0).random((4, *shape), np.float32), np.array([0, 1, 2, 0])
    )
    assert np.isfinite(loss)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


ENDS = {
    Task.CLASSIFICATION: {Outputs.PROBABILITIES},
    Task.BINARY: {Outputs.PROBABILITIES, Outputs.PROBABILITY},
    Task.MULTILABEL: {Outputs.LABELS},
    Task.REGRESSION: {Outputs.NUMBERS},
}


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("name", [name for name in MODELS if name not in BASED])
def test_a_model_has_an_end_for_a_task_or_is_refused_before_a_search(name, task):
    """Those of the documents end with a softmax over classes; what is ours has an end for each."""
    model, _ = build_whole(name, {"units": 16, "filters": 4}, FASHION, 2, task)
    remedies = {Task.MULTILABEL: "end with activation sigmoid", Task.REGRESSION: "no activation"}
    if name != "dense" and task in remedies:
        with pytest.raises(InputError, match=f"its outputs pass softmax.*{remedies[task]}"):
            outputs_of(model, FASHION, task, (-3.0, 3.0))
    else:
        outputs = outputs_of(model, FASHION, task, (-3.0, 3.0))
        assert outputs in ENDS[task]
        assert outputs.width(2) == model.output_shape[-1]


@pytest.mark.parametrize("name", TOO_SMALL)
def test_too_small_images_are_refused_with_a_remedy(name):
    build = registry.load_builder(name)
    with pytest.raises(
        InputError,
        match=rf"needs images of at least .* these have 8×8; {re.escape(TOO_SMALL[name])}",
    ):
        build({}, input_shape=DIGITS, n_classes=10)


@pytest.mark.parametrize(
    ("variant", "size"),
    [("1", 4), ("2", 4), ("3", 12), ("3a", 12), ("4", 12), ("6", 4), ("7", 28), ("8", 1)],
)
def test_smallest_size_is_exact(variant, size):
    """At this size it builds; one pixel less in either direction is refused."""
    model = convnn.build({"variant": variant}, input_shape=(size, size, 1), n_classes=2)
    assert min(layer.output.shape[1] for layer in model.layers) >= 1
    for shape in [(size, size - 1, 1), (size - 1, size, 1)]:
        with pytest.raises(
            InputError, match=f"variant {variant} needs images of at least {size}×{size}"
        ):
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
        return [
            layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)
        ], where

    assert dropouts({})[0] == rates
    assert dropouts({"dropout": 0.0}) == ([], [])
    after = {"3": ["MaxPooling2D", "Conv2D", "Conv2D"], "7": ["DepthwiseConv2D"]}
    expected = after.get(variant[0].replace("4", "3"), ["MaxPooling2D"])
    assert dropouts({"dropout": 0.4}) == ([0.4] * len(expected), expected)


@pytest.mark.parametrize("name", MODELS)
def test_params_reach_every_hidden_layer(name):
    params = {
        "units": 7,
        "activation": "tanh",
        "initializer": "he_normal",
        "filters": 5,
        "depth": 2,
    }
    model = registry.load_builder(name)(
        params, input_shape=CIFAR if name in BASED else FASHION, n_classes=4
    )
    layers_here = [layer for layer in model.layers if not isinstance(layer, keras.Model)]
    configs = [
        layer.get_config()
        for layer in layers_here
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    activations = [c["activation"] for c in configs if c.get("activation") not in (None, "linear")]
    assert activations == ["tanh"] * (len(activations) - 1) + ["softmax"]
    kernels = [
        c[k]
        for c in configs
        for k in c
        if re.fullmatch(r"(kernel|depthwise|pointwise)_initializer", k)
    ]
    assert {k["class_name"] for k in kernels if k} == {"HeNormal"}
    assert [c["units"] for c in configs if "units" in c][-2:] == [7, 4]
    assert [c["filters"] for c in configs if c.get("filters")] == FILTERS.get(
        name, [5] * sum("Conv2D" in k and "Depthwise" not in k for k in kinds(model))
    )
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
        assert not re.search(r"\btf\.|tensorflow|\btorch\b|\bjax\b", source.read_text()), (
            source.name
        )
