"""Arrays of examples: the rules that they must keep, and the form in which they are kept."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

log = logging.getLogger(__name__)

_PIXELS = (np.dtype(np.uint8), np.dtype(np.uint16))
_EXACT = 2**24
"""Whole numbers up to here differ in float32."""
_PIECE = 2**24
"""Bytes that are looked at together, so that no second array of all examples is made."""


def pixel_max(examples: Array) -> int | None:
    """The largest value of a pixel of images (n, height, width, channels); None of others."""
    if examples.dtype not in _PIXELS or examples.ndim != 4:
        return None
    return int(np.iinfo(examples.dtype).max)


def to_examples(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Sound arrays as they are kept: images with their channels' axis, what are no bytes and no
    16-bit numbers as float32. A conversion is told in the log.
    """
    examples = {}
    for key, array in arrays.items():
        if array.dtype in _PIXELS:
            examples[key] = _with_channels(array)
        elif array.dtype == np.float32:
            examples[key] = array
        else:
            log.info("%s: %s is taken as float32", key, array.dtype)
            examples[key] = array.astype(np.float32)
    return examples


def example_problems(arrays: Mapping[str, Array]) -> list[str]:
    """Every rule that x_train and the others break, a sentence each; none when they can be used."""
    problems = []
    for key, array in arrays.items():
        problems += _alone(key, array)
    if problems or "x_train" not in arrays:
        return problems
    train = arrays["x_train"]
    for key, array in arrays.items():
        if _kept_type(array) != _kept_type(train):
            problems.append(
                f"x_train and {key} must be of one type, not {train.dtype} and {array.dtype};"
                " convert one of them"
            )
        elif (shape := _shape(array)) != _shape(train):
            problems.append(
                f"x_train and {key} must have examples of one shape, not {_shape(train)} and"
                f" {shape}"
            )
    return problems


def not_finite(key: str, array: Array) -> str | None:
    """What is wrong with the numbers of `array`, if some are NaN or infinite as float32."""
    if array.dtype.kind != "f":
        return None
    n_nan = n_infinite = 0
    first = None
    for begin, rows in pieces(array):
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(rows.astype(np.float32))
        if bad.any():
            is_nan = np.isnan(rows)
            n_nan += int(is_nan.sum())
            n_infinite += int((bad & ~is_nan).sum())
            of_rows = bad.reshape(len(rows), -1).any(axis=1)
            first = begin + int(of_rows.argmax()) if first is None else first
    if first is None:
        return None
    counts = [f"{n_nan:,} NaN"] * bool(n_nan) + [f"{n_infinite:,} infinite"] * bool(n_infinite)
    return (
        f"{key} has {' and '.join(counts)} of {array.size:,} values, the first in row {first};"
        " fill them in, or leave these rows out"
    )


def pieces(array: Array) -> Iterator[tuple[int, Array]]:
    """Pairs of where it begins and a few megabytes of `array`, which may be mapped."""
    step = max(1, _PIECE // max(1, array[:1].nbytes))
    for begin in range(0, len(array), step):
        yield begin, array[begin : begin + step]


def _kept_type(array: Array) -> np.dtype[Any]:
    return array.dtype if array.dtype in _PIXELS else np.dtype(np.float32)


def _shape(array: Array) -> tuple[int, ...]:
    """The shape of one example."""
    images = _with_channels(array) if array.dtype in _PIXELS else array
    return tuple(images.shape[1:])


def _with_channels(images: Array) -> Array:
    return images[..., np.newaxis] if images.ndim == 3 else images


def _alone(key: str, array: Array) -> list[str]:
    """Return what is wrong with one array, looked at without the others."""
    problems = []
    if array.dtype.kind not in "buif":
        remedy = "save an array of numbers"
        if array.dtype.kind == "O":
            remedy = "rows must be numbers and of equal length: pad or cut them"
        problems.append(f"{key} must hold numbers, not {array.dtype}; {remedy}")
    if array.ndim < 2:
        problems.append(
            f"{key} must have the shape (n, …), an example in each row, not {array.shape}; of one"
            f" number each save {key}[:, None]"
        )
    elif array.size == 0:
        problems.append(f"{key} is empty (shape {array.shape}); it must hold at least one example")
    elif array.dtype in _PIXELS and _channels_first(array.shape):
        rule = (
            f"{key} must have its channels last, (n, height, width, channels), but has the"
            f" shape {array.shape}"
        )
        problems.append(f"{rule}; save numpy.moveaxis({key}, 1, -1)")
    if not problems:
        problems += [p for p in (not_finite(key, array), _too_large(key, array)) if p]
    return problems


def _too_large(key: str, array: Array) -> str | None:
    """What is wrong with whole numbers that float32 can't tell apart."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
        return None
    largest = max(abs(int(array.min())), abs(int(array.max())))
    if largest <= _EXACT:
        return None
    return (
        f"{key} has whole numbers up to {largest:,}, but float32, as which it is trained on, tells"
        f" them apart up to {_EXACT:,}; number or scale them"
    )


def _channels_first(shape: tuple[int, ...]) -> bool:
    """Whether images (n, a, b, c) can only be meant as (n, channels, height, width)."""
    if len(shape) != 4:
        return False
    channels, height, width = shape[1:]
    return (
        channels in {1, 3, 4}
        and min(height, width) > 4
        and max(height, width) <= 4 * min(height, width)
    )


def some(items: Sequence[object], n: int = 10) -> str:
    """List the first `n` items and say how many more there are."""
    shown = ", ".join(str(item) for item in items[:n])
    return f"{shown} and {len(items) - n} more" if len(items) > n else shown
