"""ImageNet weights for the frozen base of a network: where their file is, and putting them into a
model.

Builders leave the base's weights random; whoever trains calls `load_weights` after building.
"""

import functools
import hashlib
import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import keras

from search.datasets import fetch
from search.datasets.sources import keras_home
from search.errors import InputError

log = logging.getLogger(__name__)

_SITE = "https://storage.googleapis.com/tensorflow/keras-applications"
_FIXES = "train from scratch with weights=none (gridless study --fix weights=none)"


class Published(NamedTuple):
    """A file of weights without the top, as keras.applications names it."""

    folder: str
    """Its folder under the site of Keras' files."""
    file: str
    md5: str


# From keras/src/applications of Keras 3.15, where names and hashes stand inside functions and can't
# be imported.
PUBLISHED = {
    base: Published(folder, f"{base}_weights_tf_dim_ordering_tf_kernels_notop.h5", md5)
    for base, folder, md5 in (
        ("vgg16", "vgg16", "6d6bbae143d832006294945121d1f1fc"),
        ("vgg19", "vgg19", "253f8cb515780f3b799900260a226db6"),
        ("inception_v3", "inception_v3", "bcbd6486424b2319ff4ef7d526e38f63"),
        ("resnet50", "resnet", "4d473c1dd8becc155b73f8504c6f6626"),
        ("xception", "xception", "b0042744bf5b25fce3cb969f33bebb97"),
        ("inception_resnet_v2", "inception_resnet_v2", "d19885ff4a710c122648d3b5c3b684e4"),
    )
}
UNPUBLISHED = ("resnext50",)
"""Bases that builders make and for which Keras has no weights."""

_DOWNLOAD = """
import socket, sys
socket.setdefaulttimeout({timeout})
from keras.utils import get_file
name, url, md5 = sys.argv[1:]
get_file(name, url, cache_subdir="models", file_hash=md5)
"""

_Layers = list[tuple[str, list[tuple[int, ...]]]]
"""Name and weights' shapes of each layer that has weights, in order."""


def load_weights(model: keras.Model, params: Mapping[str, Any]) -> str | None:
    """Put the weights that `params["weights"]` asks for into the base of `model`.

    "imagenet" loads the file that `find_weights` finds into the one layer that is a model named
    like a base, and returns the file's SHA-256 (64 hex digits). "none" changes nothing and returns
    None. Without the parameter it is what the builder took it for: "imagenet" for a frozen base,
    otherwise "none".

    Raises InputError for another value, when `model` has no such base, and when the file is damaged
    or its layers are not the base's; a model that it was raised for must not be used.
    """
    known = (*PUBLISHED, *UNPUBLISHED)
    bases = [
        layer for layer in model.layers if isinstance(layer, keras.Model) and layer.name in known
    ]
    # Random and frozen is never meant, so a builder's own default decides here too.
    wanted = params.get("weights", "none" if all(base.trainable for base in bases) else "imagenet")
    if wanted == "none":
        return None
    if wanted != "imagenet":
        raise InputError(f"weights: must be none or imagenet, not {wanted!r}")
    if (scaling := params.get("scaling", "unit")) != "unit":
        raise InputError(
            f"scaling: ImageNet weights want pixels in 0…1, not {scaling!r}; give scaling=unit"
        )
    if len(bases) != 1:
        raise InputError(
            f"weights: imagenet needs a network with one of the bases {', '.join(PUBLISHED)}, "
            f"{model.name} has {len(bases) or 'none'}; give --fix weights=none"
        )
    path = find_weights(bases[0].name)
    _load(bases[0], path)
    return _hash(path, "sha256")


def find_weights(base: str) -> Path:
    """Return the file of ImageNet weights without the top for `base`, a key of `PUBLISHED`.

    It is `$GRIDLESS_DATA/<file name>` if there is one, whatever it holds; otherwise the known file
    in Keras' cache, downloaded by Keras if it isn't there. A file of the user is never replaced or
    removed.

    Raises InputError that names every place tried, and the remedy.
    """
    known = PUBLISHED.get(base)
    if known is None:
        raise InputError(
            f"{base}: Keras publishes no ImageNet weights; take {', '.join(PUBLISHED)}, or {_FIXES}"
        )
    folder = os.environ.get("GRIDLESS_DATA")
    if folder and (own := Path(folder).expanduser() / known.file).exists():
        return own
    tried = [
        f"$GRIDLESS_DATA/{known.file}: {'no such file' if folder else 'GRIDLESS_DATA is not set'}"
    ]
    cached = keras_home() / "models" / known.file
    for label, attempt in (("Keras' cache", _check), ("Keras' download", _download)):
        try:
            attempt(cached, known)
        except InputError as error:
            tried.append(f"{label}: {error}")
        else:
            return cached
    raise InputError(
        [
            (
                f"{base}: no source of its ImageNet weights works; save {_url(known)} as"
                f" {known.file} in a folder and set GRIDLESS_DATA to it, or connect this machine to"
                f" the network, or {_FIXES}"
            ),
            *(f"tried {line}" for line in tried),
        ]
    )


def _url(known: Published) -> str:
    return f"{_SITE}/{known.folder}/{known.file}"


def _check(path: Path, known: Published) -> None:
    """Raise InputError with the reason unless `path` holds the known file."""
    try:
        found = _hash(path, "md5")
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error})") from error
    if found != known.md5:
        raise InputError(f"{path} is not the known file (md5 {found}, known {known.md5}); not used")


def _download(path: Path, known: Published) -> None:
    """Have Keras download the known file to `path`. Raises InputError with the reason when it
    can't.
    """
    if path.exists():
        raise InputError(f"not tried, since {path} is in its place; move that away")
    log.info("downloading %s with Keras", known.file)
    code = _DOWNLOAD.format(timeout=fetch.SOCKET_TIMEOUT_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that other processes meet the whole file or none.
        with tempfile.TemporaryDirectory(dir=path.parent.resolve(), prefix=".gridless-") as scratch:
            fetch.run(
                [sys.executable, "-P", "-c", code, known.file, _url(known), known.md5],
                Path(scratch),
                {"KERAS_HOME": scratch, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
            )
            new = Path(scratch, "models", known.file)
            _check(new, known)
            new.replace(path)
    except OSError as error:
        raise InputError(f"{path.parent} can't be written ({error})") from error


def _hash(path: Path, algorithm: str) -> str:
    stat = path.stat()
    return _hash_of(path, algorithm, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _hash_of(path: Path, algorithm: str, _size: int, _mtime_ns: int) -> str:
    """Hash a file once for as long as its size and time stay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _load(base: keras.Model, path: Path) -> None:
    try:
        with h5py.File(path, "r") as file:
            found = _file_layers(file)
        _compare(base, found, path)
        base.load_weights(path)
    # All that h5py and Keras raise for files that are damaged or hold something else.
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: can't be read as a file of Keras weights ({error}); "
            f"replace it by {_url(PUBLISHED[base.name])}, or {_FIXES}"
        ) from error


def _file_layers(file: Any) -> _Layers:
    # A whole model saved as .h5 has its weights one level down.
    group = (
        file["model_weights"]
        if "layer_names" not in file.attrs and "model_weights" in file
        else file
    )
    layers = [
        (name, [tuple(group[name][weight].shape) for weight in _names(group[name], "weight_names")])
        for name in _names(group, "layer_names")
    ]
    return [layer for layer in layers if layer[1]]


def _names(group: Any, key: str) -> list[str]:
    """Read a list of names, which Keras cuts into numbered attributes when it is long."""
    parts: Sequence[Any] = [group.attrs[key]] if key in group.attrs else []
    if not parts:
        numbered = (f"{key}{i}" for i in itertools.count())
        parts = [group.attrs[k] for k in itertools.takewhile(lambda k: k in group.attrs, numbered)]
    return [
        name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part
    ]


def _compare(base: keras.Model, found: _Layers, path: Path) -> None:
    """Raise InputError at the first layer that differs, before any weight is changed."""
    needed: _Layers = [
        (
            layer.name,
            [tuple(w.shape) for w in (*layer.trainable_weights, *layer.non_trainable_weights)],
        )
        for layer in base.layers
        if layer.weights
    ]
    # By position, as Keras loads such files: the names of many layers are numbered as they were
    # made.
    for i, (ours, theirs) in enumerate(itertools.zip_longest(needed, found), 1):
        if ours is None or theirs is None or ours[1] != theirs[1]:
            raise InputError(
                f"{path}: does not fit {base.name} without its top: layer {i} with weights is"
                f" {_shown(theirs)} in the file and {_shown(ours)} in the network; replace the file"
                f" by {_url(PUBLISHED[base.name])}, or {_FIXES}"
            )


def _shown(layer: tuple[str, list[tuple[int, ...]]] | None) -> str:
    return "missing" if layer is None else f"{layer[0]} {', '.join(map(str, layer[1]))}"
