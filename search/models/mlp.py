"""The multilayer perceptron of the document's grid search.

Source: M. Guz, K. Pątko, Convolutional neural networks for fashion classification, AGH 2020. The defaults
are the document's best setting.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers


def build(params: Mapping[str, Any], *, input_shape: tuple[int, int, int], n_classes: int) -> keras.Model:
    """Build Dense layers on the flat image, uncompiled: images (n, h, w, c) → probabilities (n, n_classes).

    Reads from `params`: `depth` (hidden layers, 3), `units` (width of each, 500), `dropout` (a rate in [0, 1)
    after each, 0, which adds no layer), `activation` of all hidden layers (relu), `initializer` of all
    kernels (lecun_uniform).
    """
    units, rate = params.get("units", 500), params.get("dropout", 0.0)
    activation = params.get("activation", "relu")
    # A name, not an object: Keras then makes each layer its own initializer.
    initializer = params.get("initializer", "lecun_uniform")
    hidden: list[keras.Layer] = []
    for _ in range(params.get("depth", 3)):
        hidden.append(layers.Dense(units, activation=activation, kernel_initializer=initializer))
        hidden += [layers.Dropout(rate)] if rate else []
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Flatten(),
            *hidden,
            layers.Dense(n_classes, activation="softmax", kernel_initializer=initializer),
        ],
        name="mlp",
    )
