"""How a trial that was trained again compares with its record, and its machine. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from search.records import Epoch, Evaluation, State, TrialRecord

TOLERANCE_POINTS = 0.5
"""What rounding alone may add up to over a training, in points (docs/measurements.md)."""
_FIRST_DRIFT = 0.01
"""Points; another thread count or no oneDNN gave 0.0054 at most in the first such epoch."""
_GROWTH = 10
_ROUNDING = 1e-9
"""Of one image in 200, too, the difference must be 0.5 points."""
_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "lr")
"""Of every epoch, in this order; others come after them."""


class Verdict(StrEnum):
    """How numbers compare with the record."""

    BIT_EQUAL = "bit-equal"
    WITHIN = "equal within tolerance"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Deviation:
    """A metric that is not what the record says."""

    metric: str
    recorded: float | None
    again: float | None
    """None where one of the two has no such value."""
    points: float
    """How far apart they are, as `points` counts; infinite where they can't be compared."""


@dataclass(frozen=True)
class Compared:
    """An epoch, or the evaluation at the end, against the record."""

    what: str
    """"epoch 3", or the images that were scored, like "test"."""
    verdict: Verdict
    deviations: tuple[Deviation, ...] = ()

    @property
    def largest(self) -> Deviation | None:
        """The metric that is farthest off; None where all are the same."""
        return max(self.deviations, key=lambda d: d.points, default=None)


@dataclass(frozen=True)
class Reproduction:
    """A whole training against the record."""

    parts: tuple[Compared, ...]
    """Every recorded epoch that was trained again, and the evaluation if there is one."""
    problems: tuple[str, ...]
    """What differs besides numbers, or in their place, one sentence each."""
    tolerance: float
    """In points."""

    @property
    def verdict(self) -> Verdict:
        """That of the part that is farthest off."""
        verdicts = {part.verdict for part in self.parts}
        if self.problems or Verdict.DIFFERENT in verdicts:
            return Verdict.DIFFERENT
        return Verdict.WITHIN if Verdict.WITHIN in verdicts else Verdict.BIT_EQUAL

    @property
    def largest(self) -> tuple[str, Deviation] | None:
        """The part and the metric that are farthest off; None where all numbers are the same."""
        deviations = []
        for part in self.parts:
            deviations += [(part.what, deviation) for deviation in part.deviations]
        return max(deviations, key=lambda f: f[1].points, default=None)

    @property
    def drifts(self) -> bool:
        """Whether numbers part as by rounding: by next to nothing first, farther by the epoch."""
        largest = [part.largest.points if part.largest else 0.0 for part in self.parts]
        apart = largest[next((i for i, p in enumerate(largest) if p), len(largest)) :]
        return (
            bool(apart)
            and all(apart)
            and apart[0] <= _FIRST_DRIFT
            and apart[-1] >= _GROWTH * apart[0]
        )


@dataclass(frozen=True)
class Change:
    """What is not here as it was there."""

    name: str
    recorded: str | None
    """None where the record says nothing of it."""
    here: str | None


def points(metric: str, recorded: float | None, again: float | None) -> float:
    """How far apart two values of `metric` are, in points: hundredths.

    Of an accuracy, of a loss and of any other value (relative where it is above 1), or of the
    learning rate itself.
    Infinite where one of them is missing or no number; none where a loop told neither.
    """
    if recorded is None or again is None:
        return 0.0 if recorded is again else math.inf
    if math.isnan(recorded) and math.isnan(again):
        return 0.0
    gap = abs(recorded - again)
    if metric == "lr":
        gap = gap / max(abs(recorded), abs(again)) if gap else 0.0
    else:
        gap /= max(1.0, abs(recorded))
    return 100 * gap if math.isfinite(gap) else math.inf


def compare_epoch(recorded: Epoch, again: Epoch, *, tolerance: float) -> Compared:
    """An epoch against its record, all metrics but times. `tolerance` is in points."""
    return _compared(f"epoch {recorded.step}", _METRICS, recorded.values, again.values, tolerance)


def _scores(evaluation: Evaluation) -> dict[str, float | None]:
    return {"accuracy": evaluation.accuracy, "loss": evaluation.loss, **evaluation.values}


def compare(
    recorded: TrialRecord, again: TrialRecord, *, tolerance: float = TOLERANCE_POINTS
) -> Reproduction:
    """A trial against its record, epoch by epoch; `tolerance` in points, 0 or more."""
    parts = [
        compare_epoch(r, a, tolerance=tolerance)
        for r, a in zip(recorded.curve, again.curve, strict=False)
    ]
    if recorded.evaluation and again.evaluation:
        split = recorded.evaluation.split
        parts.append(
            _compared(
                split,
                ("accuracy", "loss"),
                _scores(recorded.evaluation),
                _scores(again.evaluation),
                tolerance,
            )
        )
    return Reproduction(tuple(parts), tuple(_problems(recorded, again)), tolerance)


def changes(recorded: Mapping[str, str], here: Mapping[str, str]) -> tuple[Change, ...]:
    """What differs between two environments, in the record's order, then what only `here` has."""
    names = [*recorded, *(name for name in here if name not in recorded)]
    return tuple(
        Change(name, recorded.get(name), here.get(name))
        for name in names
        if recorded.get(name) != here.get(name)
    )


def _compared(
    what: str,
    metrics: Sequence[str],
    recorded: Mapping[str, float | None],
    again: Mapping[str, float | None],
    tolerance: float,
) -> Compared:
    """All values against their record, those of `metrics` first."""
    deviations = []
    for metric in dict.fromkeys([*metrics, *recorded, *again]):
        then = recorded.get(metric)
        now = again.get(metric)
        if then != now:
            deviations.append(Deviation(metric, then, now, points(metric, then, now)))
    largest = max((d.points for d in deviations), default=0.0)
    verdict = Verdict.WITHIN if deviations else Verdict.BIT_EQUAL
    if largest > tolerance * (1 + _ROUNDING):
        verdict = Verdict.DIFFERENT
    return Compared(what, verdict, tuple(deviations))


def _problems(recorded: TrialRecord, again: TrialRecord) -> list[str]:
    problems = []
    if (
        recorded.n_params is not None
        and again.n_params is not None
        and recorded.n_params != again.n_params
    ):
        problems.append(
            f"the network has {again.n_params:,} parameters, the record says {recorded.n_params:,}"
        )
    if recorded.state == State.FAIL:
        problems += _other_failure(recorded, again)
    elif again.state == State.FAIL:
        problems.append(
            f"it failed after {_epochs(again.epochs)}, which it did not then: {again.reason}"
        )
    elif again.epochs != recorded.epochs:
        problems.append(f"it trained {_epochs(again.epochs)}, the record has {recorded.epochs}")
    elif recorded.evaluation and not again.evaluation:
        problems.append(f"it was not scored on the {recorded.evaluation.split} images")
    return problems


def _other_failure(recorded: TrialRecord, again: TrialRecord) -> list[str]:
    then = (
        f"then it failed after {_epochs(recorded.epochs)}:"
        f" {recorded.reason or 'for no recorded reason'}"
    )
    if again.state != State.FAIL:
        return [f"{then}; this time it did not fail: {_epochs(again.epochs)} came to a good end"]
    if (again.epochs, again.reason) != (recorded.epochs, recorded.reason):
        return [f"{then}; this time it failed after {_epochs(again.epochs)}: {again.reason}"]
    return []


def _epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"
