"""Numbers as networks take them: pixels scaled, each way alike for NumPy arrays and inside a graph;
others as they are, or standardised by what training saw.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.datasets.examples import pieces

_UNIT = np.float32(1 / 255)


@dataclass(frozen=True)
class Scaling:
    """What a batch goes through before it reaches a network."""

    how: str = "unit"
    """unit: pixels divided by the largest that they can be, other numbers as they are. standardise:
    zero mean and unit variance for each example. standard: for each place of the last axis (a
    column, a channel), over all examples that are trained on.
    """
    pixel_max: int | None = 255
    """None where examples are no images."""
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    """Of each place of the last axis, for standard alone."""

    def in_graph(self, examples: Any) -> Any:
        """A tensor (n, …) of any number type, scaled as float32, by Keras' operations."""
        if self.how == "standard":
            numbers = keras.ops.cast(examples, "float32")
            return (numbers - np.asarray(self.mean, "f4")) / np.asarray(self.deviation, "f4")
        if self.how == "unit" and self.pixel_max != 255:
            numbers = keras.ops.cast(examples, "float32")
            return numbers if self.pixel_max is None else numbers * np.float32(1 / self.pixel_max)
        return scale_in_graph(examples, self.how)

    def layer(self, rank: int) -> keras.Layer | None:
        """The same of examples with `rank` axes as a layer of Keras' own; None where there is
        nothing to do.
        """
        options = {"name": "scaling", "dtype": "float32"}
        if self.how == "standard":
            variance = np.square(self.deviation)
            return keras.layers.Normalization(
                axis=-1, mean=list(self.mean), variance=variance.tolist(), **options
            )
        if self.how == "standardise":
            # As `scale` does but for its floor of the deviation, which matters to examples of one
            # value only.
            axes = tuple(range(1, rank + 1))
            return keras.layers.LayerNormalization(
                axis=axes, center=False, scale=False, epsilon=1e-6, **options
            )
        if self.pixel_max is None:
            return None
        return keras.layers.Rescaling(1 / self.pixel_max, **options)


def standard(parts: Sequence[NDArray[Any]], pixel_max: int | None) -> Scaling:
    """The scaling by mean and deviation of all examples of `parts`, (n, …, width) each.

    What never changes is only shifted to 0.
    """
    axes = tuple(range(parts[0].ndim - 1))
    n = sum(part.size for part in parts) // parts[0].shape[-1]
    total = sum(rows.sum(axis=axes, dtype=np.float64) for rows in _pieces(parts))
    mean = total / n
    squares = sum(np.square(rows - mean).sum(axis=axes) for rows in _pieces(parts))
    deviation = np.sqrt(squares / n)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return Scaling("standard", pixel_max, tuple(mean.tolist()), tuple(deviation.tolist()))


def _pieces(parts: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for part in parts:
        for _, rows in pieces(part):
            yield rows


def scale(images: NDArray[np.uint8], how: str = "unit") -> NDArray[np.float32]:
    """Pixels 0…255 of shape (n, h, w, c) as float32 of the same shape.

    "unit": divided by 255. "standardise": zero mean and unit variance per image, a deviation below
    1/√(h·w·c) taken as that, as `tf.image.per_image_standardization` does. Raises ValueError for
    another name.
    """
    if how == "unit":
        return np.multiply(images, _UNIT, dtype=np.float32)
    _check(how)
    pixels = images.reshape(len(images), -1).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    # A product of each image with itself: unlike `std`, it needs no second array of all of them.
    deviation = np.sqrt(np.einsum("ij,ij->i", pixels, pixels) / np.float32(pixels.shape[1]))
    pixels /= np.maximum(deviation, np.float32(pixels.shape[1] ** -0.5))[:, None]
    return pixels.reshape(images.shape)


def scale_in_graph(images: Any, how: str = "unit") -> Any:
    """`scale` of a tensor (any number type, pixels 0…255) whose axes but the first are static."""
    pixels = keras.ops.cast(images, "float32")
    if how == "unit":
        return pixels * _UNIT
    _check(how)
    n_values = float(np.prod(pixels.shape[1:]))
    axes = tuple(range(1, len(pixels.shape)))
    pixels = pixels - keras.ops.mean(pixels, axis=axes, keepdims=True)
    deviation = keras.ops.sqrt(keras.ops.mean(keras.ops.square(pixels), axis=axes, keepdims=True))
    return pixels / keras.ops.maximum(deviation, n_values**-0.5)


def _check(how: str) -> None:
    if how != "standardise":
        raise ValueError(f"scaling: {how!r} is not known; give unit, standardise or standard")
