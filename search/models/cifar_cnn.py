"""The network that a course trains on CIFAR-10: three stages of two convolutions, each twice as
wide.

Source: Convolutional Neural Networks, AGH course slides. The defaults are the document's values.
"""

import keras
from keras import layers

from search.models.blocks import (
    Params,
    Shape,
    check_depth,
    classifier,
    drop,
    hidden,
    least_size,
    output,
    rates,
    style,
)

DROPOUT = (0.25, 0.25, 0.35, 0.35, 0.25)
"""After each of the three stages, then after each of the two dense layers."""
MAX_DEPTH = 3


def _features(params: Params, depth: int) -> list[keras.Layer]:
    filters, size, look = params.get("filters", 64), params.get("kernel_size", 3), style(params)
    stack: list[keras.Layer] = []
    for i, rate in enumerate(rates(params, DROPOUT)[:depth]):
        padding = "same" if i else "valid"
        stack += [
            layers.Conv2D(filters * 2**i, size, padding=padding, **look)
            for _ in range(params.get("convs", 2))
        ]
        stack += [layers.MaxPooling2D(2), *drop(rate)]
    return stack


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build the network, uncompiled: images (n, h, w, c) → class probabilities (n, n_classes).

    Reads from `params`: `depth` (stages, 1 to 3, each with a pool; 3), `convs` (convolutions in
    each, 2), `filters` (of the first stage, 64; each has twice as many as the one before),
    `kernel_size` (of all, 3), `units` (width of the last hidden layer, 128; the one before is twice
    as wide), `dropout` (the largest rate, in [0, 1): 0.35, the ones after the third stage and the
    first dense layer; the others keep the document's proportion to it, 0.25 at 0.35), `activation`
    of all hidden layers (relu) and `initializer` of all kernels (glorot_uniform).

    Raises InputError for a depth out of range, and for images too small for the windows.
    """
    depth, units, look = params.get("depth", MAX_DEPTH), params.get("units", 128), style(params)
    check_depth(
        "cifar_cnn",
        depth,
        input_shape,
        lambda d: least_size(_features(params, d)),
        deepest=MAX_DEPTH,
    )
    dense = hidden((2 * units, units), rates(params, DROPOUT)[MAX_DEPTH:], look)
    return classifier(
        "cifar_cnn", input_shape, _features(params, depth), [*dense, output(n_classes, look)]
    )
