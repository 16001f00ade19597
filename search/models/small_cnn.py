"""A small network for digits: three convolutions with pools between them, and a dense layer.

Source: Convolutional Neural Networks, AGH course slides (which describe it without training it).
The defaults are the document's values.
"""

import keras
from keras import layers

from search.models.blocks import (
    Params,
    Shape,
    check_depth,
    classifier,
    hidden,
    least_size,
    output,
    style,
)


def _features(params: Params, depth: int) -> list[keras.Layer]:
    filters, size, look = params.get("filters", 32), params.get("kernel_size", 3), style(params)
    stack: list[keras.Layer] = [layers.Conv2D(filters, size, **look)]
    for _ in range(depth - 1):
        stack += [layers.MaxPooling2D(2), layers.Conv2D(2 * filters, size, **look)]
    return stack


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build the network, uncompiled: images (n, h, w, c) → class probabilities (n, n_classes).

    Reads from `params`: `depth` (convolutions, 3), `filters` (of the first, 32; the others have
    twice as many), `kernel_size` (of all, 3), `units` (width of the dense layer, 64), `dropout` (a
    rate in [0, 1) after it, 0, which adds no layer), `activation` of all hidden layers (relu) and
    `initializer` of all kernels (glorot_uniform).

    Raises InputError for a depth below 1, and for images too small for the windows.
    """
    depth, look = params.get("depth", 3), style(params)
    check_depth("small_cnn", depth, input_shape, lambda d: least_size(_features(params, d)))
    dense = hidden((params.get("units", 64),), (params.get("dropout", 0.0),), look)
    return classifier(
        "small_cnn", input_shape, _features(params, depth), [*dense, output(n_classes, look)]
    )
