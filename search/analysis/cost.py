"""What a search cost, and what a full grid over its space would have cost. Pure."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, variance
from typing import Any, NamedTuple

from search.analysis.ranking import started_trials
from search.errors import InputError
from search.records import Search, State, StudyRecord, epochs_of
from search.space.setting import n_trained, totals
from search.space.space import Space

_HOUR_S = 3600.0


class Hours(NamedTuple):
    """Compute: a core-hour is an hour of one CPU thread, a GPU-hour one of a whole GPU."""

    core: float
    gpu: float


@dataclass(frozen=True)
class Spent:
    """What trials cost, in completed epochs: what a crash or a kill cut off is not recorded."""

    n_trials: int
    """Trials with an epoch or more."""
    epochs: int
    trainings: float
    """Full trainings: `epochs` over the most that a trial of the search may train."""
    train_s: float
    """Wall-clock seconds of training and validation, summed over trials."""
    hours: Hours
    n_failed: int
    """Trials that failed after an epoch or more."""
    failed_s: float
    """Their part of `train_s`."""


@dataclass(frozen=True)
class Grid:
    """A full grid: every choice, every whole number, GRID_POINTS values of a float."""

    n_settings: int
    epochs: int
    """Each setting trained for its own number of epochs."""
    epoch_s: float
    """The median second per epoch of the search, which stands for all of them."""
    hours: Hours
    """On what the search ran on."""
    factor: float
    """How many times the search's own compute that is."""


@dataclass(frozen=True)
class Cost:
    """What a search, the replicates of its finalists and a full grid cost."""

    search: Spent
    replicates: Spent | None
    grid: Grid | None
    """None before the first epoch, and where the spec holds no space that can be read."""


def cost(search: Search) -> Cost:
    """What `search` and its replicates cost.

    A trial whose process held memory on a GPU counts as 1 / trials_per_gpu of a GPU, any other as
    `threads` cores (both from the spec, 1 where it says nothing).
    """
    study = search.study
    limit = _positive(study.spec.get("epochs"))
    spent = _spent(study, limit)
    replicates = _spent(search.finalists, limit) if search.finalists else None
    return Cost(spent, replicates, _grid(study, limit, spent))


def hours_by_second(study: StudyRecord) -> Mapping[int, Hours]:
    """What a second of training costs, by the number of the trial."""
    shared, threads = (_positive(study.spec.get(key)) for key in ("trials_per_gpu", "threads"))
    gpus = {t.device for t in study.trials if t.peak_device_mb is not None and t.device}
    on_gpu = Hours(0.0, 1 / shared / _HOUR_S)
    on_cpu = Hours(threads / _HOUR_S, 0.0)
    return {
        t.number: on_gpu if t.peak_device_mb is not None or t.device in gpus else on_cpu
        for t in study.trials
    }


def seed_spread(finalists: StudyRecord | None) -> float | None:
    """The standard deviation of the scores over seeds, pooled: √(Σ (n − 1) s² / Σ (n − 1)).

    Replicates of one trial are scored on the same images, so only their seeds differ. None where no
    trial has two.
    """
    groups: dict[Any, list[float]] = defaultdict(list)
    if finalists is None:
        return None
    replicates = finalists.spec.get("replicates", ())
    for trial in finalists.trials:
        if trial.final_value is not None and trial.number < len(replicates):
            replicate = replicates[trial.number]
            setting = replicate.get("source"), replicate.get("stop_at")
            groups[setting].append(trial.final_value)
    repeated = [g for g in groups.values() if len(g) > 1]
    if not repeated:
        return None
    freedom = sum(len(g) - 1 for g in repeated)
    return math.sqrt(sum((len(g) - 1) * variance(g) for g in repeated) / freedom)


def _spent(study: StudyRecord, limit: float) -> Spent:
    trained = [t for t in started_trials(study) if t.curve]
    failed = [t for t in trained if t.state == State.FAIL]
    epochs = sum(t.epochs for t in trained)
    by_second = hours_by_second(study)
    core, gpu = (sum(t.train_s * by_second[t.number][i] for t in trained) for i in range(2))
    return Spent(
        n_trials=len(trained),
        epochs=epochs,
        trainings=epochs / limit,
        train_s=sum(t.train_s for t in trained),
        hours=Hours(core, gpu),
        n_failed=len(failed),
        failed_s=sum(t.train_s for t in failed),
    )


def _grid(study: StudyRecord, limit: float, spent: Spent) -> Grid | None:
    raw = study.spec.get("space")
    try:
        space = Space.from_dict(raw) if isinstance(raw, Mapping) else None
    except InputError:  # a report of an older study still has all the rest
        space = None
    if space is None or not spent.train_s:
        return None
    lengths = totals(space.params, limit)
    n = n_trained(space.params, limit)
    epochs = n // len(lengths) * sum(lengths)
    epoch_s = median(epoch.seconds for epoch in epochs_of(study.trials))
    factor = epochs * epoch_s / spent.train_s
    hours = Hours(spent.hours.core * factor, spent.hours.gpu * factor)
    return Grid(n, epochs, epoch_s, hours, factor)


def _positive(value: Any) -> float:
    return value if isinstance(value, int | float) and value > 0 else 1
