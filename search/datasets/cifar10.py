"""CIFAR-10: 50,000 + 10,000 photographs, 32×32 in colour, ten classes (A. Krizhevsky, 2009)."""

import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from search.datasets import fetch
from search.datasets.dataset import Array, Dataset
from search.datasets.facts import Facts
from search.datasets.lookup import Source, first, keras_home
from search.errors import InputError

NAME = "cifar10"
FACTS = Facts((32, 32, 3), 10, 50_000, 10_000, "Keras")
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
"""Of cifar-10-python.tar.gz, as Keras 3.15 has it in keras/src/datasets/cifar10.py."""

_ARCHIVES = (
    "cifar-10-batches-py-target_archive",
    "cifar-10-batches-py_archive",
    "cifar-10-batches-py.tar.gz",
)
"""What Keras calls the archive: today, in its first versions 3, and in version 2."""
_BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def load() -> Dataset:
    """Load it: uint8 (n, 32, 32, 3). Raises InputError, naming every source tried."""
    sources = (
        Source("Keras' cache", lambda: _read_folder(keras_home() / "datasets")),
        Source(
            "Keras' download",
            lambda: fetch.keras("cifar10", lambda home: _read_folder(home / "datasets")),
            keep=True,
        ),
    )
    # No digest of the arrays is published; the archive that they are read from has a checksum
    # instead.
    return first(NAME, FACTS, sources, digest=None, class_names=CLASS_NAMES)


def _read_folder(folder: Path) -> dict[str, Array]:
    """Read the arrays out of the archive that Keras left in `folder`.

    The unpacked batches beside it are not looked at: they are pickles, which run any code that was
    put into them, and only the archive can be checked. Raises InputError when there is none, or it
    is not the known one.
    """
    path = next((folder / name for name in _ARCHIVES if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"no {' or '.join(_ARCHIVES)} in {folder}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise InputError(
            f"{path} is not the known archive (SHA-256 {digest[:12]}, known {ARCHIVE_SHA256[:12]})"
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            parts = {
                part: [_batch(archive, name) for name in names] for part, names in _BATCHES.items()
            }
    except (
        tarfile.TarError,
        pickle.UnpicklingError,
        OSError,
        EOFError,
        KeyError,
        ValueError,
        zlib.error,
    ) as error:
        raise InputError(f"{path} can't be read ({error})") from error
    arrays = {}
    for part, batches in parts.items():
        images, labels = zip(*batches, strict=True)
        arrays[f"x_{part}"] = np.concatenate(images)
        arrays[f"y_{part}"] = np.concatenate(labels)
    return arrays


def _batch(archive: tarfile.TarFile, name: str) -> tuple[Array, Array]:
    """One batch: images (n, 32, 32, 3), there plane by plane, and labels (n,), there a list."""
    file = archive.extractfile(f"cifar-10-batches-py/{name}")
    if file is None:
        raise KeyError(f"{name} is not a file")
    with file:
        batch: dict[bytes, Any] = pickle.load(file, encoding="bytes")  # noqa: S301  # the archive's checksum was right
    return batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.asarray(batch[b"labels"])
