"""A few training images of each class, kept with a study for people to look at."""

from pathlib import Path

import numpy as np

from search.artifacts import exists, whole
from search.datasets.split import Prepared, read_split

PER_CLASS = 8


def write_samples(data: Prepared, location: str | Path) -> None:
    """Write the first training images of every class to `location`, an .npz file; nothing if there
    is one.

    images: uint8 (n_classes, m, h, w, c), m ≤ PER_CLASS as the smallest class allows; class_names:
    text (n_classes,); counts: int64 (n_classes,) training images of each class. Raises OSError, and
    StudyError when the data is gone.
    """
    if exists(location):
        return
    split = read_split(data.folder)
    rows = [np.flatnonzero(split.y_train == label) for label in range(data.n_classes)]
    m = min(PER_CLASS, *(len(r) for r in rows))
    with whole(location) as file:
        np.savez_compressed(
            file,
            images=np.stack([split.x_train[r[:m]] for r in rows]),
            class_names=np.array(data.class_names),
            counts=np.array([len(r) for r in rows]),
        )
