"""What a batch of events comes to, trial by trial, in whatever order its files were read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from search.records import State
from search.tracking.outbox import Event

_FINAL = (State.COMPLETE, State.PRUNED, State.FAIL)


class StateAt(NamedTuple):
    """A trial's state and since when. The greater one holds: a final one, else the latest.

    A study's storage never takes a final state back, so clocks that differ between machines can't
    do it here.
    """

    is_final: bool
    at: float
    name: str


def make_state(name: str, at: float) -> StateAt:
    """Return the state called `name`, held since `at` (Unix seconds)."""
    return StateAt(name in _FINAL, at, name)


class Point(NamedTuple):
    """What was measured at one step; `at` in Unix seconds."""

    step: int
    at: float
    values: Mapping[str, float]


class Summary(NamedTuple):
    """What has come of a trial, or of the study, by `at` (Unix seconds)."""

    at: float
    tags: Mapping[str, str]
    values: Mapping[str, float]


@dataclass
class Update:
    """What a batch says of one trial, or of the study."""

    first_at: float
    """When the first of its events happened, Unix seconds."""
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: dict[tuple[str, int], Point] = field(default_factory=dict)
    """By (marker, step)."""
    state: StateAt | None = None
    summary: Summary | None = None
    paths: dict[str, None] = field(default_factory=dict)
    """Files and folders to keep, in order, each once."""


def marker(values: Mapping[str, float]) -> str:
    """Name the one metric whose steps say which steps are known; `values` is not empty."""
    return next((key for key in ("val_accuracy", "epoch") if key in values), min(values))


def fold(events: Iterable[Event]) -> dict[int | None, Update]:
    """Return updates by trial number, None for the study, in the order in which they first appear.

    Of params and of a step's values the first told hold, of tags and summaries the last, of states
    the greatest.
    """
    updates: dict[int | None, Update] = {}
    for event in sorted(events, key=lambda e: e.at):
        update = updates.setdefault(event.trial, Update(event.at))
        if event.kind == "summary":
            summary = update.summary or Summary(event.at, {}, {})
            update.summary = Summary(
                event.at, {**summary.tags, **event.tags}, {**summary.values, **event.values}
            )
            continue
        update.params = {**event.params, **update.params}
        update.tags |= event.tags
        update.paths |= dict.fromkeys(event.paths)
        if event.values:
            key = (marker(event.values), event.step)
            update.points.setdefault(key, Point(event.step, event.at, event.values))
        if event.kind in ("start", "end"):
            state = make_state(event.state, event.at)
            update.state = max(update.state, state) if update.state else state
    return updates
