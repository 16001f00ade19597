"""Our parameters as Optuna's distributions."""

import warnings

import pytest
from optuna.distributions import FloatDistribution

from search.space.space import Space
from search.strategies.optuna_trials import distributions


@pytest.mark.parametrize(
    ("low", "high", "step", "last"),
    [(0.0, 6 * 0.1, 0.1, 0.6), (0.1, 0.1 + 7 * 0.1, 0.1, 0.8), (0.2, 0.8, 0.2, 0.8)],
)
def test_steps_end_where_they_end_in_decimals(
    low: float, high: float, step: float, last: float
) -> None:
    param = {"type": "float", "low": low, "high": high, "step": step}
    space = Space.from_dict({"model": "mlp", "document": {"rate": low}, "params": {"rate": param}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [rate] = distributions(space).values()
    assert isinstance(rate, FloatDistribution)
    assert rate.high == last
