"""From what a person typed to searches: every input checked, all problems told at once."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from search import registry
from search.actions.space_source import typed_pairs
from search.datasets import data_name, load
from search.datasets.image_data import ARRAYS, ImageData
from search.datasets.split import Prepared, prepare
from search.datasets.stratify import stratified
from search.errors import InputError
from search.files import whole_file
from search.lab.flags import known_names, names, whole
from search.lab.peers.experiment import Setup, in_turns
from search.lab.peers.runs_file import Runs
from search.lab.peers.systems import SYSTEMS, missing
from search.lab.peers.task import Task, unfit
from search.paths import cache, check_home
from search.space.load import find_space, load_space
from search.space.space import Space
from search.study.environment import backend, code_digest, code_version, cpu_name, versions
from search.study.settings import Settings
from search.words import count

MOST_TRAININGS = 10_000
T = TypeVar("T")
_WHOLE = {
    "images": (100, 10_000_000),
    "epochs": (1, 10_000),
    "seeds": (1, 1000),
    "threads": (1, 1024),
    "jobs": (1, 256),
}
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
    """The searches. Raises InputError with every problem; images are written to the cache, nothing
    else.
    """
    problems: list[str] = []
    counts = {
        name: whole(f"--{name}", text, _WHOLE[name], problems)
        for name, text in asked.counts.items()
    }
    budget = _budget(asked.budget, problems)
    systems = _systems(asked.systems, problems)
    spaces = _spaces(asked, problems)
    if problem := check_home():
        problems.append(problem)
    data = _attempt(problems, lambda: load(asked.data))
    if problem := _out_problem(asked.out):
        problems.append(problem)
    if problems or data is None:
        raise InputError(problems)
    named = {f"{model}-{data_name(asked.data)}": space for model, space in spaces.items()}
    images = _some_of(data, counts["images"])
    some = load(str(images))
    # As `gridless study` splits them: every system validates on the same images.
    splits = [
        prepare(some, seed=seed, validation_fraction=_SPLIT, cache=cache())
        for seed in range(counts["seeds"])
    ]
    facts = {
        "budget": budget,
        "epochs": counts["epochs"],
        "data": splits[0].digest[:12],
        "n_train": splits[0].n_train,
        "n_validation": splits[0].n_val,
        "made_on": made_on(counts["threads"], counts["jobs"]),
        "spaces": {name: space.digest[:12] for name, space in named.items()},
    }
    runs = Runs.read(asked.out, facts)
    common = {
        "images": str(images.absolute()),
        "epochs": counts["epochs"],
        "budget": budget,
        "threads": counts["threads"],
    }
    tasks = [
        _task(name, space, split, seed, common)
        for seed, split in enumerate(splits)
        for name, space in named.items()
    ]
    setups = tuple(s for s in in_turns(systems, tasks) if s.key not in runs.keys)
    return Checked(setups, runs, counts["jobs"])


def _task(name: str, space: Space, split: Prepared, seed: int, common: Mapping[str, Any]) -> Task:
    return Task(
        name=name,
        space=space.as_dict(),
        prepared=str(split.folder.absolute()),
        input_shape=split.input_shape,
        n_classes=split.n_classes,
        seed=seed,
        **common,
    )


def made_on(threads: int, jobs: int) -> str:
    """The machine and the versions, for people who read the numbers."""
    found = [f"{package} {told}" for package, told in versions(_PACKAGES).items()]
    how = f"{jobs} at a time with {count(threads, 'thread')} each"
    ours = f"gridless {code_version()}, code {code_digest()}"
    return (
        f"{cpu_name()}, {how}; {ours}; Python {platform.python_version()}, {backend()} backend,"
        f" {', '.join(found)}"
    )


def _attempt(problems: list[str], part: Callable[[], T]) -> T | None:
    try:
        return part()
    except InputError as error:
        problems += error.problems
        return None


def _systems(text: str, problems: list[str]) -> tuple[str, ...]:
    found = known_names("--systems", text, SYSTEMS, problems)
    if needed := sorted({need for name in found if name in SYSTEMS for need in missing(name)}):
        problems.append(
            f"not installed: {', '.join(needed)}; pip install 'gridless[bench]', or name others in"
            " --systems"
        )
    return found


def _spaces(asked: Request, problems: list[str]) -> dict[str, Space]:
    """The space of each model, pinned."""
    models = names(asked.models)
    if not models:
        problems.append(f"--models: no names in {asked.models!r}; give mlp,convNN, say")
    pins = [pin.strip() for text in asked.fixes for pin in text.split(",")]
    spaces: dict[str, Space] = {}
    for model in models:
        if space := _attempt(problems, partial(_space, model)):
            spaces[model] = space
    if spaces:
        problems += _pin_problems(pins, spaces)
    pinned: dict[str, Space] = {}
    for model, space in spaces.items():
        if narrowed := _attempt(problems, partial(_pinned, space, pins)):
            pinned[model] = narrowed
    return pinned


def _space(model: str) -> Space:
    if problem := registry.check_name(registry.MODELS, model):
        raise InputError(problem.replace("MODEL:", "--models:", 1))
    return load_space(find_space(model))


def _pin_problems(pins: Sequence[str], spaces: Mapping[str, Space]) -> list[str]:
    """Pins that no model has a use for."""
    known = {name for space in spaces.values() for name in space.params} - {"epochs"}
    pinned = [pin.partition("=")[0].strip() for pin in pins]
    return [
        (
            f"--fix: {name} is how long to train; give --epochs"
            if name == "epochs"
            else (
                f"--fix: {name!r} is a parameter of none of the models;"
                f" {registry.nearest(name, known)}"
            )
        )
        for name in pinned
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
    if unknown := unfit(found):
        rule = (
            f"--models: {space.model} searches {', '.join(unknown)}, which other systems' `fit`"
            " knows nothing of"
        )
        raise InputError(
            f"{rule}; pin what can be (--fix schedule=constant), or leave the model out"
        )
    return found


def _some_of(data: ImageData, n: int) -> Path:
    """An .npz file of `n` training images of `data`, each class in its share; all of its test
    images.
    """
    keep = np.ones(len(data.y_train), dtype=np.bool_)
    if n < len(keep):
        keep = stratified(data.y_train, n / len(keep), seed=0)
    path = cache() / f"{data.name}-{int(keep.sum())}-{data.digest[:12]}.npz"
    if not path.exists():
        arrays = {
            key: getattr(data, key)[keep] if key.endswith("train") else getattr(data, key)
            for key in ARRAYS
        }
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    return path


def _out_problem(path: Path) -> str | None:
    if path.suffix != ".csv" or path.is_dir():
        return f"--out: {path} is no name of a CSV file; give FILE.csv"
    if not os.access(path.absolute().parent, os.W_OK):
        return (
            f"--out: {path.absolute().parent} is no folder that can be written to; make it, or give"
            " another place"
        )
    return None


def _budget(text: str, problems: list[str]) -> float:
    with suppress(ValueError):
        if 1 <= (value := float(text)) <= MOST_TRAININGS:
            return value
    problems.append(
        f"--budget: {text!r} is not a number of full trainings from 1 to {MOST_TRAININGS}; give"
        " 12, say"
    )
    return 1.0
