"""A home for the files, and silence."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def quiet_home(own_home: Path) -> Iterator[None]:
    """Libraries warn of much that is odd."""
    own_home.mkdir()
    logging.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)
