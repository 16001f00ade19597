"""Where the files of ImageNet weights are that Keras publishes for the bases of networks."""

import functools
import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from search.datasets import fetch
from search.datasets.lookup import keras_home
from search.errors import InputError

log = logging.getLogger(__name__)

_SITE = "https://storage.googleapis.com/tensorflow/keras-applications"
FIXES = "train from scratch with weights=none (gridless study --fix weights=none)"


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


def find_weights(base: str) -> Path:
    """Return the file of ImageNet weights without the top for `base`, a key of `PUBLISHED`.

    It is `$GRIDLESS_DATA/<file name>` if there is one, whatever it holds; otherwise the known file
    in Keras' cache, downloaded by Keras if it isn't there. A file of the user is never replaced or
    removed.

    Raises InputError that names every place tried, and the remedy.
    """
    published = PUBLISHED.get(base)
    if published is None:
        raise InputError(
            f"{base}: Keras publishes no ImageNet weights; take {', '.join(PUBLISHED)}, or {FIXES}"
        )
    folder = os.environ.get("GRIDLESS_DATA")
    if folder and (users_file := Path(folder).expanduser() / published.file).exists():
        return users_file
    reason = "no such file" if folder else "GRIDLESS_DATA is not set"
    tried = [f"$GRIDLESS_DATA/{published.file}: {reason}"]
    cached = keras_home() / "models" / published.file
    for label, attempt in (("Keras' cache", _check), ("Keras' download", _download)):
        try:
            attempt(cached, published)
        except InputError as error:
            tried.append(f"{label}: {error}")
        else:
            return cached
    rule = (
        f"{base}: no source of its ImageNet weights works; save {url_of(published)} as"
        f" {published.file} in a folder and set GRIDLESS_DATA to it, or connect this machine to the"
        f" network, or {FIXES}"
    )
    raise InputError([rule, *(f"tried {line}" for line in tried)])


def url_of(published: Published) -> str:
    """Where Keras has the file."""
    return f"{_SITE}/{published.folder}/{published.file}"


def _check(path: Path, published: Published) -> None:
    """Raise InputError with the reason unless `path` holds the known file."""
    try:
        digest = hash_of(path, "md5")
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error})") from error
    if digest != published.md5:
        raise InputError(
            f"{path} is not the known file (md5 {digest}, known {published.md5}); not used"
        )


def _download(path: Path, published: Published) -> None:
    """Have Keras download the known file to `path`. Raises InputError when it can't."""
    if path.exists():
        raise InputError(f"not tried, since {path} is in its place; move that away")
    log.info("downloading %s with Keras", published.file)
    code = _DOWNLOAD.format(timeout=fetch.SOCKET_TIMEOUT_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that other processes meet the whole file or none.
        with tempfile.TemporaryDirectory(dir=path.parent.resolve(), prefix=".gridless-") as scratch:
            fetch.run(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    code,
                    published.file,
                    url_of(published),
                    published.md5,
                ],
                Path(scratch),
                {"KERAS_HOME": scratch, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
            )
            new = Path(scratch, "models", published.file)
            _check(new, published)
            new.replace(path)
    except OSError as error:
        raise InputError(f"{path.parent} can't be written ({error})") from error


def hash_of(path: Path, algorithm: str) -> str:
    """The hash of a file, hex digits, read once for as long as its size and time stay."""
    stat = path.stat()
    return _hashed(path, algorithm, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _hashed(path: Path, algorithm: str, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
