"""A trial's state after an epoch, as one file that is either whole or ignored.

A `.keras` file is not enough to go on bit for bit (the seed state of dropout layers is not in it),
so this holds every variable of the model and of its optimizer, as an .npz archive, and after it the
SHA-256 of every byte before: an archive's own checksums do not cover its directory, nor an array of
which a damaged header lets only a part be read.
"""

import hashlib
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from search.artifacts import reading, whole
from search.secret import masked

logger = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size
_CHUNK = 2**20
# What NumPy, zipfile and json raise of a file that is whole, but none of ours.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Checkpoint:
    """State after the last epoch of `history`."""

    fingerprint: str
    """What the state belongs to; another fingerprint's checkpoint is never used."""
    history: tuple[Mapping[str, Any], ...]
    """One mapping per completed epoch, as reported."""
    model: Sequence[NDArray[Any]]
    optimizer: Sequence[NDArray[Any]]


def save_checkpoint(location: str | Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `location`, a path or a store's URL, replacing an older one only once
    it is whole.

    Not forced to the disk's platter: after a power cut it may be torn, and is then ignored. Raises
    OSError (disk full, store out of reach); the older one is then still there.
    """
    meta = {
        "fingerprint": checkpoint.fingerprint,
        "history": list(checkpoint.history),
        "n_model": len(checkpoint.model),
        "n_optimizer": len(checkpoint.optimizer),
    }
    arrays: dict[str, Any] = {f"m{i}": a for i, a in enumerate(checkpoint.model)}
    arrays |= {f"o{i}": a for i, a in enumerate(checkpoint.optimizer)}
    with whole(location) as file:
        np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        digest = _digest(file, file.seek(0, os.SEEK_END))
        file.seek(0, os.SEEK_END)
        file.write(digest)


def load_checkpoint(location: str | Path, fingerprint: str) -> Checkpoint | None:
    """The checkpoint at `location`, or None if there is none, it is torn, or it belongs to
    something else.

    Raises OSError when it can't be read at the moment: to begin again would throw away what may
    well be sound.
    """
    try:
        with reading(location) as file:
            if not _is_whole(file):
                logger.warning(
                    "%s is torn and is ignored: training starts again from epoch 1",
                    masked(location),
                )
                return None
            return _parse(file, location, fingerprint)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        logger.warning(
            "%s is damaged and is ignored (%s): training starts again", masked(location), error
        )
        return None


def _parse(file: IO[bytes], location: str | Path, fingerprint: str) -> Checkpoint | None:
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        meta = json.loads(arrays["meta"].tobytes())
        if meta["fingerprint"] != fingerprint:
            logger.warning("%s belongs to another setting and is ignored", masked(location))
            return None
        return Checkpoint(
            fingerprint=fingerprint,
            history=tuple(meta["history"]),
            model=[arrays[f"m{i}"] for i in range(meta["n_model"])],
            optimizer=[arrays[f"o{i}"] for i in range(meta["n_optimizer"])],
        )


def _is_whole(file: IO[bytes]) -> bool:
    """Whether the file ends with the digest of all before; its position is then its end."""
    n_bytes = file.seek(0, os.SEEK_END) - _DIGEST_BYTES
    return n_bytes > 0 and _digest(file, n_bytes) == file.read()


def _digest(file: IO[bytes], n_bytes: int) -> bytes:
    """The SHA-256 of the first `n_bytes`; leaves the place in the file after them."""
    file.seek(0)
    digest = hashlib.sha256()
    while n_bytes > 0 and (chunk := file.read(min(n_bytes, _CHUNK))):
        digest.update(chunk)
        n_bytes -= len(chunk)
    return digest.digest()
