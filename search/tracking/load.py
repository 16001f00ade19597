"""Making a tracker by its name."""

from collections.abc import Callable, Iterable

from search.errors import InputError
from search.registry import TRACKERS, points
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.tracked import Ids as StoredIds
from search.study.tracker_choice import tracker_problem
from search.tracking.mirror import Mirror
from search.tracking.protocol import Ids, NotReadyError, Tracker


def tracker_maker(name: str) -> Callable[[Ids], Tracker]:
    """What makes the tracker `name`. Raises InputError when it can't be used here."""
    if problem := tracker_problem(name):
        raise InputError(problem)
    point = next(point for point in points(TRACKERS) if point.name == name)
    try:
        make: Callable[[Ids], Tracker] = point.load()
    except Exception as error:  # a user's module may raise whatever it likes
        rule = f"the tracker {name} can't be imported from {point.value}"
        raise InputError(f"{rule} ({type(error).__name__}: {error}); mend its module") from error
    return make


def is_brought(name: str, trackers: Iterable[str], storage: LedgerStorage) -> bool:
    """Whether the `trackers` have everything of study `name` and its finalists."""
    owner = WorkerIdentity.me()
    mirrors = [Mirror(storage, each, tracker_maker(each), owner) for each in trackers]
    return not any(mirror.left([name]) for mirror in mirrors)


def check_ready(names: Iterable[str], storage: LedgerStorage) -> None:
    """Make sure that this process can use the trackers `names`. Raises InputError, with every
    remedy.
    """
    problems: list[str] = []
    for name in names:
        try:
            tracker_maker(name)(StoredIds(storage))
        except InputError as error:
            problems += error.problems
        except NotReadyError as error:
            problems.append(f"--tracker {name}: {error}")
    if problems:
        raise InputError(problems)
