"""What is shown while a study runs: a snapshot of its trials, as a live table or as plain lines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.cli.views.console import Console
from search.cli.views.notebook import NotebookLive
from search.records import ACCURACY, Objective, State, TrialRecord, has_rank, rank_key
from search.study.finalist_costs import Rule, expected_s, left_to_train_s
from search.study.spec import StudySpec
from search.words import value_text


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment."""

    n_trials: int
    done: int
    running: int
    paused: int
    waiting: int
    """WAITING for a worker, not at a rung."""
    pruned: int
    failed: int
    best: TrialRecord | None
    active: tuple[TrialRecord, ...]
    """RUNNING trials, by worker."""
    left_s: float | None
    """Estimated seconds to the end; None before there is anything to judge by."""
    finals_s: float = 0.0
    """The part of them in which finalists are trained again."""
    objective: Objective = ACCURACY


def snapshot(
    trials: Sequence[TrialRecord],
    *,
    n_trials: int,
    workers: int,
    objective: Objective = ACCURACY,
) -> Snapshot:
    """Count and rank `trials`."""
    states = [t.state for t in trials]
    scored = [t for t in trials if has_rank(t)]
    return Snapshot(
        n_trials=n_trials,
        done=states.count(State.COMPLETE),
        running=states.count(State.RUNNING),
        paused=sum(t.paused for t in trials if t.state == State.WAITING),
        waiting=sum(not t.paused for t in trials if t.state == State.WAITING),
        pruned=states.count(State.PRUNED),
        failed=states.count(State.FAIL),
        best=min(scored, key=rank_key, default=None),
        active=tuple(
            sorted((t for t in trials if t.state == State.RUNNING), key=lambda t: t.worker or "")
        ),
        left_s=_left_s(trials, n_trials=n_trials, workers=workers),
        objective=objective,
    )


def _left_s(trials: Sequence[TrialRecord], *, n_trials: int, workers: int) -> float | None:
    """Epochs still to be trained, if the rest goes on as so far."""
    unsettled = [
        t for t in trials if t.state == State.RUNNING or (t.state == State.WAITING and not t.paused)
    ]
    settled = [t for t in trials if t.curve and t not in unsettled]
    epochs = sum(t.epochs for t in trials)
    if not settled:
        return None
    pace = sum(t.train_s for t in trials) / epochs
    typical = sum(t.epochs for t in settled) / len(settled)
    begun = sum(max(0.0, min(typical, t.total_epochs or typical) - t.epochs) for t in unsettled)
    return pace * (typical * max(0, n_trials - len(trials)) + begun) / max(1, workers)


def with_finals(shot: Snapshot, studies: "Shown", workers: int) -> Snapshot:
    """`shot` with the time that the finalists in `studies`, if there, take on `workers`."""
    workers = max(1, workers)
    if shot.left_s is None:
        return shot
    spec, trials = studies[0]
    rule = Rule.of(dict(spec))
    spent_s = sum(t.train_s for t in trials)
    # Finalists that are there while trials run are those of the search before it went on.
    if len(studies) > 1 and not shot.running and not shot.waiting:
        final, made = studies[1]
        finals_s = left_to_train_s(rule, final.replicates, made, trials) / workers
        return replace(shot, left_s=finals_s, finals_s=finals_s)
    finals_s = expected_s(rule, trials, spent_s + shot.left_s * workers) / workers
    return replace(shot, left_s=shot.left_s + finals_s, finals_s=finals_s)


def render(shot: Snapshot) -> RenderableType:
    """The live view of a terminal."""
    settled = shot.done + shot.pruned + shot.failed + shot.paused
    head = Table.grid(padding=(0, 1))
    head.add_row(ProgressBar(total=shot.n_trials, completed=settled, width=30), Text(counts(shot)))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for name in ("worker", "trial", "epoch", value_column(shot.objective)):
        table.add_column(name, justify="left" if name == "worker" else "right")
    for trial in shot.active:
        last = trial.value_at(trial.curve[-1]) if trial.curve else None
        table.add_row(
            trial.worker or "?",
            str(trial.number),
            f"{trial.epochs}/{trial.total_epochs or '?'}",
            value_cell(shot.objective, last),
        )
    if settled == shot.n_trials:
        return head
    return Group(head, table if shot.active else Text("starting workers …", style="dim"))


def counts(shot: Snapshot) -> str:
    """One line: how far the study is, the best so far and the time left."""
    parts = [f"{shot.done} done", f"{shot.running} running"]
    rest = ((shot.paused, "paused"), (shot.pruned, "pruned"), (shot.failed, "failed"))
    parts += [f"{n} {word}" for n, word in rest if n]
    line = f"{shot.n_trials} {'trial' if shot.n_trials == 1 else 'trials'}: {', '.join(parts)}"
    if shot.best is not None:
        best = value_text(shot.objective, shot.best.value).replace("\u00a0", " ")
        line += f" · best {best} (trial {shot.best.number})"
    if shot.left_s is not None:
        line += f" · about {duration(shot.left_s)} left"
        line += (
            f", {duration(shot.finals_s)} of it for finalists"
            if 0 < shot.finals_s < shot.left_s
            else ""
        )
    return line


def value_column(objective: Objective) -> str:
    """The head of a column of values by validation: `val %`, or `val_log_loss`."""
    return "val %" if objective == ACCURACY else objective.key


def value_cell(objective: Objective, value: float | None) -> str:
    """A value in such a column; fractions in percent, without the sign."""
    return value_text(objective, value).removesuffix("\u00a0%")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class _View:
    """Shows something on stderr: live on a terminal or in a notebook, otherwise as lines, each
    once.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)
        live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live = NotebookLive() if self._console.is_jupyter else live
        self._is_live = not quiet and (self._console.is_terminal or self._console.is_jupyter)
        self._printed: set[str] = set()

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live:
            self._live.stop()

    def warn(self, text: str) -> None:
        """Say, once, what holds workers up."""
        self._say(f"waiting: {text}", text.partition(" has only ")[0])

    def _say(self, line: str, key: str) -> None:
        """Print `line` unless something of the same `key` was printed before."""
        if not self._quiet and key not in self._printed:
            self._printed.add(key)
            self._console.print(line, highlight=False, soft_wrap=True)

    def _say_row(
        self, title: str, name: str, done: str, value: str, _running: str, *, after: str = ""
    ) -> None:
        line = f"{title}: {done} done{f', {value}' if value else ''}"
        if not done.startswith("0"):
            self._say(line + after, f"{name} {line}")


Shown = Sequence[tuple[StudySpec, Sequence[TrialRecord]]]
"""Studies with their trials."""


class LiveView(_View):
    """Shows a study and its finalists: a live table on a terminal, else a line per ended trial."""

    def update(self, studies: Shown) -> None:
        """Show a study's trials and its finalists': the first and the second of `studies`."""
        spec, trials = studies[0]
        finalists = [suite_row(*shown) for shown in studies[1:]]
        shot = with_finals(
            snapshot(
                trials,
                n_trials=spec.n_trials,
                workers=spec.workers,
                objective=spec.first_objective,
            ),
            studies,
            spec.workers,
        )
        if self._is_live:
            table = [_suite_table(finalists)] if finalists else []
            self._live.update(Group(render(shot), *table))
            return
        self._say(counts(shot), f"{shot.done} {shot.paused} {shot.pruned} {shot.failed}")
        left = f", about {duration(shot.left_s)} left" if shot.left_s else ""
        for row in finalists:
            n = studies[1][0].n_trials
            self._say(
                f"the best settings again, {n} {'training' if n == 1 else 'trainings'}{left}",
                "finalists",
            )
            trained = "its network, on its training examples"
            where = "finalists on the test set" if spec.has_test else trained
            self._say_row(where, *row, after=left)


class SuiteView(_View):
    """Shows the running studies of a suite in the same way."""

    def update(self, studies: Shown) -> None:
        """Show the trials of each of `studies`."""
        rows = [suite_row(spec, trials) for spec, trials in studies]
        if self._is_live:
            self._live.update(_suite_table(rows))
            return
        for row in rows:
            self._say_row(row[0], *row)


def suite_row(spec: StudySpec, trials: Sequence[TrialRecord]) -> tuple[str, str, str, str]:
    """A study's name, trials ended, mean value so far, epochs of running trials."""
    ended = [t for t in trials if t.state == State.COMPLETE]
    replicates = {n: spec.replicate(n) for n in range(spec.n_trials)}
    pilots = {n for n, replicate in replicates.items() if replicate and replicate.is_pilot}
    sources = {replicate.source for replicate in replicates.values() if replicate}
    scored = [t for t in ended if t.number not in pilots]
    values = [t.value if t.final_value is None else t.final_value for t in scored]
    best = [v for v in values if v is not None]
    if len(sources) > 1:  # a mean over the replicates of several settings means nothing
        best = []
    failed = sum(t.state == State.FAIL for t in trials)
    running = [f"{t.epochs}/{t.total_epochs or '?'}" for t in trials if t.state == State.RUNNING]
    done = f"{len(ended) + failed} of {spec.n_trials}" + (f" ({failed} failed)" if failed else "")
    return (
        spec.name,
        done,
        value_text(spec.first_objective, fmean(best)).replace("\u00a0", " ") if best else "",
        ", ".join(running),
    )


def _suite_table(rows: Sequence[tuple[str, str, str, str]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for name in ("study", "done", "value", "epochs of running trials"):
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    return table
