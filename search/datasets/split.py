"""Training, validation and test parts on disk: a trial is given the first two."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from search.datasets.dataset import Array, Columns, Dataset
from search.datasets.in_use import Use
from search.datasets.stratify import strata_of, stratified
from search.errors import InputError, StudyError
from search.records import Task

_SPLIT = ("x_train", "y_train", "x_val", "y_val")
_WEIGHTS = ("w_train", "w_val")
_META = "meta.json"
_PIECE = 2**26
"""Bytes that are copied at once."""

_Parts = Mapping[str, tuple[Array, NDArray[np.bool_]]]
"""Array to write → (where it is taken from, mask of the rows taken)."""


@dataclass(frozen=True, eq=False)
class Split:
    """What a trial sees: examples and targets as a Dataset has them, mapped, read-only."""

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    w_train: Array | None = None
    """float32 (n,): what each example's loss counts; None: all the same."""
    w_val: Array | None = None
    """The same of validation examples, where these are trained on, too."""


@dataclass(frozen=True)
class Prepared:
    """A data set split and written to disk. `digest` is that of the whole data set."""

    folder: Path
    """Holds x_train, y_train, x_val and y_val as .npy, and meta.json."""
    test_folder: Path | None
    """Holds x_test and y_test as .npy; None when read back from `folder`."""
    name: str
    digest: str
    input_shape: tuple[int, ...]
    n_classes: int
    class_names: tuple[str, ...]
    n_train: int
    n_val: int
    n_test: int
    task: Task = Task.CLASSIFICATION
    pixel_max: int | None = 255
    """The largest value that a pixel can have; None where examples are no images."""
    columns: Columns | None = field(default=None, compare=False)
    """Of a table: what an example's numbers are."""
    use: Use | None = field(default=None, compare=False, repr=False)
    """Keeps others from removing the folders for as long as it lives; None when read back."""

    @property
    def is_images(self) -> bool:
        """Whether pixels are scaled, augmented and shown as pictures."""
        return self.pixel_max is not None

    @property
    def has_test(self) -> bool:
        """Whether there are examples to test on."""
        return self.n_test > 0

    @staticmethod
    def read(folder: Path) -> "Prepared":
        """Read back what `prepare` wrote. Raises StudyError when it can't be read."""
        try:
            return _prepared(folder, None, json.loads((folder / _META).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _gone(folder, error) from error


def prepare(data: Dataset, *, seed: int, validation_fraction: float, cache: Path) -> Prepared:
    """Split the training examples into training and validation and write everything under `cache`,
    once.

    The split is stratified and depends on the targets, `seed` (≥ 0) and `validation_fraction` (0–1,
    exclusive) alone; a validation set that the data have is kept as it is. What an earlier call
    wrote is used again if it holds exactly these values, otherwise replaced; any number of
    processes may call this at once. It is in use for as long as the result, or a copy of it, lives.

    Raises InputError when a class can't be on both sides, for a bad seed or fraction, or when
    `cache` can't be written.
    """
    if problems := _split_problems(data, seed, validation_fraction):
        raise InputError(problems)
    parts = _split(data, seed, validation_fraction)
    meta = _meta(data, parts, seed, validation_fraction)
    folder, test_folder = _folders(data.name, data.digest, seed, validation_fraction, cache)
    every = np.ones(len(data.y_test), dtype=np.bool_)
    use = Use(folder, test_folder)
    try:
        _ensure(folder, parts, meta)
        _ensure(test_folder, {"x_test": (data.x_test, every), "y_test": (data.y_test, every)}, None)
    except OSError as error:
        raise InputError(
            f"{cache} can't be written ({error}); free space or choose another GRIDLESS_HOME"
        ) from error
    return replace(_prepared(folder, test_folder, meta), use=use)


def find_prepared(
    name: str, digest: str, *, seed: int, validation_fraction: float, cache: Path
) -> Prepared | None:
    """What `prepare` wrote under `cache` for the set `name` of this `digest`, or None."""
    folder, test_folder = _folders(name, digest, seed, validation_fraction, cache)
    try:
        prepared = replace(Prepared.read(folder), test_folder=test_folder)
    except StudyError:
        return None
    return prepared if prepared.digest == digest else None


def _folders(name: str, digest: str, seed: int, fraction: float, cache: Path) -> tuple[Path, Path]:
    stem = f"{name}-{digest[:12]}"
    return cache / f"{stem}-s{seed}-v{fraction}", cache / f"{stem}-test"


def read_split(folder: Path) -> Split:
    """Map the training and validation arrays of a folder. Raises StudyError when it can't."""
    try:
        keys = [*_SPLIT, *(key for key in _WEIGHTS if (folder / f"{key}.npy").exists())]
        return Split(**{key: open_memmap(folder / f"{key}.npy", mode="r") for key in keys})
    except (OSError, ValueError) as error:
        raise _gone(folder, error) from error


def read_test(folder: Path) -> tuple[Array, Array]:
    """Map the examples and targets of a prepared test folder. Raises StudyError when it can't."""
    try:
        return open_memmap(folder / "x_test.npy", mode="r"), open_memmap(
            folder / "y_test.npy", mode="r"
        )
    except (OSError, ValueError) as error:
        raise _gone(folder, error) from error


def _split_problems(data: Dataset, seed: int, fraction: float) -> list[str]:
    problems = []
    if not 0 < fraction < 1:
        problems.append(
            f"validation fraction must be between 0 and 1, both excluded, not {fraction}; 0.1 is"
            " usual"
        )
    if seed < 0:
        problems.append(f"seed must be 0 or more, not {seed}")
    if data.task is not Task.CLASSIFICATION or data.y_val is not None:
        least = 2 if data.y_val is None else 1
        if len(data.y_train) < least:
            problems.append(f"{data.name}: at least {least} training examples are needed")
        return problems
    labels, counts = np.unique(data.y_train, return_counts=True)
    if few := labels[counts < 2].tolist():
        problems.append(
            f"{data.name}: each class needs at least 2 training images, one of them to validate on;"
            f" classes with 1: {', '.join(map(str, few))}"
        )
    return problems


def _split(data: Dataset, seed: int, fraction: float) -> _Parts:
    if data.x_val is not None and data.y_val is not None:
        train = np.ones(len(data.y_train), dtype=np.bool_)
        val = np.ones(len(data.y_val), dtype=np.bool_)
        x_val, y_val = data.x_val, data.y_val
    else:
        val = stratified(strata_of(data.y_train, fraction, data.task), fraction, seed=seed)
        train = ~val
        x_val, y_val = data.x_train, data.y_train
    parts = {
        "x_train": (data.x_train, train),
        "y_train": (data.y_train, train),
        "x_val": (x_val, val),
        "y_val": (y_val, val),
    }
    weights = data.sample_weight_train
    if weights is not None:
        of_val = weights if data.y_val is None else np.ones(len(data.y_val), np.float32)
        parts |= {"w_train": (weights, train), "w_val": (of_val, val)}
    return parts


def _meta(data: Dataset, parts: _Parts, seed: int, fraction: float) -> dict[str, Any]:
    # What earlier versions did not know of stands only where it is not what they took for granted.
    later: dict[str, Any] = {}
    if data.task is not Task.CLASSIFICATION:
        later["task"] = data.task.value
    if data.pixel_max != 255:
        later["pixel_max"] = data.pixel_max
    if data.columns is not None:
        later["columns"] = dict(data.columns)
    return {
        "name": data.name,
        "digest": data.digest,
        "input_shape": list(data.input_shape),
        "n_classes": data.n_classes,
        "class_names": list(data.class_names),
        "n_train": int(parts["y_train"][1].sum()),
        "n_val": int(parts["y_val"][1].sum()),
        "n_test": len(data.y_test),
        "seed": seed,
        "validation_fraction": fraction,
        **later,
    }


def _prepared(folder: Path, test_folder: Path | None, meta: Mapping[str, Any]) -> Prepared:
    plain = ("name", "digest", "n_classes", "n_train", "n_val", "n_test")
    return Prepared(
        folder=folder,
        test_folder=test_folder,
        input_shape=tuple(int(n) for n in meta["input_shape"]),
        class_names=tuple(meta["class_names"]),
        task=Task(meta.get("task", Task.CLASSIFICATION)),
        pixel_max=meta.get("pixel_max", 255),
        columns=meta.get("columns"),
        **{key: meta[key] for key in plain},
    )


def _gone(folder: Path, error: Exception) -> StudyError:
    return StudyError(
        f"{folder}: the prepared data can't be read ({error}); start the study again to rebuild it"
    )


def _ensure(folder: Path, parts: _Parts, meta: Mapping[str, Any] | None) -> None:
    """Make `folder` hold exactly `parts` and `meta`; a reader never sees it half written."""
    if _holds(folder, parts, meta):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch, "new")
        new.mkdir()
        for key, (source, rows) in parts.items():
            _write(new / f"{key}.npy", source, rows)
        if meta is not None:
            (new / _META).write_text(
                json.dumps(meta, indent=2, ensure_ascii=False), encoding="utf-8"
            )
        attempt = 0
        while not _moved(new, folder) and not _holds(folder, parts, meta):
            attempt += 1
            with suppress(FileNotFoundError):  # another process has just moved it away
                os.rename(folder, Path(scratch, f"old-{attempt}"))


def _pieces(source: Array, rows: NDArray[np.bool_]) -> Iterator[Array]:
    """The rows of `source` taken, about _PIECE bytes at once: it may be mapped, and all of it more
    than fits into memory.
    """
    step = max(1, _PIECE // max(1, source[:1].nbytes))
    for begin in range(0, len(source), step):
        yield source[begin : begin + step][rows[begin : begin + step]]


def _write(path: Path, source: Array, rows: NDArray[np.bool_]) -> None:
    """Write the rows of `source` taken as .npy, byte for byte as numpy.save would."""
    shape = (int(rows.sum()), *source.shape[1:])
    with path.open("wb") as file:
        header = {"descr": npy.dtype_to_descr(source.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
        for piece in _pieces(source, rows):
            np.ascontiguousarray(piece).tofile(file)


def _moved(new: Path, folder: Path) -> bool:
    """Rename `new` to `folder`; False when something is in the way."""
    try:
        os.rename(new, folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def _holds(folder: Path, parts: _Parts, meta: Mapping[str, Any] | None) -> bool:
    """Whether `folder` has these very values; comparing all of them is cheap and trusts nothing."""
    try:
        if meta is not None and json.loads((folder / _META).read_text(encoding="utf-8")) != meta:
            return False
        for key, (source, rows) in parts.items():
            array = open_memmap(folder / f"{key}.npy", mode="r")
            shape = (int(rows.sum()), *source.shape[1:])
            if (array.dtype, array.shape) != (source.dtype, shape):
                return False
            at = 0
            for piece in _pieces(source, rows):
                if not np.array_equal(array[at : at + len(piece)], piece):
                    return False
                at += len(piece)
    except (OSError, ValueError):
        return False
    return True
