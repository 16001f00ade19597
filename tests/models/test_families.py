"""What each family of the documents does beyond the contract of all models."""

import keras
import numpy as np
import pytest

from search import registry
from search.errors import InputError
from search.models import backbone, resnext

FASHION, CIFAR = (28, 28, 1), (32, 32, 3)


def build(name, params, shape=CIFAR, n_classes=10) -> keras.Model:
    return registry.load_builder(name)(params, input_shape=shape, n_classes=n_classes)


def dropouts(name, params, shape=CIFAR) -> list[float]:
    return [
        layer.rate
        for layer in build(name, params, shape).layers
        if isinstance(layer, keras.layers.Dropout)
    ]


@pytest.mark.parametrize(
    ("name", "params", "least"),
    [
        ("lab_cnn", {}, 4),
        ("lab_cnn", {"kernel_size": 5}, 4),
        ("digits_cnn", {}, 10),
        ("digits_cnn", {"kernel_size": 5}, 12),
        ("digits_cnn", {"depth": 1}, 4),
        ("cifar_cnn", {}, 12),
        ("cifar_cnn", {"kernel_size": 5, "convs": 3}, 20),
        ("resnet", {}, 17),
        ("resnet", {"depth": 1}, 3),
        ("lenet5", {}, 28),
        ("lenet5", {"padding": 0}, 32),
        ("lenet5", {"kernel_size": 3, "padding": 0}, 18),
        ("small_cnn", {}, 18),
        ("small_cnn", {"depth": 1}, 3),
    ],
)
def test_smallest_size_is_exact(name, params, least, monkeypatch):
    """It builds at this size; with a pixel less it is refused, and Keras could not build it
    either.
    """
    params = {"filters": 3, **params}
    build(name, params, (least, least + 5, 1))
    smaller = [(least, least - 1, 1), (least - 1, least, 1)]
    for shape in smaller:
        with pytest.raises(
            InputError, match=f"^{name}: .* needs images of at least {least}×{least} pixels"
        ):
            build(name, params, shape)
    module = f"search.models.{name}" if name in ("lab_cnn", "lenet5") else "search.models.blocks"
    monkeypatch.setattr(f"{module}.check_size", lambda *_: None)
    for shape in smaller:
        with pytest.raises(ValueError, match=r"(?i)negative|output size|zero"):
            build(name, params, shape)


def test_alexnet_takes_any_image_but_not_any_size():
    assert build("alexnet", {"size": 55}, (1, 3, 4)).output_shape == (None, 10)
    with pytest.raises(
        InputError, match="size must be at least 55 with kernel_size 11, not 54; raise it"
    ):
        build("alexnet", {"size": 54})
    assert build("alexnet", {"size": 49, "kernel_size": 5}).output_shape == (None, 10)


@pytest.mark.parametrize(
    ("name", "rates", "largest"),
    [
        ("alexnet", [0.5, 0.5], 0.5),
        ("lab_cnn", [0.2, 0.2, 0.5], 0.5),
        ("digits_cnn", [0.20, 0.25, 0.30, 0.40, 0.50, 0.35, 0.25], 0.5),
        ("cifar_cnn", [0.25, 0.25, 0.35, 0.35, 0.25], 0.35),
    ],
)
def test_one_dropout_moves_all_rates_of_the_document(name, rates, largest):
    assert dropouts(name, {}) == dropouts(name, {"dropout": largest}) == rates
    assert dropouts(name, {"dropout": 0.1}) == pytest.approx([r * 0.1 / largest for r in rates])
    assert dropouts(name, {"dropout": 0}) == []


@pytest.mark.parametrize("name", ["resnet", "lenet5", "small_cnn", "vgg16_features", "backbone"])
def test_dropout_is_added_where_the_document_has_none(name):
    fixed = {"base": "vgg16", "units": 8} if name == "backbone" else {}
    assert dropouts(name, fixed) == []
    kinds = [type(layer).__name__ for layer in build(name, {**fixed, "dropout": 0.3}).layers]
    assert kinds.count("Dropout") == (
        2 if name == "backbone" else 1
    )  # VGG's top has two hidden layers
    assert kinds[-2:] == ["Dropout", "Dense"]


def test_lab_cnn_constrains_what_the_document_constrains():
    def limits(params):
        constraints = {
            layer.name: getattr(layer, "kernel_constraint", None)
            for layer in build("lab_cnn", params).layers
        }
        return [
            c and c.max_value
            for name, c in constraints.items()
            if name.startswith(("conv2d", "dense"))
        ]

    assert limits({}) == [None, 3, None, 3, None]
    assert limits({"norm_limit": 1.5}) == [None, 1.5, None, 1.5, None]
    assert limits({"norm_limit": 0}) == [None] * 5


def test_resnet_penalises_every_convolution():
    def penalised(params):
        return [
            bool(layer.kernel_regularizer)
            for layer in build("resnet", params).layers
            if "conv" in layer.name
        ]

    assert penalised({}) == [True] * 20
    assert penalised({"l2": 0}) == [False] * 20


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("digits_cnn", {"depth": 6}, "digits_cnn: depth must be a whole number from 1 to 5, not 6"),
        ("cifar_cnn", {"depth": 0}, "cifar_cnn: depth must be a whole number from 1 to 3, not 0"),
        ("resnet", {"blocks": 0}, "resnet: blocks must be a whole number from 1, not 0"),
        ("alexnet", {"size": 64.0}, "alexnet: size must be a whole number from 1, not 64.0"),
        (
            "vgg16_features",
            {"size": 31},
            "vgg16_features: size must be at least 32 for vgg16, not 31; raise it$",
        ),
        (
            "backbone",
            {"size": 70, "base": "xception"},
            "size must be at least 71 for xception, not 70; raise it, or 0",
        ),
        ("backbone", {"base": "vgg_16"}, "base 'vgg_16' is not known; did you mean 'vgg16'"),
    ],
)
def test_values_out_of_range_are_refused(name, params, message):
    with pytest.raises(InputError, match=message):
        build(name, params)


def test_bases_take_grey_or_rgb_only():
    with pytest.raises(
        InputError, match="images must have 1 or 3 channels, not 4; convert them to grey or RGB"
    ):
        build("backbone", {}, (32, 32, 4))


@pytest.mark.parametrize(
    "base", sorted(backbone.BASES.keys() - {"resnet50"})
)  # resnet50: the contract suite
def test_backbones_count_as_published(base):
    size = 299 if "ception" in base else 224
    # Drawing a hundred million random numbers would take longer than building the network.
    params = {"base": base, "initializer": "zeros"}
    model = build("backbone", params, (size, size, 3), 1000)
    assert model.count_params() == backbone.BASES[base].n_params
    assert model.layers[1].name == base
    keras.backend.clear_session()


def test_resnext_groups_its_convolutions():
    model = resnext.resnext50(input_shape=(32, 32, 3))
    grouped = [layer for layer in model.layers if getattr(layer, "groups", 1) > 1]
    assert [layer.groups for layer in grouped] == [32] * 16
    assert model.output_shape == (None, 1, 1, 2048)


@pytest.mark.parametrize(
    ("shape", "size", "seen"),
    [
        ((32, 40, 3), 0, (32, 40, 3)),
        ((28, 28, 1), 0, (32, 32, 3)),
        ((8, 9, 1), 0, (32, 36, 3)),
        (CIFAR, 96, (96, 96, 3)),
    ],
)
def test_small_images_are_enlarged_to_what_the_base_takes(shape, size, seen):
    model = build("backbone", {"base": "vgg16", "units": 8, "size": size}, shape)
    assert model.get_layer("vgg16").input_shape == (None, *seen)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("base", "mode"), [("vgg16", "caffe"), ("xception", "tf"), ("resnext50", "torch")]
)
def test_bases_see_what_their_weights_expect(base, mode):
    """Grey pixels three times, from 0 to 255, then the application's own preprocessing."""
    grey = np.random.default_rng(0).random((2, 75, 75, 1), np.float32)
    expected = keras.applications.imagenet_utils.preprocess_input(
        np.repeat(grey, 3, axis=-1) * 255, mode=mode
    )
    seen = build("backbone", {"base": base}, (75, 75, 1)).get_layer("preprocessing")(grey)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(seen), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "default"), [("vgg16_features", "imagenet"), ("backbone", "none")]
)
def test_published_weights_freeze_the_base(name, default):
    def trains(params):
        model = build(name, {"base": "vgg16", "units": 16, **params}, FASHION)
        assert isinstance(model.get_layer("vgg16"), keras.Model)
        return bool(model.get_layer("vgg16").trainable_weights)

    assert trains({"weights": "none"})
    assert not trains({"weights": "imagenet"})
    assert trains({}) == (default == "none")


@pytest.mark.parametrize("name", ["vgg16_features", "backbone"])
def test_saved_networks_with_a_base_come_back(name, tmp_path):
    model = build(name, {"base": "vgg16", "units": 16}, FASHION)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((2, *FASHION), np.float32)
    np.testing.assert_array_equal(again(images), model(images))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    "name", ["alexnet", "cifar_cnn", "digits_cnn", "lab_cnn", "lenet5", "resnet", "small_cnn"]
)
def test_networks_are_described_by_their_config(name):
    """Not square, either: what they make of such images survives."""
    model = build(name, {"filters": 4, "units": 8}, (40, 34, 3))
    again = type(model).from_config(model.get_config())
    assert [layer.get_config() for layer in again.layers] == [
        layer.get_config() for layer in model.layers
    ]
    assert again.output_shape == (None, 10)
    assert again.count_params() == model.count_params()
