"""What has come of a study's trials, as tags to filter and group by and metrics to compare: the
same names for all.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from search.records import Search, State, StudyRecord, TrialRecord
from search.study.finalist_costs import Rule, choose, ranked
from search.study.finalists import replicates_of, sources

if TYPE_CHECKING:
    from search.analysis.finalists import Finalist, Judgement

_YES_NO = {True: "yes", False: "no"}
NOTE = "mlflow.note.content"
"""MLflow shows this tag as the run's description."""


class Summary(NamedTuple):
    """Of one trial, or of the study."""

    tags: Mapping[str, str]
    values: Mapping[str, float]


def time_of_last(search: Search) -> float:
    """When the last thing happened that the trials of `search` tell of, Unix seconds, or 0.

    Whoever tells of the same trials, now or later, gives the same time.
    """
    trials = (*search.study.trials, *(search.finalists.trials if search.finalists else ()))
    ends = [trial.ended.timestamp() for trial in trials if trial.ended]
    return max([*ends, *(trial.curve[-1].at for trial in trials if trial.curve)], default=0.0)


def of_search(
    study: StudyRecord, judgement: "Judgement | None" = None
) -> dict[int | None, Summary]:
    """The summary of each started trial of a search, and of the search itself under None.

    Tags `rank` (by validation, from 1, as in the leaderboard), `finalist` and, where known,
    `champion` and `tied_with_best`; metrics named as the leaderboard's columns, `val_accuracy` as
    `best_val_accuracy`: MLflow shows the last epoch's under the name of the curve.
    """
    order = ranked(study.trials)
    places = {trial.number: place for place, trial in enumerate(order, start=1)}
    best = choose(Rule.of(study.spec), study.trials).trials
    chosen = {trial.number for trial, by_rank in zip(best, order, strict=False) if trial is by_rank}
    if judgement:
        chosen = {row.trial for row in judgement.rows if not row.is_extra}
    judged = {row.trial: row for row in judgement.rows} if judgement else {}
    summaries: dict[int | None, Summary] = {}
    for trial in study.trials:
        tags = {"finalist": _YES_NO[trial.number in chosen]}
        tags |= {"rank": str(places[trial.number])} if trial.number in places else {}
        row = judged.get(trial.number)
        if row and judgement:
            tags["champion"] = _YES_NO[row is judgement.champion]
            tags |= (
                {}
                if row.tied_with_best is None
                else {"tied_with_best": _YES_NO[row.tied_with_best]}
            )
        if trial.curve:
            summaries[trial.number] = Summary(tags, _measured(trial) | _tested(row))
    summaries[None] = _whole(study, order[:1], judgement)
    return summaries


def of_replicates(search: Search) -> dict[int | None, Summary]:
    """The summary of each replicate of `search`.

    Tags `source_trial` (the trial that it repeats), `source_rank` and `seed`, to group
    by; metric `test_accuracy`, once it was scored.
    """
    replicates = replicates_of(search)
    ranks = {t.number: n for n, t in enumerate(ranked(search.study.trials), start=1)}
    summaries: dict[int | None, Summary] = {}
    current = sources(search)
    for trial in search.finalists.trials if search.finalists else ():
        replicate = replicates[trial.number]
        tags = {"source_trial": str(replicate.source), "seed": str(replicate.seed)}
        tags |= (
            {"source_rank": str(ranks[current[trial.number]])} if trial.number in current else {}
        )
        score = trial.evaluation
        scored = {f"{score.split}_accuracy": score.accuracy} if score else {}
        summaries[trial.number] = Summary(tags, _measured(trial) | scored)
    return summaries


def _whole(
    study: StudyRecord, best: Sequence[TrialRecord], judgement: "Judgement | None"
) -> Summary:
    tags, values = (
        {},
        {"n_trials_started": float(sum(bool(t.started or t.curve) for t in study.trials))},
    )
    for trial in best:
        tags["best_trial"] = str(trial.number)
        values |= {
            "best_val_accuracy": trial.val_accuracy or 0.0,
            "train_s": sum(t.train_s for t in study.trials),
        }
    if judgement:
        from search.report.text.finalists import (  # noqa: PLC0415  # workers tell summaries without it
            judgement_words,
        )

        values |= _tested(judgement.champion)
        values |= {"gain_over_document": judgement.gain.value} if judgement.gain else {}
        tags |= {
            "champion_trial": str(judgement.champion.trial),
            NOTE: " ".join(judgement_words(judgement)),
        }
    return Summary(tags, values)


def _measured(trial: TrialRecord) -> dict[str, float]:
    # It has no rank then, and must not lead a table that is sorted by accuracy.
    has_failed = trial.state == State.FAIL
    values: Mapping[str, float | None] = {
        "best_val_accuracy": None if has_failed else trial.val_accuracy,
        "best_epoch": None if has_failed else trial.best_epoch,
        "epochs": trial.epochs,
        "train_s": trial.train_s,
        "n_params": trial.n_params,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def _tested(row: "Finalist | None") -> dict[str, float]:
    if row is None or row.interval is None:
        return {}
    interval = row.interval
    ends = {
        "test_accuracy_ci_low": interval.low,
        "test_accuracy_ci_high": interval.high,
        "optimism": row.optimism,
    }
    measured = {name: float(value) for name, value in ends.items() if value is not None}
    return {"test_accuracy_mean": interval.mean, "n_replicates": float(len(row.values)), **measured}
