"""From what a person typed to an experiment: every input checked, all problems told at once."""

import math
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.errors import InputError
from search.lab.flags import known_names, whole
from search.lab.simulation.experiment import Experiment
from search.lab.simulation.lcbench import LCBench
from search.lab.simulation.replay import replay_of
from search.lab.simulation.surrogate import Surrogate
from search.paths import storage_url
from search.strategies import STRATEGIES
from search.study.storage.by_name import open_library
from search.study.storage.read import read_study

_WHOLE = {"seeds": (1, 10_000), "workers": (1, 256), "samples": (0, 10_000_000), "jobs": (1, 1024)}


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


def check(asked: Request) -> tuple[Experiment, int]:
    """The experiment, and in how many processes it is to run. Raises InputError with every
    problem.
    """
    problems: list[str] = []
    counts = {
        name: whole(f"--{name}", text, _WHOLE[name], problems)
        for name, text in asked.counts.items()
    }
    budget = _real(asked.budget)
    if budget is None or budget <= 0:
        problems.append(
            f"--budget: {asked.budget!r} is not a number of full trainings above 0; give 30, say"
        )
    lose = _real(asked.lose)
    if lose is None or not 0 <= lose < 1:
        problems.append(f"--lose: {asked.lose!r} is not a chance from 0 to below 1; give 0.1, say")
    strategies = known_names("--strategies", asked.strategies, STRATEGIES, problems)
    surrogate = _surrogate(asked, problems)
    tasks = known_names("--tasks", asked.tasks, surrogate.tasks, problems) if surrogate else ()
    if problem := out_problem(asked.out):
        problems.append(problem)
    if problems or surrogate is None:
        raise InputError(problems)
    experiment = Experiment(
        surrogate,
        strategies,
        tasks,
        counts["seeds"],
        counts["workers"],
        budget or 0.0,
        lose or 0.0,
        counts["samples"],
    )
    return experiment, counts["jobs"]


def out_problem(path: Path) -> str | None:
    """Why runs can't be written to `path`, or None."""
    if path.suffix != ".csv":
        return f"--out: {path} does not end in .csv; give FILE.csv"
    if path.is_dir():
        return f"--out: {path} is a folder; give a file"
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.absolute().parent) as file:
            file.write(b"\0")
    except OSError as error:
        return f"--out: {path} can't be written ({error.strerror or error}); give another place"
    return None


def _surrogate(asked: Request, problems: list[str]) -> Surrogate | None:
    if (asked.surrogate is None) == (asked.replay is None):
        problems.append("give either --surrogate DIR or --replay STUDY")
        return None
    try:
        if asked.surrogate is not None:
            return LCBench(asked.surrogate)
        return replay_of(read_study(open_library(storage_url()), asked.replay or ""))
    except InputError as error:
        problems += error.problems
        return None


def _real(text: str) -> float | None:
    with suppress(ValueError):
        if math.isfinite(value := float(text)):
            return value
    return None
