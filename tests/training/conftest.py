"""A prepared split of the digits, made once."""

import pytest

from search.datasets import load
from search.datasets.split import Prepared, prepare


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The digits, split by seed 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRIDLESS_DATA", raising=False)
        data = load("digits")
    return prepare(data, seed=0, validation_fraction=0.2, cache=tmp_path_factory.mktemp("cache"))
