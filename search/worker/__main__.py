"""The worker process: `python -m search.worker`, which reads its order from stdin: one line of JSON.

It loads its framework while it waits for the order. Ends with 0 when the study is over or a stop was asked for
(SIGTERM, SIGINT, or stdin closing), else with 1.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import optuna

from search.datasets.split import Prepared
from search.errors import GridlessError
from search.places import home
from search.study.ledger import Ledger, Owner
from search.study.storage import LedgerStorage
from search.tracking.outbox import Outbox
from search.tracking.tracker import NullTracker
from search.worker.loop import Place, Worker
from search.worker.sandbox import Sandbox

logger = logging.getLogger("search.worker")


def main() -> int:
    """Serve the study of the order."""
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
        return 0
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        return _serve(json.loads(line), f"worker-{args.index}", args.device, sandbox, stop)
    except GridlessError as error:
        logger.error("%s", error)
        return 1


def _serve(order: dict[str, Any], name: str, device: str, sandbox: Sandbox, stop: threading.Event) -> int:
    folder = home() / order["study"]
    tracker = Outbox(folder / "outbox", writer=name) if order["mlflow"] else NullTracker()
    ledger = Ledger(LedgerStorage(order["storage"]), order["study"])
    data = Prepared.read(Path(order["data"]))
    Worker(ledger, data, tracker, Place(folder, device), Owner.me(name), sandbox, stop).serve()
    return 0


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
