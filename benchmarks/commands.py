"""How long commands take: `python benchmarks/commands.py [--runs 5]`, medians in seconds."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

GRIDLESS = str(Path(sys.executable).parent / "gridless")


def timed(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([GRIDLESS, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def fill(n_trials: int, n_epochs: int) -> None:
    """A study with `n_trials` trials of `n_epochs` epochs, stored as workers store them."""
    from search.records import Epoch
    from search.space.load import find_space, load_space
    from search.strategies import make_strategy
    from search.study.spec import StudySpec
    from search.study.storage.ledger import Ledger, WorkerIdentity
    from search.study.storage.optuna_storage import LedgerStorage

    space = load_space(find_space("convNN"))
    spec = StudySpec(
        name="big",
        model="convNN",
        data="fashion",
        data_source="fashion",
        n_trials=n_trials,
        epochs=n_epochs,
        seed=0,
        strategy="random",
        workers=1,
        threads=1,
        timeout_s=None,
        budget=None,
        trial_timeout_s=None,
        validation_fraction=0.2,
        data_digest="d",
        space_digest=space.digest,
        first=(space.document,),
        space=space.as_dict(),
    )
    ledger = Ledger.open(
        LedgerStorage(f"sqlite:///{os.environ['GRIDLESS_HOME']}/studies.db"), spec, {}
    )
    strategy, owner = (
        make_strategy("random", space, seed=0, max_epochs=n_epochs),
        WorkerIdentity.me("bench"),
    )
    while claim := ledger.take_new(owner):
        ledger.start(claim, strategy.ask([], claim.number), seed=1)
        for step in range(1, n_epochs + 1):
            value = 0.9 - 1 / (step + 1 + claim.number % 7)
            ledger.report(
                claim,
                Epoch(
                    step,
                    {"loss": 1.0, "accuracy": value, "val_accuracy": value, "lr": 0.1},
                    1.0,
                    1_700_000_000.0 + step,
                ),
            )
        ledger.complete(claim, value)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as home:
        os.environ["GRIDLESS_HOME"] = home
        fill(200, 10)
        for arguments in (["--help"], ["study", "--help"], ["report", "big"]):
            times = [timed(*arguments) for _ in range(runs)]
            print(
                f"gridless {' '.join(arguments):<13} {statistics.median(times):.2f} s (median of"
                f" {runs})",
                flush=True,
            )


if __name__ == "__main__":
    main()
