"""Following the studies with one tracker until told to stop, then bringing the rest."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from search.errors import GridlessError
from search.retry_limits import grace_s
from search.tracking.mirror import Mirror, Turn, one_line

logger = logging.getLogger(__name__)

_NAP_S = 0.3
LATE = "there was no time for it"


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
        self._errors: dict[str, str] = {}
        """Those that were logged last."""

    def run(
        self, stop: threading.Event, names: Collection[str] | None, *, drain_s: float
    ) -> Finished:
        """Take a turn every few seconds, less often (20 s) while they fail, until `stop`; then
        bring the rest of the searches `names` (None: of all) for about `drain_s` seconds.
        """
        delay = self._every_s
        while not stop.is_set():
            began = time.monotonic()
            error = self._turn(None, stop.is_set)[1]
            # A storage with much in it is not looked at all the time.
            shortest = max(self._every_s, 5 * (time.monotonic() - began))
            delay = max(2 * delay, shortest) if error else shortest
            delay = min(delay, grace_s() / 3)
            stop.wait(delay)
        return self.finish(names, drain_s)

    def finish(
        self, names: Collection[str] | None, limit_s: float, *, thorough: bool = False
    ) -> Finished:
        """Bring what is left of the searches `names`, for about `limit_s` seconds, and let go.

        With `thorough`, what was brought before is gone through, too.
        """
        until = time.monotonic() + limit_s
        before: list[str] = []
        while True:
            turn, error = self._turn(names, lambda: time.monotonic() > until, thorough)
            thorough &= error is not None  # once is enough
            left = self._left(names)
            is_late = time.monotonic() > until
            is_stuck = not turn.holder and left == before
            if error or not left or is_stuck or is_late:
                break
            # What another process brings and leaves is ours; it may just have written more, too.
            before = left
            time.sleep(_NAP_S)
        reasons = [*turn.errors.values(), *([error] if error else [])]
        link = None if reasons else self._link(names)
        self._let_go()
        if left and is_late and not reasons:
            reasons = [f"{turn.holder} is at it" if turn.holder else LATE]
        return Finished(self._n_sent, tuple(left), "; ".join(dict.fromkeys(reasons)) or None, link)

    def _turn(
        self, names: Collection[str] | None, stop: Callable[[], bool], thorough: bool = False
    ) -> tuple[Turn, str | None]:
        """A turn, and why it failed if it did."""
        try:
            turn = self._opened().turn(names, stop, thorough=thorough)
        except Exception as problem:
            # Trackers, servers and drivers each raise their own; the remedy is the same: connect
            # and try again.
            error = one_line(problem)
            logger.warning("%s: %s", self._name, error)
            self._begin_anew()
            return Turn(), error
        if turn.errors != self._errors:
            for study, reason in turn.errors.items():
                logger.warning("%s: %s: %s", self._name, study, reason)
        self._errors = turn.errors
        self._n_sent += turn.n_sent
        if turn.n_failed:
            self._begin_anew()
        return turn, None

    def _opened(self) -> Mirror:
        self._mirror = self._mirror or self._open()
        return self._mirror

    def _begin_anew(self) -> None:
        """Forget what was known of the tracker: whether a request that failed took effect, say."""
        self._let_go()
        self._mirror = None

    def _left(self, names: Collection[str] | None) -> list[str]:
        try:
            return self._opened().left(names)
        except Exception as error:
            logger.warning("%s: %s", self._name, one_line(error))
            return ["all of it"]

    def _link(self, names: Collection[str] | None) -> str | None:
        if names is None or len(names) != 1:
            return None
        with suppress(Exception):  # nothing is missing for it
            return self._opened().link(next(iter(names)))
        return None

    def _let_go(self) -> None:
        if self._mirror:
            with suppress(GridlessError):
                self._mirror.release()
