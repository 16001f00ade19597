"""What a trial's process is told to train. No framework is loaded to say it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """What one trial trains. `data` is a folder with training and validation arrays only."""

    model: str
    params: Mapping[str, Any]
    seed: int
    total_epochs: int
    data: str
    input_shape: tuple[int, int, int]
    n_classes: int
    checkpoint: str

    def fingerprint(self, backend: str) -> str:
        """Changes with anything that would make another job's checkpoint wrong for this one."""
        facts = asdict(self) | {"data": Path(self.data).name, "backend": backend}
        del facts["checkpoint"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
