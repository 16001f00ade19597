"""The leaderboard as a terminal shows it."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from search.analysis.baseline import baseline_cut, baseline_name
from search.analysis.finalists import Judgement
from search.analysis.ranking import front, further_values, ranking, varied_params
from search.cli.views.live import value_cell, value_column
from search.records import Objective, State, StudyRecord, TrialRecord, has_rank
from search.report.text.finalists import finalist_rows
from search.words import show

_COLORS = {
    State.COMPLETE: "green",
    State.RUNNING: "cyan",
    State.WAITING: "yellow",
    State.PRUNED: "bright_black",
    State.FAIL: "red",
}


def leaderboard_table(study: StudyRecord, top: int = 10) -> Table:
    """The leaderboard's `top` first rows and trial 0; fits 80 columns.

    Fractions in percent, times in seconds; parameters that do not vary are in the caption, floats
    to three digits.
    """
    order = ranking(study)
    ranks = {t.number: str(i) if has_rank(t) else "" for i, t in enumerate(order, start=1)}
    document = [t for t in order[top:] if t is study.document]
    varied = varied_params(study)
    table = _table(f"Leaderboard of {escape(study.name)}", _caption(study, order, top))
    for name in ("rank", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    further = further_values(study.goal, beside=("train_s",))
    names = [value_column(study.objective), *(objective.key for objective in further)]
    for name in (*names, *["front"] * bool(study.others), "epoch", "train s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("params", ratio=1, overflow="fold")
    members = front(study)
    for t in [*order[:top], *document]:
        if document and t is document[0]:
            table.add_row("…")
        number = f"*{t.number}" if t is study.document else f"{t.number}"
        values = [_further_cell(t, objective) for objective in further]
        marks = [] if members is None else ["yes" if t.number in members else "–"]
        table.add_row(ranks[t.number], number, *_cells(t, [*values, *marks], varied))
    return table


def finalists_table(study: StudyRecord, judgement: Judgement) -> Table:
    """The finalists with their test values, in the order of validation; fits 80 columns."""
    trials = {t.number: t for t in study.trials}
    varied = varied_params(study, [trials[row.trial] for row in judgement.rows])
    table = _table("Finalists on the test set")
    value = "test %" if study.objective.is_fraction else "test"
    for name in ("rank", "trial", value, "95 % interval", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("standing", overflow="fold")
    table.add_column("params", ratio=1, overflow="fold")
    for row, text in zip(judgement.rows, finalist_rows(judgement), strict=True):
        params = dict(trials[row.trial].params)
        if row.trained and "epochs" in params:
            params["epochs"] = row.trained[0]
        number = f"*{text.trial}" if row.is_document else text.trial
        mean, ends = (cell.removesuffix("\u00a0%") for cell in (text.test, text.interval))
        table.add_row(
            text.rank, number, mean, ends, text.replicates, text.verdict, _params(params, varied)
        )
    return table


def _table(title: str, caption: str | None = None) -> Table:
    return Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _further_cell(trial: TrialRecord, objective: Objective) -> str:
    mark = "!" if objective.name in trial.broken else ""
    return f"{value_cell(objective, trial.value_of(objective))}{mark}"


def _cells(trial: TrialRecord, further: list[str], varied: list[str]) -> list[Text]:
    value = value_cell(trial.objective, trial.value)
    state = Text(trial.state.lower(), style=_COLORS.get(trial.state, ""))
    return [
        state,
        Text(value),
        *map(Text, further),
        Text("–" if trial.best_epoch is None else str(trial.best_epoch)),
        Text(f"{trial.train_s:.1f}"),
        _params(trial.params, varied),
    ]


def _params(params: Mapping[str, Any], varied: list[str]) -> Text:
    return Text(" ").join(
        Text.assemble((f"{n}=", "dim"), _short(params[n])) for n in varied if n in params
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else show(value).replace(" ", "_")


def _caption(study: StudyRecord, order: list[TrialRecord], top: int) -> str | None:
    cut = f", cut to {cut}" if (cut := baseline_cut(study)) else ""
    varied = varied_params(study)
    params = chain.from_iterable(trial.params.items() for trial in order)
    fixed = {name: value for name, value in params if name not in varied}
    notes = [f"* {baseline_name(study)}{cut}"] if study.document in order else []
    if fixed:
        notes.append(
            escape(f"did not vary: {' '.join(f'{n}={_short(v)}' for n, v in fixed.items())}")
        )
    if any(trial.broken for trial in order):
        kept = any(has_rank(trial) for trial in order)
        remedy = "" if kept else ", which no trial keeps: raise it, or widen the space"
        notes.append(f"! breaks a bound of the study{remedy}")
    if len(order) > top:
        notes.append(f"{len(order) - top:,} more in leaderboard.csv")
    failed = [trial.reason or "" for trial in order if trial.state == State.FAIL]
    if failed:
        alike = f": {escape(failed[0])}" if failed[0] and len(set(failed)) == 1 else ""
        notes.append(f"{len(failed):,} failed{alike or ', see report.html'}")
    return "\n".join(notes) or None
