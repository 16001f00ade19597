"""ResNeXt50 (32 groups of 4 filters) without its top, which keras.applications does not have.

Source: S. Xie et al., Aggregated residual transformations for deep neural networks, 2017.
Normalisation, padding and layer names are those of the published Keras variant, so the parameter
count is its own. That variant wrote a grouped convolution as a depthwise one and a sum, which holds
up to 32 times the activations; here it is one layer, whose kernel is the same weights in another
order.
"""

from functools import partial

import keras
from keras import layers

GROUPS = 32
STAGES = ((128, 3), (256, 4), (512, 6), (1024, 3))
"""Filters of the grouped convolutions, and number of blocks, in each stage."""

_norm = partial(layers.BatchNormalization, epsilon=1.001e-5)
_conv = partial(layers.Conv2D, use_bias=False)


def _block(
    x: keras.KerasTensor, filters: int, stride: int, name: str, *, project: bool
) -> keras.KerasTensor:
    shortcut = x
    if project:
        shortcut = _conv(2 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = _norm(name=f"{name}_0_bn")(shortcut)
    x = _norm(name=f"{name}_1_bn")(_conv(filters, 1, name=f"{name}_1_conv")(x))
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(layers.ReLU(name=f"{name}_1_relu")(x))
    x = _conv(filters, 3, strides=stride, groups=GROUPS, name=f"{name}_2_conv")(x)
    x = layers.ReLU(name=f"{name}_2_relu")(_norm(name=f"{name}_2_bn")(x))
    x = _norm(name=f"{name}_3_bn")(_conv(2 * filters, 1, name=f"{name}_3_conv")(x))
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


def resnext50(*, input_shape: tuple[int, int, int], name: str = "resnext50") -> keras.Model:
    """The convolutional part, weights fresh: images (n, h, w, c) → (n, h/32, w/32, 2048)."""
    inputs = keras.Input(input_shape)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = _norm(name="conv1_bn")(_conv(64, 7, strides=2, name="conv1_conv")(x))
    x = layers.ZeroPadding2D(1, name="pool1_pad")(layers.ReLU(name="conv1_relu")(x))
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (filters, blocks) in enumerate(STAGES):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _block(x, filters, stride, f"conv{stage + 2}_block{block + 1}", project=not block)
    return keras.Model(inputs, x, name=name)
