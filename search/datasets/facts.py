"""What is known of a data set without loading its images."""

import sys
from typing import NamedTuple

from search import registry
from search.errors import InputError


class Facts(NamedTuple):
    """Shape (height, width, channels) and counts of a data set."""

    input_shape: tuple[int, ...]
    n_classes: int
    n_train: int
    """Images to train and validate on, before the split."""
    n_test: int
    source: str


def facts_of(name: str) -> Facts | None:
    """`FACTS` in the module of the loader of data set `name`; None where there are none."""
    try:
        loader = registry.load_loader(name)
    except InputError:
        return None
    module = sys.modules.get(getattr(loader, "__module__", ""))
    facts = getattr(module, "FACTS", None)
    return facts if isinstance(facts, Facts) else None
