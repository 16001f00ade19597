"""A data set in memory, and every rule that it must keep."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search.errors import InputError
from search.text import text_problem

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images and labels, training and test. Make one with `from_arrays`, which checks everything.

    Images are uint8 (n, height, width, channels), 0–255. Labels are int64 (n,), 0…n_classes-1, each
    class with at least two training images. `class_names` has one name per label.
    """

    name: str
    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        _, height, width, channels = self.x_train.shape
        return height, width, channels

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the four arrays' types, shapes and values. Names are not part of it."""
        total = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def from_arrays(name: str, arrays: Arrays, class_names: Sequence[str] | None = None) -> ImageData:
    """Check `arrays` (keys as in `ARRAYS`) and bring them to ImageData's form.

    Images may lack the channel axis, labels may have any integer type and a second axis of length
    1. `class_names` defaults to the labels' numbers. Raises InputError with every problem that
    `problems` finds.
    """
    if mistakes := problems(arrays, class_names):
        raise InputError([f"{name}: {problem}" for problem in mistakes])
    images = {key: _with_channels(arrays[key]) for key in ("x_train", "x_test")}
    labels = {key: _flat(arrays[key]).astype(np.int64, copy=False) for key in ("y_train", "y_test")}
    names = class_names or [str(label) for label in range(int(labels["y_train"].max()) + 1)]
    return ImageData(name=name, **images, **labels, class_names=tuple(str(n) for n in names))  # type: ignore[arg-type]


def problems(arrays: Arrays, class_names: Sequence[str] | None = None) -> list[str]:
    """Every rule that `arrays` break, a sentence each; none when they can be used."""
    mistakes = [
        f"array {key} is missing; save {', '.join(ARRAYS)}" for key in ARRAYS if key not in arrays
    ]
    for key in arrays:
        if key in ARRAYS:
            mistakes += _alone(key, arrays[key])
    mistakes += [
        f"class {name!r}: its name {why}"
        for name in class_names or ()
        if (why := text_problem(str(name)))
    ]
    if mistakes:  # what follows compares sound arrays
        return mistakes
    return [
        *_together(arrays),
        *_label_problems(_flat(arrays["y_train"]), _flat(arrays["y_test"]), class_names),
    ]


def _with_channels(images: Array) -> Array:
    return images[..., np.newaxis] if images.ndim == 3 else images


def _flat(labels: Array) -> Array:
    return labels[:, 0] if labels.ndim == 2 else labels


def _alone(key: str, array: Array) -> list[str]:
    """Return what is wrong with one array, looked at without the others."""
    problems = []
    if key.startswith("x"):
        if array.dtype != np.uint8:
            problems.append(f"{key} must be uint8, 0–255, not {array.dtype}; scale and convert it")
        if array.ndim not in (3, 4):
            problems.append(
                f"{key} must have the shape (n, height, width[, channels]), not {array.shape}"
            )
        elif _channels_first(array.shape):
            rule = (
                f"{key} must have its channels last, (n, height, width, channels), but has the"
                f" shape {array.shape}"
            )
            problems.append(f"{rule}; save numpy.moveaxis({key}, 1, -1)")
    else:
        if array.dtype.kind not in "iu":
            problems.append(
                f"{key} must hold integers, not {array.dtype}; number the classes from 0"
            )
        if array.ndim != 1 and array.shape[1:] != (1,):
            problems.append(
                f"{key} must have the shape (n,), one label per image, not {array.shape}"
            )
    if array.size == 0:
        problems.append(
            f"{key} is empty (shape {array.shape}); it must hold at least one image or label"
        )
    return problems


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


def _together(arrays: Arrays) -> list[str]:
    problems = []
    for part in ("train", "test"):
        n_images, n_labels = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
        if n_images != n_labels:
            problems.append(
                f"x_{part} and y_{part} must be of equal length, not {n_images} and {n_labels}"
            )
    train, test = (_with_channels(arrays[key]).shape[1:] for key in ("x_train", "x_test"))
    if train != test:
        problems.append(f"training and test images must have one shape, not {train} and {test}")
    return problems


def _label_problems(train: Array, test: Array, class_names: Sequence[str] | None) -> list[str]:
    labels, counts = np.unique(train, return_counts=True)
    test_labels = np.unique(test)
    problems = [
        f"y_{part} has labels below 0, the least is {present[0]}; number the classes from 0"
        for part, present in (("train", labels), ("test", test_labels))
        if present[0] < 0
    ]
    if labels[0] >= 0 and len(labels) != int(labels[-1]) + 1:
        gap = next(i for i, label in enumerate(labels) if i != label)
        problems.append(
            f"y_train must use every label from 0 to its largest, {labels[-1]}, but has"
            f" {len(labels)} different ones and {gap} is missing; number the classes without gaps"
        )
    if len(labels) == 1:
        problems.append(f"y_train has one class only, {labels[0]}; a classifier needs at least two")
    if strange := sorted(set(test_labels.tolist()) - set(labels.tolist())):
        problems.append(
            f"y_test has labels that y_train has not: {some(strange)}; give both the same classes"
        )
    if few := [int(label) for label, count in zip(labels, counts, strict=True) if count < 2]:
        problems.append(
            "each class needs at least 2 training images, one of them to validate on; classes with"
            f" 1: {some(few)}"
        )
    if class_names and len(class_names) != len(labels):
        problems.append(
            f"class_names must name each of the {len(labels)} classes, but has {len(class_names)}"
            " names"
        )
    return problems


def some(items: Sequence[object], n: int = 10) -> str:
    """List the first `n` items and say how many more there are."""
    shown = ", ".join(str(item) for item in items[:n])
    return f"{shown} and {len(items) - n} more" if len(items) > n else shown
