"""`tf.data.Dataset`s, such as Keras makes of folders of images, as a data set."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from search.datasets.dataset import WEIGHTS, Array, Dataset, from_arrays
from search.errors import InputError
from search.records import Task
from search.untrusted import check_memory

log = logging.getLogger(__name__)

TfData = Any
"""A tf.data.Dataset, whose types are not known where TensorFlow isn't imported."""
_ELEMENT = "(example, label) or (example, label, weight)"
_ROLES = ("examples", "labels", "weights")
_AT_ONCE = 64
"""Examples without batches that are read together."""
_KEYS = {"train": "train", "test": "test", "validation": "val"}


def from_tf_data(
    name: str,
    train: TfData,
    test: TfData | None = None,
    validation: TfData | None = None,
    *,
    class_names: Sequence[str] | None = None,
    task: Task | None = None,
    batched: bool | None = None,
) -> Dataset:
    """Read `tf.data.Dataset`s of (x, y) or (x, y, weight), in batches or not, into a Dataset.

    What x and y may be, `from_arrays` says. Of `image_dataset_from_directory` images become uint8
    and the names of classes are kept; other data have `class_names` as given. `batched` says
    whether elements are batches where their shapes don't: all sizes known, the first ones equal.

    Everything is read twice, to see that it comes in one order. Raises InputError with every part
    that never ends, holds something else than one tensor of examples and one of labels, has sizes
    that are not fixed, or differs when it is read again; and as `from_arrays` does.
    """
    given = {"train": train, "test": test, "validation": validation}
    parts = {part: data for part, data in given.items() if data is not None}
    problems = [
        f"{name}: {part} {problem}"
        for part, data in parts.items()
        for problem in _problems(data, batched)
    ]
    own_names = {part: getattr(data, "class_names", None) for part, data in parts.items()}
    if len({tuple(names) for names in own_names.values() if names}) > 1:
        listed = "; ".join(f"{part}: {names}" for part, names in own_names.items())
        problems.append(f"{name}: all parts must have the same class_names in one order ({listed})")
    if problems:
        raise InputError(problems)
    arrays: dict[str, Array] = {}
    for part, data in parts.items():
        keys = (f"x_{_KEYS[part]}", f"y_{_KEYS[part]}", f"sample_weight_{_KEYS[part]}")
        arrays |= dict(zip(keys, _read(data, f"{name}: {part}", batched), strict=False))
    if unused := sorted(key for key in arrays if "weight" in key and key != WEIGHTS):
        log.warning("%s: not used: %s; training alone has weights", name, ", ".join(unused))
    if names := own_names["train"]:
        return from_arrays(name, arrays, class_names or names, task or Task.CLASSIFICATION)
    return from_arrays(name, arrays, class_names, task)


def _problems(data: TfData, batched: bool | None) -> list[str]:
    """Why the elements of `data` are no examples with labels, a sentence each."""
    import tensorflow as tf  # noqa: PLC0415  takes seconds, and whoever has such data has it

    if not isinstance(data, tf.data.Dataset):
        return [f"must be a tf.data.Dataset, not {type(data).__name__}; for arrays: from_arrays"]
    problems = []
    if int(data.cardinality()) == tf.data.INFINITE_CARDINALITY:
        problems.append("never ends; leave out .repeat(), or end it with .take(n)")
    specs = data.element_spec
    if not isinstance(specs, tuple) or len(specs) not in (2, 3):
        kind = type(specs).__name__ if isinstance(specs, dict | tuple) else "one tensor"
        problems.append(f"must have elements {_ELEMENT}, not {kind}; .map or .zip it to that")
        return problems
    for role, spec in zip(_ROLES, specs, strict=False):
        if isinstance(spec, dict | tuple):
            keys = f" ({', '.join(map(str, spec))})" if isinstance(spec, dict) else ""
            rule = f"has {len(spec)} tensors{keys} of {role}, but must have one"
            problems.append(f"{rule}; put them together with .map and tf.concat, or take one")
        elif not isinstance(spec, tf.TensorSpec):
            rule = f"has {role} as {type(spec).__name__.removesuffix('Spec')}, of no fixed size"
            problems.append(f"{rule}; pad or cut them, or .map them to dense tensors")
        elif spec.shape.rank is None:
            problems.append(f"has {role} of unknown shape; .map them with tf.ensure_shape")
    return problems or _shape_problems(specs, batched)


def _shape_problems(specs: tuple[Any, ...], batched: bool | None) -> list[str]:
    is_batched = _is_batched(specs, batched)
    shapes = " and ".join(str(tuple(spec.shape)) for spec in specs)
    if is_batched is None:
        return [f"may hold batches or single examples, of {shapes}; give batched=True or False"]
    if is_batched and not all(spec.shape.rank for spec in specs):
        return [f"holds no batches, but {shapes}; give batched=False"]
    return [
        f"has {role} of {tuple(spec.shape)}, a size that is not fixed; pad, cut or resize them, or"
        " .map them with tf.ensure_shape"
        for role, spec in zip(_ROLES, specs, strict=False)
        if None in tuple(spec.shape)[is_batched:]
    ]


def _is_batched(specs: tuple[Any, ...], batched: bool | None) -> bool | None:
    """Whether elements are batches, as shapes say or `batched` does; None if neither does."""
    firsts = {tuple(spec.shape)[:1] for spec in specs}
    if batched is not None:
        return batched
    if len(firsts) > 1 or () in firsts:
        return False
    return True if firsts == {(None,)} else None


def _read(data: TfData, place: str, batched: bool | None) -> list[Array]:
    """All examples, labels and, where there are some, weights, (n, …) each."""
    pieces = data if _is_batched(data.element_spec, batched) else data.batch(_AT_ONCE)
    read: list[tuple[Array, ...]] = []
    n_bytes = 0
    first, second = hashlib.sha256(), hashlib.sha256()
    for arrays in _as_arrays(pieces, place, are_pixels=hasattr(data, "file_paths")):
        n_bytes += sum(array.nbytes for array in arrays)
        check_memory(n_bytes, f"{place}, as arrays,")  # for the copy of all that is made at the end
        for array in arrays:
            first.update(array.tobytes())
        read.append(arrays)
    if not read:
        raise InputError(f"{place} has no elements; leave it out, or look at its source")
    for arrays in _as_arrays(pieces, place, are_pixels=hasattr(data, "file_paths")):
        for array in arrays:
            second.update(array.tobytes())
    if first.digest() != second.digest():
        rule = f"{place} differs each time it is read, so that no study of it could go on"
        remedy = "give shuffle=False, and leave out .shuffle and what augments by chance"
        raise InputError(f"{rule}; {remedy}: epochs are shuffled here, and a space can augment")
    return [np.concatenate(arrays) for arrays in zip(*read, strict=True)]


def _as_arrays(pieces: TfData, place: str, *, are_pixels: bool) -> Iterator[tuple[Array, ...]]:
    """The elements; pixels 0…255 that Keras has resized as whole numbers again."""
    import tensorflow as tf  # noqa: PLC0415

    try:
        for x, *others in pieces.as_numpy_iterator():
            pixels = np.rint(x).clip(0, 255).astype(np.uint8) if are_pixels else x
            yield pixels, *(_texts_as_bytes(array) for array in others)
    except tf.errors.OpError as error:
        reason = str(error.message).partition("\n")[0]
        raise InputError(f"{place} can't be read ({reason}); mend it, or what it reads") from error


def _texts_as_bytes(array: Array) -> Array:
    return array.astype("S") if array.dtype.kind == "O" else array
