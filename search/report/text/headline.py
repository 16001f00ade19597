"""Study → the key numbers that open the page. Pure."""

from typing import NamedTuple

from search.analysis.baseline import baseline_cut, printed_name
from search.analysis.finalists import Judgement
from search.analysis.ranking import best_trial, ranked_document, started_trials
from search.report.contents import Contents
from search.report.text.status import state_counts
from search.report.text.wall_clock import clocks
from search.words import duration, percent, points


class Tile(NamedTuple):
    """A key number: what it is, the number, and what qualifies it (empty where nothing does)."""

    label: str
    value: str
    note: str


def headline(contents: Contents) -> list[Tile]:
    """The key numbers: accuracy, gains so far and to come, trials, training time."""
    trials = started_trials(contents.study)
    spent = contents.cost.replicates if contents.cost else None
    ahead = contents.forecast.gain if contents.forecast else None
    tiles = [
        *_scores(contents),
        Tile("trials started", f"{len(trials):,}", ", ".join(state_counts(trials))),
    ]
    if ahead:
        ends = f"90 % interval {100 * ahead.low:.2f} to {100 * ahead.high:.2f}"
        tiles.append(
            Tile(f"may still come in {_span(ahead.horizon_s)}", f"+{points(ahead.expected)}", ends)
        )
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


def _scores(contents: Contents) -> list[Tile]:
    """Accuracy and gain: on validation images until the champion was scored on the test set."""
    judgement = contents.judgement
    best = best_trial(contents.study)
    document = ranked_document(contents.study)
    label = f"over {printed_name(contents.study)}"
    if judgement and judgement.champion.interval:
        return _test_scores(judgement, label)
    gain = "–"
    cut = baseline_cut(contents.study)
    if (
        best
        and document
        and best.val_accuracy is not None
        and document.val_accuracy is not None
        and not cut
    ):
        gain = f"{100 * (best.val_accuracy - document.val_accuracy):+.2f} points"
    where = f"trial {best.number}, epoch {best.best_epoch}" if best else ""
    return [
        Tile("best validation accuracy", percent(best.val_accuracy if best else None), where),
        Tile(label, gain, f"not claimed: it had {cut}" if cut else "on validation images"),
    ]


def _test_scores(judgement: Judgement, label: str) -> list[Tile]:
    row = judgement.champion
    gain = judgement.gain
    interval = row.interval
    note = "too few seeds for an interval"
    if interval and interval.low is not None and interval.high is not None:
        note = f"95 % interval over seeds {100 * interval.low:.2f} to {100 * interval.high:.2f}"
    tiles = [
        Tile(
            f"test accuracy, trial {row.trial}", percent(interval.mean if interval else None), note
        )
    ]
    if gain is None:
        itself = "it is that setting itself" if row.is_document else ""
        return [*tiles, Tile(label, "–", "not claimed, see below" if judgement.no_gain else itself)]
    ends = "too few replicates for an interval"
    if gain.low is not None and gain.high is not None:
        ends = f"95 % interval {100 * gain.low:+z.2f} to {100 * gain.high:+z.2f}"
    return [*tiles, Tile(label, f"{100 * gain.value:+z.2f} points", ends)]


def _span(seconds: float) -> str:
    return "an hour" if seconds == 3600 else duration(seconds)
