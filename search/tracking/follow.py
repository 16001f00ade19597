"""Following outboxes, one or all of a home folder, for as long as their studies run."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from search.tracking.mlflow.send import Mirror, SyncResult, write_result
from search.tracking.outbox import is_outbox

_SLOWEST_S = 60.0
_IDLEST_S = 20.0
_QUIET_S = 30.0
"""After so long without an event a study's run is marked as its trials say."""
_N_BATCHES = 5
"""One outbox's turn, in thousands of events: a long one must not hold up the others."""
_NAP_S = 0.2
_IN_TIME = "MLflow did not answer in time"
DRAIN_S = 45.0
"""How long a follower goes on once it is told to stop, seconds."""


def outboxes(home: Path) -> list[Path]:
    """Return the outboxes of the studies below `home` that have a header, readable or not."""
    try:
        names = sorted(os.listdir(home))
    except OSError:
        return []
    return [folder for name in names if is_outbox(folder := home / name / "outbox")]


class Follower:
    """Sends on what comes in, in the outboxes that `find()` returns now and later.

    Each one's last result, with `n_sent` over all, is in its last_sync.json. No method raises.
    """

    def __init__(
        self,
        find: Callable[[], Iterable[Path]],
        *,
        uri: str,
        artifact_root: Path | None,
        every_s: float = 2.0,
    ) -> None:
        self._find, self._uri, self._artifact_root, self._every_s = (
            find,
            uri,
            artifact_root,
            every_s,
        )
        self._followed: dict[Path, _Followed] = {}

    def run(self, stop: Callable[[], bool], *, drain_s: float = DRAIN_S) -> None:
        """Go on until `stop()` is true, then send the rest, for about `drain_s` seconds in all.

        Each outbox is looked at every `every_s` seconds; less often while it is idle (20 s) or
        fails (60 s).
        """
        while not stop():
            self._look_around()
            now = time.monotonic()
            for outbox in self._followed.values():
                if outbox.due <= now and not stop():
                    outbox.take_turn(stop)
            again = min([now + self._every_s, *(outbox.due for outbox in self._followed.values())])
            while not stop() and (left := again - time.monotonic()) > 0:
                time.sleep(min(_NAP_S, left))
        self.send_rest(drain_s)

    def send_rest(self, limit_s: float | None) -> None:
        """Send what is left, for about `limit_s` seconds, and end; MLflow is asked only for what
        has something.
        """
        until = float("inf") if limit_s is None else time.monotonic() + limit_s
        self._look_around()
        # A failing one may use up all the time that there is.
        for outbox in sorted(self._followed.values(), key=lambda outbox: outbox.is_failing):
            outbox.finish(until)

    def abandon(self) -> None:
        """Note for each outbox that is not finished that there was no time."""
        for outbox in self._followed.values():
            outbox.abandon()

    def _look_around(self) -> None:
        outboxes = self._followed
        self._followed = {
            folder: outboxes.get(folder) or self._new(folder) for folder in self._find()
        }

    def _new(self, folder: Path) -> "_Followed":
        return _Followed(folder, Mirror(folder, self._uri, self._artifact_root), self._every_s)


class _Followed:
    """One outbox: when to look at it next, and what came of it."""

    def __init__(self, folder: Path, mirror: Mirror, every_s: float) -> None:
        self._folder, self._mirror, self._every_s = folder, mirror, every_s
        self.due = 0.0
        self.is_failing = False
        """Whether it failed when it was last looked at."""
        self._delay = every_s
        self._quiet_at = 0.0
        self._n_sent = 0
        self._is_finished = False

    def take_turn(self, stop: Callable[[], bool]) -> None:
        """Send what is new, if anything, and settle on when to look again."""
        is_idle = self._mirror.is_idle()
        if is_idle and (self._mirror.is_settled or time.monotonic() < self._quiet_at):
            self._wait(slowest_s=_IDLEST_S)
            return
        result = self._mirror.sync(n_batches=_N_BATCHES, settle=is_idle, stop=stop)
        if result.n_sent:
            self._quiet_at = time.monotonic() + _QUIET_S
        if result.n_sent or result.error or self.is_failing:
            self._note(result)
        if result.error:
            self._wait(slowest_s=_SLOWEST_S)
        else:
            self._delay = self._every_s
            self.due = time.monotonic() + (0 if result.n_left else self._delay)

    def finish(self, until: float) -> None:
        """Send what is left, until about `until` (of the monotonic clock), and settle."""
        result = SyncResult(0, 0, None)
        while not self._mirror.is_done():
            left = until - time.monotonic()
            if left <= 0:
                result = SyncResult(0, self._mirror.count(), _IN_TIME)
                break
            result = self._mirror.sync(limit_s=left, settle=True)
            if not result.is_busy:
                break
            # Another process sends it: what it leaves is ours.
            time.sleep(_NAP_S)
        self._is_finished = True
        self._note(result)

    def abandon(self) -> None:
        """Note that there was no time to finish."""
        if not self._is_finished:
            self._note(SyncResult(0, -1, _IN_TIME))

    def _note(self, result: SyncResult) -> None:
        self.is_failing = result.error is not None
        self._n_sent += result.n_sent
        if not result.is_busy:
            write_result(self._folder, SyncResult(self._n_sent, result.n_left, result.error))

    def _wait(self, *, slowest_s: float) -> None:
        self._delay = min(2 * self._delay, max(self._every_s, slowest_s))
        self.due = time.monotonic() + self._delay
