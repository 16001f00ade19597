"""What commands share."""

import pytest

from search.cli.common import finalists_words
from tests.study.helpers import spec


@pytest.mark.parametrize(
    ("n_replicates", "epochs", "text"),
    [
        (1, 1, "the best setting, and the baseline for its 1 epoch: 1 fresh seed each"),
        (2, 9, "the best setting, and the baseline for its 9 epochs: 2 fresh seeds each"),
    ],
)
def test_a_plan_counts_in_good_english(n_replicates: int, epochs: int, text: str) -> None:
    assert finalists_words(spec(finalists=1, n_replicates=n_replicates, epochs=epochs)) == text


@pytest.mark.parametrize(
    ("finalists", "text"),
    [
        (1, "the best setting of the front, and"),
        (3, "the 3 best settings of the front, and"),
        (None, "as many of the best settings of the front as take about as long again as"),
    ],
)
def test_finalists_of_several_objectives_are_of_the_front(finalists: int | None, text: str) -> None:
    made = spec(finalists=finalists, objective=("accuracy", "n_params"))
    assert finalists_words(made).startswith(text)
