"""Examples that somebody wants predicted → arrays in the form of a data set's examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from search.datasets import pictures
from search.datasets.dataset import Columns
from search.datasets.examples import some
from search.datasets.npz import UNREADABLE, check_fits
from search.datasets.options import TABLES
from search.errors import InputError
from search.untrusted import check_memory, opened

KEYS = ("x", "x_test")
"""What a file of arrays calls its images; the first that is there counts."""
_WRITERS = {".npz": "savez", ".npy": "save"}
"""Files of arrays, and NumPy's function that writes one."""
Shape = tuple[int, ...]


@dataclass(eq=False)
class Batch:
    """Examples to be predicted."""

    names: list[str] = field(default_factory=list)
    """Where each is from: a file, or a file and the place in it."""
    images: list[NDArray[Any]] = field(default_factory=list)
    """Each of the data set's own shape and type: of an image uint8 (height, width, channels)."""
    resized: list[str] = field(default_factory=list)
    greyed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Texts of a table, each with its column, that the study's has not."""

    @property
    def pixels(self) -> NDArray[Any]:
        """All of them, (n, …)."""
        return np.stack(self.images)

    def notices(self, shape: Shape) -> list[str]:
        """What was done to images that were not of `shape`."""
        unknown = [f"{some(self.unknown)}: no training row has this: taken as none"]
        if not self.resized and not self.greyed:
            return unknown if self.unknown else []
        size = f"{shape[1]}×{shape[0]} pixels, what is too long cut at both ends"
        changes = {f"brought to {size}": self.resized, "turned from colour to grey": self.greyed}
        return [f"{some(names)}: {change}" for change, names in changes.items() if names]


def read_batch(
    files: Sequence[str],
    shape: Shape,
    dtype: np.dtype[Any] | type = np.uint8,
    columns: Columns | None = None,
) -> Batch:
    """Read `files` as examples of `shape`, in their order: images are uint8 (height, width,
    channels).

    A picture is decoded and brought to the size as those of a folder are
    (`search.datasets.pictures`). An .npz file holds `x` or `x_test`, an .npy file one array:
    numbers of `dtype` of just this shape, or without a channel axis; floats take any numbers. Of a
    table with `columns` every row of another table is one. Raises InputError with everything that
    is wrong with any file.
    """
    dtype = np.dtype(dtype)
    batch = Batch()
    problems: list[str] = []
    for file in files:
        path = Path(file).expanduser()
        try:
            if path.is_dir():
                raise InputError("is a folder; name the images in it")
            if not path.exists():
                raise InputError("no such file")
            if path.suffix.lower() in _WRITERS:
                _add_arrays(batch, file, path, shape, dtype)
            elif path.suffix.lower() in TABLES and columns is not None:
                _add_rows(batch, file, path, columns)
            elif len(shape) != 3 or dtype != np.uint8:
                rule = f"the network takes {dtype} numbers of the shape {shape}, no pictures"
                raise InputError(f"{rule}; give {'a table' if columns else 'an .npz or .npy file'}")
            else:
                _add_picture(batch, file, path, shape)
        except InputError as error:
            problems += [f"{file}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(problems)
    return batch


def _add_picture(batch: Batch, file: str, path: Path, shape: Shape) -> None:
    height, width, channels = shape
    if channels not in {1, 3}:
        raise InputError(
            f"the network takes images of {channels} channels, which no picture has; give an .npz"
            " file"
        )
    image = pictures.pixels(path, grey=channels == 1)
    if image.shape != shape:
        image = pictures.pixels(path, grey=channels == 1, size=(width, height))
        batch.resized.append(file)
    if channels == 1 and not pictures.header(path).grey:
        batch.greyed.append(file)
    batch.names.append(file)
    batch.images.append(image)


def _add_rows(batch: Batch, file: str, path: Path, columns: Columns) -> None:
    from search.datasets import table  # noqa: PLC0415  pandas takes a second, for tables only

    rows, unknown = table.read_rows(path, columns)
    batch.names += [f"{file}[{i}]" for i in range(len(rows))]
    batch.images += list(rows)
    batch.unknown += unknown


def _array_in(path: Path) -> tuple[str, NDArray[Any]]:
    """How the one array in an .npy file is called, and the array."""
    check_memory(2 * path.stat().st_size, "read and stacked, it")
    with opened(path) as raw:
        return "the array", npy.read_array(raw, allow_pickle=False)


def _array_among(path: Path) -> tuple[str, NDArray[Any]]:
    """The name of the array of examples in an .npz file, and the array."""
    # Not numpy.load: given a path, it leaves the file open when the archive is broken.
    with opened(path) as raw, NpzFile(raw, allow_pickle=False) as arrays:
        key = next((k for k in KEYS if k in arrays.files), None)
        if key is None:
            keys = some(arrays.files) or "nothing"
            raise InputError(f"it holds {keys}, but neither x nor x_test; save the images as x")
        check_fits(path, arrays, (key,))
        return key, np.asarray(arrays[key])


def _add_arrays(batch: Batch, file: str, path: Path, shape: Shape, dtype: np.dtype[Any]) -> None:
    kind = path.suffix.lower()
    try:
        key, array = _array_in(path) if kind == ".npy" else _array_among(path)
    except UNREADABLE as error:
        rule = f"not a readable {kind} file ({error})"
        raise InputError(f"{rule}; write it with numpy.{_WRITERS[kind]}") from error
    images = array[..., np.newaxis] if array.ndim == len(shape) else array
    problems = []
    if dtype == np.uint8 and images.dtype != np.uint8:
        problems.append(
            f"{key} must be uint8, 0–255, not {images.dtype}; the network scales by itself"
        )
    elif images.dtype != dtype and (images.dtype.kind not in "iuf" or dtype.kind != "f"):
        problems.append(f"{key} must be {dtype}, as the study's data, not {images.dtype}")
    if images.shape[1:] != shape or not len(images):
        size = "(n, " + ", ".join(map(str, shape)) + ")"
        problems.append(
            f"{key} must have the shape {size}, n at least 1, as the study's images, not"
            f" {array.shape}"
        )
    if problems:
        raise InputError(problems)
    batch.names += [f"{file}[{i}]" for i in range(len(images))]
    batch.images += list(images.astype(dtype, copy=False))
