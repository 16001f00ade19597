"""A few training images of each class, kept with a study for people to look at, and names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.artifacts import exists, whole
from search.datasets.dataset import Array
from search.datasets.split import Prepared, read_split
from search.records import Task

PER_CLASS = 8


def write_samples(data: Prepared, location: str | Path) -> None:
    """Write the first training images of every class to `location`, an .npz file; nothing if there
    is one.

    images: uint8 (n_classes, m, h, w, c), m ≤ PER_CLASS as the smallest class allows, 0 where
    examples are no images; class_names: text (n_classes,); counts: int64 (n_classes,) training
    examples of each class or label; of a table columns: its `Columns` as JSON. Raises OSError, and
    StudyError when the data is gone.
    """
    if exists(location):
        return
    split = read_split(data.folder)
    rows = [_rows_of(split.y_train, label, data.task) for label in range(data.n_classes)]
    m = min(PER_CLASS, *(len(r) for r in rows)) if data.is_images else 0
    if m:
        images = to_8_bits(np.stack([split.x_train[r[:m]] for r in rows]))
    else:
        images = np.empty((len(rows), 0, 1, 1, 1), np.uint8)
    arrays: dict[str, Any] = {
        "images": images,
        "class_names": np.array(data.class_names),
        "counts": np.array([len(r) for r in rows]),
    }
    if data.columns is not None:
        arrays["columns"] = np.array(json.dumps(data.columns))
    with whole(location) as file:
        np.savez_compressed(file, **arrays)


def to_8_bits(images: Array) -> NDArray[np.uint8]:
    """Images uint8, or uint16 of which the upper half is left, for people to look at."""
    if images.dtype == np.uint16:
        return np.asarray(images >> 8, dtype=np.uint8)
    return np.asarray(images, dtype=np.uint8)


def _rows_of(targets: Array, label: int, task: Task) -> NDArray[np.int64]:
    """The examples of a class, of a label, or all of them where targets are numbers."""
    match task:
        case Task.REGRESSION:
            return np.arange(len(targets))
        case Task.MULTILABEL:
            return np.flatnonzero(targets[:, label])
        case Task.CLASSIFICATION | Task.BINARY:
            return np.flatnonzero(targets == label)
