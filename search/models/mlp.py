"""The multilayer perceptron of the document's grid search.

Source: M. Guz, K. Pątko, Convolutional neural networks for fashion classification, AGH 2020. The
defaults are the document's best setting.
"""

import keras

from search.models.blocks import Params, Shape, classifier, hidden, output, style


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build Dense layers on the flat image, uncompiled: images (n, h, w, c) → probabilities (n,
    n_classes).

    Reads from `params`: `depth` (hidden layers, 3), `units` (width of each, 500), `dropout` (a rate
    in [0, 1) after each, 0, which adds no layer), `activation` of all hidden layers (relu),
    `initializer` of all kernels (lecun_uniform).
    """
    depth, look = params.get("depth", 3), style(params, initializer="lecun_uniform")
    dense = hidden([params.get("units", 500)] * depth, [params.get("dropout", 0.0)] * depth, look)
    return classifier("mlp", input_shape, [], [*dense, output(n_classes, look)])
