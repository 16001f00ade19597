"""AlexNet for small images: five convolutions with batch normalisation and two wide dense layers.

Source: N. Mitrevski, Primena konvolucione neuronske mreže AlexNet na skupu podataka CIFAR-10,
Kragujevac 2022. The defaults are the document's values.
"""

import keras
from keras import layers

from search.errors import InputError
from search.models.blocks import (
    Params,
    Shape,
    check_whole,
    classifier,
    hidden,
    least_size,
    output,
    style,
)


def _features(params: Params) -> list[keras.Layer]:
    filters, look = params.get("filters", 128), style(params)
    normalise = params.get("batch_norm", True)

    def conv(times: int, size: int, stride: int = 1) -> list[keras.Layer]:
        padding = "valid" if stride > 1 else "same"
        made = layers.Conv2D(times * filters, size, strides=stride, padding=padding, **look)
        return [made, *([layers.BatchNormalization()] if normalise else [])]

    return [
        *conv(1, params.get("kernel_size", 11), stride=4),
        layers.MaxPooling2D(2),
        *conv(2, 5),
        layers.MaxPooling2D(3),
        *conv(2, 3),
        *conv(2, 1),
        *conv(2, 1),
        layers.MaxPooling2D(2),
    ]


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build AlexNet, uncompiled: images (n, h, w, c) of any size → class probabilities (n,
    n_classes).

    Reads from `params`: `size` (pixels; images are resized to size×size, 64), `filters` (of the
    first convolution, 128; the four others have twice as many), `kernel_size` (of the first, 11),
    `batch_norm` (after every convolution, true), `units` (width of both dense layers, 1024),
    `dropout` (a rate in [0, 1) after each, 0.5), `activation` of all hidden layers (relu) and
    `initializer` of all kernels (glorot_uniform).

    Raises InputError for a `size` that the windows don't fit.
    """
    size, units, rate = (
        params.get("size", 64),
        params.get("units", 1024),
        params.get("dropout", 0.5),
    )
    features, look = _features(params), style(params)
    check_whole("alexnet", "size", size, 1)
    if size < (least := least_size(features)):
        kernel = params.get("kernel_size", 11)
        raise InputError(
            f"alexnet: size must be at least {least} with kernel_size {kernel}, not {size}; raise"
            " it, or take a smaller kernel_size"
        )
    dense = hidden((units, units), (rate, rate), look)
    return classifier(
        "alexnet",
        input_shape,
        [layers.Resizing(size, size), *features],
        [*dense, output(n_classes, look)],
    )
