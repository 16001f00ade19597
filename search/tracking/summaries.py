"""What has come of a study's trials, as tags to filter and group by and metrics to compare: the
same names for all trackers.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from search.analysis.ranking import front, further_values
from search.records import Goal, Reported, Search, State, StudyRecord, TrialRecord
from search.study.finalist_costs import Rule, choose, ranked
from search.study.finalists import replicates_of, sources

_YES_NO = {True: "yes", False: "no"}


class Summary(NamedTuple):
    """Of one trial, or of the study."""

    tags: Mapping[str, str]
    values: Mapping[str, float]


def time_of_last(search: Search) -> float:
    """When the last thing happened that `search` tells of, Unix seconds, or 0: the same for all who
    read the same.
    """
    trials = (*search.study.trials, *(search.finalists.trials if search.finalists else ()))
    times = [trial.ended.timestamp() for trial in trials if trial.ended]
    times += [trial.curve[-1].at for trial in trials if trial.curve]
    times += [search.reported.at] if search.reported else []
    return max(times, default=0.0)


def of_search(search: Search) -> dict[int | None, Summary]:
    """The summary of each started trial of a search, and of the search itself under None.

    Tags `rank` (by validation, from 1, as in the leaderboard), `finalist`, `on_front` of several
    objectives, `broken_bounds` and, where its report
    says so, `champion` and `tied_with_best`; metrics named as the leaderboard's columns,
    the best value as `best_val_accuracy`, or what else the study is for: trackers show the last
    epoch's under the name of the curve.
    """
    study, reported = search.study, search.reported
    if study.spec.get("replicates"):  # of a suite: without a search
        return {trial.number: Summary({}, measured(trial)) for trial in study.trials}
    order = ranked(study.trials)
    places = {trial.number: place for place, trial in enumerate(order, start=1)}
    best = choose(Rule.of(study.spec), study.trials).trials
    chosen = {trial.number for trial, by_rank in zip(best, order, strict=False) if trial is by_rank}
    members = front(study)
    summaries: dict[int | None, Summary] = {}
    for trial in study.trials:
        if not trial.curve:
            continue
        tags = {"finalist": _YES_NO[trial.number in chosen]}
        tags |= {"rank": str(places[trial.number])} if trial.number in places else {}
        tags |= {} if members is None else {"on_front": _YES_NO[trial.number in members]}
        tags |= {"broken_bounds": " ".join(trial.broken)} if trial.broken else {}
        values = measured(trial)
        if reported:
            tags |= reported.tags.get(f"{trial.number}", {})
            values |= reported.values.get(f"{trial.number}", {})
        summaries[trial.number] = Summary(tags, values)
    summaries[None] = _whole(study, order[:1], reported)
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
        summaries[trial.number] = Summary(tags, measured(trial))
    return summaries


def _whole(study: StudyRecord, best: Sequence[TrialRecord], reported: Reported | None) -> Summary:
    tags: dict[str, str] = {}
    values = {"n_trials_started": float(sum(bool(t.started or t.curve) for t in study.trials))}
    for trial in best:
        tags["best_trial"] = str(trial.number)
        values[study.objective.best_key] = trial.value or 0.0
        values["train_s"] = sum(t.train_s for t in study.trials)
    if reported:
        tags |= reported.tags.get("", {})
        values |= reported.values.get("", {})
    return Summary(tags, values)


def measured(trial: TrialRecord) -> dict[str, float]:
    """What `trial` comes to so far, with `test_accuracy` or the like once it was scored."""
    # It has no rank then, and must not lead a table that is sorted by that.
    has_failed = trial.state == State.FAIL
    values: dict[str, float | None] = {
        trial.objective.best_key: None if has_failed else trial.value,
        "best_epoch": None if has_failed else trial.best_epoch,
        "epochs": trial.epochs,
        "train_s": trial.train_s,
        "n_params": trial.n_params,
    }
    for other in further_values(Goal(trial.objective, trial.others, trial.bounds)):
        values[f"value.{other.name}"] = trial.value_of(other)
    if score := trial.evaluation:
        values |= {f"{score.split}_accuracy": score.accuracy}
        values |= {f"{score.split}_{name}": value for name, value in score.values.items()}
    return {name: float(value) for name, value in values.items() if value is not None}
