"""Data sets: a module per registered name with `load() -> Dataset`, and users' own files."""

import logging
import os
from pathlib import Path

import numpy as np

from search import registry
from search.datasets import folder, npz
from search.datasets.dataset import Dataset, from_arrays
from search.datasets.examples import some
from search.datasets.resize import Size, resized, size_of
from search.errors import InputError
from search.files import plain_name
from search.records import Task
from search.text import text_problem

log = logging.getLogger(__name__)


def load(data: str, task: Task | None = None) -> Dataset:
    """Load a data set: a registered name, the path of an .npz file, or the path of a folder of
    images by class.

    What is no registered name is a path if it ends in .npz, has a path separator or exists:
    `digits` is the registered set, `./digits` a folder. After an @ may stand a size that images are
    brought to: `photos@64x64`. The file holds x_train and y_train, and may hold x_test, y_test,
    x_val, y_val and class_names, as `from_arrays` takes them; `task` says what targets are where
    they don't. The folder is laid out as `folder` says.

    Raises InputError with everything that is wrong: an unknown name, no source reachable, an
    unreadable file, or arrays that break a rule. A class without test examples is told in the log.
    """
    source, text = _apart(data)
    size = size_of(text) if text else None
    if _is_path(source):
        loaded = _load_path(source, data_name(data), size, task)
    else:
        loaded = _load_registered(source, data, size, task)
    if untested := _untested(loaded):
        log.warning(
            "%s: the test set has no %s of %s: what it measures says nothing of them",
            loaded.name,
            "image" if loaded.is_images else "example",
            some(untested),
        )
    return loaded


def _untested(data: Dataset) -> list[str]:
    """The classes that no test example is of, where there are both."""
    if data.task is not Task.CLASSIFICATION or not data.has_test:
        return []
    counts = np.bincount(data.y_test, minlength=data.n_classes)
    return [name for name, count in zip(data.class_names, counts, strict=True) if not count]


def sized(data: str, size: str | None) -> str:
    """What names `data` with its images brought to `size`, such as 64x64; None: as they are."""
    return data if size is None else f"{data}@{size}"


def data_name(data: str) -> str:
    """Give the short name that studies and folders use: a path's last part without .npz, fit for a
    path; and the size.

    A path never gets a registered name: what was found on that data says nothing about the user's
    own.
    """
    source, size = _apart(data)
    if not _is_path(source):
        return _clean(f"{source}-{size}" if size else source)
    path = _absolute(source)
    name = _clean(path.stem if _is_npz(source) else path.name)
    name = f"{name}-own" if name in registry.names(registry.DATASETS) else name
    return _clean(f"{name}-{size}") if size else name


def data_source(data: str) -> str:
    """Give what loads the data from any working folder: a registered name, or an absolute path."""
    source, size = _apart(data)
    return sized(str(_absolute(source)), size or None) if _is_path(source) else data


def _apart(data: str) -> tuple[str, str]:
    """What names the data, and the size after the @, if any; a name or path may have an @."""
    source, _, size = data.rpartition("@")
    is_whole = (
        not source
        or os.sep in size
        or data in registry.names(registry.DATASETS)
        or _absolute(data).exists()
    )
    return (data, "") if is_whole or _is_npz(size) else (source, size)


def _load_registered(name: str, data: str, size: Size | None, task: Task | None) -> Dataset:
    loaded = registry.load_loader(name)()
    if not isinstance(loaded, Dataset):
        raise InputError(
            f"{name}: its loader must return search.datasets.dataset.Dataset, not {type(loaded)}"
        )
    checked = from_arrays(data_name(data), loaded.arrays, loaded.class_names, task or loaded.task)
    return resized(checked, size) if size else checked


def _load_path(data: str, name: str, size: Size | None, task: Task | None) -> Dataset:
    path = _absolute(data)
    if problem := text_problem(str(path)):
        raise InputError(f"DATA: {data!r}: a path {problem}, or rename it")
    if path.is_dir() and not _is_npz(data):
        return folder.load(path, name, size)
    if path.is_file() and _is_npz(data):
        arrays = npz.load(path, name, task=task)
        return resized(arrays, size) if size else arrays
    if path.is_file():
        raise InputError(
            f"DATA: {data}: neither an .npz file nor a folder; unpack an archive and give its"
            " folder"
        )
    near = registry.nearest(path.stem, registry.names(registry.DATASETS))
    kind = "file" if _is_npz(data) else "folder"
    raise InputError(
        f"DATA: {data}: no such {kind}; check the path, or give a registered name: {near}"
    )


def _is_path(data: str) -> bool:
    if data in registry.names(registry.DATASETS):
        return False
    separators = {os.sep, os.altsep or os.sep}
    return (
        _is_npz(data)
        or not separators.isdisjoint(data)
        or (data != "" and _absolute(data).exists())
    )


def _is_npz(data: str) -> bool:
    return data.lower().endswith(".npz")


def _absolute(data: str) -> Path:
    """Without `..`, whose folder has another name; links are kept: they are the user's choice."""
    return Path(os.path.abspath(os.path.expanduser(data)))


def _clean(name: str) -> str:
    return plain_name(name).strip("-.") or "data"
