"""Runs of an experiment side by side, which Ctrl-C ends without losing those that are done."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, as_completed
from typing import TypeVar

T = TypeVar("T")


def run_in_turn(calls: Iterable[Callable[[], T]], keep: Callable[[T], None]) -> bool:
    """Make `calls` here and `keep` what they return; False when Ctrl-C ended it."""
    try:
        for call in calls:
            keep(call())
    except KeyboardInterrupt:
        return False
    return True


def run_at_once(
    pool: Executor,
    calls: Iterable[Callable[[], T]],
    keep: Callable[[T], None],
    stop: Callable[[], None] = lambda: None,
) -> bool:
    """Make `calls` in `pool` and `keep` what they return, as it comes; False when Ctrl-C ended it.

    Ctrl-C and errors of a call cancel what waits, and call `stop`; what runs is still waited for
    when the pool is left.
    """
    futures = {pool.submit(call) for call in calls}
    try:
        for future in as_completed(futures):
            keep(future.result())
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        stop()
        if not isinstance(error, KeyboardInterrupt):
            raise
        return False
    return True
