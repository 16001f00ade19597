"""What the families share: parts that most networks are made of, and checks on sizes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import layers

from search.errors import InputError

Params = Mapping[str, Any]
Shape = tuple[int, int, int]
"""Height and width in pixels, channels."""


def style(
    params: Params, *, activation: str = "relu", initializer: str = "glorot_uniform"
) -> dict[str, str]:
    """`activation` and `initializer` of hidden layers as a Keras layer's keyword arguments."""
    # Names, not objects: Keras then makes each layer its own initializer.
    return {
        "activation": params.get("activation", activation),
        "kernel_initializer": params.get("initializer", initializer),
    }


def drop(rate: float) -> list[keras.Layer]:
    """Return a Dropout layer in a list, which is empty for a rate of 0."""
    return [layers.Dropout(rate)] if rate else []


def rates(params: Params, published: Sequence[float]) -> list[float]:
    """Return the dropout rates of a network that has several: `dropout` is the largest of them.

    The others keep the proportions of the `published` ones, so that one number makes the whole
    network more or less regular, and the published largest gives exactly the published rates.
    """
    largest = max(published)
    factor = params.get("dropout", largest) / largest
    return [rate * factor for rate in published]


def hidden(
    widths: Iterable[int], dropouts: Iterable[float], style: Mapping[str, str]
) -> list[keras.Layer]:
    """Return Dense layers, each followed by its dropout."""
    stack = []
    for width, rate in zip(widths, dropouts, strict=True):
        stack += [layers.Dense(width, **style), *drop(rate)]
    return stack


def output(n_classes: int, style: Mapping[str, str]) -> keras.Layer:
    """Return the last layer: one probability per class."""
    return layers.Dense(
        n_classes, activation="softmax", kernel_initializer=style["kernel_initializer"]
    )


def classifier(
    name: str, input_shape: Shape, features: Sequence[Any], dense: Sequence[Any]
) -> keras.Model:
    """The network with layers `features` on images, and layers `dense` on the flat rest."""
    return keras.Sequential(
        [keras.Input(input_shape), *features, layers.Flatten(), *dense], name=name
    )


def least_size(stack: Sequence[keras.Layer]) -> int:
    """Return the least height and width, in pixels, that leave every window of unbuilt layers in a
    row its place.

    Windows are square and the same along both sides, as in all networks here.
    """
    size = 1
    for layer in reversed(stack):
        if isinstance(layer, layers.ZeroPadding2D):
            size = max(1, size - sum(layer.padding[0]))
        elif (
            window := getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        ) is not None:
            size = (size - 1) * layer.strides[0] + (window[0] if layer.padding == "valid" else 1)
    return size


def check_size(model: str, setting: str, input_shape: Shape, least: int, remedy: str) -> None:
    """Raise InputError where images have fewer than `least` pixels along a side.

    `setting` says which values ask for that many, `remedy` what to take instead, besides larger
    images.
    """
    height, width, _ = input_shape
    if min(height, width) < least:
        raise InputError(
            f"{model}: {setting} needs images of at least {least}×{least} pixels, these have"
            f" {height}×{width}; take {remedy}larger images"
        )


def check_whole(model: str, name: str, value: object, low: int, high: int | None = None) -> None:
    """Raise InputError unless `value` is a whole number from `low` to `high` (None: no end)."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and low <= value <= (value if high is None else high)
    ):
        return
    span = f"from {low}" if high is None else f"from {low} to {high}"
    raise InputError(
        f"{model}: {name} must be a whole number {span}, not {value!r}; give one of these"
    )


def check_depth(
    model: str,
    depth: int,
    input_shape: Shape,
    least_of: Callable[[int], int],
    *,
    deepest: int | None = None,
) -> None:
    """Raise InputError for a depth not from 1 to `deepest` (None: without end), or too deep for the
    images.

    `least_of` says how many pixels along a side a depth needs.
    """
    check_whole(model, "depth", depth, 1, deepest)
    fits = [d for d in range(1, depth) if least_of(d) <= min(input_shape[:2])]
    check_size(
        model,
        f"depth {depth}",
        input_shape,
        least_of(depth),
        f"depth {fits[-1]}, or " if fits else "",
    )
