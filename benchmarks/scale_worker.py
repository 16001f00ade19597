"""One worker of benchmarks/scale.py: is told its span, prints how many trials it ran."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage

from search.datasets.split import Prepared
from search.records import Ending
from search.space.load import find_space, load_space
from search.strategies import Decision, rungs
from search.strategies.optuna_trials import distributions
from search.study.spec import StudySpec
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.training.job import Job
from search.worker.outages import Outages
from search.worker.study_worker import StudyWorker
from search.worker.trial.messages import Ended, EpochDone, Message

N_REPORTS = 10
[RUNG] = rungs(N_REPORTS)
"""Where a trial under halving is paused."""
KINDS = {
    "random": "Gridless, random",
    "plain-random": "Optuna, random",
    "tpe": "Gridless, TPE",
    "plain-tpe": "Optuna, TPE",
    "halving": "Gridless, halving with TPE",
}


class Instantly:
    """A sandbox whose trials report 10 epochs and end, with no process and no training."""

    first = 1
    """The epoch that the next trial begins with."""

    def start(self, job: Job, _log: Path) -> "Instantly":
        """Begin a trial, or go on with one."""
        steps = range(self.first, job.total_epochs + 1)
        self._messages: Iterator[Message] = iter(
            [*(epoch_done(step, job.number) for step in steps), Ended(Ending.DONE)]
        )
        return self

    def receive(self, _wait_s: float) -> Message:
        """The next message."""
        return next(self._messages)

    def answer(self, decision: str) -> None:
        """Go on, or pause."""
        if decision == Decision.PAUSE:
            self._messages = iter([Ended(Ending.PAUSE)])

    def close(self) -> None:
        """Nothing to end."""


def epoch_done(step: int, number: int = 0) -> EpochDone:
    value = (step + number % 89) / 100
    metrics = {
        "step": step,
        "loss": 1 / step,
        "accuracy": value,
        "val_loss": 1 / step,
        "val_accuracy": value,
    }
    return EpochDone(metrics | {"lr": 0.1, "seconds": 0.0, "at": time.time()})


def spec_of(name: str, kind: str) -> StudySpec:
    space = load_space(find_space("mlp", None)).fix({"epochs": N_REPORTS})
    return StudySpec(
        name=name,
        model="mlp",
        data="digits",
        data_source="digits",
        n_trials=1_000_000,
        epochs=N_REPORTS,
        seed=0,
        strategy=kind.removeprefix("plain-"),
        workers=1,
        threads=1,
        timeout_s=None,
        budget=None,
        trial_timeout_s=None,
        validation_fraction=0.2,
        data_digest="d",
        space_digest=space.digest,
        first=(),
        space=space.as_dict(),
    )


def ours(url: str, name: str) -> Callable[[], object]:
    """Runs one trial by our own worker."""
    data = Prepared(Path(), None, "digits", "d", (8, 8, 1), 10, (), 1, 1, 1)
    ledger, outages = Ledger(LedgerStorage(url), name), Outages(threading.Event())
    sandbox = Instantly()
    worker = StudyWorker(ledger, data, "none", WorkerIdentity.me(), sandbox, outages)
    ledger.trials()

    def claim_once() -> None:
        if claim := worker.claim():
            sandbox.first = RUNG + 1 if claim.promoted else 1
            worker.run(claim)

    return claim_once


def plain(url: str, name: str, kind: str) -> Callable[[], object]:
    """Runs one trial by Optuna alone."""
    sampler = (
        optuna.samplers.RandomSampler() if kind == "plain-random" else optuna.samplers.TPESampler()
    )
    study = optuna.load_study(study_name=name, storage=RDBStorage(url), sampler=sampler)
    kinds = distributions(spec_of(name, kind).search_space)

    def objective(trial: optuna.Trial) -> float:
        for key, distribution in kinds.items():
            trial._suggest(key, distribution)
        for step in range(1, N_REPORTS + 1):
            trial.report(step / 100, step)
        return N_REPORTS / 100

    study.get_trials(deepcopy=False)
    return lambda: study.optimize(objective, n_trials=1)


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind, url, name = sys.argv[1:]
    claim_once = plain(url, name, kind) if kind.startswith("plain") else ours(url, name)
    claim_once()  # what is computed once per process, however long it then serves
    print("ready", flush=True)
    begin, until = map(float, sys.stdin.readline().split())
    time.sleep(max(0.0, begin - time.time()))
    n = 0
    while True:
        claim_once()
        if time.time() > until:
            break
        n += 1
    print(n)


if __name__ == "__main__":
    main()
