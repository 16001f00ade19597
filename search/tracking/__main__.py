"""Sends an outbox on to MLflow while a study runs: `python -m search.tracking FOLDER --uri URI`.

With --follow it goes on until its standard input ends, that is until the process that started it closes the
pipe or dies, however that comes about. Its last result is in FOLDER/last_sync.json: {n_sent, n_left, error}.
"""

import argparse
import dataclasses
import json
import logging
import os
import signal
import threading
import time
from pathlib import Path

from search.files import write_text
from search.tracking.mirror import DRAIN_S, SyncResult, follow, sync

_GRACE_S = 5.0


def main() -> int:
    """Run the command line; always 0, since the result is in the file."""
    parser = argparse.ArgumentParser(prog="python -m search.tracking", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--artifact-root", type=Path)
    parser.add_argument("--follow", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.nice(10)
    if args.follow:
        stop = _stop_with_stdin(args.folder)
        result = follow(args.folder, uri=args.uri, artifact_root=args.artifact_root, stop=stop.is_set)
    else:
        result = sync(args.folder, uri=args.uri, artifact_root=args.artifact_root)
    _report(args.folder, result)
    return 0


def _stop_with_stdin(folder: Path) -> threading.Event:
    """Return an event that is set when standard input ends or SIGTERM comes, with an end by force later."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set() and os.read(0, 4096):
            pass
        stop.set()
        # A driver that hangs can't be asked to stop, and the user is waiting for the command to end.
        time.sleep(DRAIN_S + _GRACE_S)
        _report(folder, SyncResult(0, -1, "MLflow did not answer in time"))
        os._exit(0)

    # Ctrl-C reaches every process of the terminal: the study's own handles it and then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=watch, daemon=True).start()
    return stop


def _report(folder: Path, result: SyncResult) -> None:
    try:
        write_text(folder / "last_sync.json", json.dumps(dataclasses.asdict(result)) + "\n")
    except OSError as error:
        logging.getLogger(__name__).warning("the result can't be written: %s", error)


if __name__ == "__main__":
    raise SystemExit(main())
