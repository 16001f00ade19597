"""Halving at rungs, and what TPE is told; what every strategy promises is in
strategy/test_contract.py.
"""

from dataclasses import replace

import pytest

from search.records import TrialRecord
from search.strategies import Decision, HalvingStrategy, Strategy, make_strategy, rungs
from tests.study.helpers import SPACE, trial


def make(name: str = "halving", seed: int = 3) -> Strategy:
    return make_strategy(name, SPACE, seed=seed, max_epochs=9)


def test_the_sampler_learns_from_every_kind_of_trial() -> None:
    """Good trials have small learning rates here: most later questions should, too, whatever state
    they are in.
    """
    states = ["COMPLETE", "PRUNED", "WAITING", "FAIL"]
    before = [
        TrialRecord(
            i,
            states[i % 4],
            {"optimizer": "adam", "lr": 10 ** (-4 + 4 * (i % 10) / 10), "units": 50},
            trial(i, [1 - (i % 10) / 10]).curve,
            paused=True,
            untrainable=True,
        )
        for i in range(40)
    ]
    asked = [make("tpe").ask(before, n)["lr"] for n in range(40, 60)]
    assert sum(lr < 10**-2 for lr in asked) >= 15


@pytest.mark.parametrize(
    ("max_epochs", "expected"),
    [(1, ()), (3, ()), (4, (3,)), (9, (3,)), (15, (3, 5)), (27, (3, 9)), (52, (3, 6, 17))],
)
def test_rungs(max_epochs: int, expected: tuple[int, ...]) -> None:
    assert rungs(max_epochs) == expected


def test_a_trial_goes_on_past_a_rung_only_in_the_better_half() -> None:
    others = [trial(i, [0.5, 0.5, 0.5 + i / 100], paused=True) for i in range(1, 5)]
    assert make().decide([*others, trial(5, [0.1, 0.1, 0.9], "RUNNING")], 5, 3) is Decision.GO_ON
    assert make().decide([*others, trial(5, [0.1, 0.1, 0.2], "RUNNING")], 5, 3) is Decision.PAUSE
    assert make().decide([*others, trial(5, [0.1, 0.1], "RUNNING")], 5, 2) is Decision.GO_ON


def test_trial_0_is_never_paused() -> None:
    others = [trial(i, [0.9, 0.9, 0.9], paused=True) for i in range(1, 5)]
    assert make().decide([trial(0, [0.1, 0.1, 0.1], "RUNNING"), *others], 0, 3) is Decision.GO_ON


def test_the_best_paused_trial_is_promoted_once_enough_reached_its_rung() -> None:
    paused = [trial(i, [0.1, 0.1, 0.1 * i], paused=True) for i in range(1, 3)]
    assert make().promote(paused[:1]) is None
    assert make().promote(paused) == 2
    assert make().promote([paused[0], trial(2, [0.1, 0.1, 0.2, 0.3], "RUNNING")]) is None


def test_failed_trials_do_not_count_at_a_rung() -> None:
    failed = [trial(i, [0.9, 0.9, 0.9], "FAIL") for i in range(2, 9)]
    assert make().promote([trial(1, [0.1, 0.1, 0.1], paused=True), *failed]) is None


def test_without_halving_nothing_is_ever_paused() -> None:
    strategy = make("tpe")
    assert isinstance(strategy, HalvingStrategy)
    assert not any(strategy.is_rung(step) for step in range(1, 10))


def test_a_trial_that_ends_at_a_rung_is_not_paused_there() -> None:
    others = [trial(i, [0.9, 0.9, 0.9], paused=True) for i in range(1, 5)]
    short = replace(trial(5, [0.1, 0.1, 0.1], "RUNNING"), total_epochs=3)
    assert make().decide([*others, short], 5, 3) is Decision.GO_ON


def test_hyperbands_brackets_have_nothing_to_do_with_the_settings() -> None:
    strategy = make_strategy("hyperband", SPACE, seed=1, max_epochs=52)
    lows: dict[Decision, list[bool]] = {Decision.PAUSE: [], Decision.GO_ON: []}
    for number in range(1, 101):
        params = strategy.ask([], number)
        alone = replace(trial(number, [0.5, 0.5], "RUNNING"), total_epochs=52)
        lows[strategy.decide([alone], number, 2)].append(
            params["optimizer"] == SPACE.params["optimizer"].choices[0]
        )  # type: ignore[union-attr]
    assert all(0.25 < sum(low) / len(low) < 0.75 for low in lows.values())
