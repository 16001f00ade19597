"""What the queue holds and who works on it, as tables and as JSON."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.cli.views.live import Snapshot, duration
from search.cli.views.status_reader import Status, StudyStatus
from search.records import TrialRecord
from search.study.storage.queue import QueueState
from search.study.storage.workers import WorkerRecord
from search.words import value_text

WIDE = 120
"""Columns of a terminal that takes all that is told of studies."""
DAMAGED = "damaged"
"""The state of a study of which what is stored can't be read."""
_FIGURES = (
    "priority",
    "n_trials",
    "complete",
    "running",
    "paused",
    "waiting",
    "pruned",
    "failed",
    "best_val_accuracy",
    "objective",
    "best_value",
    "best_trial",
    "n_retries",
    "trials_per_hour",
    "epochs_per_hour",
    "left_s",
    "peak_host_mb",
    "peak_device_mb",
)
"""What `as_dict` tells of a study, beside its name, its state and the reason for that."""


def as_dict(status: Status) -> dict[str, object]:
    """The status as `gridless status --json` prints it. Of a damaged study all figures are null."""
    studies = [
        {"study": s.name, "state": str(s.place.state), "reason": s.place.reason} | _figures(s)
        for s in status.studies
    ]
    unknown = dict.fromkeys(_FIGURES)
    studies += [
        {"study": name, "state": DAMAGED, "reason": why} | unknown
        for name, why in status.damaged.items()
    ]
    return {"studies": studies, "workers": [_worker_dict(status, w) for w in status.workers]}


def _worker_dict(status: Status, worker: WorkerRecord) -> dict[str, object]:
    trial = _trial(status, worker)
    return {
        "worker": worker.worker,
        "device": worker.device,
        "study": worker.study,
        "trial": worker.trial,
        "epoch": trial.epochs if trial else None,
        "total_epochs": trial.total_epochs if trial else None,
        "silent_s": round(worker.silent_s, 1),
        "note": worker.note,
    }


def _figures(s: StudyStatus) -> dict[str, object]:
    shot = s.shot
    best = s.shot.best
    values = (
        s.place.priority,
        shot.n_trials,
        shot.done,
        shot.running,
        shot.paused,
        shot.waiting,
        shot.pruned,
        shot.failed,
        best.val_accuracy if best else None,
        shot.objective.name,
        best.value if best else None,
        best.number if best else None,
        s.n_retries,
        round(s.trials_per_hour, 2),
        round(s.epochs_per_hour, 2),
        shot.left_s if s.place.state is QueueState.OPEN else None,
        s.peak_host_mb,
        s.peak_device_mb,
    )
    return dict(zip(_FIGURES, values, strict=True))


def _trial(status: Status, worker: WorkerRecord) -> TrialRecord | None:
    return status.trials.get((worker.study or "", -1 if worker.trial is None else worker.trial))


def render_status(status: Status, *, grace_s: float, width: int = WIDE) -> RenderableType:
    """Two tables; workers silent for more than `grace_s` seconds are marked as lost.

    On a terminal of less than WIDE columns studies are told of in less detail.
    """
    if not status.studies and not status.workers and not status.damaged:
        return Text("no study and no worker; `gridless submit MODEL DATA` puts one on the queue")
    notes = [Text(why, style="red") for why in status.damaged.values()]
    if status.n_hidden:
        notes.append(
            Text(
                f"{status.n_hidden:,} older ones that are over are left out; --limit 0 shows all",
                style="dim",
            )
        )
    return Group(
        _studies_table(status, is_wide=width >= WIDE),
        *notes,
        Text(),
        _workers_table(status, grace_s),
    )


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", vertical="bottom")
    return table


_SHORT = ("trials\nended", "running", "failed", "best\nvalue", "time\nleft")
_LONG = (
    "priority",
    "trials\nended",
    "running",
    "paused",
    "failed",
    "retries",
    "best\nvalue",
    "trials\nper hour",
    "epochs\nper hour",
    "most\nMB",
    "time\nleft",
)


def _studies_table(status: Status, *, is_wide: bool) -> Table:
    numbers = _LONG if is_wide else _SHORT
    table = _table(("study", "state"), numbers)
    for s in status.studies:
        state = f"{s.place.state} ({s.place.reason})" if s.place.reason else str(s.place.state)
        cells = _cells(s)
        table.add_row(s.name, state, *(cells[name] for name in numbers))
    for name in status.damaged:
        table.add_row(name, DAMAGED, *["–"] * len(numbers))
    return table


def _cells(s: StudyStatus) -> dict[str, str]:
    """What is told of a study, as text, by `_LONG`."""
    shot = s.shot
    values = (
        str(s.place.priority),
        f"{shot.done + shot.pruned + shot.failed} of {shot.n_trials}",
        str(shot.running),
        str(shot.paused),
        str(shot.failed),
        str(s.n_retries),
        _best(shot),
        f"{s.trials_per_hour:.0f}",
        f"{s.epochs_per_hour:.0f}",
        "–" if s.peak_host_mb is None else f"{max(s.peak_host_mb, s.peak_device_mb or 0):.0f}",
        (
            duration(shot.left_s)
            if shot.left_s is not None and s.place.state is QueueState.OPEN
            else "–"
        ),
    )
    return dict(zip(_LONG, values, strict=True))


def _best(shot: Snapshot) -> str:
    value = shot.best.value if shot.best else None
    return value_text(shot.objective, value).replace("\u00a0", " ")


def _workers_table(status: Status, grace_s: float) -> RenderableType:
    if not status.workers:
        return Text("no worker; `gridless worker` starts some", style="dim")
    table = _table(("worker", "device", "study"), ("trial", "epoch", "heard of"))
    for w in status.workers:
        trial = _trial(status, w)
        lost = " (lost?)" if w.silent_s > grace_s else ""
        table.add_row(
            w.worker,
            w.device,
            ": ".join(filter(None, (w.study, w.note))) or "idle",
            "" if w.trial is None else str(w.trial),
            f"{trial.epochs}/{trial.total_epochs or '?'}" if trial else "",
            f"{w.silent_s:.0f} s ago{lost}",
        )
    return table
