"""Which trackers there are, by name: entry points of the group `gridless.trackers`, ours and users'
alike. Nothing is imported.
"""

from collections.abc import Sequence
from importlib.util import find_spec

from search.registry import TRACKERS, names, nearest

NONE = "none"
"""Given alone, it means that a study has no tracker."""
_EXTRAS = ("tensorboard", "wandb")
"""Of our trackers, those that need a package more: the extra of that name installs it."""


def chosen_trackers(given: Sequence[str]) -> tuple[str, ...]:
    """The trackers `given`, each once; none for NONE. Raises ValueError with every fault."""
    trackers = tuple(dict.fromkeys(given))
    if trackers == (NONE,):
        return ()
    problems = [problem for name in trackers if (problem := tracker_problem(name))]
    if problems:
        raise ValueError("; ".join(problems))
    return trackers


def tracker_problem(name: str) -> str | None:
    """Why the tracker `name` can't be used here; None if it can."""
    if name == NONE:
        return "none goes with no other tracker"
    trackers = names(TRACKERS)
    if name not in trackers:
        return f"{name!r} is no tracker; {nearest(name, [*trackers, NONE])}"
    if name in _EXTRAS and find_spec(name) is None:
        return f"{name} is not installed; pip install 'gridless[{name}]' does that"
    return None
