"""The family convNN: a convolution or three, a pool and a dense part, in eight variants.

Source: M. Guz, K. Pątko, Convolutional neural networks for fashion classification, AGH 2020, appendix A
(there is no variant 5). The defaults are the document's values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
from keras import layers

from search.errors import InputError

Params = Mapping[str, Any]


@dataclass(frozen=True)
class _Variant:
    features: Callable[[Params, float], list[keras.Layer]]
    """(params, dropout rate) → the layers before Flatten."""
    min_size: int
    """The least image height and width, in pixels, that every layer's window still fits."""
    dropout: float = 0.0
    dense: tuple[int, ...] = ()
    """Widths of the hidden Dense layers before the last one."""


def _common(params: Params) -> tuple[str, str]:
    # Names, not objects: Keras then makes each layer its own initializer.
    return params.get("activation", "relu"), params.get("initializer", "glorot_uniform")


def _drop(rate: float) -> list[keras.Layer]:
    return [layers.Dropout(rate)] if rate else []


def _conv(params: Params) -> keras.Layer:
    activation, initializer = _common(params)
    return layers.Conv2D(params.get("filters", 32), 3, activation=activation, kernel_initializer=initializer)


def _one_conv(params: Params, rate: float) -> list[keras.Layer]:
    return [_conv(params), layers.MaxPooling2D(2), *_drop(rate)]


def _three_convs(params: Params, rate: float) -> list[keras.Layer]:
    return [*_one_conv(params, rate), _conv(params), *_drop(rate), _conv(params), *_drop(rate)]


def _separable(params: Params, rate: float) -> list[keras.Layer]:
    activation, initializer = _common(params)
    conv = layers.SeparableConv2D(
        params.get("filters", 32),
        3,
        activation=activation,
        depthwise_initializer=initializer,
        pointwise_initializer=initializer,
    )
    return [conv, layers.MaxPooling2D(2), *_drop(rate)]


def _depthwise(params: Params, rate: float) -> list[keras.Layer]:
    activation, initializer = _common(params)
    # The document passes 28 where Keras expects the kernel size and (3, 3) where it expects the strides.
    conv = layers.DepthwiseConv2D(28, strides=3, activation=activation, depthwise_initializer=initializer)
    return [conv, *_drop(rate)]


def _transposed(params: Params, rate: float) -> list[keras.Layer]:
    activation, initializer = _common(params)
    conv = layers.Conv2DTranspose(params.get("filters", 32), 3, activation=activation, kernel_initializer=initializer)
    # The document applies relu twice, which changes nothing; twice another function would be another network.
    again = [layers.Activation("relu")] if activation == "relu" else []
    return [conv, *again, layers.MaxPooling2D(2), *_drop(rate)]


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


def _build(variant: str, params: Params, *, input_shape: tuple[int, int, int], n_classes: int) -> keras.Model:
    chosen = _VARIANTS.get(variant)
    if chosen is None:
        raise InputError(f"convNN: variant must be one of {', '.join(_VARIANTS)}, not {variant!r}")
    height, width, _ = input_shape
    if min(height, width) < chosen.min_size:
        fits = [name for name, v in _VARIANTS.items() if min(height, width) >= v.min_size]
        raise InputError(
            f"convNN: variant {variant} needs images of at least {chosen.min_size}×{chosen.min_size} pixels, "
            f"these have {height}×{width}; take variant {', '.join(fits)}, or larger images"
        )
    activation, initializer = _common(params)
    widths = (*chosen.dense, params.get("units", 100))
    hidden = [layers.Dense(w, activation=activation, kernel_initializer=initializer) for w in widths]
    return keras.Sequential(
        [
            keras.Input(input_shape),
            *chosen.features(params, params.get("dropout", chosen.dropout)),
            layers.Flatten(),
            *hidden,
            layers.Dense(n_classes, activation="softmax", kernel_initializer=initializer),
        ],
        name=f"convNN_{variant}",
    )


def build(params: Params, *, input_shape: tuple[int, int, int], n_classes: int) -> keras.Model:
    """Build a network of the family, uncompiled: images (n, h, w, c) → class probabilities (n, n_classes).

    Reads from `params`: `variant` ("1", "2", "3", "3a", "4", "6", "7" or "8"; default "8", the document's
    best), `units` (width of the last hidden layer, 100), `filters` (32; not in variant 7), `dropout` (a rate
    in [0, 1): 0.15 in variant 2, 0.1 in 3a and 4, otherwise 0, which adds no layer), `activation` of all
    hidden layers (relu) and `initializer` of all kernels (glorot_uniform).

    Raises InputError for an unknown variant, and for images too small for the variant's windows.
    """
    return _build(str(params.get("variant", "8")), params, input_shape=input_shape, n_classes=n_classes)


# The same with the variant fixed; they read no `variant` from params.
build_1 = partial(_build, "1")
build_2 = partial(_build, "2")
build_3 = partial(_build, "3")
build_3a = partial(_build, "3a")
build_4 = partial(_build, "4")
build_6 = partial(_build, "6")
build_7 = partial(_build, "7")
build_8 = partial(_build, "8")
