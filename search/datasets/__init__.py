"""Data sets: one module per registered name, each a loader `load() -> ImageData`, and users' own files and folders."""

import os
import re
from pathlib import Path

import numpy as np

from search import registry
from search.datasets import folder, npz
from search.datasets.image_data import ARRAYS, ImageData, from_arrays
from search.errors import InputError


def load(data: str) -> ImageData:
    """Load a data set: a registered name, the path of an .npz file, or the path of a folder of images by class.

    What is no registered name is a path if it ends in .npz, has a path separator or exists: `digits` is the
    registered set, `./digits` a folder.
    The file holds x_train, y_train, x_test, y_test (images uint8 (n, h, w[, c]), labels integers (n,) from 0)
    and may hold class_names. The folder is laid out as `folder` says.

    Raises InputError with everything that is wrong: an unknown name, no source reachable, an unreadable file,
    or arrays that break a rule of `image_data.problems`.
    """
    if _is_path(data):
        return _load_path(data)
    loaded = registry.load_loader(data)()
    if not isinstance(loaded, ImageData):
        raise InputError(f"{data}: its loader must return search.datasets.image_data.ImageData, not {type(loaded)}")
    arrays = {key: np.asarray(getattr(loaded, key)) for key in ARRAYS}
    return from_arrays(data_name(data), arrays, loaded.class_names)


def data_name(data: str) -> str:
    """Give the short name that studies and folders use: a path's last part without .npz, fit for a path.

    A path never gets a registered name: what was found on that data says nothing about the user's own.
    """
    if not _is_path(data):
        return _clean(data)
    own = _absolute(data)
    name = _clean(own.stem if _is_npz(data) else own.name)
    return f"{name}-own" if name in registry.names(registry.DATASETS) else name


def data_source(data: str) -> str:
    """Give what loads the data from any working folder: a registered name, or an absolute path."""
    return str(_absolute(data)) if _is_path(data) else data


def _load_path(data: str) -> ImageData:
    path = _absolute(data)
    if path.is_dir() and not _is_npz(data):
        return folder.load(path, data_name(data))
    if path.is_file() and _is_npz(data):
        return npz.load(path, data_name(data))
    if path.is_file():
        raise InputError(f"DATA: {data}: neither an .npz file nor a folder; unpack an archive and give its folder")
    near = registry.nearest(path.stem, registry.names(registry.DATASETS))
    kind = "file" if _is_npz(data) else "folder"
    raise InputError(f"DATA: {data}: no such {kind}; check the path, or give a registered name: {near}")


def _is_path(data: str) -> bool:
    if data in registry.names(registry.DATASETS):
        return False
    separators = {os.sep, os.altsep or os.sep}
    return _is_npz(data) or not separators.isdisjoint(data) or (data != "" and _absolute(data).exists())


def _is_npz(data: str) -> bool:
    return data.lower().endswith(".npz")


def _absolute(data: str) -> Path:
    """Without `..`, whose folder has another name, but with links kept: their names are the user's choice."""
    return Path(os.path.abspath(os.path.expanduser(data)))


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"
