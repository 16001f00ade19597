"""Strategies or systems compared: Markdown tables and a page beside the CSV file of runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.errors import InputError
from search.files import write_text
from search.lab.report.chart import regret_chart
from search.lab.report.reach import MIN_PAIRS, reaches, reference_of
from search.lab.report.reading import Simulated, SimulatedRun, by_workers, read_runs
from search.lab.report.regret import BASELINE, PARTS, Level, Regrets, Standing, regrets
from search.report.page import jinja
from search.report.tables import markdown, to_markdown
from search.words import count, duration, listing, percent, points

REACH_HEAD = (
    "system",
    "final accuracy",
    "ours, same runs",
    "of its compute",
    "until it was there itself",
    "reached",
)
TOOK_HEAD = ("time", "settings")
HEAD = ("strategy", *(f"{100 * part:.0f} %" for part in PARTS), "average rank", "runs")
_LEFT = ("strategy",)
_REACH_LEFT = ("system",)


class StrategiesPaths(NamedTuple):
    """Where a comparison of strategies was written."""

    markdown: Path
    page: Path


class ReachTable(NamedTuple):
    """What our own system takes to the others' final values, as people read it."""

    heading: str
    head: tuple[str, ...]
    rows: list[list[str]]
    note: str


class Compared(NamedTuple):
    """What is told of the runs with one number of workers."""

    regrets: Regrets
    reach: ReachTable | None


def strategies_report(path: Path) -> StrategiesPaths:
    """Compare the runs in the CSV file `path`: writes <its name>.md and <its name>.html beside it.

    The page is one file of about 5 MB that needs no network. Raises InputError for a file that
    can't be read or is none of runs, and when the folder can't be written.
    """
    simulated = read_runs(path)
    regretted = [regrets(simulated, runs, n) for n, runs in by_workers(simulated.runs).items()]
    groups = [Compared(group, reach_of(simulated, group)) for group in regretted]
    paths = StrategiesPaths(path.with_suffix(".md"), path.with_suffix(".html"))
    try:
        write_text(paths.markdown, to_text(path.name, simulated, groups))
        write_text(paths.page, to_page(path.name, simulated, groups))
    except OSError as error:
        reason = f"{error.filename or path.parent} can't be written: {error.strerror or error}"
        raise InputError(
            f"{reason}; allow writing, or copy {path.name} to another folder"
        ) from error
    return paths


def to_text(name: str, simulated: Simulated, groups: Sequence[Compared]) -> str:
    """The comparison as Markdown."""
    lines = [f"# {markdown(name)}: strategies compared", ""]
    for group, reached in groups:
        lines += [f"## {count(group.n_workers, 'worker')}", "", markdown(heading(group)), ""]
        lines += [*to_markdown(HEAD, [cells(s) for s in group.standings], _LEFT), ""]
        lines += [f"- {markdown(note)}" for note in notes(simulated, group)]
        lines += [""]
        if reached:
            lines += [markdown(reached.heading), ""]
            lines += [
                *to_markdown(reached.head, reached.rows, _REACH_LEFT),
                "",
                f"- {markdown(reached.note)}",
                "",
            ]
    return "\n".join(lines).rstrip() + "\n"


def to_page(name: str, simulated: Simulated, groups: Sequence[Compared]) -> str:
    """The comparison as HTML, one file. Every word that comes from the runs is escaped."""
    sections = [
        {
            "n_workers": count(group.n_workers, "worker"),
            "key": group.n_workers,
            "heading": heading(group),
            "rows": [_row(s) for s in group.standings],
            "chart": regret_chart(group),
            "notes": notes(simulated, group),
            "reach": reached,
        }
        for group, reached in groups
    ]
    return (
        jinja()
        .get_template("strategies.html.j2")
        .render(
            name=name,
            made_on=simulated.made_on,
            head=HEAD,
            sections=sections,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library's own)
        )
    )


def heading(group: Regrets) -> str:
    """What the numbers of the table are."""
    unit = (
        "in units of random search’s mean regret at the end of the budget"
        if group.is_normalised
        else "in points of accuracy"
    )
    return (
        f"Mean regret of the best validation accuracy found so far, {unit}, after parts of a budget"
        f" of {group.budget:g} full trainings, with 95 % intervals; lower is better."
    )


def cells(standing: Standing) -> list[str]:
    """A strategy's row of the table."""
    rank = "–" if standing.rank is None else f"{standing.rank:.2f}"
    return [
        standing.strategy,
        *(_level(level) for level in standing.at_parts),
        rank,
        str(standing.n_runs),
    ]


def notes(simulated: Simulated, group: Regrets) -> list[str]:
    """What the reader should know of how the numbers came about."""
    fewest, most = group.n_seeds
    seeds = count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    sentences = [
        f"{count(len(group.tasks), 'task')}, {seeds} each. Intervals are bootstrapped over seeds,"
        " within tasks: they say what other seeds may give on these tasks. Ranks are of final"
        " values, over the same tasks and seeds."
    ]
    if group.is_normalised:
        sentences.append(
            "A task’s regret is (best − value) / (best − mean of random’s final values); best is"
            " the best value known of the task, by sampling or by any run of the file, and is taken"
            " as exact."
        )
    elif BASELINE in {standing.strategy for standing in group.standings}:
        sentences.append(
            f"No regret can be normalised: {BASELINE!r} ends with the best value known of every"
            " task."
        )
    elif simulated.made_on is None:
        sentences.append(
            f"No regret can be normalised without runs of {BASELINE!r}; add them to the file."
        )
    if not simulated.is_budget_known:
        sentences.append(
            "The budget is not recorded beside the file: the most that any run spent to get better"
            " stands in."
        )
    if group.left_out:
        sentences.append(
            f"Left out: {listing(list(group.left_out))}, where not all strategies ran or random"
            " search is at the best."
        )
    return sentences


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


def _level(level: Level) -> str:
    if math.isnan(level.mean):
        return "–"
    ends = "" if math.isnan(level.low) else f" [{level.low:.2f}, {level.high:.2f}]"
    return f"{level.mean:.2f}{ends}"


def _row(standing: Standing) -> list[tuple[str, Any]]:
    """Cells with what to sort them by."""
    means = ["" if math.isnan(level.mean) else level.mean for level in standing.at_parts]
    keys = [
        standing.strategy,
        *means,
        "" if standing.rank is None else standing.rank,
        standing.n_runs,
    ]
    return list(zip(cells(standing), keys, strict=True))
