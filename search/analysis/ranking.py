"""Which trials a report shows, in which order, and which parameters vary among them. Pure."""

from collections.abc import Container, Iterable, Mapping
from itertools import chain
from typing import Any

from search.objectives import objective_of
from search.records import Goal, Objective, State, StudyRecord, TrialRecord, has_rank, rank_key
from search.strategies.front import front_of

_HAVE_COLUMNS = ("accuracy", "n_params", "train_s")


def started_trials(study: StudyRecord) -> list[TrialRecord]:
    """The trials that a worker has begun, by number: reports leave queued ones out."""
    return sorted(
        (
            t
            for t in study.trials
            if t.state != State.WAITING
            or t.curve
            or t.started
            or t.n_segments
            or t.n_retries
            or t.paused
        ),
        key=lambda t: t.number,
    )


def ranking(study: StudyRecord) -> list[TrialRecord]:
    """Started trials in a leaderboard's order: by value, without a value yet, FAIL."""
    return sorted(
        started_trials(study),
        key=lambda t: (
            t.state == State.FAIL,
            not has_rank(t),
            rank_key(t) if has_rank(t) else (0.0, t.number),
        ),
    )


def best_trial(study: StudyRecord) -> TrialRecord | None:
    """The trial of rank 1; None while no trial has a value."""
    first = next(iter(ranking(study)), None)
    return first if first and has_rank(first) else None


def front(study: StudyRecord) -> frozenset[int] | None:
    """The numbers of the trials that no other beats by all objectives; None where there is one."""
    if not study.others:
        return None
    return frozenset(trial.number for trial in front_of(started_trials(study)))


def further_values(goal: Goal, beside: Container[str] = _HAVE_COLUMNS) -> list[Objective]:
    """What trials come to `beside` the first objective and what is shown of all trials: by other
    objectives, and the facts that have bounds.
    """
    names = [other.name for other in goal.others]
    bounded = [bound.fact for bound in goal.bounds if bound.fact not in names]
    further = [*goal.others, *map(objective_of, bounded)]
    return [objective for objective in further if objective.name not in beside]


def space_params(study: StudyRecord) -> Mapping[str, Mapping[str, Any]]:
    """The space's parameters as the spec declares them; empty when it has none."""
    space = study.spec.get("space")
    params = space.get("params") if isinstance(space, Mapping) else None
    return params if isinstance(params, Mapping) else {}


def param_names(study: StudyRecord) -> list[str]:
    """Every parameter of the space in its order, then those only trials know, alphabetically."""
    declared = list(space_params(study))
    seen = set(chain.from_iterable(trial.params for trial in study.trials))
    return declared + sorted(seen - set(declared))


def varied_params(study: StudyRecord, trials: Iterable[TrialRecord] | None = None) -> list[str]:
    """The parameters that vary among `trials`, all started ones by default."""
    chosen = list(started_trials(study) if trials is None else trials)
    return [
        name
        for name in param_names(study)
        if len({repr(t.params[name]) for t in chosen if name in t.params}) > 1
    ]


def ranked_document(study: StudyRecord) -> TrialRecord | None:
    """Trial 0 with the document's setting, if it has a rank."""
    return study.document if study.document and has_rank(study.document) else None
