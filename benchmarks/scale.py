"""How many trials per second the storage carries, on PostgreSQL: trials that train nothing and
report 10 epochs.

Every worker is a process with the real ledger, strategy and courier; only the trial's own process
is replaced by one that reports at once. Beside it, in the same run, plain Optuna: `study.optimize`
with its own RDBStorage, the same parameters, 10 reports per trial. Each figure is one span of 10 s
after all workers stood ready. Under halving a claim is a segment: a trial is paused after 3 epochs
and may be claimed again; half of those that were there are paused.

    .venv/bin/python benchmarks/scale.py [--workers 8] [--finished 0 1000]
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.trial import TrialState
from scale_worker import KINDS, N_REPORTS, RUNG, epoch_done, spec_of

from search.records import Epoch
from search.strategies import make_strategy
from search.strategies.optuna_trials import distributions
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage

SPAN_S = 10.0
PLAIN_WORKERS = 8
BATCH = 500


def measure(url: str, name: str, kind: str, n_workers: int) -> float:
    """Claims per second of `n_workers` processes together."""
    command = [sys.executable, str(Path(__file__).with_name("scale_worker.py")), kind, url, name]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(n_workers)
    ]
    for process in processes:
        process.stdout.readline()
    until = time.time() + 1.0 + SPAN_S
    for process in processes:
        process.stdin.write(f"{until - SPAN_S} {until}\n")
        process.stdin.flush()
    counts = [int(process.communicate()[0]) for process in processes]
    return sum(counts) / SPAN_S


def fill(storage: LedgerStorage, name: str, kind: str, n: int) -> None:
    """Make study `name` with `n` finished trials, half of them paused under halving.

    Those for plain Optuna lack what only our own trials hold.
    """
    spec = spec_of(name, kind)
    if kind.startswith("plain"):
        storage.create_study(name, {})
    else:
        Ledger.open(storage, spec, {})
    study_id = storage.get_study_id_from_name(name)
    kinds = distributions(spec.search_space)
    strategy = make_strategy("random", spec.search_space, seed=1, max_epochs=spec.epochs)
    epochs = [Epoch.of(epoch_done(step).metrics) for step in range(1, N_REPORTS + 1)]
    facts = {"total_epochs": N_REPORTS, "seed": 1, "n_segments": 1}
    params = [strategy.ask([], number) for number in range(BATCH)]
    for start in range(0, n, BATCH):
        with storage.session() as session:
            for number in range(start, min(start + BATCH, n)):
                is_paused = kind == "halving" and number % 2 == 1
                curve = epochs[:RUNG] if is_paused else epochs
                attributes = (
                    {f"epoch:{e.step}": e.report for e in curve} | facts | {"paused": is_paused}
                )
                trial = storage.new_trial(session, study_id, number)
                trial.datetime_start = datetime.now() - timedelta(seconds=60)
                storage.put_params(session, trial.trial_id, params[number % BATCH], kinds)
                storage.put_steps(
                    session, trial.trial_id, {e.step: e.val_accuracy or 0.0 for e in curve}
                )
                user = {} if kind.startswith("plain") else attributes
                storage.put(session, trial.trial_id, user=user)
                if is_paused:
                    storage.release(session, trial)
                else:
                    storage.put_end(session, trial, TrialState.COMPLETE, (number % 97) / 100)


@contextmanager
def database() -> Iterator[str]:
    """The URL of a PostgreSQL of our own."""
    import pgserver

    folder = Path(tempfile.mkdtemp(prefix="gridless-scale-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", cleanup_mode="delete")
    yield (
        sa.make_url(server.get_uri())
        .set(drivername="postgresql+psycopg")
        .render_as_string(hide_password=False)
    )
    server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 8, 32], help="for ours; plain Optuna has 8"
    )
    parser.add_argument(
        "--finished", type=int, nargs="+", default=[0, 100, 1000, 10_000], help="trials before"
    )
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, Optuna {optuna.__version__}"
    )
    print("| what | finished before | workers | claims/s |\n|---|---|---|---|")
    with database() as url:
        storage = LedgerStorage(url)
        for n in args.finished:
            for kind, title in KINDS.items():
                name = f"{kind}-{n}"
                fill(storage, name, kind, n)
                for w in (PLAIN_WORKERS,) if kind.startswith("plain") else args.workers:
                    rate = measure(url, name, kind, w)
                    print(f"| {title} | {n:,} | {w} | {rate:.1f} |", flush=True)


if __name__ == "__main__":
    main()
