"""What a trial's process is told to train. No framework is loaded to say it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from search.records import Task

_LATER = {
    "loop": False,
    "pixel_max": 255,
    "task": Task.CLASSIFICATION,
    "objective": "accuracy",
    "others": (),
}
_PLACES = ("at_most", "measures", "checkpoint", "evidence", "cache", "test_data", "model_file")


@dataclass(frozen=True)
class Job:
    """What one trial trains, and where it writes."""

    model: str
    params: Mapping[str, Any]
    seed: int
    total_epochs: int
    """The horizon of schedules, and where training ends unless `stop_at` is smaller."""
    data: str
    """A folder with training and validation arrays only."""
    input_shape: tuple[int, ...]
    """Of one example: (height, width, channels) of an image."""
    n_classes: int
    checkpoint: str
    """A file, by its path or a store's URL."""
    evidence: str
    """A folder for predictions and the network's description, by its path or a store's URL."""
    number: int = 0
    """The trial's, for names of files."""
    loop: bool = False
    """Whether `model` is a loop, which trains by itself."""
    cache: str = ""
    """A folder for what can be computed again: features of a frozen base."""
    precision: str = "float32"
    """Keras' dtype policy: float32, mixed_bfloat16 or mixed_float16."""
    pixel_max: int | None = 255
    """The largest value that a pixel can have; None where examples are no images."""
    task: Task = Task.CLASSIFICATION
    objective: str = "accuracy"
    others: tuple[str, ...] = ()
    """What is measured beside it."""
    """What is measured on validation examples beside loss and accuracy."""
    at_most: Mapping[str, float] = field(default_factory=dict)
    """Bounds on what is known once the network is built; beyond them it isn't trained."""
    measures: tuple[str, ...] = ()
    """What is measured once a segment of it is over: latency_ms or nothing."""
    deterministic: bool = False
    """Whether each operation repeats its bits, on a GPU too, at the price of some speed."""
    train_on: str = "train"
    """train: validation images watch every epoch; all: they are trained on, too."""
    stop_at: int | None = None
    rates: tuple[float, ...] | None = None
    """The learning rate of each epoch, replayed; None where the schedule decides."""
    evaluate: str | None = None
    """What to score once at the end: test, validation, train or None."""
    test_data: str | None = None
    """A folder with test arrays, for jobs that evaluate on them; nobody else is told of it."""
    model_file: str | None = None
    """Where to keep the network as a .keras file, a path or a store's URL; None: nowhere."""

    @property
    def last_epoch(self) -> int:
        """The epoch after which training ends."""
        return min(self.total_epochs, self.stop_at or self.total_epochs)

    def fingerprint(self, backend: str, weights: str | None = None) -> str:
        """Changes with anything that would make another job's checkpoint wrong for this one.

        `weights` is the digest of the weights that the network starts from.
        """
        facts = asdict(self) | {
            "data": Path(self.data).name,
            "backend": backend,
            "weights": weights,
        }
        for place in _PLACES:
            del facts[place]
        for name, default in _LATER.items():
            if facts[name] == default:  # checkpoints of earlier versions go on
                del facts[name]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
