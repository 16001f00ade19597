"""What our own system takes to the others' final values, as a table for people."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from search.lab.report.reach import MIN_PAIRS, reaches, reference_of
from search.lab.report.reading import Simulated, SimulatedRun
from search.lab.report.regret import Level, Regrets
from search.words import count, duration, percent, points

REACH_HEAD = (
    "system",
    "final accuracy",
    "ours, same runs",
    "of its compute",
    "until it was there itself",
    "reached",
)


TOOK_HEAD = ("time", "settings")


class ReachTable(NamedTuple):
    """What our own system takes to the others' final values, as people read it."""

    heading: str
    head: tuple[str, ...]
    rows: list[list[str]]
    note: str


def reach_of(simulated: Simulated, group: Regrets) -> ReachTable | None:
    """The table of what our system takes; None without runs of it, or of another."""
    runs = [r for r in simulated.runs if r.n_workers == group.n_workers]
    name = reference_of(runs)
    reached = reaches(simulated, runs)
    if name is None or not reached:
        return None
    ours = fmean(r.final for r in runs if r.strategy == name)
    rows = [[name, percent(ours), "–", "–", "–", "–", *_took(simulated, runs, name)]]
    rows += [
        [
            *(
                r.other,
                percent(r.final),
                percent(r.reference_final),
                _ratio(r.of_all),
                _ratio(r.of_first),
                f"{r.n_reached} of {r.n}",
            ),
            *_took(simulated, runs, r.other),
        ]
        for r in reached
    ]
    real = " Times and numbers of settings are means of one search." if simulated.totals else ""
    if simulated.n_validation:
        error = math.sqrt(ours * (1 - ours) / simulated.n_validation)
        images = count(simulated.n_validation, "image")
        real += (
            f" Accuracies are of {images}, the best of all epochs, and so optimistic for every"
            f" system; one standard error of a single one is {points(error)}."
        )
    return ReachTable(
        f"What {name} spends until it has each other system’s final validation accuracy, as a part"
        " of all that the other spends, and of what the other had spent when it first had that"
        " accuracy. Below 1 is cheaper.",
        (*REACH_HEAD, *TOOK_HEAD) if simulated.totals else REACH_HEAD,
        rows,
        "Medians over the runs (tasks and seeds) that both have, with 95 % bootstrap intervals"
        f" over these runs where there are {MIN_PAIRS} or more, as fewer could not hold 95 %;"
        " “never” where the accuracy was not reached within the budget. Final accuracies are"
        " means." + real,
    )


def _took(simulated: Simulated, runs: Sequence[SimulatedRun], name: str) -> tuple[str, ...]:
    totals = [
        t
        for r in runs
        if r.strategy == name and (t := simulated.totals.get((name, r.task, r.seed)))
    ]
    if not totals:
        return ("–", "–") if simulated.totals else ()
    return duration(fmean(t.seconds for t in totals)), f"{fmean(t.n_settings for t in totals):.0f}"


def _ratio(level: Level) -> str:
    def multiple(value: float) -> str:
        return "never" if math.isinf(value) else f"{value:.2f}"

    ends = "" if math.isnan(level.low) else f" [{multiple(level.low)}, {multiple(level.high)}]"
    return multiple(level.mean) + ends
