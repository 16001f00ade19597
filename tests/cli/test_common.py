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
