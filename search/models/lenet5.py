"""LeNet-5: two convolutions with average pools, a third that reads what is left, and a dense layer,
all tanh.

Source: Convolutional Neural Networks, AGH course slides (which describe it without training it),
after LeCun et al., Gradient-based learning applied to document recognition, 1998. The defaults are
the document's values.
"""

import keras
from keras import layers

from search.models.blocks import (
    Params,
    Shape,
    check_size,
    classifier,
    hidden,
    least_size,
    output,
    style,
)

SIZE = 32
"""Height and width, in pixels, of the document's images."""


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build LeNet-5, uncompiled: images (n, h, w, c) → class probabilities (n, n_classes).

    Reads from `params`: `padding` (rows and columns of zeros set around the image; without it 2
    where a side has fewer than 32 pixels, as LeCun framed digits of 28×28, otherwise 0), `filters`
    (of the first convolution, 6; the two others keep the proportions 16 and 120 to 6),
    `kernel_size` (of all three, 5), `units` (width of the dense layer, 84), `dropout` (a rate in
    [0, 1) after it, 0, which adds no layer), `activation` of all hidden layers (tanh) and
    `initializer` of all kernels (glorot_uniform).

    Raises InputError for images too small for the windows.
    """
    filters, size = params.get("filters", 6), params.get("kernel_size", 5)
    frame = params.get("padding", 2 if min(input_shape[:2]) < SIZE else 0)
    look = style(params, activation="tanh")
    features = [
        *([layers.ZeroPadding2D(frame)] if frame else []),
        layers.Conv2D(filters, size, **look),
        layers.AveragePooling2D(2),
        layers.Conv2D(round(filters * 16 / 6), size, **look),
        layers.AveragePooling2D(2),
        layers.Conv2D(filters * 20, size, **look),
    ]
    least = least_size(features)
    enough = frame + max(0, -(-(least - min(input_shape[:2])) // 2))
    setting = f"kernel_size {size} with padding {frame}"
    check_size(
        "lenet5", setting, input_shape, least, f"padding {enough}, a smaller kernel_size, or "
    )
    dense = hidden((params.get("units", 84),), (params.get("dropout", 0.0),), look)
    return classifier("lenet5", input_shape, features, [*dense, output(n_classes, look)])
