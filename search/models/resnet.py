"""A residual network of four stages for small images.

Source: M. Guz, K. Pątko, Convolutional neural networks for fashion classification, AGH 2020. The
defaults are the document's values.
"""

import keras
from keras import layers

from search.models.blocks import (
    Params,
    Shape,
    check_depth,
    check_whole,
    drop,
    hidden,
    output,
    style,
)


def _conv(params: Params, filters: int, size: int, stride: int = 1) -> keras.Layer:
    strength = params.get("l2", 1e-4)
    return layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        kernel_initializer=params.get("initializer", "he_normal"),
        kernel_regularizer=keras.regularizers.L2(strength) if strength else None,
    )


def _block(params: Params, x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Two convolutions added to the input, or to its 1×1 projection where the size changes."""
    activation = params.get("activation", "relu")
    y = layers.BatchNormalization()(_conv(params, filters, 3, stride)(x))
    y = layers.Activation(activation)(y)
    y = layers.BatchNormalization()(_conv(params, filters, 3)(y))
    shortcut = _conv(params, filters, 1, stride)(x) if stride > 1 else x
    return layers.Activation(activation)(layers.Add()([shortcut, y]))


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build the network, uncompiled: images (n, h, w, c) → class probabilities (n, n_classes).

    Reads from `params`: `depth` (stages, each after the first halving the size, 4), `blocks`
    (residual blocks in each, 2), `filters` (of the first stage, 64; each has twice as many as the
    one before), `kernel_size` (of the first convolution, 7), `l2` (the factor of the squared
    kernels in the loss, 1e-4), `units` (width of a hidden layer before the last, 0, which adds
    none), `dropout` (a rate in [0, 1) before the last layer, 0, which adds no layer), `activation`
    of all hidden layers (relu) and `initializer` of all kernels (he_normal).

    Raises InputError for a depth or a number of blocks below 1, and for images too small for the
    stages.
    """
    depth, blocks, filters = (
        params.get("depth", 4),
        params.get("blocks", 2),
        params.get("filters", 64),
    )
    check_whole("resnet", "blocks", blocks, 1)
    # Each of `depth` halvings, which round up, must leave 2 pixels for the last pool.
    check_depth("resnet", depth, input_shape, lambda d: 2**d + 1)
    look = style(params, initializer="he_normal")
    inputs = keras.Input(input_shape)
    x = _conv(params, filters, params.get("kernel_size", 7), stride=2)(inputs)
    x = layers.Activation(look["activation"])(layers.BatchNormalization()(x))
    for stage in range(depth):
        for block in range(blocks):
            x = _block(params, x, filters * 2**stage, stride=2 if stage and not block else 1)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    units, rate = params.get("units", 0), params.get("dropout", 0.0)
    for layer in hidden((units,), (rate,), look) if units else drop(rate):
        x = layer(x)
    return keras.Model(inputs, output(n_classes, look)(x), name="resnet")
