"""MNIST's own file format, IDX: a big-endian header and the values, compressed with gzip."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from search.datasets.dataset import Array
from search.errors import InputError

_FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


def read_folder(folder: Path) -> dict[str, Array]:
    """Read the four files of MNIST's layout in `folder`: uint8 images (n, height, width) and labels
    (n,).

    Raises InputError naming every file that is missing or damaged.
    """
    missing = [name for name in _FILES.values() if not (folder / name).is_file()]
    if len(missing) == len(_FILES):
        raise InputError(f"no data in {folder}")
    if missing:
        raise InputError(f"{', '.join(missing)} missing in {folder}")
    return {key: _read(folder / name) for key, name in _FILES.items()}


def _read(path: Path) -> Array:
    try:
        raw = gzip.decompress(path.read_bytes())
        # Two zero bytes, the type (8: uint8), the number of axes; then each axis' length in four
        # bytes.
        n_axes = raw[3]
        if raw[:3] != b"\0\0\x08":
            raise ValueError("its header is not that of IDX with bytes")
        shape = np.frombuffer(raw, ">u4", count=n_axes, offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise InputError(f"{path} can't be read ({error})") from error
