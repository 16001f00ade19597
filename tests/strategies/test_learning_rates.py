"""Learning rates measured from what is customary for the optimizer."""

import math
from typing import Any

import numpy as np
import pytest

from search.space.load import find_space, load_space
from search.space.optimizers import OPTIMIZERS
from search.space.space import Space
from search.strategies import make_strategy
from search.strategies.encoding import Encoding
from tests.strategies.test_default import PLAIN

MLP = load_space(find_space("mlp"))


def setting(**values: Any) -> dict[str, Any]:
    return MLP.complete(values)


def apart(space: Space, a: dict[str, Any], b: dict[str, Any]) -> float:
    """Their distance in the coordinates of numbers."""
    encoding = Encoding(space, 15)
    n_numbers = int((~encoding.is_choice).sum())
    points = encoding.features(encoding.encode([a, b]))[:, :n_numbers]
    return float(np.linalg.norm(points[0] - points[1]))


def test_customary_rates_of_two_optimizers_are_alike() -> None:
    adam = setting(optimizer="adam", lr=0.001)
    assert apart(MLP, adam, setting(optimizer="rmsprop", lr=0.001)) == pytest.approx(0, abs=1e-9)
    assert apart(MLP, adam, setting(optimizer="adadelta", lr=1.0)) == pytest.approx(0, abs=1e-9)
    # The same rate of another optimizer is something else: three orders of magnitude of four.
    assert apart(MLP, adam, setting(optimizer="adadelta", lr=0.001)) == pytest.approx(0.75)


def test_momentum_makes_steps_longer() -> None:
    plain = Encoding(MLP, 15)
    column = plain.names.index("lr")
    rows = plain.encode([setting(lr=0.1), setting(lr=0.01, momentum=0.9)])
    places = plain.features(rows)[
        :, [n for n, c in zip(plain.names, plain.is_choice, strict=True) if not c].index("lr")
    ]
    assert places[0] == pytest.approx(places[1])
    assert rows[0, column] - rows[1, column] == pytest.approx(0.25)


def test_a_study_begins_with_rates_that_are_customary() -> None:
    ratios = []
    for seed in range(10):
        strategy = make_strategy("default", MLP, seed=seed, max_epochs=15)
        for number in range(1, 8):
            asked = strategy.ask((), number)
            assert MLP.problems_of(asked) == []
            custom = OPTIMIZERS[asked["optimizer"]].customary_lr * (1 - asked.get("momentum", 0.0))
            ratios.append(math.log10(asked["lr"] / min(max(custom, 1e-4), 1.0)))
    assert abs(float(np.median(ratios))) < 0.3
    assert 0.4 < float(np.std(ratios)) < 0.9
    assert max(map(abs, ratios)) < 3


@pytest.mark.parametrize(
    ("fixed", "usual"),
    [
        ({"optimizer": "adam"}, 0.001),
        ({"optimizer": "sgd", "momentum": 0.9}, 0.01),
        ({"lr": 0.01}, 0.01),
    ],
)
def test_pinned_parameters_are_heeded(fixed: dict[str, Any], usual: float) -> None:
    strategy = make_strategy("default", MLP.fix(fixed), seed=0, max_epochs=15)
    asked = [strategy.ask((), number) for number in range(1, 8)]
    assert all(a[name] == value for a in asked for name, value in fixed.items())
    # With a momentum of 0.9 a rate is worth ten times as much.
    assert abs(float(np.median([math.log10(a["lr"] / usual) for a in asked]))) < 0.5


@pytest.mark.parametrize(
    "momentum",
    [
        {"type": "choice", "choices": [0.0, 0.9]},
        {"type": "float", "low": 0.01, "high": 0.9, "log": True},
    ],
)
def test_momentum_on_another_scale_leaves_rates_alone(momentum: dict[str, Any]) -> None:
    raw = PLAIN.as_dict()
    raw["params"] |= {
        "momentum": momentum,
        "optimizer": {"type": "choice", "choices": ["sgd", "adam"]},
    }
    raw["document"] |= {"momentum": 0.9, "optimizer": "sgd"}
    encoding = Encoding(Space.from_dict(raw), 15)
    uniform = np.full((1, encoding.width), 0.3)
    assert np.array_equal(encoding.customary(uniform), encoding.spread(uniform))


def test_a_space_without_optimizers_is_left_alone() -> None:
    encoding = Encoding(PLAIN, 15)
    rows = encoding.encode([{"lr": 0.01, "momentum": 0.5, "units": 64}])
    assert np.array_equal(encoding.features(rows), rows)
    uniform = np.full((1, encoding.width), 0.3)
    assert np.array_equal(encoding.customary(uniform), encoding.spread(uniform))
