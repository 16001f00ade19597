"""The worker process: `python -m search.worker`, which reads its order from stdin: one line of JSON.

It loads its framework while it waits for the order. Exit codes: 0 its studies are over; STOPPED a stop was asked for
(SIGTERM, SIGINT, or stdin closing); HOPELESS nothing can be trained here, and the last line of the log says why.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from search.datasets.split import Prepared
from search.errors import GridlessError, InputError
from search.places import home
from search.study.ledger import Ledger, Owner
from search.study.storage import LedgerStorage
from search.tracking.outbox import Outbox
from search.tracking.tracker import NullTracker
from search.worker.local import HOPELESS, STOPPED
from search.worker.loop import GIVE_UP_S, Place, Worker, serve
from search.worker.sandbox import Sandbox

logger = logging.getLogger("search.worker")


def main() -> int:
    """Serve the studies of the order."""
    parser = argparse.ArgumentParser(prog="python -m search.worker")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--device", default="CPU", help="the device's name, for people")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox()
    sandbox.warm_up()
    line = _read_line()
    if not line or stop.is_set():
        return STOPPED
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        return _serve(json.loads(line), f"worker-{args.index}", args.device, sandbox, stop)
    except GridlessError as error:
        logger.error("%s", " ".join(str(error).split()))
        return STOPPED if stop.is_set() else HOPELESS


def _serve(order: dict[str, Any], name: str, device: str, sandbox: Sandbox, stop: threading.Event) -> int:
    storage = _open_patiently(order["storage"], stop)
    workers = []
    for study in order["studies"]:
        folder = home() / study["name"]
        tracker = Outbox(folder / "outbox", writer=name) if order["mlflow"] else NullTracker()
        test = study["test_data"]
        data = replace(Prepared.read(Path(study["data"])), test_folder=Path(test) if test else None)
        ledger = Ledger(storage, study["name"])
        workers.append(Worker(ledger, data, tracker, Place(folder, device), Owner.me(name), sandbox, stop))
    serve(workers, stop)
    return STOPPED if stop.is_set() else 0


def _open_patiently(url: str, stop: threading.Event) -> LedgerStorage:
    """The storage, waited for: it answered the command that started this worker, so it will again."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        try:
            return LedgerStorage(url)
        except InputError as error:
            if time.monotonic() > deadline or stop.wait(2.0):
                raise
            logger.warning("%s", error)


def _read_line() -> bytes:
    """A line of stdin, b"" at its end. Not by sys.stdin, whose lock a thread would hold at interpreter shutdown."""
    found = b""
    while not found.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        found += byte
    return found


def _stop_with_parent(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
