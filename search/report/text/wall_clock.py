"""How long a search took by the clock, beside its workers' training time. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from search.records import Search, TrialRecord, epochs_of
from search.words import duration

BREAK_S = 300.0
"""Seconds between epochs from which on nobody was at work: a study may pause for days."""


class Elapsed(NamedTuple):
    """Seconds from the start of the first epoch to the end of the last."""

    seconds: float
    """Without breaks."""
    breaks_s: float
    """Stretches of more than BREAK_S in which nothing trained."""


def elapsed(trials: Sequence[TrialRecord]) -> Elapsed:
    """The time in which `trials` were trained, whatever number of them at once."""
    seconds = 0.0
    breaks_s = 0.0
    until = None
    for start, end in sorted((epoch.at - epoch.seconds, epoch.at) for epoch in epochs_of(trials)):
        gap = 0.0 if until is None else max(0.0, start - until)
        is_break = gap > BREAK_S
        breaks_s += gap if is_break else 0.0
        seconds += (0.0 if is_break else gap) + max(0.0, end - max(start, until or start))
        until = max(end, until or end)
    return Elapsed(seconds, breaks_s)


def clocks(search: Search) -> tuple[Elapsed, Elapsed]:
    """How long the search itself took, and its replicates."""
    replicates = search.finalists.trials if search.finalists else ()
    return elapsed(search.study.trials), elapsed(replicates)


def elapsed_words(search: Elapsed, replicates: Elapsed) -> str:
    """A sentence on both."""
    text = f"By the clock the search took {duration(search.seconds)}"
    if replicates.seconds:
        text += f" and its replicates {duration(replicates.seconds)}"
    breaks_s = search.breaks_s + replicates.breaks_s
    return (
        f"{text}; breaks of {duration(breaks_s)} in all are not counted."
        if breaks_s
        else f"{text}."
    )
