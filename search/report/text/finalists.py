"""What came out when the finalists were trained again, as a table's cells and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.analysis.finalists import Finalist, Judgement
from search.analysis.statistics import Interval
from search.records import ACCURACY, Objective
from search.words import (
    count,
    difference_text,
    ends_text,
    listing,
    percent,
    side,
    signed_text,
    titles,
    unit,
    value_text,
)


@dataclass(frozen=True)
class FinalistRow:
    """A finalist as text, for a table."""

    rank: str
    trial: str
    note: str
    """What it is beside a finalist; empty for most."""
    search: str
    """Its value on validation images, in the search."""
    test: str
    """Its mean on the test set."""
    interval: str
    """95 % interval of the mean, or why there is none."""
    replicates: str
    """Finished ones, of how many where some are missing."""
    optimism: str
    """By how much the search saw it better than the test set, of fractions in points."""
    p_value: str
    """Corrected, against the best on the test set."""
    verdict: str
    """best on the test set, tied, lower or, of losses, worse; of several objectives whether it is
    on the front; a dash where untold.
    """
    others: tuple[str, ...] = ()
    """Its means on the test set by other objectives, with their intervals."""


def finalist_rows(judgement: Judgement) -> list[FinalistRow]:
    """`judgement.rows` as text, in their order."""
    return [_row(judgement, row) for row in judgement.rows]


def judgement_words(judgement: Judgement) -> list[str]:
    """What training the finalists again has shown, in sentences, the most important first."""
    sentences = [
        _chosen(judgement),
        *_gain(judgement),
        *(_front(judgement) if judgement.others else _standings(judgement)),
        *_optimism(judgement),
    ]
    return [*_progress(judgement), *sentences]


def _row(judgement: Judgement, row: Finalist) -> FinalistRow:
    interval = row.interval
    objective = judgement.objective
    done = (
        f"{len(row.values)}"
        if len(row.values) == row.n_wanted
        else f"{len(row.values)} of {row.n_wanted}"
    )
    return FinalistRow(
        rank="–" if row.rank is None else str(row.rank),
        trial=str(row.trial),
        note="; ".join(
            ["chosen by the search"] * (row is judgement.champion)
            + [_named(judgement, row)] * row.is_document
        ),
        search=value_text(objective, row.search_value),
        test=value_text(objective, interval.mean if interval else None),
        interval=(_ends(judgement, row) or "too few seeds") if interval else "–",
        replicates=f"{done}, {row.n_failed} failed" if row.n_failed else done,
        optimism="–" if row.optimism is None else signed_text(objective, row.optimism),
        p_value="–" if row.p_value is None else _p(row.p_value),
        verdict=_verdict(judgement, row),
        others=tuple(map(_mean_text, judgement.others, row.others)),
    )


def _mean_text(objective: Objective, interval: Interval | None) -> str:
    """`0.2134 (0.2012 to 0.2256)`; the mean alone where it has no interval or one of no width."""
    if interval is None:
        return "–"
    mean = value_text(objective, interval.mean)
    if interval.low is None or interval.high is None or interval.low == interval.high:
        return mean
    return f"{mean} ({ends_text(objective, interval.low, interval.high)})"


def _named(judgement: Judgement, row: Finalist) -> str:
    """The baseline, and how long it was trained."""
    if row.trained is None:
        return judgement.baseline
    n, of = row.trained
    cut = f"cut to {n} of " if row.is_cut else ""
    return f"{judgement.baseline}, {cut}its {count(of, 'epoch')}"


def _verdict(judgement: Judgement, row: Finalist) -> str:
    if judgement.others and row.interval:
        return "beaten by another" if row in judgement.beaten else "on the front"
    if row.tied_with_best is None:
        return "–"
    if row is judgement.best:
        return "best on the test set"
    return "tied with the best" if row.tied_with_best else _lower(judgement)


def _lower(judgement: Judgement) -> str:
    return "lower" if judgement.objective.is_maximized else "worse"


def _progress(judgement: Judgement) -> list[str]:
    done = sum(len(row.values) for row in judgement.rows)
    planned = sum(row.n_wanted for row in judgement.rows)
    failed = sum(row.n_failed for row in judgement.rows)
    sentences = []
    if done + failed < planned:
        sentences.append(
            f"The finalists are being trained again: {done} of {count(planned, 'replicate')}"
            " finished so far."
        )
    if failed:
        sentences.append(
            f"{count(failed, 'replicate')} failed and {'is' if failed == 1 else 'are'} left out."
        )
    if judgement.champion.rank != 1:
        sentences.append(
            "The trial that is first by validation now has not been trained again yet."
        )
    return sentences


def _chosen(judgement: Judgement) -> str:
    row = judgement.champion
    test = row.interval
    name = f"{_named(judgement, row)} (trial 0)" if row.is_document else f"trial {row.trial}"
    which = (
        f"The search chose {name}"
        if row.rank == 1
        else f"Of those trained again validation ranks {name} first"
    )
    if test is None or judgement.n_test is None:
        ended = row.n_failed >= row.n_wanted
        return (
            f"{which};"
            f" {'all its replicates failed' if ended else 'no replicate of it is finished'}."
        )
    objective = judgement.objective
    images = count(judgement.n_test, f"test {judgement.noun}")
    right = f"its {objective.title} on {images} is {value_text(objective, test.mean)}"
    if objective == ACCURACY:
        right = f"it gets {percent(test.mean)} of {images} right"
    if test.n == 1:
        return (
            f"{which}: trained again on one fresh seed, {right}. A single replicate has no"
            " interval."
        )
    ends = _ends(judgement, row)
    interval = f"95 % interval over seeds {ends}" if ends else "too few seeds for an interval"
    return f"{which}: trained again on {test.n} fresh seeds, {right} on average ({interval})."


def _gain(judgement: Judgement) -> list[str]:
    gain = judgement.gain
    baseline = next((row for row in judgement.rows if row.is_document and row.interval), None)
    if gain is None or baseline is None or baseline.interval is None:
        return [judgement.no_gain] if judgement.no_gain else []
    objective = judgement.objective
    difference = difference_text(objective, gain.value)
    apart = f"{difference} {side(objective, gain.value)}"
    apart = apart if round(gain.value, 6 if objective.is_fraction else 12) else "the same as"
    mean = value_text(objective, baseline.interval.mean)
    epochs = f", trained for its {count(baseline.trained[1], 'epoch')}" if baseline.trained else ""
    text = f"That is {apart} {judgement.baseline} (trial 0, {mean}{epochs})"
    if gain.low is None or gain.high is None:
        return [f"{text}; too few replicates for an interval."]
    text = (
        f"{text}, with a 95 % interval from {signed_text(objective, gain.low)} to"
        f" {signed_text(objective, gain.high)}{unit(objective)}"
    )
    text += {
        "images": f" over the {judgement.noun}s only (one replicate can’t speak for other seeds)",
        "seeds": " over the seeds only (no predictions kept)",
    }.get(gain.over, "")
    return [
        (
            f"{text}: it includes zero, so there may be no difference."
            if gain.low <= 0 <= gain.high
            else f"{text}."
        )
    ]


def _standings(judgement: Judgement) -> list[str]:
    best = judgement.best
    chosen = judgement.champion
    others = [row for row in judgement.rows if row is not best and row.interval]
    if best is None or not others:
        return []
    sentences = []
    if best is not chosen and best.interval:
        objective = judgement.objective
        extreme = "highest" if objective.is_maximized else "lowest"
        sentences.append(
            f"{_trials(judgement, [best])} has the {extreme} mean on the test set,"
            f" {value_text(objective, best.interval.mean)}."
        )
        if chosen.tied_with_best is False:
            sentences.append(
                "The choice stays with validation all the same: a test set that chooses is no test"
                " any more."
            )
    at_once = f"with {len(others)} compared to it at once, " if len(others) > 1 else ""
    for verdict, text in (
        (True, f"tied with trial {best.trial}: {at_once}chance alone can explain the difference"),
        (False, f"{_lower(judgement)} than trial {best.trial} by more than chance explains"),
        (
            None,
            f"not comparable with trial {best.trial}: too few replicates, and no predictions kept",
        ),
    ):
        if rows := [row for row in others if row.tied_with_best is verdict]:
            sentences.append(
                f"{_trials(judgement, rows)} {'is' if len(rows) == 1 else 'are'} {text}."
            )
    return sentences


def _front(judgement: Judgement) -> list[str]:
    """Which finalists are beaten on the test set; all were on the front by validation."""
    scored = [row for row in judgement.rows if row.interval]
    if len(scored) < 2:
        return []
    beaten = judgement.beaten
    text = f"Of {len(scored)} finalists by {titles(judgement.objective, judgement.others)}"
    if not beaten:
        return [f"{text}, no one’s means on the test set are beaten by another’s in all of these."]
    be = "is" if len(beaten) == 1 else "are"
    return [
        f"{text}, {_trials(judgement, beaten).lower()} {be} beaten on the test set: the means of"
        " another are no worse by any of these and better by one. All others are on the front."
    ]


def _optimism(judgement: Judgement) -> list[str]:
    row = judgement.champion
    mean = judgement.optimism
    objective = judgement.objective
    if row.optimism is None:
        return []
    apart = f"{difference_text(objective, row.optimism)} {side(objective, row.optimism)}"
    why = f"a replicate learns from the validation {judgement.noun}s, too"
    if row.optimism > 0:
        why = "the best of many tries is partly lucky"
    text = (
        f"The search had scored trial {row.trial} at {value_text(objective, row.search_value)} on"
        f" validation {judgement.noun}s, {apart} its test {objective.title}: {why}."
    )
    if mean is None:
        return [text]
    n = sum(r.optimism is not None and not r.is_extra for r in judgement.rows)
    apart = f"{difference_text(objective, mean)} {side(objective, mean)}"
    values = "test accuracies" if objective == ACCURACY else "test values"
    return [text, f"Over {n} finalists search scores lie {apart} {values} on average."]


def _trials(judgement: Judgement, rows: Sequence[Finalist]) -> str:
    names = [
        str(row.trial) + (f" ({_named(judgement, row)})" if row.is_document else "") for row in rows
    ]
    return f"{'Trial' if len(rows) == 1 else 'Trials'} {listing(names)}"


def _ends(judgement: Judgement, row: Finalist) -> str:
    interval = row.interval
    if interval is None or interval.low is None or interval.high is None:
        return ""
    return ends_text(judgement.objective, interval.low, interval.high)


def _p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
