"""Bounds that no network of a space can keep are refused before the search."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from search.actions import check_bounds as checking
from search.actions.check_bounds import check_bounds
from search.datasets.split import Prepared
from search.errors import InputError
from search.space.space import Space
from search.training.probe import Answer, Question

SPACE = Space.from_dict(
    {
        "model": "mlp",
        "document": {"units": 32, "depth": 2, "lr": 0.1},
        "params": {
            "units": {"type": "int", "low": 8, "high": 64},
            "depth": {"type": "int", "low": 1, "high": 3},
            "lr": {"type": "float", "low": 0.01, "high": 1.0},
        },
    }
)


@pytest.mark.parametrize(("most", "n_processes"), [(64, 1), (16, 1), (8, 2)])
def test_networks_are_built_together_only_where_none_alone_keeps_the_bound(
    monkeypatch: pytest.MonkeyPatch, most: int, n_processes: int
) -> None:
    assert len(asked(monkeypatch, most)) == n_processes


def test_a_bound_that_the_smallest_network_breaks_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = "of the smallest of 6 that were built, n_params is 8, above 7; raise the bound"
    with pytest.raises(InputError, match=rule):
        asked(monkeypatch, 7)


def asked(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """How many networks each fresh process was asked to build; one has units × depth parameters."""
    numbers: list[int] = []

    def build_all(questions: Sequence[Question]) -> list[Answer]:
        numbers.append(len(questions))
        return [Answer(q.setting["units"] * q.setting["depth"], None) for q in questions]

    monkeypatch.setattr(checking, "build_all", build_all)
    data = Prepared(Path(), None, "digits", "", (8, 8, 1), 10, (), 1, 1, 1)
    check_bounds(SPACE, {"n_params": most}, data)
    return numbers
