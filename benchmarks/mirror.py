"""How long a mirror takes over a large study: `python benchmarks/mirror.py [--n-trials 10000]`.

Puts a study of finished trials of ten epochs into an SQLite file, brings it to an MLflow store in
another, and measures each step in a process of its own: bringing all of it, a new mirror that finds
nothing new, that mirror's next turn, and the study's end with the rank of every trial. Prints
seconds and the process's largest memory.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

from scale import fill

from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState, put_place
from search.tracking.mirror import Mirror
from search.tracking.mlflow.tracker import MlflowTracker

NAME = "large"


def measure(what: str, step: Callable[[], object]) -> None:
    """Print what `step` took, as a line of JSON."""
    began = time.monotonic()
    n = step()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"step": what, "n": n, "seconds": round(time.monotonic() - began, 2)}
    print(json.dumps(row | {"largest_mb": round(memory)}), flush=True)


def bring(url: str, step: str) -> None:
    """Take two turns with a new mirror, or bring the study's end."""
    storage = LedgerStorage(url)
    if step == "end":
        ledger = Ledger(storage, NAME)
        with storage.session() as session:
            storage.lock_study(session, ledger.study_id)
            place = replace(ledger.place_in(session), state=QueueState.DONE)
            put_place(storage, session, ledger.study_id, place)
    mirror = Mirror(storage, "mlflow", MlflowTracker, WorkerIdentity.me())
    measure(step, lambda: mirror.turn().n_sent)
    measure(f"{step}, next turn", lambda: mirror.turn().n_sent)
    mirror.release()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-trials", type=int, default=10_000)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        bring(*args.step)
        return
    print(f"{os.cpu_count()} cores, {platform.processor()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="gridless-mirror-") as folder:
        url = f"sqlite:///{folder}/studies.db"
        fill(LedgerStorage(url), NAME, "random", args.n_trials)
        os.environ["GRIDLESS_HOME"] = folder
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        for step in ("all of it", "nothing new", "end"):
            program = [sys.executable, __file__, "--step", url, step]
            subprocess.run(program, check=True)


if __name__ == "__main__":
    main()
