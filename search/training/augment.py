"""Random rotation, shift, zoom and mirroring of training images, in one resampling.

One affine transform instead of a Keras layer for each: the image is interpolated once, and it takes
a fraction of the time. It is no part of the network, so neither validation nor the saved model
knows of it.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras

from search.errors import InputError


def augmentation(params: Mapping[str, Any], input_shape: tuple[int, ...]) -> "Augmentation | None":
    """The augmentation that `params` ask for of images of shape (h, w, c); None when they ask for
    none. Raises InputError when they ask for one of anything else.

    Read are rotate (± degrees), shift (± fraction of height and width), zoom (± fraction, of height
    and width apart) and flip (mirrored left to right, every other image). Its seed comes from
    Python's `random`, as all of Keras' do: after `keras.utils.set_random_seed` it repeats.
    """
    rotate, shift, zoom = (float(params.get(name, 0.0)) for name in ("rotate", "shift", "zoom"))
    flip = bool(params.get("flip", False))
    if not (rotate or shift or zoom or flip):
        return None
    if len(input_shape) != 3:
        shape = "×".join(map(str, input_shape))
        raise InputError(
            "rotate, shift, zoom and flip are for images (height, width, channels), not for"
            f" examples of {shape}; leave them out"
        )
    height, width, channels = input_shape
    return Augmentation((height, width, channels), rotate=rotate, shift=shift, zoom=zoom, flip=flip)


class Augmentation(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Maps float32 images (n, h, w, c) to as many of the same shape where `training`, else to
    themselves.

    Drawn evenly and anew for each image; what comes in from outside repeats the nearest pixel. The
    order, zoom before shift before rotation about the centre, is that of Keras' old
    ImageDataGenerator. `variables` hold the whole state: with them restored, the same images
    follow.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        rotate: float,
        shift: float,
        zoom: float,
        flip: bool,
    ) -> None:
        # float32 under any policy: half precision can't address the pixels of a large image.
        super().__init__(name="augmentation", dtype="float32", trainable=False)
        self._height, self._width, _ = input_shape
        self._angle, self._shift, self._zoom, self._flip = math.radians(rotate), shift, zoom, flip
        self._seed = keras.random.SeedGenerator()

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the images transformed, or as they are."""
        if not training:
            return images
        draws = keras.random.uniform((keras.ops.shape(images)[0], 6), -1.0, 1.0, seed=self._seed)
        return keras.ops.image.affine_transform(
            images,
            self._transforms(draws),
            "bilinear",
            fill_mode="nearest",
            data_format="channels_last",
        )

    def _transforms(self, draws: Any) -> Any:
        """From draws (n, 6) in ±1 to (n, 8): each image's map from a new pixel to its source."""
        ops = keras.ops
        angle, across, down, wide, high, mirror = (draws[:, i] for i in range(6))
        angle, across, down = (
            angle * self._angle,
            across * self._shift * self._width,
            down * self._shift * self._height,
        )
        wide, high = 1.0 + wide * self._zoom, 1.0 + high * self._zoom
        wide = wide * ops.where(mirror < 0, -1.0, 1.0) if self._flip else wide
        cos, sin = ops.cos(angle), ops.sin(angle)
        x, y = (self._width - 1) / 2, (self._height - 1) / 2
        to_x, to_y = across - wide * x, down - high * y
        rows = [
            cos * wide,
            -sin * high,
            cos * to_x - sin * to_y + x,
            sin * wide,
            cos * high,
            sin * to_x + cos * to_y + y,
        ]
        return ops.stack([*rows, ops.zeros_like(cos), ops.zeros_like(cos)], axis=1)
