"""The mirror of a command: started, kept going, and given time in the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from search.retry_limits import worker_restarts
from search.tracking.follow import Finished
from search.tracking.process import (
    DRAIN_WAIT_S,
    HURRIED_WAIT_S,
    Request,
    bring_now,
    end_mirror,
    start_mirror,
)
from search.worker.engines.restarts import Kept, Restarts


class Mirroring:
    """The process that brings studies to their trackers while a command works on them."""

    def __init__(
        self, storage: str, folder: Path, studies: Sequence[str] | None, *, for_ever: bool = False
    ) -> None:
        """Of the database at `storage`; its log goes into `folder`. In the end the searches
        `studies` (None: all) must have arrived; `for_ever` starts it again as often as it dies.
        """
        self._request = Request(storage, None if studies is None else tuple(studies))
        self._log = folder / "logs" / "trackers.log"
        self._kept = Kept(Restarts(None if for_ever else worker_restarts()))
        self.keep()

    def keep(self) -> None:
        """Start it again if it died and that is due."""
        self._kept.check(lambda: start_mirror(self._request, self._log))

    def finish(self, *, in_haste: bool = False) -> dict[str, Finished] | None:
        """Let it bring the rest and end; what it says by tracker, None if it was not heard in time.

        `in_haste`, after Ctrl-C, it gets a few seconds.
        """
        process, wait_s = self._kept.process, HURRIED_WAIT_S if in_haste else DRAIN_WAIT_S
        if process is None or process.poll() is not None:
            self._kept.close()
            return bring_now(self._request, self._log, wait_s=wait_s)
        return end_mirror(process, wait_s)


@contextmanager
def started_mirror(
    storage: str, folder: Path, *, wanted: bool, for_ever: bool
) -> Iterator[Callable[[], None]]:
    """A mirror of all studies of `storage`, if it is `wanted`, which brings the rest in the end; in
    haste after an exception.

    Call what is yielded now and then: it starts the mirror again if that died.
    """
    if not wanted:
        yield lambda: None
        return
    mirroring = Mirroring(storage, folder, None, for_ever=for_ever)
    in_haste = True
    try:
        yield mirroring.keep
        in_haste = False
    finally:
        mirroring.finish(in_haste=in_haste)
