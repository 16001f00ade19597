"""Data sets: one module per registered name, each a loader `load() -> ImageData`, and any user's .npz."""

import re
from pathlib import Path

import numpy as np

from search import registry
from search.datasets import npz
from search.datasets.image_data import ARRAYS, ImageData, from_arrays
from search.errors import InputError


def load(data: str) -> ImageData:
    """Load a data set: a registered name, or the path of an .npz file.

    The file holds x_train, y_train, x_test, y_test (images uint8 (n, h, w[, c]), labels integers (n,) from 0)
    and may hold class_names.

    Raises InputError with everything that is wrong: an unknown name, no source reachable, an unreadable file,
    or arrays that break a rule of `image_data.problems`.
    """
    if _is_file(data):
        path = Path(data).expanduser()
        if not path.is_file():
            known = ", ".join(registry.names(registry.DATASETS))
            raise InputError(f"DATA: {data}: no such file; check the path, or take one of {known}")
        return npz.load(path, data_name(data))
    loaded = registry.load_loader(data)()
    if not isinstance(loaded, ImageData):
        raise InputError(f"{data}: its loader must return search.datasets.image_data.ImageData, not {type(loaded)}")
    arrays = {key: np.asarray(getattr(loaded, key)) for key in ARRAYS}
    return from_arrays(data_name(data), arrays, loaded.class_names)


def data_name(data: str) -> str:
    """Give the short name that studies and folders use: a file's name without .npz, fit for a path."""
    stem = Path(data).stem if _is_file(data) else data
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "data"


def data_source(data: str) -> str:
    """Give what loads the data from any working folder: a registered name, or a file's absolute path."""
    return str(Path(data).expanduser().absolute()) if _is_file(data) else data


def _is_file(data: str) -> bool:
    return data.lower().endswith(".npz")
