"""Strategies or systems compared: Markdown tables and a page beside the CSV file of runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search.errors import InputError
from search.files import write_text
from search.lab.report.chart import regret_chart
from search.lab.report.reach_table import ReachTable, reach_of
from search.lab.report.reading import Simulated, by_workers, read_runs
from search.lab.report.regret import BASELINE, PARTS, Level, Regrets, Standing, regrets
from search.report.page import jinja
from search.report.tables import markdown, to_markdown
from search.words import count, listing

HEAD = ("strategy", *(f"{100 * part:.0f} %" for part in PARTS), "average rank", "runs")
_LEFT = ("strategy",)
_REACH_LEFT = ("system",)


class StrategiesPaths(NamedTuple):
    """Where a comparison of strategies was written."""

    markdown: Path
    page: Path


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
