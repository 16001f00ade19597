"""Sends outboxes on to MLflow: `python -m search.tracking FOLDER…`, or `--home HOME` for all of
HOME/*/outbox.

With --follow it goes on until SIGTERM or until its standard input ends, that is until the process
that started it closes the pipe or dies, however that comes about; with outboxes that appear later,
too. The last result of each outbox is in its last_sync.json: {n_sent, n_left, error}.
"""

import argparse
import logging
import os
import signal
import threading
import time
from pathlib import Path

from search.paths import home
from search.secret import redacted
from search.text import visible
from search.tracking.follow import DRAIN_S, Follower, outboxes
from search.tracking.mlflow.send import sync, write_result
from search.tracking.outbox import is_outbox
from search.tracking.uri import default_uri

_GRACE_S = 5.0


class _Formatter(logging.Formatter):
    """Leaves passwords out, whoever logs them: drivers quote addresses."""

    def __init__(self, uri: str) -> None:
        super().__init__("%(message)s")
        self._uri = uri

    def format(self, record: logging.LogRecord) -> str:
        return visible(redacted(super().format(record), self._uri))


def main() -> int:
    """Run the command line; always 0, since the result is in the file."""
    args = _parser().parse_args()
    uri = args.uri or default_uri(home())
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(uri))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    os.nice(5)
    if not (args.home or args.follow):
        for folder in args.folders:
            # Asked for by name: a store that was emptied since is noticed, too.
            write_result(folder, sync(folder, uri=uri, artifact_root=args.artifact_root))
        return 0
    find = (
        (lambda: outboxes(args.home))
        if args.home
        else (lambda: list(filter(is_outbox, args.folders)))
    )
    follower = Follower(find, uri=uri, artifact_root=args.artifact_root)
    if args.follow:
        follower.run(_stop_with_stdin(follower).is_set)
    else:
        follower.send_rest(None)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m search.tracking", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("folders", type=Path, nargs="*", default=[], help="outboxes of studies")
    which.add_argument("--home", type=Path, help="the folder of all studies")
    parser.add_argument(
        "--uri", help="the MLflow store [MLFLOW_TRACKING_URI, or a file in GRIDLESS_HOME]"
    )
    parser.add_argument("--artifact-root", type=Path)
    parser.add_argument("--follow", action="store_true")
    return parser


def _stop_with_stdin(follower: Follower) -> threading.Event:
    """Return an event that is set when standard input ends or SIGTERM comes, with an end by force
    later.
    """
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set() and os.read(0, 4096):
            pass
        stop.set()

    def force() -> None:
        stop.wait()
        # A driver that hangs can't be asked to stop, and the user is waiting for the command to
        # end.
        time.sleep(DRAIN_S + _GRACE_S)
        follower.abandon()
        os._exit(0)

    # Ctrl-C reaches every process of the terminal: the study's own handles it and then closes the
    # pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for run in (watch, force):
        threading.Thread(target=run, daemon=True).start()
    return stop


if __name__ == "__main__":
    raise SystemExit(main())
