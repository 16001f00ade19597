"""From what a person typed to an experiment: every input checked, all problems told at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from search.errors import InputError
from search.lab.flags import FlagReader
from search.lab.simulation.experiment import Experiment
from search.lab.simulation.lcbench import LCBench
from search.lab.simulation.replay import replay_of
from search.lab.simulation.surrogate import Surrogate
from search.paths import storage_url
from search.strategies import STRATEGIES
from search.study.storage.read import open_library, read_study

_BOUNDS = {"seeds": (1, 10_000), "workers": (1, 256), "samples": (0, 10_000_000), "jobs": (1, 1024)}


@dataclass(frozen=True)
class Request:
    """What was asked for; numbers and lists as text."""

    surrogate: Path | None
    replay: str | None
    tasks: str
    strategies: str
    out: Path
    budget: str
    lose: str
    counts: Mapping[str, str]
    """seeds, workers, samples and jobs."""


def check(request: Request) -> tuple[Experiment, int]:
    """The experiment, and in how many processes to run it. Raises InputError with every problem."""
    flags = FlagReader()
    counts = flags.counts(request.counts, _BOUNDS)
    budget = flags.number(
        "--budget",
        request.budget,
        lambda number: number > 0,
        "a number of full trainings above 0; give 30, say",
    )
    lose = flags.number(
        "--lose",
        request.lose,
        lambda chance: 0 <= chance < 1,
        "a chance from 0 to below 1; give 0.1, say",
    )
    strategies = flags.names("--strategies", request.strategies, STRATEGIES)
    surrogate = flags.attempt(partial(_surrogate, request))
    tasks: tuple[str, ...] = ()
    if surrogate is not None:
        tasks = flags.names("--tasks", request.tasks, surrogate.tasks)
    flags.runs_file(request.out)
    if flags.problems or surrogate is None:
        raise InputError(flags.problems)
    experiment = Experiment(
        surrogate,
        strategies,
        tasks,
        counts["seeds"],
        counts["workers"],
        budget,
        lose,
        counts["samples"],
    )
    return experiment, counts["jobs"]


def _surrogate(request: Request) -> Surrogate:
    if (request.surrogate is None) == (request.replay is None):
        raise InputError("give either --surrogate DIR or --replay STUDY")
    if request.surrogate is not None:
        return LCBench(request.surrogate)
    return replay_of(read_study(open_library(storage_url()), request.replay or ""))
