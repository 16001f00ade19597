"""Bringing images to one size, their proportions kept: what is too long is cut at both ends."""

import re
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps

from search.datasets.dataset import Array, Dataset, from_arrays
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


def resized(data: Dataset, size: Size) -> Dataset:
    """`data` with images of `size`. Raises InputError when there is too little memory for them."""
    if not data.is_images:
        shape = "×".join(map(str, data.input_shape))
        rule = f"{data.name}: its examples, {data.x_train.dtype} of {shape}, are no images"
        raise InputError(f"{rule}; leave out --resize")
    arrays = data.arrays
    n_images = sum(len(array) for key, array in arrays.items() if key.startswith("x"))
    n_bytes = size[0] * size[1] * data.input_shape[2] * data.x_train.itemsize
    if problem := too_large(n_images, n_bytes):
        raise InputError(f"{data.name}: {problem}; give a smaller --resize")
    arrays |= {key: _fitted(array, size) for key, array in arrays.items() if key.startswith("x")}
    return from_arrays(data.name, arrays, data.class_names, data.task)


def too_large(n_images: int, n_bytes: int) -> str | None:
    """What is wrong with `n_images` of `n_bytes` each, if there is too little memory."""
    problem = memory_problem(n_images * n_bytes)
    return problem and f"{n_images:,} images take {problem}"


def _fitted(images: Array, size: Size) -> Array:
    fitted = np.empty((len(images), size[1], size[0], images.shape[3]), images.dtype)
    for place, image in zip(fitted, images, strict=True):
        for channel in range(image.shape[2]):
            place[..., channel] = fit(image[..., channel], size)
    return fitted


def fit(channel: Array, size: Size) -> Array:
    """One channel (height, width), uint8 or uint16, brought to `size`."""
    if channel.dtype == np.uint8:
        return np.asarray(ImageOps.fit(Image.fromarray(channel), size))
    # Pillow resamples 16 bits as floats alone.
    exact = np.asarray(ImageOps.fit(Image.fromarray(channel.astype(np.float32)), size))
    fitted: Array = np.clip(np.rint(exact), 0, np.iinfo(channel.dtype).max).astype(channel.dtype)
    return fitted
