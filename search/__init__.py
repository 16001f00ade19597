"""Gridless: hyperparameter search and benchmarking for Keras image classifiers, without the grid.

What a program may use of it is in docs/api.md: `optimize`, `load_study`, `list_studies` and what
they return.
Nothing is loaded before it is asked for.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import Study, list_studies, load_study, optimize

__all__ = ["Study", "list_studies", "load_study", "optimize"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        with warnings.catch_warnings():
            # In a notebook, Optuna's import misses widgets, with which nothing here draws.
            warnings.filterwarnings("ignore", "IProgress not found")
            api = importlib.import_module("search.api")
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
