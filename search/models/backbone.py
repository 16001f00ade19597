"""Networks published for ImageNet, as the base of a classifier of any images.

Source: Convolutional Neural Networks, AGH course slides, whose table `BASES` repeats; it trains
none of them on data of this project. All but ResNeXt50 come from keras.applications.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import applications, layers

from search.errors import InputError
from search.models.blocks import Params, Shape, check_whole, drop, hidden, output, style
from search.models.resnext import resnext50
from search.registry import nearest


class Base(NamedTuple):
    """A network without its top, and what the document says of the whole."""

    make: Callable[..., keras.Model]
    preprocess: Callable[[Any], Any]
    """Pixels 0 to 255, RGB → what the network's ImageNet weights expect."""
    least_size: int
    """The least height and width that it takes, in pixels."""
    top_1: float | None
    """ImageNet accuracy (a fraction) of the published weights; None: not printed."""
    top_5: float | None
    n_params: int
    """With its top for 1000 classes, on 224×224 images (299×299 for Inception and Xception)."""


def _without_top(make: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    return lambda **facts: make(include_top=False, weights=None, **facts)


def _base(
    module: Any, application: str, least: int, top_1: float | None, top_5: float | None, n: int
) -> Base:
    return Base(
        _without_top(getattr(module, application)), module.preprocess_input, least, top_1, top_5, n
    )


BASES = {
    "vgg16": _base(applications.vgg16, "VGG16", 32, 0.713, 0.901, 138_357_544),
    "vgg19": _base(applications.vgg19, "VGG19", 32, None, None, 143_667_240),
    "inception_v3": _base(applications.inception_v3, "InceptionV3", 75, 0.779, 0.937, 23_851_784),
    "resnet50": _base(applications.resnet50, "ResNet50", 32, 0.749, 0.921, 25_636_712),
    "xception": _base(applications.xception, "Xception", 71, 0.790, 0.945, 22_910_480),
    "inception_resnet_v2": _base(
        applications.inception_resnet_v2, "InceptionResNetV2", 75, 0.803, 0.953, 55_873_736
    ),
    # Its weights were trained on images prepared like DenseNet's.
    "resnext50": Base(
        resnext50, applications.densenet.preprocess_input, 32, 0.777, 0.938, 25_097_128
    ),
}
VGG = ("vgg16", "vgg19")


def _resized(model: str, name: str, size: int, input_shape: Shape) -> tuple[int, int]:
    """Height and width that the base is given. Raises InputError for a size that it can't take."""
    height, width, _ = input_shape
    least = BASES[name].least_size
    check_whole(model, "size", size, 0)
    if 0 < size < least:
        automatic = ", or 0 for the images' own size" if model == "backbone" else ""
        raise InputError(
            f"{model}: size must be at least {least} for {name}, not {size}; raise it{automatic}"
        )
    if size:
        return size, size
    # Both sides grow alike, rounded up, so that the least fits and what is shown keeps its shape.
    short = min(height, width)
    return (
        (height, width)
        if short >= least
        else (-(-height * least // short), -(-width * least // short))
    )


def _preprocessing(name: str, input_shape: Shape) -> keras.Model:
    inputs = keras.Input(input_shape)
    rgb = layers.Concatenate()([inputs] * 3) if input_shape[2] == 1 else inputs
    return keras.Model(
        inputs, BASES[name].preprocess(layers.Rescaling(255.0)(rgb)), name="preprocessing"
    )


def base_layers(
    model: str, name: str, params: Params, *, size: int, input_shape: Shape
) -> list[Any]:
    """Return the layers up to the base: input, resizing where the size changes, preprocessing, the
    base itself.

    Images hold 0 to 1; grey ones are repeated to three channels. The base has fresh weights and the
    name `name`; it is frozen unless `weights` in `params` is "none", since training then puts
    published weights into it. Raises InputError for an unknown base, a size that it can't take, and
    images with neither 1 nor 3 channels.
    """
    if name not in BASES:
        raise InputError(f"{model}: base {name!r} is not known; {nearest(str(name), BASES)}")
    if input_shape[2] not in (1, 3):
        raise InputError(
            f"{model}: images must have 1 or 3 channels, not {input_shape[2]}; convert them to grey"
            " or RGB"
        )
    height, width = _resized(model, name, size, input_shape)
    base = BASES[name].make(input_shape=(height, width, 3), name=name)
    base.trainable = params.get("weights", "none") == "none"
    return [
        keras.Input(input_shape),
        *([] if (height, width) == input_shape[:2] else [layers.Resizing(height, width)]),
        _preprocessing(name, (height, width, input_shape[2])),
        base,
    ]


def _head(params: Params, name: str) -> list[keras.Layer]:
    units, rate, look = params.get("units", 0), params.get("dropout", 0.0), style(params)
    if name in VGG:
        return [layers.Flatten(), *hidden([units or 4096] * 2, [rate] * 2, look)]
    return [
        layers.GlobalAveragePooling2D(),
        *(hidden([units], [rate], look) if units else drop(rate)),
    ]


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build a published network with a top for `n_classes`: images (n, h, w, 1 or 3) in 0…1 → (n,
    n_classes).

    Reads from `params`: `base` ("vgg16", "vgg19", "inception_v3", "resnet50", "xception",
    "inception_resnet_v2", "resnext50"; default "resnet50"), `weights` ("none": the base starts
    fresh and is trained; otherwise it is frozen and training puts published weights into it),
    `size` (pixels; images are resized to size×size; 0, the default: their own size, enlarged to the
    base's least where they are smaller), and of the top `units` (width of the hidden layers: two in
    VGG, one in the others; 0, the default: as published, 4096 in VGG and no such layer in the
    others), `dropout` (a rate in [0, 1) before the last layer and between the hidden ones, 0, which
    adds no layer), `activation` of hidden layers (relu) and `initializer` of kernels
    (glorot_uniform).

    Top-1 and top-5 accuracy on ImageNet, and parameters with the published top, as the document has
    them: VGG16 .713 .901 138,357,544 · InceptionV3 .779 .937 23,851,784 · ResNet50 .749 .921
    25,636,712 · Xception .790 .945 22,910,480 · InceptionResNetV2 .803 .953 55,873,736 · ResNeXt50
    .777 .938 25,097,128; VGG19 has 143,667,240.

    Raises InputError as `base_layers` does.
    """
    name = params.get("base", "resnet50")
    start = base_layers(
        "backbone", name, params, size=params.get("size", 0), input_shape=input_shape
    )
    return keras.Sequential(
        [*start, *_head(params, name), output(n_classes, style(params))], name="backbone"
    )
