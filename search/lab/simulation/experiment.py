"""Many runs: every strategy on every task with every seed, in several processes."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import optuna

from search.errors import StudyError
from search.lab.experiment import run_at_once, run_in_turn
from search.lab.runs_file import Row, row_of
from search.lab.simulation.run import Run, Setup, make_template, simulate
from search.lab.simulation.surrogate import Surrogate

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_FAST = Path("/dev/shm")  # noqa: S108  # a folder in memory; what is put there has names of its own


@dataclass(frozen=True)
class Experiment:
    """What is to be compared."""

    surrogate: Surrogate
    strategies: tuple[str, ...]
    tasks: tuple[str, ...]
    n_seeds: int
    n_workers: int
    budget: float
    """Full trainings that each run may spend."""
    lose: float = 0.0
    n_samples: int = 0
    """Settings to look at, on each task, for the best value known."""

    @property
    def setups(self) -> list[Setup]:
        """All runs, a seed at a time: cut short, all strategies have had about as many."""
        return [
            Setup(strategy, task, seed, self.n_workers, self.budget, self.lose)
            for seed, task, strategy in product(range(self.n_seeds), self.tasks, self.strategies)
        ]


@dataclass(frozen=True)
class Results:
    """What came of an experiment."""

    runs: tuple[Run, ...]
    """In the order of `Experiment.setups`, however they ended."""
    best: Mapping[str, float]
    """The best validation accuracy known of each task, by sampling or by a run."""
    is_whole: bool
    """Whether nothing was cut short."""

    @property
    def rows(self) -> list[Row]:
        """The rows of the runs' file, one per improvement."""
        rows = []
        for run in self.runs:
            setup = run.setup
            key = (setup.strategy, setup.task, setup.seed)
            rows += [row_of(key, setup.n_workers, *improvement) for improvement in run.improvements]
        return rows


def run_experiment(experiment: Experiment, *, jobs: int, done: Callable[[], None]) -> Results:
    """Run everything, in this process for `jobs` = 1; `done` is called after each task's sampling
    and each run.

    An interrupt (Ctrl-C) is not raised: what is running is run out, and the results are not whole.
    Raises StudyError for a run that failed.
    """
    runs: dict[Setup, Run] = {}
    best: dict[str, float] = {}

    def keep(item: _Item) -> None:
        if isinstance(item, Run):
            runs[item.setup] = item
        elif item[1] is not None:
            best[item[0]] = item[1]
        done()

    fast = _FAST if _FAST.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="gridless-", dir=fast) as folder:
        is_whole = _run_all(experiment, make_template(Path(folder)), jobs, keep)
    for run in runs.values():
        best[run.setup.task] = max(
            [best.get(run.setup.task, 0.0), *(value for _, value in run.improvements)]
        )
    return Results(tuple(runs[s] for s in experiment.setups if s in runs), best, is_whole)


_Item = Run | tuple[str, float | None]


def _run_all(
    experiment: Experiment, template: Path, jobs: int, keep: Callable[[_Item], None]
) -> bool:
    calls: list[Callable[[], _Item]] = [
        partial(_sample, task, experiment.n_samples) for task in experiment.tasks
    ]
    calls += [partial(_run, setup) for setup in experiment.setups]
    if jobs == 1:
        _prepare(experiment.surrogate, template)
        return run_in_turn(calls, keep)
    context = multiprocessing.get_context("spawn")
    arguments = (experiment.surrogate, template, True)
    try:
        with _single_threaded(), ProcessPoolExecutor(jobs, context, _prepare, arguments) as pool:
            return run_at_once(pool, calls, keep)
    except BrokenProcessPool as error:
        raise StudyError(
            f"a process of the simulation died ({error}); give fewer --jobs"
        ) from error


_SETUP: dict[str, tuple[Surrogate, Path]] = {}
"""What this process simulates with."""


def _prepare(surrogate: Surrogate, template: Path, is_child: bool = False) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _SETUP["process"] = surrogate, template
    if is_child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end


def _run(setup: Setup) -> _Item:
    try:
        return simulate(setup, *_SETUP["process"])
    except Exception as error:
        rule = (
            f"{setup.strategy} on {setup.task} with seed {setup.seed} failed:"
            f" {type(error).__name__}: {error}"
        )
        raise StudyError(rule) from error


def _sample(task: str, n_samples: int) -> _Item:
    return task, _SETUP["process"][0].best(task, n_samples)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started inside have one thread each for linear algebra: all cores are busy."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
