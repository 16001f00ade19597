"""The family convNN: a convolution or three, a pool and a dense part, in eight variants.

Source: M. Guz, K. Pątko, Convolutional neural networks for fashion classification, AGH 2020,
appendix A (there is no variant 5). The defaults are the document's values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
from keras import layers

from search.errors import InputError
from search.models.blocks import Params, Shape, classifier, drop, output, style


@dataclass(frozen=True)
class _Variant:
    features: Callable[[Params, float], list[keras.Layer]]
    """(params, dropout rate) → the layers before Flatten."""
    min_size: int
    """The least image height and width, in pixels, that every layer's window still fits."""
    dropout: float = 0.0
    dense: tuple[int, ...] = ()
    """Widths of the hidden Dense layers before the last one."""


def _conv(params: Params) -> keras.Layer:
    return layers.Conv2D(params.get("filters", 32), 3, **style(params))


def _one_conv(params: Params, rate: float) -> list[keras.Layer]:
    return [_conv(params), layers.MaxPooling2D(2), *drop(rate)]


def _three_convs(params: Params, rate: float) -> list[keras.Layer]:
    return [*_one_conv(params, rate), _conv(params), *drop(rate), _conv(params), *drop(rate)]


def _separable(params: Params, rate: float) -> list[keras.Layer]:
    look = style(params)
    conv = layers.SeparableConv2D(
        params.get("filters", 32),
        3,
        activation=look["activation"],
        depthwise_initializer=look["kernel_initializer"],
        pointwise_initializer=look["kernel_initializer"],
    )
    return [conv, layers.MaxPooling2D(2), *drop(rate)]


def _depthwise(params: Params, rate: float) -> list[keras.Layer]:
    look = style(params)
    # The document passes 28 where Keras expects the kernel size and (3, 3) where it expects the
    # strides.
    conv = layers.DepthwiseConv2D(
        28,
        strides=3,
        activation=look["activation"],
        depthwise_initializer=look["kernel_initializer"],
    )
    return [conv, *drop(rate)]


def _transposed(params: Params, rate: float) -> list[keras.Layer]:
    look = style(params)
    conv = layers.Conv2DTranspose(params.get("filters", 32), 3, **look)
    # The document applies relu twice, which changes nothing; twice another function would be
    # another network.
    again = [layers.Activation("relu")] if look["activation"] == "relu" else []
    return [conv, *again, layers.MaxPooling2D(2), *drop(rate)]


_VARIANTS = {
    "1": _Variant(_one_conv, min_size=4),
    "2": _Variant(_one_conv, min_size=4, dropout=0.15),
    "3": _Variant(_three_convs, min_size=12),
    "3a": _Variant(_three_convs, min_size=12, dropout=0.1),
    "4": _Variant(_three_convs, min_size=12, dropout=0.1, dense=(1000, 500)),
    "6": _Variant(_separable, min_size=4),
    "7": _Variant(_depthwise, min_size=28),
    "8": _Variant(_transposed, min_size=1),
}


def _build(variant: str, params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    chosen = _VARIANTS.get(variant)
    if chosen is None:
        raise InputError(f"convNN: variant must be one of {', '.join(_VARIANTS)}, not {variant!r}")
    height, width, _ = input_shape
    if min(height, width) < chosen.min_size:
        fits = [name for name, v in _VARIANTS.items() if min(height, width) >= v.min_size]
        raise InputError(
            f"convNN: variant {variant} needs images of at least"
            f" {chosen.min_size}×{chosen.min_size} pixels, these have {height}×{width}; take"
            f" variant {', '.join(fits)}, or larger images"
        )
    look = style(params)
    dense = [layers.Dense(width, **look) for width in (*chosen.dense, params.get("units", 100))]
    features = chosen.features(params, params.get("dropout", chosen.dropout))
    return classifier(f"convNN_{variant}", input_shape, features, [*dense, output(n_classes, look)])


def build(params: Params, *, input_shape: Shape, n_classes: int) -> keras.Model:
    """Build a network of the family, uncompiled: images (n, h, w, c) → class probabilities (n,
    n_classes).

    Reads from `params`: `variant` ("1", "2", "3", "3a", "4", "6", "7" or "8"; default "8", the
    document's best), `units` (width of the last hidden layer, 100), `filters` (32; not in variant
    7), `dropout` (a rate in [0, 1): 0.15 in variant 2, 0.1 in 3a and 4, otherwise 0, which adds no
    layer), `activation` of all hidden layers (relu) and `initializer` of all kernels
    (glorot_uniform).

    Raises InputError for an unknown variant, and for images too small for the variant's windows.
    """
    return _build(
        str(params.get("variant", "8")), params, input_shape=input_shape, n_classes=n_classes
    )


# The same with the variant fixed; they read no `variant` from params.
build_1 = partial(_build, "1")
build_2 = partial(_build, "2")
build_3 = partial(_build, "3")
build_3a = partial(_build, "3a")
build_4 = partial(_build, "4")
build_6 = partial(_build, "6")
build_7 = partial(_build, "7")
build_8 = partial(_build, "8")
