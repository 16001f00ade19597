"""A trial's state after an epoch, as one file that is either whole or ignored.

A `.keras` file is not enough to go on bit for bit (the seed state of dropout layers is not in it), so this holds
every variable of the model and of its optimizer.
"""

import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.files import whole_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """State after the last epoch of `history`."""

    fingerprint: str
    """What the state belongs to; another fingerprint's checkpoint is never used."""
    history: tuple[Mapping[str, Any], ...]
    """One mapping per completed epoch, as reported."""
    model: Sequence[NDArray[Any]]
    optimizer: Sequence[NDArray[Any]]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, replacing an older one only once it is whole. Raises OSError (disk full)."""
    meta = {
        "fingerprint": checkpoint.fingerprint,
        "history": list(checkpoint.history),
        "n_model": len(checkpoint.model),
        "n_optimizer": len(checkpoint.optimizer),
    }
    arrays: dict[str, Any] = {f"m{i}": a for i, a in enumerate(checkpoint.model)}
    arrays |= {f"o{i}": a for i, a in enumerate(checkpoint.optimizer)}
    with whole_file(path) as file:
        np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)


def load_checkpoint(path: Path, fingerprint: str) -> Checkpoint | None:
    """The checkpoint at `path`, or None if there is none, it is torn, or it belongs to something else."""
    try:
        # Opened here: numpy leaves a file that is no archive open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta = json.loads(file["meta"].tobytes())
            if meta["fingerprint"] != fingerprint:
                logger.warning("%s belongs to another setting and is ignored", path)
                return None
            return Checkpoint(
                fingerprint=fingerprint,
                history=tuple(meta["history"]),
                model=[file[f"m{i}"] for i in range(meta["n_model"])],
                optimizer=[file[f"o{i}"] for i in range(meta["n_optimizer"])],
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s is torn (%s) and is ignored: training starts again from epoch 1", path, error)
        return None
