"""What a program gives `tuner.search`, kept on disk for the processes that train.

Arrays and data sets go into files by their content; all else stays as it is.
"""

import hashlib
import inspect
import pickle
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import numpy as np

from search.errors import InputError
from search.files import unwritable, whole_file
from search.paths import cache
from search.text import message_of


@dataclass(frozen=True)
class Stored:
    """What lies in the cache, by its content."""

    file: str

    @property
    def path(self) -> Path:
        """Where."""
        return cache() / "fit-arguments" / self.file


def stored(name: str, value: Any) -> Any:
    """`value` of the argument `name`, its arrays and data sets as `Stored`.

    Raises InputError for what can be read only once, never ends, or can't be stored.
    """
    if isinstance(value, Mapping):
        return {key: stored(f"{name}[{key!r}]", part) for key, part in value.items()}
    if type(value) in {tuple, list}:
        return type(value)(stored(f"{name}[{i}]", part) for i, part in enumerate(value))
    if inspect.isgenerator(value):
        rule = f"{name}: a generator can be read only once"
        raise InputError(f"{rule}; give arrays, a tf.data.Dataset or a keras.utils.PyDataset")
    try:
        if hasattr(value, "element_spec"):
            return _data_set(name, value)
        if hasattr(value, "iloc") or isinstance(value, keras.utils.PyDataset):
            return _file(_pickle(name, value), ".pickle")
        if isinstance(value, np.ndarray) or _is_tensor(value):
            return _array(name, np.asarray(value))
    except OSError as error:
        raise InputError(unwritable(cache(), error)) from error
    return value


def restored(value: Any) -> Any:
    """What `stored` was given, arrays as copies on write of their files.

    Raises InputError where its files are not on this machine.
    """
    if isinstance(value, Stored):
        return _read(value)
    if isinstance(value, dict):
        return {key: restored(part) for key, part in value.items()}
    if type(value) in {tuple, list}:
        return type(value)(map(restored, value))
    return value


def _read(value: Stored) -> Any:
    path = value.path
    if not path.exists():
        rule = f"{path} is missing, an argument of search()"
        raise InputError(f"{rule}: call search() on this machine, with workers of its own")
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="c")
    if path.suffix == ".pickle":
        return pickle.loads(path.read_bytes())  # noqa: S301  # our own
    import tensorflow as tf  # noqa: PLC0415  # only for its own data sets

    return tf.data.Dataset.load(str(path)).prefetch(tf.data.AUTOTUNE)


def _is_tensor(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("__array__", "dtype", "shape"))


def _array(name: str, value: np.ndarray[Any, Any]) -> Stored:
    if value.dtype == object:
        return _file(_pickle(name, value), ".pickle")
    digest = _digest(value)

    def write(path: Path) -> None:
        with whole_file(path) as file:
            np.save(file, value, allow_pickle=False)

    return _kept(Stored(f"{digest}.npy"), write)


def _digest(*arrays: np.ndarray[Any, Any]) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(f"{array.dtype} {array.shape}".encode())
        plain = array.astype("S") if array.dtype == object else array
        content.update(np.ascontiguousarray(plain).tobytes())
    return content.hexdigest()[:24]


def _pickle(name: str, value: Any) -> bytes:
    try:
        return cloudpickle.dumps(value)  # type: ignore[no-any-return]
    except Exception as error:  # whatever pickling raises
        raise InputError(f"{name}: it can't be stored ({message_of(error)})") from error


def _file(content: bytes, suffix: str) -> Stored:
    def write(path: Path) -> None:
        with whole_file(path) as file:
            file.write(content)

    return _kept(Stored(hashlib.sha256(content).hexdigest()[:24] + suffix), write)


def _kept(place: Stored, write: Callable[[Path], None]) -> Stored:
    if not place.path.exists():
        write(place.path)
    return place


def _data_set(name: str, value: Any) -> Stored:
    """A tf.data.Dataset, as it is read once: its content tells it from others, not its order."""
    if int(value.cardinality()) == -1:
        raise InputError(f"{name}: this data set never ends; leave out .repeat(), or add .take(n)")
    total = 0
    for element in value:
        arrays = [np.asarray(part) for part in keras.tree.flatten(element)]
        total += sum(int(_digest(*row), 16) for row in _rows(arrays))

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=path.parent))
        value.save(str(draft))
        with suppress(OSError):  # another process was there before
            draft.rename(path)
        shutil.rmtree(draft, ignore_errors=True)

    return _kept(Stored(f"{total % 16**24:024x}.tfdata"), write)


def _rows(arrays: list[np.ndarray[Any, Any]]) -> list[list[np.ndarray[Any, Any]]]:
    """The examples of a batch, or one alone."""
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) > 1 or lengths == {()}:
        return [arrays]
    return [[np.asarray(array[i]) for array in arrays] for i in range(len(arrays[0]))]
