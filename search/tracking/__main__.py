"""The mirror: `python -m search.tracking`, which reads from stdin what it is to do, a line of JSON.

It brings the studies of a storage to the trackers that they ask for until SIGTERM comes or stdin
ends, that is until the process that started it closes the pipe or dies, however that comes about.
Then it brings the rest. It says on stdout what comes of it, lines of JSON: of each tracker the last
one counts.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import optuna

from search.errors import GridlessError, RetryLaterError
from search.secret import redacted, redacted_here
from search.study.settings import DEFAULT_TRACKERS, FINAL
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import places
from search.study.storage.tracked import Ids
from search.study.tracker_choice import tracker_problem
from search.text import visible
from search.tracking.follow import LATE, Finished, Follower
from search.tracking.load import tracker_maker
from search.tracking.mirror import Mirror
from search.tracking.process import DRAIN_S, Request, answer_line

logger = logging.getLogger("search.tracking")
_GRACE_S = 5.0
_LOOK_S = 2.0
_MOST_TRACKERS = 32
_Answer = Callable[[str, Finished], None]


class _Formatter(logging.Formatter):
    """Leaves passwords out, whoever logs them: drivers quote addresses."""

    def __init__(self, url: str) -> None:
        super().__init__("%(asctime)s %(message)s")
        self._url = url

    def format(self, record: logging.LogRecord) -> str:
        return visible(redacted_here(redacted(super().format(record), self._url)))


def main() -> int:
    """Do what stdin asks for; 1 if the studies' storage can't be used."""
    request = Request.from_line(sys.stdin.buffer.readline())
    answers = _own_stdout()
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(request.storage))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.nice(5)
    stop = _stop_with_stdin(request)
    try:
        storage = LedgerStorage(request.storage)
    except GridlessError as error:
        logger.error("%s", error)
        return 1

    def answer(name: str, finished: Finished) -> None:
        with suppress(BrokenPipeError):  # who asked is gone
            os.write(answers, answer_line(name, finished).encode())

    return _follow_all(storage, request, stop, answer)


def _own_stdout() -> int:
    """Where answers go, each at once. What a tracker prints goes to the log, and no process that
    one starts keeps the command waiting for the end of its answers.
    """
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _follow_all(
    storage: LedgerStorage, request: Request, stop: threading.Event, answer: _Answer
) -> int:
    """Follow with each tracker that a study asks for, in threads: none holds up another. 1 if the
    studies' storage was out of reach in the end.
    """
    owner = WorkerIdentity.me()
    begun: set[str] = set()

    def bring(name: str) -> None:
        follower = _follower(storage, name, owner)
        try:
            if request.follow:
                finished = follower.run(stop, request.studies, drain_s=DRAIN_S)
            else:
                finished = follower.finish(
                    request.studies, request.limit_s, thorough=request.is_thorough
                )
        except Exception as error:
            logger.exception("%s", name)
            finished = Finished(0, ("all of it",), type(error).__name__)
        answer(name, finished)

    with ThreadPoolExecutor(_MOST_TRACKERS) as pool:
        while True:
            try:
                names, code = _trackers(storage, request), 0
            except RetryLaterError as error:
                logger.warning("%s", error)
                names, code = set(), 1
            for name in sorted(names - begun):
                problem = tracker_problem(name)
                # It holds until there is another, whatever ends this process.
                answer(name, Finished(0, ("all of it",), problem or LATE))
                begun.add(name)
                if problem is None:
                    pool.submit(bring, name)
            if not request.follow or stop.wait(_LOOK_S):
                return code


def _follower(storage: LedgerStorage, name: str, owner: WorkerIdentity) -> Follower:
    return Follower(lambda: Mirror(storage, name, tracker_maker(name), owner), name)


def _trackers(storage: LedgerStorage, request: Request) -> set[str]:
    """The trackers that the studies ask for. Raises RetryLaterError when the database is away."""
    names = {
        tracker
        for study, place in places(storage).items()
        if request.studies is None or study.removesuffix(FINAL) in request.studies
        for tracker in (DEFAULT_TRACKERS if place.trackers is None else place.trackers)
    }
    if request.only_shared:
        return {name for name in names if _is_shared(storage, name)}
    return names


def _is_shared(storage: LedgerStorage, name: str) -> bool:
    try:
        return not tracker_maker(name)(Ids(storage)).is_local
    except Exception as error:  # a user's tracker may raise whatever it likes
        logger.warning("%s: %s", name, error)
        return False


def _stop_with_stdin(request: Request) -> threading.Event:
    """An event that is set when stdin ends or SIGTERM comes, with an end by force later."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set() and os.read(0, 4096):
            pass
        stop.set()

    def force() -> None:
        # A driver that hangs can't be asked to stop, and somebody waits for the command to end.
        if request.follow:
            stop.wait()
            time.sleep(DRAIN_S + _GRACE_S)
        else:
            stop.wait(request.limit_s + _GRACE_S)
        os._exit(1)

    # Ctrl-C reaches every process of the terminal: the command handles it, then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for run in (watch, force):
        threading.Thread(target=run, daemon=True).start()
    return stop


if __name__ == "__main__":
    raise SystemExit(main())
