"""What a search cost and whether to go on, in sentences. Pure."""

from search.analysis.cost import Cost, Grid, Hours
from search.analysis.forecast import FURTHER, MIN_TRIALS, Forecast, Gain
from search.records import ACCURACY, Objective
from search.space.params import GRID_POINTS
from search.words import (
    count,
    difference_text,
    duration,
    listing,
    number_text,
    value_text,
)

_HOUR_S = 3600.0
_YEAR_H = 8766.0
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def cost_words(cost: Cost) -> list[str]:
    """What was spent, on what, and what a full grid would have taken: sentences of plain text."""
    spent = cost.search
    again = cost.replicates
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
    return [*words, *_grid_words(cost.grid)] if cost.grid else words


def advice_words(forecast: Forecast, noun: str = "image") -> list[str]:
    """Whether going on is worth it, as far as the search's curve tells, in sentences."""
    objective = forecast.objective
    if forecast.is_perfect:
        perfect = f"has the best {objective.title} that there can be"
        if objective == ACCURACY:
            perfect = f"gets every validation {noun} right"
        return [f"The best setting {perfect}: there is nothing more to gain on them, stop here."]
    if forecast.gain is None or forecast.further is None:
        return [_why(forecast)]
    gain = forecast.gain
    further = forecast.further
    images = count(forecast.n_validation, f"validation {noun}")
    shown_noise = difference_text(objective, forecast.noise or 0.0)
    noise = f"the noise of its {images} ({shown_noise})"
    if forecast.noise_from == "seeds":
        noise = f"what a setting varies by from seed to seed ({shown_noise})"
    shown_gain = _gain(objective, gain)
    text = f"Another {_span(gain.horizon_s)} of this search is expected to gain {shown_gain}, "
    if forecast.noise is None:
        text += (
            "of which nobody knows what is luck: no setting was trained on two seeds, so it isn’t"
            " known by how much its value varies."
        )
    elif forecast.is_flat:
        text += f"less than {noise}: stop here."
    elif gain.high < forecast.noise:
        text += (
            f"less than {noise}. But another {_span(further.horizon_s)}, {100 * FURTHER:.0f} % more"
            f" of what it has spent, may gain {_gain(objective, further)}: too early to stop."
        )
    elif gain.expected < forecast.noise:
        text += (
            f"where less than {noise} can’t be told from luck: going on may gain something, or"
            " nothing."
        )
    else:
        text += f"more than {noise}: it is worth going on."
    basis = (
        f"That is judged by the best of its {count(forecast.n_trials, 'trial')} and how often"
        f" they came, if {count(forecast.n_workers, 'worker')} went on like this; about one time in"
        " twenty, the gain is larger."
    )
    return [text, basis]


def _grid_words(grid: Grid) -> list[str]:
    text = (
        f"A full grid over the same space, with every choice and whole number and {GRID_POINTS}"
        f" values of each continuous parameter, has {_number(grid.n_settings)} settings. At the"
        f" search’s median of {_number(grid.epoch_s)} s an epoch it would have taken about"
        f" {_hours(grid.hours)}, "
    )
    if grid.factor < 1:
        return [f"{text}less than the search."]
    return [f"{text}{_number(grid.factor)} times as much."]


def _why(forecast: Forecast) -> str:
    objective = forecast.objective
    unknown = "What going on would gain can’t be told"
    match forecast.why:
        case "few trials":
            have = "has" if forecast.n_trials == 1 else "have"
            trials = count(forecast.n_trials, "trial")
            return f"{unknown} yet: {trials} {have} a value, and {MIN_TRIALS} are needed."
        case "all the same":
            best = value_text(objective, forecast.best)
            return f"{unknown}: all {forecast.n_trials:,} trials reached the same {best}."
        case "early":
            return f"{unknown} yet, after {duration(forecast.spent_s)} of training."
    return f"{unknown} yet: no trial has a validation {objective.title}."


def _gain(objective: Objective, gain: Gain) -> str:
    ends = f"{number_text(objective, gain.low)} to {number_text(objective, gain.high)}"
    return f"{difference_text(objective, gain.expected)} ({ends})"


def _span(seconds: float) -> str:
    return "hour" if seconds == _HOUR_S else duration(seconds)


def _hours(hours: Hours) -> str:
    if not any(hours):
        return _amount(0, "core")
    named = ((hours.core, "core"), (hours.gpu, "GPU"))
    return listing([_amount(value, name) for value, name in named if value])


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
