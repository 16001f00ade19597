"""What a search strategy answers, and what all of them share."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from search.records import State, TrialRecord


class Decision(StrEnum):
    """What a trial should do after an epoch."""

    GO_ON = "go on"
    PAUSE = "pause"
    STOP = "stop"


class Strategy(Protocol):
    """How a study chooses settings and shares epochs out among them."""

    def ask(self, trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        """Params of trial `number`, valid in the study's space."""
        ...

    def decide(self, trials: Sequence[TrialRecord], number: int, step: int) -> Decision:
        """What trial `number` does after `step`; `trials` already hold that step."""
        ...

    def promote(self, trials: Sequence[TrialRecord]) -> int | None:
        """The number of a paused trial that should go on now, or None."""
        ...

    def is_rung(self, step: int) -> bool:
        """Whether `decide` could answer anything but «go on» after `step`."""
        ...

    @property
    def has_rungs(self) -> bool:
        """Whether trials may be paused at all, so that `promote` has something to do."""
        ...

    @property
    def looks(self) -> bool:
        """Whether `ask` heeds other trials at all."""
        ...


def derive_seed(seed: int, number: int) -> int:
    """A 31-bit seed for trial `number` of a study with `seed` ≥ 0."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


def is_paused(trial: TrialRecord) -> bool:
    """Whether `trial` waits at a rung for a promotion that may come: it breaks no bound."""
    return trial.state == State.WAITING and trial.paused and not trial.broken


def identity(params: Mapping[str, Any], max_epochs: int) -> tuple[tuple[str, str], ...]:
    """What makes settings the same: equal values, `epochs` above the study's clipped."""
    clipped = {n: min(v, max_epochs) if n == "epochs" else v for n, v in params.items()}
    return tuple(sorted((name, repr(value)) for name, value in clipped.items()))
