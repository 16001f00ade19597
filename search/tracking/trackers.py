"""Making a tracker by its name."""

from collections.abc import Callable
from importlib.metadata import entry_points

from search.errors import InputError
from search.registry import TRACKERS
from search.study.trackers import tracker_problem
from search.tracking.protocol import Ids, Tracker


def tracker_maker(name: str) -> Callable[[Ids], Tracker]:
    """What makes the tracker `name`. Raises InputError when it can't be used here."""
    if problem := tracker_problem(name):
        raise InputError(problem)
    point = next(point for point in entry_points(group=TRACKERS) if point.name == name)
    try:
        make: Callable[[Ids], Tracker] = point.load()
    except Exception as error:  # a user's module may raise whatever it likes
        rule = f"the tracker {name} can't be imported from {point.value}"
        raise InputError(f"{rule} ({type(error).__name__}: {error}); mend its module") from error
    return make
