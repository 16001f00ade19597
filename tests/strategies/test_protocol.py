"""What every strategy promises, whatever it does inside."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from search.objectives import objective_of
from search.records import Bound
from search.space.space import Space
from search.strategies import STRATEGIES, Strategy, derive_seed, make_strategy
from search.strategies.protocol import identity
from tests.strategies.helpers import Value, study

SPACE = Space.from_dict(
    {
        "model": "mlp",
        "document": {
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.0,
            "units": 64,
            "rate": 0.5,
            "epochs": 9,
        },
        "params": {
            "optimizer": {"type": "choice", "choices": ["sgd", "adam"]},
            "lr": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "momentum": {
                "type": "float",
                "low": 0.0,
                "high": 0.9,
                "step": 0.1,
                "when": {"optimizer": "sgd"},
            },
            "units": {"type": "int", "low": 8, "high": 256, "log": True},
            "rate": {"type": "constant", "value": 0.5},
            "epochs": {"type": "int", "low": 3, "high": 12},
        },
    }
)
SMALL = Space.from_dict(
    {
        "model": "mlp",
        "document": {"a": 1, "b": "x", "epochs": 9},
        "params": {
            "a": {"type": "int", "low": 0, "high": 4},
            "b": {"type": "choice", "choices": ["x", "y", None]},
            "epochs": {"type": "int", "low": 8, "high": 20},
        },
    }
)
MAX_EPOCHS = 9


def make(name: str, space: Space = SPACE, seed: int = 3, **options: Any) -> Strategy:
    return make_strategy(name, space, seed=seed, max_epochs=MAX_EPOCHS, **options)


def distance(params: Mapping[str, Any], step: int) -> float:
    """Best at lr 0.01 and 64 units; the better, the longer it trains."""
    lr = abs(float(params.get("lr", 0.01)) - 0.01)
    return max(0.0, 0.9 - lr - abs(float(params.get("units", 64)) - 64) / 300) * (1 - 0.5 / step)


@pytest.mark.parametrize("name", STRATEGIES)
def test_networks_that_break_a_bound_count_and_are_learnt_from(name: str) -> None:
    bounds = (Bound("n_params", 40),)
    strategy = make(name, n_trials=40)
    trials = study(strategy, SPACE, 40, lambda params, step: params["units"] / 300, bounds=bounds)
    assert len(trials) == 40
    broken = [t for t in trials if t.broken]
    assert broken
    assert all(t.state == "PRUNED" and not t.curve for t in broken)
    assert max(t.params["units"] for t in trials if t.curve) <= 40
    if name == "default":
        # More units are better, and beyond the bound there is nothing.
        assert sum(bool(t.broken) for t in trials[20:]) < sum(bool(t.broken) for t in trials[:20])


def flat(params: Mapping[str, Any], step: int) -> float:
    return 0.5


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("value", [distance, flat])
@pytest.mark.parametrize("fails", [0, 3])
def test_a_whole_study(name: str, value: Value, fails: int) -> None:
    trials = study(make(name, n_trials=24), SPACE, 24, value, fails=fails)
    assert [SPACE.problems_of(t.params) for t in trials] == [[]] * 24
    assert len({identity(t.params, MAX_EPOCHS) for t in trials}) == 24
    assert trials[0].state == "COMPLETE"
    assert trials == study(make(name, n_trials=24), SPACE, 24, value, fails=fails)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize(("objective", "unit"), [("log_loss", 1), ("mse", 2**20), ("mae", 2**-10)])
def test_what_is_made_small_is_searched_as_what_is_made_large(
    name: str, objective: str, unit: float
) -> None:
    """Whatever its unit, thousands or thousandths."""

    def loss(params: Mapping[str, Any], step: int) -> float:
        return -unit * distance(params, step)

    by_accuracy = study(make(name, n_trials=40), SPACE, 40, distance, fails=9)
    by_loss = study(
        make(name, n_trials=40), SPACE, 40, loss, fails=9, objective=objective_of(objective)
    )
    assert [t.params for t in by_loss] == [t.params for t in by_accuracy]
    assert [(t.state, t.epochs) for t in by_loss] == [(t.state, t.epochs) for t in by_accuracy]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_setting_of_a_small_space_is_tried_once(name: str) -> None:
    """Trials of 9 and of 20 epochs are the same where none trains more than 9: 5 × 3 × 2 settings
    are left.
    """
    trials = study(make(name, SMALL), SMALL, 24, flat)
    assert len({identity(t.params, MAX_EPOCHS) for t in trials}) == 24


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_made_anew_decides_as_the_old_one(name: str) -> None:
    """A killed worker's successor knows the trials only."""
    old = make(name)
    trials = study(old, SPACE, 15, distance)
    running = replace(trials[7], state="RUNNING", curve=trials[7].curve[:3], total_epochs=9)
    others = [*trials[:7], running, *trials[8:]]
    assert make(name).ask(trials, 15) == old.ask(trials, 15)
    assert make(name).promote(trials) == old.promote(trials)
    assert make(name).decide(others, 7, 3) == old.decide(others, 7, 3)


@pytest.mark.parametrize("name", [n for n in STRATEGIES if n != "grid"])
def test_seeds_and_workers_draw_other_settings(name: str) -> None:
    asked = [make(name, seed=seed).ask([], number) for seed in (1, 2) for number in range(1, 11)]
    assert len({identity(params, MAX_EPOCHS) for params in asked}) == 20


def test_seeds_of_trials_differ() -> None:
    assert len({derive_seed(s, n) for s in range(10) for n in range(100)}) == 1000


@pytest.mark.parametrize("name", STRATEGIES)
def test_settings_of_the_first_trials_are_not_asked_again(name: str) -> None:
    given = [SPACE.document, *(make("grid").ask([], number) for number in (1, 2))]
    asked = [make(name, first=given).ask([], number) for number in range(3, 9)]
    assert not [params for params in asked if params in given]
    if name == "grid":
        assert asked == [make(name).ask([], number) for number in range(3, 9)]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("max_epochs", [1, 2, 3])
def test_short_trainings_have_no_rungs(name: str, max_epochs: int) -> None:
    strategy = make_strategy(name, SPACE, seed=1, max_epochs=max_epochs)
    if name not in {"asha", "hyperband"}:
        assert not strategy.has_rungs
        assert not any(strategy.is_rung(step) for step in range(1, max_epochs + 1))
