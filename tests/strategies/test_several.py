"""Several objectives: what one value is made of them, and that a study spreads over the front."""

from dataclasses import replace

import numpy as np
import pytest

from search.objectives import objectives_of
from search.records import ACCURACY, Epoch, State, TrialRecord
from search.strategies import STRATEGIES
from search.strategies.front import front_of, hypervolume, nondominated, spread_of
from search.strategies.several import together
from tests.strategies.helpers import study
from tests.strategies.test_protocol import MAX_EPOCHS, SPACE, make

FIRST, *OTHERS = objectives_of(["accuracy", "n_params"])


def trial(number: int, accuracy: float, n_params: int) -> TrialRecord:
    curve = (Epoch(1, {"val_accuracy": accuracy}, 1.0, 0.0),)
    params = {"units": n_params}
    return TrialRecord(
        number, State.COMPLETE, params, curve, n_params=n_params, others=tuple(OTHERS)
    )


TRIALS = [trial(0, 0.9, 1000), trial(1, 0.8, 100), trial(2, 0.85, 2000), trial(3, 0.5, 10)]


def test_the_front_is_what_no_other_trial_beats() -> None:
    assert [t.number for t in front_of(TRIALS)] == [0, 1, 3]
    failed = replace(TRIALS[0], state=State.FAIL)
    assert [t.number for t in front_of([failed, *TRIALS[1:]])] == [1, 2, 3]


def test_the_front_begins_with_the_best_by_the_first_objective_and_goes_on_with_what_adds_most() -> (
    None
):
    middle = trial(4, 0.89, 990)
    order = [t.number for t in spread_of([*TRIALS, middle])]
    assert order[0] == 0
    assert order[-1] == 4
    assert sorted(order) == [0, 1, 3, 4]


def test_equal_points_are_on_the_front_together() -> None:
    assert nondominated(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.5]])).tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("points", "volume"),
    [
        ([[2.0]], 2.0),
        ([[2.0, 1.0], [1.0, 2.0]], 3.0),
        ([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]], 3.0),
        ([[1.0, 1.0, 1.0], [2.0, 0.5, 0.5]], 1.25),
        ([[-1.0, 5.0]], 0.0),
    ],
)
def test_the_hypervolume_counts_what_is_covered_once(
    points: list[list[float]], volume: float
) -> None:
    assert hypervolume(np.array(points)) == pytest.approx(volume)


def test_all_weight_on_one_objective_ranks_by_it() -> None:
    by_accuracy = together(TRIALS, np.array([1.0, 0.0]))
    by_size = together(TRIALS, np.array([0.0, 1.0]))
    assert max(by_accuracy, key=lambda t: t.best_so_far).number == 0
    assert max(by_size, key=lambda t: t.best_so_far).number == 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_study_of_two_objectives_repeats_and_finds_both_ends(name: str) -> None:
    def accuracy(params: dict[str, float], step: int) -> float:
        return 0.9 - 4 / params["units"] - abs(params["lr"] - 0.01) * 0.1 - 0.1 / step

    def run() -> list[TrialRecord]:
        strategy = make(name, n_trials=24, is_single=False)
        return study(strategy, SPACE, 24, accuracy, objective=ACCURACY, others=tuple(OTHERS))

    trials = run()
    assert trials == run()
    assert len(trials) == 24
    assert max(t.epochs for t in trials) == MAX_EPOCHS
    sizes = [t.n_params or 0 for t in front_of(trials)]
    assert len(sizes) >= 2
    assert min(sizes) < 32
    assert max(sizes) >= 64
