"""What a search cost, what a full grid over its space would have cost, and whether to go on.
Pure.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, variance
from typing import Any, NamedTuple

from search.analysis.forecast import FURTHER, MIN_TRIALS, Forecast, Gain
from search.analysis.ranking import started_trials
from search.errors import InputError
from search.records import Search, State, StudyRecord
from search.space.params import GRID_POINTS
from search.space.setting import n_trained, totals
from search.space.space import Space
from search.words import count, duration, listing, percent, points

_HOUR_S = 3600.0
_YEAR_H = 8766.0
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Hours(NamedTuple):
    """Compute by what did it: a core-hour is an hour of one CPU thread, a GPU-hour one of a whole
    GPU.
    """

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
    """A full grid over a search's space: every choice, every whole number, GRID_POINTS values of a
    float.
    """

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
    on_gpu, on_cpu = Hours(0.0, 1 / shared / _HOUR_S), Hours(threads / _HOUR_S, 0.0)
    return {
        t.number: on_gpu if t.peak_device_mb is not None or t.device in gpus else on_cpu
        for t in study.trials
    }


def seed_spread(finalists: StudyRecord | None) -> float | None:
    """The standard deviation of accuracy (a fraction) over seeds, pooled over settings: √(Σ (n − 1)
    s² / Σ (n − 1)).

    Replicates of one trial are scored on the same images, so only their seeds differ. None where no
    trial has two.
    """
    groups: dict[Any, list[float]] = defaultdict(list)
    if finalists is None:
        return None
    replicates = finalists.spec.get("replicates", ())
    for trial in finalists.trials:
        if trial.evaluation is not None and trial.number < len(replicates):
            replicate = replicates[trial.number]
            setting = replicate.get("source"), replicate.get("stop_at")
            groups[setting].append(trial.evaluation.accuracy)
    repeated = [g for g in groups.values() if len(g) > 1]
    if not repeated:
        return None
    freedom = sum(len(g) - 1 for g in repeated)
    return math.sqrt(sum((len(g) - 1) * variance(g) for g in repeated) / freedom)


def cost_words(found: Cost) -> list[str]:
    """What was spent, on what, and what a full grid would have taken: sentences of plain text."""
    spent, again = found.search, found.replicates
    if not spent.n_trials:
        return ["No epoch has been completed yet, so nothing is known of the cost."]
    trained = f"{count(spent.n_trials, 'trial')} for {count(spent.epochs, 'epoch')} in all"
    words = [
        f"The search trained {trained}, or {_number(spent.trainings)} full trainings:"
        f" {_hours(spent.hours)}."
    ]
    if spent.n_failed:
        share = f" ({100 * spent.failed_s / spent.train_s:.0f} %)" if spent.train_s else ""
        failed = count(spent.n_failed, "trial")
        words.append(
            f"{duration(spent.failed_s)} of its training time{share} went into {failed} that"
            " failed."
        )
    if again and again.n_trials:
        times = f"{count(again.n_trials, 'time')}, {count(again.epochs, 'epoch')}"
        words.append(f"Finalists were trained again {times}: another {_hours(again.hours)}.")
    return [*words, *_grid_words(found.grid)] if found.grid else words


def advice_words(found: Forecast) -> list[str]:
    """Whether going on with the search is worth it, as far as its own curve tells: sentences of
    plain text.
    """
    if found.best is not None and found.best >= 1:
        return [
            "The best setting gets every validation image right: there is nothing more to gain on"
            " them, stop here."
        ]
    if found.gain is None or found.further is None or found.noise is None:
        return [_why(found)]
    gain, further = found.gain, found.further
    noise = (
        f"the noise of its {count(found.n_validation, 'validation image')} ({points(found.noise)})"
    )
    if found.noise_from == "seeds":
        noise = f"what a setting varies by from seed to seed ({points(found.noise)})"
    text = f"Another {_span(gain.horizon_s)} of this search is expected to gain {_gain(gain)}, "
    if found.is_flat:
        text += f"less than {noise}: stop here."
    elif gain.high < found.noise:
        text += (
            f"less than {noise}. But another {_span(further.horizon_s)}, {100 * FURTHER:.0f} % more"
            f" of what it has spent, may gain {_gain(further)}: too early to stop."
        )
    elif gain.expected < found.noise:
        text += (
            f"where less than {noise} can’t be told from luck: going on may gain something, or"
            " nothing."
        )
    else:
        text += f"more than {noise}: it is worth going on."
    return [
        text,
        (
            f"That is judged by the best of its {count(found.n_trials, 'trial')} and how often they"
            f" came, if {count(found.n_workers, 'worker')} went on like this; about one time in"
            " twenty, the gain is larger."
        ),
    ]


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
    lengths, n = totals(space.params, limit), n_trained(space.params, limit)
    epochs = n // len(lengths) * sum(lengths)
    epoch_s = median(e.seconds for t in study.trials for e in t.curve)
    factor = epochs * epoch_s / spent.train_s
    hours = Hours(spent.hours.core * factor, spent.hours.gpu * factor)
    return Grid(n, epochs, epoch_s, hours, factor)


def _positive(value: Any) -> float:
    return value if isinstance(value, int | float) and value > 0 else 1


def _grid_words(grid: Grid) -> list[str]:
    text = (
        f"A full grid over the same space, with every choice and whole number and {GRID_POINTS}"
        f" values of each continuous parameter, has {_number(grid.n_settings)} settings. At the"
        f" search’s median of {_number(grid.epoch_s)} s an epoch it would have taken about"
        f" {_hours(grid.hours)}, "
    )
    return [
        text
        + ("less than the search." if grid.factor < 1 else f"{_number(grid.factor)} times as much.")
    ]


def _why(found: Forecast) -> str:
    unknown = "What going on would gain can’t be told"
    match found.why:
        case "few trials":
            have = (
                f"{count(found.n_trials, 'trial')} {'has' if found.n_trials == 1 else 'have'} a"
                " value"
            )
            return f"{unknown} yet: {have}, and {MIN_TRIALS} are needed."
        case "all the same":
            return (
                f"{unknown}: all {found.n_trials:,} trials reached the same {percent(found.best)}."
            )
        case "early":
            return f"{unknown} yet, after {duration(found.spent_s)} of training."
    return f"{unknown} yet: no trial has a validation accuracy."


def _gain(gain: Gain) -> str:
    return f"{points(gain.expected)} ({100 * gain.low:.2f} to {100 * gain.high:.2f})"


def _span(seconds: float) -> str:
    return "hour" if seconds == _HOUR_S else duration(seconds)


def _hours(hours: Hours) -> str:
    named = ((hours.core, "core"), (hours.gpu, "GPU"))
    return listing(
        [_amount(value, name) for value, name in named if value] or [_amount(hours.core, "core")]
    )


def _amount(hours: float, what: str) -> str:
    if hours < 0.01:
        return f"less than 0.01 {what}-hours"
    if hours >= _YEAR_H:
        return f"{_number(hours / _YEAR_H)} {what}-years"
    return f"{hours:.2f} {what}-hours" if hours < 10 else f"{_number(hours)} {what}-hours"


def _number(value: float) -> str:
    """A number to three digits, `1,240`, `3.4 × 10⁸`; an int below a million as it is."""
    if value >= 1e6:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits} × 10{str(int(exponent)).translate(_RAISED)}"
    rounded = value if isinstance(value, int) else float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 or isinstance(value, int) else f"{rounded:g}"
