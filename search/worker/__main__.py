"""The worker process: `python -m search.worker`, which reads its order from stdin: one line of
JSON.

It loads its framework while it waits for the order. Exit codes: 0 nothing is left to do; STOPPED a
stop was asked for (SIGTERM, SIGINT, or stdin closing); HOPELESS nothing can be trained here, and
the last line of the log says why.
"""

import argparse
import logging
import math
import os
import signal
import sys
import threading
import time

import optuna

from search.errors import GridlessError, InputError
from search.retry_limits import database_wait_s, limit_problems
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.worker.engines.work_order import HOPELESS, STOPPED, WorkOrder
from search.worker.outages import Outages
from search.worker.service import Service
from search.worker.trial.sandbox import Sandbox

logger = logging.getLogger("search.worker")


def main() -> int:
    """Carry out the order."""
    parser = argparse.ArgumentParser(prog="python -m search.worker")
    parser.add_argument(
        "--index", type=int, default=0, help="its number among its command's workers"
    )
    parser.add_argument("--device", default="CPU", help="the device's name, for people")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox()
    warm = sandbox.warm_up()
    line = _read_line()
    if not line or stop.is_set():
        return STOPPED
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    # A trial that were claimed now would wait for the framework, and be deaf to a stop.
    while not warm.wait(0.2):
        if stop.is_set():
            return STOPPED
    order = WorkOrder.from_line(line)
    # A service outlives any outage; a command's user wants to be told in the end.
    try:
        if problems := limit_problems():
            raise InputError(problems)
        give_up_s = database_wait_s() if order.until_idle else math.inf
        storage = _open_patiently(order.storage, stop, give_up_s)
        outages, owner = Outages(stop, give_up_s=give_up_s), WorkerIdentity.me()
        Service(storage, order, owner, args.device, sandbox, outages).run()
    except GridlessError as error:
        logger.error("%s", " ".join(str(error).split()))
        return STOPPED if stop.is_set() else HOPELESS
    return STOPPED if stop.is_set() else 0


def _open_patiently(url: str, stop: threading.Event, give_up_s: float) -> LedgerStorage:
    """The storage, waited for: it answered this worker's command a moment ago."""
    deadline = time.monotonic() + give_up_s
    while True:
        try:
            return LedgerStorage(url)
        except InputError as error:
            if time.monotonic() > deadline or stop.wait(2.0):
                raise
            logger.warning("%s", error)


def _read_line() -> bytes:
    """A line of stdin, b"" at its end; without sys.stdin, whose lock a thread would hold."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _stop_with_parent(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
