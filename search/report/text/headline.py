"""Study → the key numbers that open the page. Pure."""

from typing import NamedTuple

from search.analysis.baseline import baseline_cut, printed_name
from search.analysis.finalists import Judgement
from search.analysis.ranking import best_trial, front, ranked_document, started_trials
from search.report.contents import Contents
from search.report.text.status import state_counts
from search.report.text.wall_clock import clocks
from search.words import (
    difference_text,
    duration,
    number_text,
    signed_text,
    titles,
    unit,
    value_text,
)


class Tile(NamedTuple):
    """A key number: what it is, the number, and what qualifies it (empty where nothing does)."""

    label: str
    value: str
    note: str


def headline(contents: Contents) -> list[Tile]:
    """The key numbers: the value, gains so far and to come, trials, training time."""
    trials = started_trials(contents.study)
    spent = contents.cost.replicates if contents.cost else None
    ahead = contents.forecast.gain if contents.forecast else None
    tiles = [
        *_scores(contents),
        *_front(contents),
        Tile("trials started", f"{len(trials):,}", ", ".join(state_counts(trials))),
    ]
    if ahead:
        objective = contents.study.objective
        low, high = (number_text(objective, end) for end in (ahead.low, ahead.high))
        gain = difference_text(objective, ahead.expected)
        label = f"may still come in {_span(ahead.horizon_s)}"
        tiles.append(Tile(label, f"+{gain}", f"90 % interval {low} to {high}"))
    again = f", and {duration(spent.train_s)} for replicates" if spent and spent.n_trials else ""
    clock, clock_again = clocks(contents.search)
    both = f"and {duration(clock_again.seconds)} for replicates" if clock_again.seconds else ""
    return [
        *tiles,
        Tile("wall-clock time", duration(clock.seconds), both),
        Tile(
            "training time", duration(sum(t.train_s for t in trials)), f"summed over trials{again}"
        ),
    ]


def _front(contents: Contents) -> list[Tile]:
    """How many trials are on the front, where there are several objectives."""
    study = contents.study
    members = front(study)
    if members is None:
        return []
    note = f"by {titles(study.objective, study.others)}"
    return [Tile("trials on the front", f"{len(members):,}", note)]


def _scores(contents: Contents) -> list[Tile]:
    """Value and gain: on validation images until the champion was scored on the test set."""
    objective = contents.study.objective
    noun = contents.evidence.noun
    judgement = contents.judgement
    best = best_trial(contents.study)
    document = ranked_document(contents.study)
    over = "over" if objective.is_maximized else "better than"
    label = f"{over} {printed_name(contents.study)}"
    if judgement and judgement.champion.interval:
        return _test_scores(judgement, label)
    gain = "–"
    cut = baseline_cut(contents.study)
    if best and document and best.score is not None and document.score is not None and not cut:
        gain = signed_text(objective, best.score - document.score) + unit(objective)
    where = f"trial {best.number}, epoch {best.best_epoch}" if best else ""
    return [
        Tile(
            f"best validation {objective.title}",
            value_text(objective, best.value if best else None),
            where,
        ),
        Tile(label, gain, f"not claimed: it had {cut}" if cut else f"on validation {noun}s"),
    ]


def _test_scores(judgement: Judgement, label: str) -> list[Tile]:
    row = judgement.champion
    gain = judgement.gain
    interval = row.interval
    objective = judgement.objective
    note = "too few seeds for an interval"
    if interval and interval.low is not None and interval.high is not None:
        low, high = (number_text(objective, end) for end in (interval.low, interval.high))
        note = f"95 % interval over seeds {low} to {high}"
    value = value_text(objective, interval.mean if interval else None)
    tiles = [Tile(f"test {objective.title}, trial {row.trial}", value, note)]
    if gain is None:
        itself = "it is that setting itself" if row.is_document else ""
        return [*tiles, Tile(label, "–", "not claimed, see below" if judgement.no_gain else itself)]
    ends = "too few replicates for an interval"
    if gain.low is not None and gain.high is not None:
        low, high = (signed_text(objective, end) for end in (gain.low, gain.high))
        ends = f"95 % interval {low} to {high}"
    return [*tiles, Tile(label, signed_text(objective, gain.value) + unit(objective), ends)]


def _span(seconds: float) -> str:
    return "an hour" if seconds == 3600 else duration(seconds)
