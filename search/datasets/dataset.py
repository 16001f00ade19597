"""A data set in memory."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.datasets.examples import example_problems, not_finite, pixel_max, to_examples
from search.datasets.targets import to_targets
from search.errors import InputError
from search.records import Task

Array = NDArray[Any]
Arrays = Mapping[str, Any]

Columns = Mapping[str, Sequence[str] | None]
"""Each column of a table, and the texts of which it holds one; None where it holds numbers."""

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
VALIDATION = ("x_val", "y_val")
WEIGHTS = "sample_weight_train"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples and what is to be said of them. Make one with `from_arrays`, which checks all.

    Examples are uint8 or uint16 (n, height, width, channels) where they are images, else uint8,
    uint16 or float32 (n, …) of any rank. Targets are int64 (n,), 0…n_classes-1, each class with at
    least two training examples; of several labels int64 (n, n_classes), 0 or 1; of a regression
    float32 (n, width). `class_names` has one name per class, label or number. Without a test set
    its arrays have the length 0; without a validation set they are None: it is split off.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    class_names: tuple[str, ...]
    task: Task = Task.CLASSIFICATION
    x_val: Array | None = None
    y_val: Array | None = None
    sample_weight_train: Array | None = None
    """float32 (n,), 0 or more: what each training example's loss counts; None: all the same."""
    columns: Columns | None = None
    """Of a table: what an example's numbers are."""

    @property
    def n_classes(self) -> int:
        """How many classes there are, or labels, or numbers for each example."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (height, width, channels) of an image."""
        return tuple(self.x_train.shape[1:])

    @property
    def pixel_max(self) -> int | None:
        """The largest value that a pixel can have; None where examples are no images."""
        return pixel_max(self.x_train)

    @property
    def is_images(self) -> bool:
        """Whether pixels are scaled, augmented and shown as pictures."""
        return self.pixel_max is not None

    @property
    def target_range(self) -> tuple[float, float] | None:
        """The smallest and the largest number that training has to predict; None of other tasks."""
        if self.task is not Task.REGRESSION:
            return None
        return float(self.y_train.min()), float(self.y_train.max())

    @property
    def has_test(self) -> bool:
        """Whether there are examples to test on."""
        return len(self.y_test) > 0

    @property
    def arrays(self) -> dict[str, Array]:
        """All arrays that it has, by the names that files have for them."""
        keys = (*ARRAYS, *VALIDATION, WEIGHTS)
        arrays = {key: getattr(self, key) for key in keys}
        return {key: array for key, array in arrays.items() if array is not None}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the arrays' types, shapes and values. Names are not part of it."""
        total = hashlib.sha256()
        for array in self.arrays.values():
            total.update(f"{array.dtype.str}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()


def from_arrays(
    name: str,
    arrays: Arrays,
    class_names: Sequence[str] | None = None,
    task: Task | None = None,
    *,
    place: str | None = None,
) -> Dataset:
    """Check `arrays` and bring them to Dataset's form.

    Keys are x_train and y_train, and x_test, y_test, x_val, y_val where there are such parts, and
    sample_weight_train (n,) where training examples' losses are to count differently.
    Images may lack the channel axis; numbers that are neither uint8 nor uint16 become float32.
    Targets may be labels (n,) of any integers or texts, rows of 0 and 1 with one 1 each (classes)
    or any number of them (labels), or floats, (n,) or (n, width) (a regression); `task` says it
    where the numbers don't, as of a regression's integers. Classes are numbered by their labels'
    order, which `class_names` may name instead.

    Raises InputError with every problem, each with `place`, where the arrays are from, or `name`.
    """
    ready, problems = _as_arrays(arrays)
    labels = {key: array for key, array in ready.items() if key.startswith("y")}
    raw = {key: array for key, array in ready.items() if key.startswith("x")}
    targets, target_problems = to_targets(labels, class_names, task)
    problems += [*example_problems(raw), *target_problems, *_length_problems(ready)]
    weights = ready.get(WEIGHTS)
    if weights is not None:
        problems += _weight_problems(weights, len(ready.get("y_train", weights)))
    if targets is None or problems:
        raise InputError([f"{place or name}: {problem}" for problem in problems])
    parts: dict[str, Any] = {**to_examples(raw), **targets.parts}
    if weights is not None:
        parts[WEIGHTS] = weights.astype(np.float32)
    parts.setdefault("x_test", parts["x_train"][:0])
    parts.setdefault("y_test", parts["y_train"][:0])
    return Dataset(name, class_names=targets.class_names, task=targets.task, **parts)


def _as_arrays(arrays: Arrays) -> tuple[dict[str, Array], list[str]]:
    """Those that data sets have, as arrays; and what is missing, or is no array."""
    problems = []
    ready: dict[str, Array] = {}
    for key in (*ARRAYS, *VALIDATION, WEIGHTS):
        if key in arrays:
            try:
                ready[key] = np.asarray(arrays[key])
            except ValueError as error:
                problems.append(
                    f"{key} is no array: rows must be of equal length ({error}); pad or cut them"
                )
    for part in ("test", "val"):  # a part without examples is none
        keys = [f"x_{part}", f"y_{part}"]
        if all(key in ready and ready[key].shape[:1] == (0,) for key in keys):
            for key in keys:
                del ready[key]
    for part in ("train", "test", "val"):
        keys = [f"x_{part}", f"y_{part}"]
        missing = [key for key in keys if key not in arrays]
        if missing and (part == "train" or len(missing) == 1):
            remedy = f"save {' and '.join(keys)}" + (", or neither" if part != "train" else "")
            problems += [f"array {key} is missing; {remedy}" for key in missing]
    return ready, problems


def _weight_problems(weights: Array, n: int) -> list[str]:
    if weights.shape != (n,) or weights.dtype.kind not in "buif":
        return [
            f"{WEIGHTS} must be a number for each of the {n:,} training examples, not"
            f" {weights.dtype} {weights.shape}"
        ]
    if problem := not_finite(WEIGHTS, weights):
        return [problem]
    if weights.min() < 0 or not weights.any():
        return [f"{WEIGHTS} must be 0 or more, and above 0 for some; the least is {weights.min()}"]
    return []


def _length_problems(arrays: Mapping[str, Array]) -> list[str]:
    problems = []
    for part in ("train", "test", "val"):
        pair = [arrays[key] for key in (f"x_{part}", f"y_{part}") if key in arrays]
        lengths = [len(array) for array in pair if array.ndim]
        if len(set(lengths)) == 2:
            problems.append(
                f"x_{part} and y_{part} must be of equal length, not {lengths[0]} and {lengths[1]}"
            )
    return problems
