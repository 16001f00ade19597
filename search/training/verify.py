"""Whether a kept network says what it said as it was trained."""

from pathlib import Path

from search.training.kept_network import Verdict
from search.training.model_process import ask


def verify(folder: Path, model: str) -> Verdict:
    """Load the network in `folder` in a fresh process and compare what it says with what it said as
    it was trained.

    `model` is the name of its builder. Raises StudyError when the process breaks.
    """
    return Verdict(**ask({"verify": {"folder": str(folder), "model": model}}))
