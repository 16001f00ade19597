"""The leaderboard as a terminal shows it."""

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from search.report.frame import has_rank, ranking, varied_params
from search.report.words import show
from search.study.records import StudyRecord, TrialRecord

_COLORS = {
    "COMPLETE": "green",
    "RUNNING": "cyan",
    "WAITING": "yellow",
    "PRUNED": "bright_black",
    "FAIL": "red",
}


def leaderboard_table(study: StudyRecord, top: int = 10) -> Table:
    """The `top` first rows of the leaderboard, then trial 0 if it isn't among them; fits 80 columns.

    Accuracies in percent, times in seconds; parameters are those that vary, floats to three digits.
    """
    order = ranking(study)
    ranks = {t.number: str(i) if has_rank(t) else "" for i, t in enumerate(order, start=1)}
    own = [t for t in order[top:] if t is study.document]
    varied = varied_params(study)
    table = Table(
        title=f"Leaderboard of {escape(study.name)}",
        caption=_caption(study, order, top),
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("rank", "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("val %", "epoch", "train s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("params", ratio=1, overflow="fold")
    for t in order[:top]:
        table.add_row(*_cells(t, ranks[t.number], varied, t is study.document), end_section=bool(own))
    for t in own:
        table.add_row("…")
        table.add_row(*_cells(t, ranks[t.number], varied, True))
    return table


def _cells(trial: TrialRecord, rank: str, varied: list[str], is_document: bool) -> list[Text]:
    mark = "*" if is_document else ""
    value = trial.val_accuracy
    state = Text(trial.state.lower(), style=_COLORS.get(trial.state, ""))
    return [
        Text(rank),
        Text(f"{mark}{trial.number}"),
        state,
        Text("–" if value is None else f"{100 * value:.2f}", style="bold" if rank == "1" else ""),
        Text("–" if trial.best_epoch is None else str(trial.best_epoch)),
        Text(f"{trial.train_s:.1f}"),
        Text(" ").join(Text.assemble((f"{n}=", "dim"), _short(trial.params[n])) for n in varied if n in trial.params),
    ]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else show(value).replace(" ", "_")


def _caption(study: StudyRecord, order: list[TrialRecord], top: int) -> str | None:
    notes = ["* the document's setting"] if study.document in order else []
    if len(order) > top:
        notes.append(f"{len(order) - top:,} more in leaderboard.csv")
    failed = sum(t.state == "FAIL" for t in order)
    if failed:
        notes.append(f"{failed:,} failed, see report.html")
    return "\n".join(notes) or None
