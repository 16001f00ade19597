"""How many finalists a search has, what they cost, and how its baseline is trained. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from search.records import State, TrialRecord, has_rank, rank_key
from search.strategies.front import spread_of
from search.study.settings import N_REPLICATES
from search.study.spec import Replicate, watches

MOST = 10
"""Finalists where cost sets their number: with more pairs Holm's test tells fewer apart."""
BASELINE_FACTOR = 3.0
"""The most of the search's own time that a baseline may train where finalists have no number."""
BASELINE_LEAST_S = 60.0
"""A baseline that trains no longer is never left out for what it costs."""


@dataclass(frozen=True)
class Rule:
    """How many finalists a search has, and how long its baseline trains."""

    finalists: int | None
    """None for as many as about the search's own time pays for."""
    n_replicates: int
    baseline_epochs: int | None
    """The baseline's own epochs, whatever the study's limit; None without a baseline."""
    has_test: bool = True
    """Whether there is a test set to compare the baseline on."""

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Rule":
        """The rule of a study, from its spec as it is stored."""
        first = spec.get("first", ({},))
        epochs = first[0].get("epochs", spec.get("epochs")) if first else None
        n_replicates = spec.get("n_replicates") or N_REPLICATES
        return cls(spec.get("finalists", 0), n_replicates, epochs, spec.get("has_test", True))


class Choice(NamedTuple):
    """The finalists of a search."""

    trials: tuple[TrialRecord, ...]
    """By validation; a baseline that is not among the best comes last."""
    has_baseline: bool
    """Whether trial 0 is among them and trained as its document trains it."""


def ranked(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Those of `trials` that have a rank, the best by validation first."""
    return sorted((t for t in trials if has_rank(t)), key=rank_key)


def choose(
    rule: Rule,
    trials: Sequence[TrialRecord],
    *,
    left_s: float | None = None,
    keeps_baseline: bool = False,
) -> Choice:
    """The finalists of a search with `trials`: the best by validation, and the baseline. Of several
    objectives the best are members of the front, in the order of what they add to it.

    Where the rule names no number, there are as many, up to MOST, as can be trained in the seconds
    that the search itself trained, at the recorded pace of their epochs: the first always, then the
    baseline unless it takes more than BASELINE_FACTOR times as long and more than BASELINE_LEAST_S,
    then others as long as all together take no longer. `left_s` seconds of training are left, None
    for no limit: a baseline that does not fit into them beside the first is left out, unless
    `keeps_baseline`, since it was begun.
    """
    order = ranked(trials)
    if rule.finalists == 0 or not order:
        return Choice((), has_baseline=False)
    searched_s = sum(t.train_s for t in trials)
    pool = spread_of(order) if order[0].others else order
    baseline = _baseline(rule, order)
    if (
        baseline
        and not keeps_baseline
        and not _is_allowed(rule, baseline, order[0], searched_s, left_s)
    ):
        baseline = None
    n = rule.finalists
    if n is None:
        n = _n_paid(rule, pool, baseline, min(searched_s, math.inf if left_s is None else left_s))
    best = pool[:n]
    extra = [baseline] if baseline and baseline not in best else []
    return Choice((*best, *extra), has_baseline=baseline is not None)


def _baseline(rule: Rule, order: Sequence[TrialRecord]) -> TrialRecord | None:
    if not rule.has_test or not rule.baseline_epochs:
        return None
    return next((t for t in order if t.number == 0), None)


def _is_allowed(
    rule: Rule, baseline: TrialRecord, first: TrialRecord, searched_s: float, left_s: float | None
) -> bool:
    cost_s = baseline_s(rule, baseline)
    if rule.finalists is None and cost_s > max(BASELINE_LEAST_S, BASELINE_FACTOR * searched_s):
        return False
    beside_s = 0.0 if first is baseline else _finalist_s(rule, first)
    return left_s is None or cost_s + beside_s <= left_s


def _n_paid(
    rule: Rule, order: Sequence[TrialRecord], baseline: TrialRecord | None, allowed_s: float
) -> int:
    """How many of `order`, at least one, fit into `allowed_s` with the `baseline`."""
    spent_s = baseline_s(rule, baseline) if baseline else 0.0
    for n, trial in enumerate(order[:MOST]):
        spent_s += 0.0 if trial is baseline else _finalist_s(rule, trial)
        if n and spent_s > allowed_s:
            return n
    return min(MOST, len(order))


def _finalist_s(rule: Rule, trial: TrialRecord) -> float:
    return rule.n_replicates * (trial.best_epoch or 0) * _pace_s(trial)


def baseline_s(rule: Rule, baseline: TrialRecord) -> float:
    """Seconds that all trainings of a `baseline` take for its own epochs, at its pace."""
    return n_trainings(rule, baseline) * (rule.baseline_epochs or 0) * _pace_s(baseline)


def n_trainings(rule: Rule, baseline: TrialRecord) -> int:
    """How often a `baseline` is trained: its replicates, and the pilot that they may replay."""
    return rule.n_replicates + int(watches(baseline.params) and not was_whole(rule, baseline))


def was_whole(rule: Rule, baseline: TrialRecord) -> bool:
    """Whether trial 0 was trained in the search as its document trains it, to the end."""
    return baseline.state == State.COMPLETE and (baseline.total_epochs or 0) >= (
        rule.baseline_epochs or 0
    )


def _pace_s(trial: TrialRecord) -> float:
    return trial.train_s / trial.epochs if trial.epochs else 0.0


def expected_s(rule: Rule, trials: Sequence[TrialRecord], searched_s: float) -> float:
    """Seconds that finalists will train after `searched_s` of search, by its `trials` so far."""
    order = ranked(trials)
    if rule.finalists == 0 or not order:
        return 0.0
    typical_s, extra_s = _finalist_s(rule, order[0]), 0.0
    baseline = _baseline(rule, order)
    if baseline and _is_allowed(rule, baseline, order[0], searched_s, None):
        extra_s = baseline_s(rule, baseline)
    if rule.finalists is not None:
        return rule.finalists * typical_s + extra_s
    return max(typical_s + extra_s, min(searched_s, MOST * typical_s + extra_s))


def left_to_train_s(
    rule: Rule,
    replicates: Sequence[Replicate],
    made: Sequence[TrialRecord],
    trials: Sequence[TrialRecord],
) -> float:
    """Seconds that `replicates` of `trials` have still to train, of which `made` were begun."""
    pace = {t.number: _pace_s(t) for t in trials}
    begun = {t.number: t for t in made}
    left = [_left(r, begun.get(i)) * pace.get(r.source or 0, 0.0) for i, r in enumerate(replicates)]
    n_baseline = sum(r.source == 0 and not r.is_pilot for r in replicates)
    waits = (
        any(r.is_pilot and not _has_failed(begun.get(i)) for i, r in enumerate(replicates))
        and not n_baseline
    )
    to_come = rule.n_replicates * (rule.baseline_epochs or 0) * pace.get(0, 0.0) if waits else 0.0
    return sum(left) + to_come


def _left(replicate: Replicate, trial: TrialRecord | None) -> int:
    if trial is None:
        return replicate.last_epoch
    return 0 if trial.ended else max(0, replicate.last_epoch - trial.epochs)


def _has_failed(trial: TrialRecord | None) -> bool:
    return trial is not None and trial.state in {State.FAIL, State.PRUNED}
