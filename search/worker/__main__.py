"""The worker process: `python -m search.worker STUDY --data FOLDER`.

Ends with 0 when the study is over or a stop was asked for (SIGTERM, SIGINT, or stdin closing), else with 1.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import optuna

from search.datasets.split import Prepared
from search.errors import GridlessError
from search.places import home, storage_url
from search.study.ledger import Ledger, Owner
from search.study.storage import LedgerStorage
from search.tracking.outbox import Outbox
from search.tracking.tracker import NullTracker
from search.worker.loop import Place, Worker

logger = logging.getLogger("search.worker")


def main() -> int:
    """Serve the study named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m search.worker")
    parser.add_argument("study")
    parser.add_argument("--data", type=Path, required=True, help="folder of the prepared split")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--device", default="CPU", help="the device's name, for people")
    parser.add_argument("--no-mlflow", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not sys.stdin.isatty():
        threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    folder = home() / args.study
    tracker = NullTracker() if args.no_mlflow else Outbox(folder / "outbox", writer=f"worker-{args.index}")
    try:
        ledger = Ledger(LedgerStorage(storage_url()), args.study)
        place = Place(folder, args.device)
        owner = Owner.me(f"worker-{args.index}")
        Worker(ledger, Prepared.read(args.data), tracker, place, owner, stop).serve()
    except GridlessError as error:
        logger.error("%s", error)
        return 1
    return 0


def _stop_with_parent(stop: threading.Event) -> None:
    # Not sys.stdin: its lock, held by this thread for ever, would break the interpreter's shutdown.
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
