"""Pixels as networks take them: two ways, each alike for NumPy arrays and inside a graph."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

_UNIT = np.float32(1 / 255)


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
    """`scale` of a tensor (any number type, pixels 0…255) with static h, w and c."""
    pixels = keras.ops.cast(images, "float32")
    if how == "unit":
        return pixels * _UNIT
    _check(how)
    n_values = float(np.prod(pixels.shape[1:]))
    pixels = pixels - keras.ops.mean(pixels, axis=(1, 2, 3), keepdims=True)
    deviation = keras.ops.sqrt(
        keras.ops.mean(keras.ops.square(pixels), axis=(1, 2, 3), keepdims=True)
    )
    return pixels / keras.ops.maximum(deviation, n_values**-0.5)


def _check(how: str) -> None:
    if how != "standardise":
        raise ValueError(f"scaling: {how!r} is not known; give unit or standardise")
