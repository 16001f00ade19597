"""The network of a CIFAR-10 lab exercise: three convolutions, max-norm constraints and dropout.

Source: CIFAR-10 lab notebook, group IU5-24M. The defaults are the document's values.
"""

import keras
from keras import layers

from search.models.blocks import (
    Params,
    Shape,
    check_size,
    classifier,
    drop,
    least_size,
    output,
    rates,
    style,
)

DROPOUT = (0.2, 0.2, 0.5)
"""After the first convolution, after the last pool, after the dense layer."""


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build the network, uncompiled: images (n, h, w, c) → class probabilities (n, n_classes).

    Reads from `params`: `filters` (of the first convolution, 32; the two others have 2 and 4 times
    as many), `kernel_size` (of all three, 3), `units` (width of the dense layer, 512), `dropout`
    (the largest rate, in [0, 1): 0.5, the one after the dense layer; the two others keep the
    document's proportion to it, 0.2 at 0.5), `norm_limit` (the largest norm of the weights into one
    unit of the second convolution and of the dense layer, 3; 0 for none), `activation` of all
    hidden layers (relu) and `initializer` of all kernels (glorot_uniform).

    Raises InputError for images of less than 4×4 pixels.
    """
    filters, size, limit = (
        params.get("filters", 32),
        params.get("kernel_size", 3),
        params.get("norm_limit", 3.0),
    )
    look, (first, second, last) = style(params), rates(params, DROPOUT)

    def constraint() -> keras.constraints.Constraint | None:
        return keras.constraints.MaxNorm(limit) if limit else None

    features = [
        layers.Conv2D(filters, size, padding="same", **look),
        *drop(first),
        layers.Conv2D(2 * filters, size, padding="same", kernel_constraint=constraint(), **look),
        layers.MaxPooling2D(2),
        layers.Conv2D(4 * filters, size, padding="same", **look),
        layers.MaxPooling2D(2),
        *drop(second),
    ]
    check_size("lab_cnn", "it", input_shape, least_size(features), "")
    dense = layers.Dense(params.get("units", 512), kernel_constraint=constraint(), **look)
    return classifier(
        "lab_cnn", input_shape, features, [dense, *drop(last), output(n_classes, look)]
    )
