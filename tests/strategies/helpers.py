"""A study without storage or training: a strategy's decisions on curves that a function gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.records import ACCURACY, Bound, Epoch, Objective, TrialRecord
from search.space.space import Space
from search.strategies import Decision, Strategy
from tests.study.helpers import epoch

Value = Callable[[Mapping[str, Any], int], float]
"""The objective's value of params after an epoch, by default the validation accuracy."""


def study(
    strategy: Strategy,
    space: Space,
    n: int,
    value: Value,
    *,
    fails: int = 0,
    max_epochs: int = 9,
    objective: Objective = ACCURACY,
    others: tuple[Objective, ...] = (),
    bounds: tuple[Bound, ...] = (),
) -> list[TrialRecord]:
    """A whole study with one worker, as a worker runs it. Every `fails`-th trial can't be
    trained; a network has as many parameters as its setting has units.
    """
    trials: list[TrialRecord] = []
    while True:
        number = strategy.promote(trials)
        if number is None:
            number = len(trials)
            if number == n:
                return trials
            params = strategy.ask(trials, number) if number else space.document
            total = min(params.get("epochs", max_epochs), max_epochs)
            trial = TrialRecord(number, "RUNNING", params, total_epochs=total, objective=objective)
            trials.append(
                replace(trial, others=others, bounds=bounds, n_params=params.get("units"))
            )
        elif not (trials[number].state == "WAITING" and trials[number].paused):
            raise AssertionError(f"trial {number} is not paused")
        trials[number] = train(
            strategy, trials, number, value, fails=bool(fails) and number % fails == fails - 1
        )


def train(
    strategy: Strategy, trials: Sequence[TrialRecord], number: int, value: Value, *, fails: bool
) -> TrialRecord:
    """The trial after a segment."""
    trial = replace(trials[number], state="RUNNING", paused=False)
    if trial.broken:
        return replace(trial, state="PRUNED")
    if fails:
        return replace(trial, state="FAIL", untrainable=True)
    while trial.epochs < (trial.total_epochs or 0):
        step = trial.epochs + 1
        trial = replace(trial, curve=(*trial.curve, _epoch(trial, step, value)))
        if strategy.is_rung(step):
            others = [t for t in trials if t.number != number]
            if (
                strategy.decide([*others[:number], trial, *others[number:]], number, step)
                is Decision.PAUSE
            ):
                return replace(trial, state="WAITING", paused=True)
    return replace(trial, state="COMPLETE")


def _epoch(trial: TrialRecord, step: int, value: Value) -> Epoch:
    measured = value(trial.params, step)
    if trial.objective == ACCURACY:
        return epoch(step, measured)
    plain = epoch(step, 0.5)
    return replace(plain, values={**plain.values, trial.objective.key: measured})
