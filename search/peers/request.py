"""From what a person typed to searches: every input checked, all problems told at once."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from search import registry
from search.datasets import data_name, load
from search.datasets.image_data import ARRAYS, ImageData
from search.datasets.split import Prepared, prepare
from search.datasets.stratify import stratified
from search.errors import InputError
from search.files import whole_file
from search.peers.experiment import Setup, in_turns
from search.peers.runs_file import Runs
from search.peers.systems import SYSTEMS, missing
from search.peers.task import Task, unfit
from search.places import cache, check_home
from search.report.words import count
from search.space.load import find_space, load_space
from search.space.types import Space
from search.study.environment import backend, code_digest, code_version, cpu_name
from search.study.spec import Settings
from search.worker.spaces import typed_pairs

ALL = "all"
MOST_TRAININGS = 10_000
T = TypeVar("T")
_WHOLE = {
    "images": (100, 10_000_000), "epochs": (1, 10_000), "seeds": (1, 1000), "threads": (1, 1024), "jobs": (1, 256),
}  # fmt: skip
_PACKAGES = ("tensorflow", "keras", "optuna", "keras-tuner", "scikit-learn", "scikeras", "ray")
_SPLIT = float(Settings.model_fields["validation_fraction"].default)


@dataclass(frozen=True)
class Request:
    """What was asked for; numbers and lists as text."""

    models: str
    data: str
    systems: str
    fixes: Sequence[str]
    budget: str
    counts: Mapping[str, str]
    """images, epochs, seeds, threads and jobs."""
    out: Path


@dataclass(frozen=True)
class Checked:
    """Searches to run, those that the file has already left out, and how."""

    setups: tuple[Setup, ...]
    runs: Runs
    jobs: int


def check(asked: Request) -> Checked:
    """The searches. Raises InputError with every problem; images are written to the cache, nothing else."""
    problems: list[str] = []
    counts = {name: _whole(name, text, problems) for name, text in asked.counts.items()}
    budget = _budget(asked.budget, problems)
    systems = _systems(asked.systems, problems)
    models = list(dict.fromkeys(m.strip() for m in asked.models.split(",") if m.strip()))
    if not models:
        problems.append(f"--models: no names in {asked.models!r}; give mlp,convNN, say")
    pins = [pin.strip() for text in asked.fixes for pin in text.split(",")]
    found = {m: s for m in models if (s := _attempt(problems, lambda m=m: load_space(find_space(m))))}  # type: ignore[misc]
    problems += _pin_problems(pins, found)
    spaces = {m: s for m, f in found.items() if (s := _attempt(problems, lambda f=f: _pinned(f, pins)))}  # type: ignore[misc]
    if problem := check_home():
        problems.append(problem)
    data = _attempt(problems, lambda: load(asked.data))
    if problem := _out_problem(asked.out):
        problems.append(problem)
    if problems or data is None:
        raise InputError(problems)
    images = _some_of(data, counts["images"])
    tasks = [
        _task(f"{model}-{data_name(asked.data)}", space, images, counts, budget, seed)
        for seed in range(counts["seeds"])
        for model, space in spaces.items()
    ]
    split = Prepared.read(Path(tasks[0].prepared))
    facts = {
        "budget": budget, "epochs": counts["epochs"], "data": split.digest[:12], "n_train": split.n_train,
        "n_validation": split.n_val, "made_on": made_on(counts["threads"], counts["jobs"]),
        "spaces": {task.name: task.search_space.digest[:12] for task in tasks},
    }  # fmt: skip
    runs = Runs.read(asked.out, facts)
    setups = tuple(s for s in in_turns(systems, tasks) if s.key not in runs.keys)
    return Checked(setups, runs, counts["jobs"])


def made_on(threads: int, jobs: int) -> str:
    """The machine and the versions, for people who read the numbers."""
    found = []
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    how = f"{jobs} at a time with {count(threads, 'thread')} each"
    ours = f"gridless {code_version()}, code {code_digest()}"
    return f"{cpu_name()}, {how}; {ours}; Python {platform.python_version()}, {backend()} backend, {', '.join(found)}"


def _attempt(problems: list[str], part: Callable[[], T]) -> T | None:
    try:
        return part()
    except InputError as error:
        problems += error.problems
        return None


def _systems(text: str, problems: list[str]) -> tuple[str, ...]:
    names = tuple(SYSTEMS) if text == ALL else tuple(dict.fromkeys(n.strip() for n in text.split(",") if n.strip()))
    if unknown := [n for n in names if n not in SYSTEMS]:
        problems += [f"--systems: {n!r} is not known; {registry.nearest(n, SYSTEMS)}" for n in unknown]
    if not names:
        problems.append(f"--systems: no names in {text!r}; known: {', '.join(SYSTEMS)}")
    needed = sorted({need for n in names if n in SYSTEMS for need in missing(n)})
    if needed:
        problems.append(f"not installed: {', '.join(needed)}; pip install 'gridless[bench]', or leave out --systems")
    return names


def _pin_problems(pins: Sequence[str], spaces: Mapping[str, Space]) -> list[str]:
    """Pins that no model has a use for."""
    known = {name for space in spaces.values() for name in space.params} - {"epochs"}
    names = [pin.partition("=")[0].strip() for pin in pins]
    return [
        f"--fix: {name} is how long to train; give --epochs"
        if name == "epochs"
        else f"--fix: {name!r} is a parameter of none of the models; {registry.nearest(name, known)}"
        for name in names
        if name not in known
    ]


def _pinned(space: Space, pins: Sequence[str]) -> Space:
    """`space` with the pins that it has, without `epochs`, which every system has its own way with.

    Raises InputError for a bad value, and for what other systems could not search.
    """
    values: dict[str, Any] = {}
    for pin in pins:
        if pin.partition("=")[0].strip() in space.params:
            values |= typed_pairs(space, [pin])
    raw = (space.fix(values) if values else space).as_dict()
    raw["params"].pop("epochs", None)
    raw["document"].pop("epochs", None)
    raw.pop("published", None)
    found = Space.from_dict(raw)
    if names := unfit(found):
        rule = f"--models: {space.model} searches {', '.join(names)}, which other systems' `fit` knows nothing of"
        raise InputError(f"{rule}; pin what can be (--fix schedule=constant), or leave the model out")
    return found


def _some_of(data: ImageData, n: int) -> Path:
    """An .npz file of `n` training images of `data`, each class in its share; all of its test images."""
    keep = np.ones(len(data.y_train), dtype=np.bool_)
    if n < len(keep):
        keep = stratified(data.y_train, n / len(keep), seed=0)
    path = cache() / f"{data.name}-{int(keep.sum())}-{data.digest[:12]}.npz"
    if not path.exists():
        arrays = {key: getattr(data, key)[keep] if key.endswith("train") else getattr(data, key) for key in ARRAYS}
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    return path


def _task(name: str, space: Space, images: Path, counts: Mapping[str, int], budget: float, seed: int) -> Task:
    # As `gridless study` splits them: every system validates on the same images.
    split = prepare(load(str(images)), seed=seed, validation_fraction=_SPLIT, cache=cache())
    return Task(
        name=name, space=space.as_dict(), images=str(images.absolute()), prepared=str(split.folder.absolute()),
        input_shape=split.input_shape, n_classes=split.n_classes, epochs=counts["epochs"], budget=budget, seed=seed,
        threads=counts["threads"],
    )  # fmt: skip


def _out_problem(path: Path) -> str | None:
    if path.suffix != ".csv" or path.is_dir():
        return f"--out: {path} is no name of a CSV file; give FILE.csv"
    if not os.access(path.absolute().parent, os.W_OK):
        return f"--out: {path.absolute().parent} is no folder that can be written to; make it, or give another place"
    return None


def _whole(name: str, text: str, problems: list[str]) -> int:
    low, high = _WHOLE[name]
    with suppress(ValueError):
        if low <= (value := int(text)) <= high:
            return value
    problems.append(f"--{name}: {text!r} is not a whole number from {low} to {high}")
    return low


def _budget(text: str, problems: list[str]) -> float:
    with suppress(ValueError):
        if 1 <= (value := float(text)) <= MOST_TRAININGS:
            return value
    problems.append(f"--budget: {text!r} is not a number of full trainings from 1 to {MOST_TRAININGS}; give 12, say")
    return 1.0
