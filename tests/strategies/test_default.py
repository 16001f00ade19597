"""The strategy that studies use: what it prefers, and what its parts know."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.records import TrialRecord
from search.space.load import find_space, load_space
from search.space.space import Space
from search.strategies import Decision, make_strategy
from search.strategies.bayes.curve_ends import extrapolate
from search.strategies.bayes.gaussian_process import GaussianProcess
from search.strategies.default import shares
from search.strategies.encoding import Encoding
from tests.strategies.helpers import study
from tests.study.helpers import epoch

PLAIN = Space.from_dict(
    {
        "model": "mlp",
        "document": {"lr": 0.1, "momentum": 0.0, "units": 8},
        "params": {
            "lr": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"type": "float", "low": 0.0, "high": 0.99},
            "units": {"type": "int", "low": 8, "high": 512, "log": True},
        },
    }
)
SPACES = sorted(p.stem for p in Path("spaces").glob("*.yaml"))


def hill(params: Mapping[str, Any], step: int) -> float:
    """Best at lr 0.01, momentum 0.7 and 200 units; the smaller lr, the later it gets there."""
    x = (
        (np.log10(params["lr"]) + 2) / 2,
        params["momentum"] - 0.7,
        np.log(params["units"] / 200) / 3,
    )
    return float(
        0.9 * np.exp(-sum(v * v for v in x)) * (1 - np.exp(-step / (2 - np.log10(params["lr"]))))
    )


def waiting(number: int, values: list[float], **params: Any) -> TrialRecord:
    curve = tuple(epoch(i, v) for i, v in enumerate(values, start=1))
    setting = {"lr": 0.01, "momentum": 0.5, "units": 8 + number, **params}
    state = "COMPLETE" if len(values) == 20 else "WAITING"
    return TrialRecord(number, state, setting, curve, total_epochs=20, paused=state == "WAITING")


@pytest.mark.parametrize(
    ("max_epochs", "expected"),
    [
        (1, []),
        (3, []),
        (4, [3]),
        (10, [3, 5]),
        (20, [3, 10]),
        (52, [3, 9, 26]),
        (200, [12, 33, 100]),
    ],
)
def test_rungs(max_epochs: int, expected: list[int]) -> None:
    assert list(shares(max_epochs)) == expected


def test_it_beats_random_search_for_the_same_epochs() -> None:
    """Even to the best of as many full trainings as random search may spend, it needs but a part of
    the epochs.
    """
    best = max(
        hill({"lr": lr, "momentum": 0.7, "units": 200}, 9) for lr in np.geomspace(0.001, 0.1, 50)
    )
    regrets = {"default": 0.0, "random": 0.0}
    for name in regrets:
        for seed in range(3):
            n_trials = {"default": 24, "random": 12}[name]
            strategy = make_strategy(name, PLAIN, seed=seed, max_epochs=9, n_trials=n_trials)
            trials = study(strategy, PLAIN, n_trials, hill)
            assert sum(t.epochs for t in trials) <= 12 * 9 + 36
            regrets[name] += best - max(t.val_accuracy or 0.0 for t in trials)
    assert regrets["default"] < 0.5 * regrets["random"]


def test_a_slow_starter_is_promoted_when_others_of_its_kind_rose() -> None:
    """Small rates start low here and end high: what is at the rung decides less than what comes of
    it.
    """
    low, high = [0.1, 0.2, 0.3], [0.4, 0.5, 0.55]
    known = [waiting(i, [*low, *[0.9] * 17], lr=1e-4 * (1 + i / 10)) for i in range(1, 5)]
    known += [waiting(i, [*high, *[0.6] * 17], lr=0.5 + i / 100) for i in range(5, 9)]
    paused = [waiting(9, high, lr=0.52), waiting(10, low, lr=1.2e-4), waiting(11, high, lr=0.6)]
    others = [
        waiting(i, [0.01, 0.02, 0.03], lr=0.01 * (i - 10), momentum=0.9) for i in range(12, 20)
    ]
    strategy = make_strategy("default", PLAIN, seed=1, max_epochs=20)
    trials = [*known, *paused, *others]
    assert (
        strategy.promote([*trials, *(waiting(i, [0.01] * 3, lr=1.0) for i in range(20, 40))]) == 10
    )


def test_only_the_documents_trial_is_never_paused() -> None:
    strategy = make_strategy("default", PLAIN, seed=1, max_epochs=20)
    others = [waiting(i, [0.9, 0.9, 0.9]) for i in range(1, 5)]
    own = replace(waiting(0, [0.1, 0.1, 0.1]), state="RUNNING", paused=False)
    assert strategy.decide([replace(own, params=PLAIN.document), *others], 0, 3) is Decision.GO_ON
    assert strategy.decide([own, *others], 0, 3) is Decision.PAUSE


def test_of_few_trials_one_beside_the_documents_comes_to_its_end() -> None:
    trials = study(
        make_strategy("default", PLAIN, seed=1, max_epochs=20, n_trials=4),
        PLAIN,
        4,
        hill,
        max_epochs=20,
    )
    assert sum(t.state == "COMPLETE" for t in trials) >= 2


def test_it_keeps_away_from_what_cannot_be_trained() -> None:
    """Large rates diverge here, however good they would be."""
    trials = [
        waiting(
            i, [0.5, 0.5, 0.5 + i / 1000], lr=10 ** (-4 + 4 * i / 30), momentum=(i * 7 % 10) / 10
        )
        for i in range(1, 31)
    ]
    trials = [
        (
            replace(t, state="FAIL", curve=(), paused=False, untrainable=True)
            if t.params["lr"] > 0.03
            else t
        )
        for t in trials
    ]
    strategy = make_strategy("default", PLAIN, seed=1, max_epochs=20)
    asked = [strategy.ask(trials, n)["lr"] for n in range(41, 48)]
    assert sum(lr > 0.05 for lr in asked) <= 1


@pytest.mark.parametrize("name", SPACES)
def test_settings_survive_their_encoding(name: str) -> None:
    space = load_space(find_space(name))
    encoding = Encoding(space, space.max_epochs or 9)
    rows = encoding.spread(np.random.default_rng(1).random((20, encoding.width)))
    settings = [encoding.decode(row) for row in rows]
    assert [space.problems_of(s) for s in settings] == [[]] * 20
    assert np.allclose(encoding.encode(settings), rows, atol=1e-9, equal_nan=True)
    assert len(encoding.features(rows)[0]) == len(encoding.groups)


def test_gains_are_explained_by_what_brought_them() -> None:
    """Trials gain as much as their feature says; those that stopped at the rung are told so."""
    features = np.linspace(0, 1, 30)[:, None]
    curves = [
        [0.1, 0.2, 0.5] + ([0.5 + 0.3 * x] * 17 if i % 2 else [])
        for i, x in enumerate(features[:, 0])
    ]
    trials = [waiting(i, values) for i, values in enumerate(curves)]
    ends, doubts = extrapolate(trials, (3, 20), features)
    assert ends == pytest.approx(0.5 + 0.3 * features[:, 0], abs=0.03)
    assert (doubts[1::2] == 0).all()
    assert (doubts[::2] > 0).all()


def test_the_process_finds_out_which_parameter_matters() -> None:
    rng = np.random.default_rng(1)
    points, fresh = rng.random((40, 3)), rng.random((200, 3))
    process = GaussianProcess(points, np.arange(3), np.sin(6 * points[:, 0]), np.zeros(40))
    mean, variance = process.predict(fresh)
    assert np.abs(mean - np.sin(6 * fresh[:, 0])).mean() < 0.1
    assert (variance > 0).all()


def test_new_trials_of_a_study_that_grew_are_promoted_beside_what_its_end_left_pruned() -> None:
    trials = [
        replace(waiting(n, [0.5 + n / 100] * 3), state="PRUNED", paused=False) for n in range(10)
    ]
    trials += [waiting(n, [0.7] * 20) for n in range(10, 14)]
    strategy = make_strategy("default", PLAIN, seed=1, max_epochs=20, n_trials=16)
    assert strategy.promote([*trials, waiting(14, [0.6] * 3), waiting(15, [0.9] * 3)]) == 15


def test_of_many_trials_the_best_that_waits_is_never_overlooked() -> None:
    values = [0.5 + 0.3 * float(np.exp(-(((n - 41) / 15) ** 2))) for n in range(300)]
    trials = [waiting(n, [values[n]] * (3 if n % 3 else 20)) for n in range(300)]
    promoted = make_strategy("default", PLAIN, seed=1, max_epochs=20).promote(trials)
    assert promoted in {40, 41, 43}


def test_a_space_in_which_nothing_varies_has_one_setting() -> None:
    fixed = PLAIN.fix({"lr": 0.1, "momentum": 0.0, "units": 8})
    strategy = make_strategy("default", fixed, seed=1, max_epochs=20)
    done = [replace(waiting(n, [0.5] * 20), params=dict(fixed.document)) for n in range(12)]
    assert strategy.ask(done, 12) == fixed.document


def test_choices_are_looked_at_even_when_another_looks_good() -> None:
    """What the first good trial has is not all that is tried: the best variant is one that few
    trials have.
    """
    space = load_space(find_space("convNN"))

    def value(params: Mapping[str, Any], step: int) -> float:
        good = {"3a": 0.1, "6": 0.3}.get(params["variant"], 0.0)
        return 0.5 + good - 0.05 * abs(np.log10(params["lr"]) + 2) + 0.01 * step

    for seed in range(3):
        trials = study(
            make_strategy("default", space, seed=seed, max_epochs=6, n_trials=40),
            space,
            40,
            value,
            max_epochs=6,
        )
        assert {t.params["variant"] for t in trials[:30]} == set(space.params["variant"].choices)
        # Of 40 pairs of choices a third is seen by 30 trials.
        assert len({(t.params["variant"], t.params["activation"]) for t in trials[:30]}) > 40 / 3
        assert max(trials, key=lambda t: t.best_so_far[-1]).params["variant"] == "6"
