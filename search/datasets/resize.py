"""Bringing images to one size, their proportions kept: what is too long is cut at both ends."""

import re
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from search.datasets.image_data import ARRAYS, Array, ImageData, from_arrays
from search.errors import InputError
from search.untrusted import memory_problem

Size: TypeAlias = tuple[int, int]
"""Width and height, pixels."""

_SIZE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")


def size_of(text: str) -> Size:
    """The size that "64x64" is, width before height. Raises InputError."""
    if match := _SIZE.fullmatch(text):
        return int(match[1]), int(match[2])
    raise InputError(
        f"--resize: {text!r} is no size; give WIDTHxHEIGHT in pixels, 1 to 9999 each, such as 64x64"
    )


def resized(data: ImageData, size: Size) -> ImageData:
    """`data` with images of `size`. Raises InputError when there is too little memory for them."""
    n_images = len(data.y_train) + len(data.y_test)
    if problem := too_large(n_images, size[0] * size[1] * data.input_shape[2]):
        raise InputError(f"{data.name}: {problem}; give a smaller --resize")
    arrays: dict[str, Array] = {key: getattr(data, key) for key in ARRAYS}
    arrays |= {key: _fitted(array, size) for key, array in arrays.items() if key.startswith("x")}
    return from_arrays(data.name, arrays, data.class_names)


def too_large(n_images: int, n_values: int) -> str | None:
    """What is wrong with `n_images` of `n_values` bytes each, if there is too little memory."""
    problem = memory_problem(n_images * n_values)
    return problem and f"{n_images:,} images take {problem}"


def _fitted(images: Array, size: Size) -> NDArray[np.uint8]:
    fitted = np.empty((len(images), size[1], size[0], images.shape[3]), np.uint8)
    for place, image in zip(fitted, images, strict=True):
        for channel in range(image.shape[2]):
            place[..., channel] = np.asarray(
                ImageOps.fit(Image.fromarray(image[..., channel]), size)
            )
    return fitted
