"""Reading and writing data sets as .npz files, and reading them from folders of .npy files."""

import logging
import re
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from search.datasets.dataset import ARRAYS, VALIDATION, WEIGHTS, Array, Dataset, from_arrays
from search.datasets.examples import some
from search.errors import InputError
from search.files import whole_file
from search.records import Task
from search.untrusted import check_memory, opened

log = logging.getLogger(__name__)
_READ = (*ARRAYS, *VALIDATION, WEIGHTS, "class_names")
_WEIGHTS = re.compile(r"(sample|class)_?weight")
_COPIES = 2
"""How often the images are in memory while they are split."""
# What NumPy and zipfile raise on a file that is not what its name says, or was cut short.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def read(path: Path) -> dict[str, Array]:
    """Read the arrays of a data set and, where there is one, `class_names` from an .npz file;
    others are named in the log.

    Nothing is unpickled. Raises InputError when the file is missing, is no .npz, is damaged or
    needs pickle, or has weights by a name that is not read. An array that the file
    lacks is left out: `from_arrays` reports it with all else that is wrong.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        # Not numpy.load: given a path, it leaves the file open when the archive is broken.
        with opened(path) as raw, NpzFile(raw, allow_pickle=False) as file:
            check_fits(path, file, _READ)
            others = [k for k in file.files if k not in _READ]
            read_or_not = {k: _member(file, k) for k in _READ if k in file.files}
    except UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable .npz file ({error}); write it with numpy.savez"
        ) from error
    if weights := [k for k in others if _WEIGHTS.search(k.lower())]:
        rule = f"{path}: {', '.join(weights)} can't be used"
        remedy = f"training examples' weights are called {WEIGHTS}"
        raise InputError(f"{rule}; {remedy}, and those of classes are a setting, class_weight")
    if others:
        log.warning(
            "%s: not read: %s; images and labels are %s",
            path,
            some(sorted(others)),
            ", ".join(ARRAYS),
        )
    unread = {key: reason for key, reason in read_or_not.items() if isinstance(reason, str)}
    if unread:
        raise InputError(
            [
                f"{path}: array {key} can't be read: {why}; save it anew as numbers"
                for key, why in unread.items()
            ]
        )
    return {key: array for key, array in read_or_not.items() if not isinstance(array, str)}


def check_fits(path: Path, file: NpzFile, names: Collection[str]) -> None:
    """Raise InputError unless these arrays fit into memory: a small file may unpack to any."""
    members = file.zip.infolist() if file.zip else []
    sizes = [m.file_size for m in members if m.filename.removesuffix(".npy") in names]
    check_memory(_COPIES * sum(sizes), f"{path}: unpacked and split, it")


def _member(file: NpzFile, key: str) -> Array | str:
    """Return the array, or why it can't be read."""
    try:
        return np.asarray(file[key])
    except UNREADABLE as error:
        return str(error) or type(error).__name__


def load(
    path: Path, name: str, class_names: Sequence[str] | None = None, task: Task | None = None
) -> Dataset:
    """Load the data set in an .npz file, named `name`.

    `class_names` are used where the file holds none and their number fits. Raises InputError as
    `read` does, and with every problem of the arrays.
    """
    return _made(path, name, read(path), class_names, task)


def is_folder_of_arrays(path: Path) -> bool:
    """Whether the folder at `path` is laid out as `load_folder` reads it."""
    return (path / "x_train.npy").is_file()


def load_folder(path: Path, name: str, task: Task | None = None) -> Dataset:
    """Load the data set in a folder of x_train.npy, y_train.npy and whatever else an .npz may hold.

    Arrays are mapped, so that they may be larger than memory. Raises InputError as `load` does.
    """
    arrays = {}
    problems = []
    for key in _READ:
        file = path / f"{key}.npy"
        if file.exists():
            try:
                with opened(file):
                    arrays[key] = np.load(file, mmap_mode="r", allow_pickle=False)
            except UNREADABLE as error:
                problems.append(f"{file} can't be read ({error}); write it with numpy.save")
    if problems:
        raise InputError(problems)
    return _made(path, name, arrays, None, task)


def _made(
    path: Path,
    name: str,
    arrays: dict[str, Array],
    class_names: Sequence[str] | None,
    task: Task | None,
) -> Dataset:
    array = arrays.pop("class_names", None)
    names = None if array is None else [_text(n) for n in array.ravel().tolist()]
    data = from_arrays(name, arrays, names, task, place=str(path))
    if names is None and class_names is not None and len(class_names) == data.n_classes:
        return replace(data, class_names=tuple(class_names))
    return data


def _text(name: object) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def save(path: Path, data: Dataset) -> None:
    """Write `data` to `path` so that a reader sees the old file or the whole new one, never a part.

    Raises OSError when the disk refuses.
    """
    with whole_file(path) as file:
        np.savez(
            file,
            **data.arrays,  # type: ignore[arg-type]  # NumPy has no types for this
            class_names=np.array(data.class_names),
        )
