"""How often and for how long Gridless tries again: variables of the environment."""

import math
import os
from contextlib import suppress

from search.errors import InputError


def grace_s() -> float:
    """For how many seconds a worker may be silent before it is taken for lost: GRIDLESS_GRACE_S, or
    60.

    Raises InputError when that is not a positive number, as all of these do.
    """
    return _positive("GRIDLESS_GRACE_S", 60.0, "seconds")


def trial_retries() -> int:
    """Workers in a row that a trial may lose without an epoch: GRIDLESS_TRIAL_RETRIES, or 10."""
    return _whole("GRIDLESS_TRIAL_RETRIES", 10)


def worker_restarts() -> int:
    """How often in a row a worker that died is started: GRIDLESS_WORKER_RESTARTS, or 3."""
    return _whole("GRIDLESS_WORKER_RESTARTS", 3)


def database_wait_s() -> float:
    """Seconds that a command waits for an absent database: GRIDLESS_DATABASE_WAIT_S, or 600."""
    return _positive("GRIDLESS_DATABASE_WAIT_S", 600.0, "seconds")


def limit_problems() -> list[str]:
    """What is wrong with any of these settings."""
    problems: list[str] = []
    for setting in (grace_s, trial_retries, worker_restarts, database_wait_s):
        try:
            setting()
        except InputError as error:
            problems += error.problems
    return problems


def _whole(name: str, default: int) -> int:
    text = os.environ.get(name) or f"{default}"
    if text.isdecimal() and len(text) < 10:
        return int(text)
    rule = f"{name}: {text!r} is not a whole number from 0"
    raise InputError(f"{rule}; set it to {default}, say, or unset it")


def _positive(name: str, default: float, unit: str) -> float:
    text = os.environ.get(name) or f"{default:g}"
    with suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise InputError(
        f"{name}: {text!r} is not a number of {unit} above 0; set it to {default:g}, say, or"
        " unset it"
    )
