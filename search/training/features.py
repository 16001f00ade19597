"""What a frozen base makes of the images, computed once for all trials that share it."""

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from search.files import locked, whole_file
from search.training.train_loop import Images

log = logging.getLogger(__name__)
_N_COMPARED = 4
_TOLERANCE = 1e-3
"""How far features that are the same may differ between batches, as a share of the largest."""


def split_frozen(model: keras.Model) -> tuple[keras.Model | None, keras.Model]:
    """Cut a Sequential with a frozen base in two: (what training never changes, the rest).

    The first part is the longest stretch of layers from the input whose output for an image is the
    same in every step: without randomness, and without weights unless frozen. It is None, and the
    second part `model` itself, unless such a stretch holds a frozen model and leaves something to
    train. Otherwise the second part takes the first's output. Both share their layers with `model`,
    so that training the second trains `model`.
    """
    if not isinstance(model, keras.Sequential):
        return None, model
    fixed = list(itertools.takewhile(_is_fixed, model.layers))
    rest = model.layers[len(fixed) :]
    if not rest or not any(
        isinstance(layer, keras.Model) and not layer.trainable for layer in fixed
    ):
        return None, model
    prefix = keras.Sequential([keras.Input(model.input_shape[1:]), *fixed], name="frozen")
    return prefix, keras.Sequential(
        [keras.Input(prefix.output_shape[1:]), *rest], name=f"{model.name}_head"
    )


def _is_fixed(layer: keras.Layer) -> bool:
    # `variables` has what `weights` has, and the seeds of random layers. A layer with weights may
    # change without having trainable ones (the averages of batch normalisation), and one that was
    # not frozen by setting `trainable` may still have some.
    frozen = not layer.trainable and not any(weight.trainable for weight in layer.weights)
    return len(layer.variables) == len(layer.weights) and (frozen or not layer.weights)


def cached_features(
    prefix: keras.Model,
    images: Images,
    *,
    cache: Path,
    key: Mapping[str, str],
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """Return `prefix` of all images, mapped read-only from a file in the folder `cache`.

    `images`: uint8 (n, h, w, c), which `prefix` sees as float32 in 0…1. The result: float32 (n,
    ...). `key` must say which images these are: its digest and that of the layers, their weights
    and the backend name the file. `batch_size` changes memory and time only.

    It is computed once: any number of processes may ask at once, and all but one wait. A file is
    computed again that is torn, of another shape, or of layers that compute something else now
    (their code was edited, say), which a few images show. Raises OSError when `cache` can't be
    written or the disk is full; no part of a file is left then.
    """
    path = cache / f"features-{_digest(prefix, key)}.npy"
    shape = (len(images), *prefix.output_shape[1:])
    if (features := _sound(path, prefix, images, shape)) is not None:
        return features
    cache.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), wait=True):
        if (
            features := _sound(path, prefix, images, shape)
        ) is not None:  # another process was first
            return features
        with whole_file(path) as file:
            _write(file, prefix, images, shape, batch_size)
    return npy.open_memmap(path, mode="r")


def _sound(
    path: Path, prefix: keras.Model, images: Images, shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """What the file holds, if that is what `prefix` makes of a few of the images."""
    features = _read(path, shape)
    if features is None:
        return None
    some = np.unique(np.linspace(0, len(images) - 1, _N_COMPARED).astype(int))
    again = np.asarray(
        keras.ops.convert_to_numpy(prefix(_scaled(images[some]), training=False)), "<f4"
    )
    if np.abs(again - features[some]).max() <= _TOLERANCE * np.abs(features[some]).max():
        return features
    log.warning("%s was computed by other code and is computed again", path)
    return None


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    try:
        features: NDArray[np.float32] = npy.open_memmap(path, mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s is torn (%s) and computed again", path, error)
        return None
    if features.shape != shape or features.dtype != np.float32:
        log.warning(
            "%s holds %s %s, not %s float32, and is computed again",
            path,
            features.shape,
            features.dtype,
            shape,
        )
        return None
    return features


def _write(
    file: IO[bytes],
    prefix: keras.Model,
    images: Images,
    shape: tuple[int, ...],
    batch_size: int,
) -> None:
    """Write the features batch by batch, since those of all images may not fit into memory."""
    npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    n, tenths = len(images), 0
    log.info(
        "computing the features of %d images, %s numbers each, once for all trials", n, shape[1:]
    )
    for start in range(0, n, batch_size):
        batch = _scaled(images[start : start + batch_size])
        file.write(np.asarray(prefix.predict_on_batch(batch), "<f4").tobytes())
        done = start + len(batch)
        if done * 10 // n > tenths:
            tenths = done * 10 // n
            log.info("features of %d of %d images", done, n)


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


def _digest(prefix: keras.Model, key: Mapping[str, str]) -> str:
    facts = {"key": dict(key), "backend": keras.backend.backend(), "keras": keras.__version__}
    content = {**facts, "layers": _described(prefix)}
    # Objects go by their class: some are shown with their place in memory, which differs between
    # processes.
    total = hashlib.sha256(
        json.dumps(content, sort_keys=True, default=lambda value: type(value).__name__).encode()
    )
    for weight in prefix.weights:
        total.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    return total.hexdigest()[:32]


def _described(prefix: keras.Model) -> Any:
    try:
        return _without_auto_names(prefix.get_config())
    except Exception:  # a user's layer may have no configuration, or fail to tell it
        return [type(layer).__name__ for layer in prefix.layers]


def _without_auto_names(config: Any) -> Any:
    """Number the names that Keras makes up by their order here, not by the process's count."""
    names: dict[str, str] = {}
    _collect(config, names)
    return _renamed(config, names)


def _collect(node: Any, names: dict[str, str]) -> None:
    if isinstance(node, Mapping):
        inner = node.get("config")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        # global_average_pooling2d_7 of a GlobalAveragePooling2D: the class in lower case, and a
        # number.
        if (
            name
            and re.sub(r"_\d+$", "", name).replace("_", "") == str(node.get("class_name")).lower()
        ):
            names.setdefault(name, f"layer {len(names)}")
    children: Iterable[Any] = ()
    if isinstance(node, Mapping):
        children = node.values()
    elif isinstance(node, list | tuple):
        children = node
    for child in children:
        _collect(child, names)


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {k: _renamed(v, names) for k, v in node.items()}
    if isinstance(node, list | tuple):
        return [_renamed(v, names) for v in node]
    return names.get(node, node) if isinstance(node, str) else node
