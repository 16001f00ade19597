"""Following the studies with one tracker until told to stop, then bringing the rest."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from search.errors import GridlessError
from search.secret import redacted_here
from search.tracking.mirror import Mirror, Turn

logger = logging.getLogger(__name__)

_SLOWEST_S = 60.0
_NAP_S = 0.3
LATE = "there was no time for it"
_MAX_ERROR = 300


@dataclass(frozen=True)
class Finished:
    """What came of following."""

    n_sent: int
    """Trials that were brought, each time counted."""
    left: tuple[str, ...]
    """What is still to be brought."""
    error: str | None = None
    """Why, one line without passwords."""
    link: str | None = None
    """Where the study is to be seen, if one was named and the tracker says so."""


class Follower:
    """Takes turns with the mirror that `open_mirror` makes, and raises nothing."""

    def __init__(
        self, open_mirror: Callable[[], Mirror], name: str, *, every_s: float = 2.0
    ) -> None:
        self._open = open_mirror
        self._name = name
        self._every_s = every_s
        self._mirror: Mirror | None = None
        self._n_sent = 0

    def run(
        self, stop: threading.Event, names: Collection[str] | None, *, drain_s: float
    ) -> Finished:
        """Take a turn every few seconds, less often (60 s) while they fail, until `stop`; then
        bring the rest of the searches `names` (None: of all) for about `drain_s` seconds.
        """
        delay = self._every_s
        while not stop.is_set():
            began = time.monotonic()
            error = self._turn(None, stop.is_set)[1]
            # A storage with much in it is not looked at all the time.
            delay = max(self._every_s, 5 * (time.monotonic() - began))
            delay = min(2 * delay, _SLOWEST_S) if error else min(delay, _SLOWEST_S)
            stop.wait(delay)
        return self.finish(names, drain_s)

    def finish(
        self, names: Collection[str] | None, limit_s: float, *, thorough: bool = False
    ) -> Finished:
        """Bring what is left of the searches `names`, for about `limit_s` seconds, and let go.

        With `thorough`, what was brought of their ends is looked at, too.
        """
        until = time.monotonic() + limit_s
        before: list[str] = []
        while True:
            turn, error = self._turn(names, lambda: time.monotonic() > until, thorough)
            left = self._left(names)
            is_stuck = not turn.holder and left == before
            if error or not left or is_stuck or time.monotonic() > until:
                break
            # What another process brings and leaves is ours; it may just have written more, too.
            before = left
            time.sleep(_NAP_S)
        link = self._link(names)
        self._let_go()
        reasons = [*turn.errors.values(), *([error] if error else [])]
        if left and not reasons:
            reasons = [f"{turn.holder} is at it" if turn.holder else LATE]
        return Finished(self._n_sent, tuple(left), "; ".join(dict.fromkeys(reasons)) or None, link)

    def _turn(
        self, names: Collection[str] | None, stop: Callable[[], bool], thorough: bool = False
    ) -> tuple[Turn, str | None]:
        """A turn, and why it failed if it did."""
        try:
            self._mirror = self._mirror or self._open()
            turn = self._mirror.turn(names, stop, thorough=thorough)
        except Exception as problem:
            # Trackers, servers and drivers each raise their own; the remedy is the same: connect
            # and try again.
            error = _one_line(problem)
            logger.warning("%s: %s", self._name, error)
            self._let_go()
            return Turn(), error
        for study, reason in turn.errors.items():
            logger.warning("%s: %s: %s", self._name, study, reason)
        self._n_sent += turn.n_sent
        return turn, None

    def _left(self, names: Collection[str] | None) -> list[str]:
        try:
            return self._mirror.left(names) if self._mirror else ["all of it"]
        except GridlessError as error:
            logger.warning("%s: %s", self._name, error)
            return ["what can't be told"]

    def _link(self, names: Collection[str] | None) -> str | None:
        if self._mirror is None or names is None or len(names) != 1:
            return None
        with suppress(
            Exception
        ):  # whatever the tracker raises, it is nothing that was to be brought
            return self._mirror.link(next(iter(names)))
        return None

    def _let_go(self) -> None:
        if self._mirror:
            with suppress(GridlessError):
                self._mirror.release()


def _one_line(problem: Exception) -> str:
    text = redacted_here(" ".join(str(problem).split())) or type(problem).__name__
    return text if len(text) <= _MAX_ERROR else text[:_MAX_ERROR] + "…"
