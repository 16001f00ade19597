"""A network that was kept, as its files: what they are called, what builds it again and what shows
that it is itself.

Beside `model.keras` lie its weights, `model.weights.h5`, and `model.npz` with what is needed to
build it again and what it said of some images as it was trained. No framework is loaded to read
them.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.artifacts import whole
from search.errors import InputError
from search.records import Task

FILE, WEIGHTS, FACTS = ".keras", ".weights.h5", ".npz"
"""What the names of its files end with."""
N_IMAGES = 64
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
)
"""What reading a file raises that is damaged."""
_SHARE = 0.05
"""How far predictions may differ between devices, as a share of their own spread."""


@dataclass(frozen=True)
class Facts:
    """What a network is built from, beside its weights and its builder."""

    params: Mapping[str, Any]
    input_shape: tuple[int, ...]
    n_classes: int
    outputs: str
    """One of `search.training.classifier_outputs.Outputs`."""
    precision: str
    task: Task = Task.CLASSIFICATION
    scaling: Mapping[str, Any] | None = None
    """The fields of `search.training.scaling.Scaling`; None in files of earlier versions, which
    scaled bytes as params say.
    """


@dataclass(frozen=True, eq=False)
class Kept:
    """Facts, and what the network said as it was trained."""

    facts: Facts
    pixels: NDArray[Any]
    """(n, …), at most 64 training examples, as the data set has them."""
    probabilities: NDArray[np.float32]
    """(n, n_classes), of a regression the numbers (n, width)."""

    def is_repeated_by(self, probabilities: NDArray[np.float32]) -> bool:
        """Whether these are the same, but for the rounding of another device."""
        kept = self.probabilities
        if probabilities.shape != kept.shape:
            return False
        spread = np.abs(kept - kept.mean(axis=0)).max()
        return bool(np.abs(probabilities - kept).max() <= 1e-5 + _SHARE * spread)


def write_kept(location: str, kept: Kept) -> None:
    """Write `kept` to `location`, a path or a store's URL. Raises OSError."""
    facts = np.array(json.dumps(asdict(kept.facts)))
    with whole(location) as file:
        np.savez_compressed(file, facts=facts, pixels=kept.pixels, probabilities=kept.probabilities)


def read_kept(content: bytes) -> Kept:
    """What `write_kept` wrote. Raises ValueError, KeyError, OSError or zipfile.BadZipFile."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        raw = json.loads(str(arrays["facts"]))
        shape = tuple(int(n) for n in raw["input_shape"])
        outputs, precision = str(raw["outputs"]), str(raw["precision"])
        facts = Facts(
            raw["params"],
            shape,
            int(raw["n_classes"]),
            outputs,
            precision,
            task=Task(raw.get("task", Task.CLASSIFICATION)),
            scaling=raw.get("scaling"),
        )
        return Kept(facts, arrays["pixels"], arrays["probabilities"])


def kept_in(folder: Path) -> Kept | None:
    """What was kept of the network whose files are in `folder`; None of one of earlier versions.

    Raises InputError where it is damaged.
    """
    facts = folder / f"model{FACTS}"
    try:
        return read_kept(facts.read_bytes()) if facts.is_file() else None
    except _DAMAGE as error:
        raise InputError(f"{facts} is damaged; write it again by `gridless report`") from error


class Verdict(NamedTuple):
    """How a kept network can be used."""

    how: str | None
    """alone: its file loads in any Keras; module: it needs its builder's module, too; weights: it
    is built again by its builder; None: not at all.
    """
    problem: str
    """Why not, or why not alone."""
