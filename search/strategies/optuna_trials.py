"""Our parameters as Optuna's distributions, and our trials as Optuna's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from search.records import State, TrialRecord
from search.space.params import n_points
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Space

FAILED_CONSTRAINT = "constraints:trained"
"""Optuna's key for «this setting could not be trained»: above 0 means infeasible."""
_LONG_AGO = datetime(2000, 1, 1)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The distribution of every parameter of `space`, parents before what depends on them."""
    return {name: _distribution(space.params[name]) for name in space.order}


def _distribution(param: FloatParam | IntParam | ChoiceParam | ConstantParam) -> BaseDistribution:
    match param:
        case FloatParam():
            return FloatDistribution(param.low, _high(param), log=param.log, step=param.step)
        case IntParam():
            return IntDistribution(param.low, param.high, log=param.log, step=param.step or 1)
        case ChoiceParam():
            return CategoricalDistribution(tuple(param.choices))
        case ConstantParam():
            return CategoricalDistribution((param.value,))


def _high(param: FloatParam) -> float:
    """The highest value; of steps the last one, in decimals as Optuna counts them."""
    if param.step is None:
        return param.high
    return float(Decimal(str(param.low)) + (n_points(param) - 1) * Decimal(str(param.step)))


def suggest(
    trial: Trial, name: str, param: FloatParam | IntParam | ChoiceParam | ConstantParam
) -> Any:
    """A value of `param` by the sampler behind `trial`."""
    match param:
        case FloatParam():
            return trial.suggest_float(
                name, param.low, _high(param), log=param.log, step=param.step
            )
        case IntParam():
            return trial.suggest_int(
                name, param.low, param.high, log=param.log, step=param.step or 1
            )
        case ChoiceParam():
            return trial.suggest_categorical(name, param.choices)
        case ConstantParam():
            return param.value


def as_optuna(trials: Sequence[TrialRecord], space: Space) -> list[FrozenTrial]:
    """Trials as a sampler that maximises should see them.

    A trial paused at a rung counts as pruned there; one that could not be trained for lack of
    memory or by a NaN is infeasible; one that crashed tells nothing and is left out, as is one that
    has no params yet.
    """
    kinds = distributions(space)
    return [t for r in trials if r.params and (t := _as_optuna(r, kinds)) is not None]


def _as_optuna(record: TrialRecord, kinds: Mapping[str, BaseDistribution]) -> FrozenTrial | None:
    state = _state(record)
    if state is None:
        return None
    params: dict[str, Any] = {n: v for n, v in record.params.items() if n in kinds}
    begun = record.started or _LONG_AGO
    return _Frozen(
        number=record.number,
        trial_id=record.number,
        state=state,
        value=record.score if state == TrialState.COMPLETE else None,
        params=params,
        distributions={n: kinds[n] for n in params},
        intermediate_values={
            e.step: record.objective.score(value)
            for e in record.curve
            if (value := record.value_at(e)) is not None
        },
        user_attrs={},
        system_attrs={FAILED_CONSTRAINT: 1.0 if record.is_infeasible else 0.0},
        datetime_start=begun,
        datetime_complete=(record.ended or begun) if state.is_finished() else None,
    )


class _Frozen(FrozenTrial):
    """A trial that nobody changes: copying hundreds would cost more than the answer."""

    def __deepcopy__(self, _memo: object) -> "_Frozen":
        return self


def _state(record: TrialRecord) -> TrialState | None:
    if record.state == State.FAIL:
        return TrialState.PRUNED if record.untrainable else None
    if record.state == State.WAITING:
        return TrialState.PRUNED if record.paused else TrialState.RUNNING
    return TrialState[record.state]
