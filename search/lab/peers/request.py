"""From what a person typed to searches: every input checked, all problems told at once."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from search import registry
from search.actions.space_source import typed_pairs
from search.datasets import data_name, load
from search.datasets.dataset import ARRAYS, Dataset
from search.datasets.split import Prepared, prepare
from search.datasets.stratify import stratified
from search.errors import InputError
from search.files import whole_file
from search.lab.flags import FlagReader, names_in
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
_BOUNDS = {
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


def check(request: Request) -> Checked:
    """The searches. Raises InputError with every problem; writes only images, to the cache."""
    flags = FlagReader()
    counts = flags.counts(request.counts, _BOUNDS)
    budget = flags.number(
        "--budget",
        request.budget,
        lambda number: 1 <= number <= MOST_TRAININGS,
        f"a number of full trainings from 1 to {MOST_TRAININGS}; give 12, say",
    )
    systems = flags.names("--systems", request.systems, SYSTEMS)
    flags.problems += _missing_packages(systems)
    spaces = _spaces(request, flags)
    if problem := check_home():
        flags.problems.append(problem)
    data = flags.attempt(lambda: load(request.data))
    flags.runs_file(request.out)
    if flags.problems or data is None:
        raise InputError(flags.problems)
    spaces_by_task = {
        f"{model}-{data_name(request.data)}": space for model, space in spaces.items()
    }
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
        "spaces": {name: space.digest[:12] for name, space in spaces_by_task.items()},
    }
    runs = Runs.read(request.out, facts)
    common = {
        "images": str(images.absolute()),
        "epochs": counts["epochs"],
        "budget": budget,
        "threads": counts["threads"],
    }
    tasks = []
    for seed, split in enumerate(splits):
        for name, space in spaces_by_task.items():
            tasks.append(_task(name, space, split, seed, common))
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
    packages = [f"{package} {version}" for package, version in versions(_PACKAGES).items()]
    how = f"{jobs} at a time with {count(threads, 'thread')} each"
    ours = f"gridless {code_version()}, code {code_digest()}"
    return (
        f"{cpu_name()}, {how}; {ours}; Python {platform.python_version()}, {backend()} backend,"
        f" {', '.join(packages)}"
    )


def _missing_packages(systems: Sequence[str]) -> list[str]:
    packages = set(chain.from_iterable(missing(name) for name in systems if name in SYSTEMS))
    if not packages:
        return []
    return [
        f"not installed: {', '.join(sorted(packages))}; pip install 'gridless[bench]', or name"
        " others in --systems"
    ]


def _spaces(request: Request, flags: FlagReader) -> dict[str, Space]:
    """The space of each model, pinned."""
    models = names_in(request.models)
    if not models:
        flags.problems.append(f"--models: no names in {request.models!r}; give mlp,convNN, say")
    pins = [pin.strip() for pin in ",".join(request.fixes).split(",")] if request.fixes else []
    spaces: dict[str, Space] = {}
    for model in models:
        if space := flags.attempt(partial(_space, model)):
            spaces[model] = space
    if spaces:
        flags.problems += _pin_problems(pins, spaces)
    pinned: dict[str, Space] = {}
    for model, space in spaces.items():
        if narrowed := flags.attempt(partial(_pinned, space, pins)):
            pinned[model] = narrowed
    return pinned


def _space(model: str) -> Space:
    if problem := registry.check_name(registry.MODELS, model):
        raise InputError(problem.replace("MODEL:", "--models:", 1))
    return load_space(find_space(model))


def _pin_problems(pins: Sequence[str], spaces: Mapping[str, Space]) -> list[str]:
    """Pins that no model has a use for."""
    params = set(chain.from_iterable(space.params for space in spaces.values())) - {"epochs"}
    problems = []
    for pin in pins:
        name = pin.partition("=")[0].strip()
        if name == "epochs":
            problems.append("--fix: epochs is how long to train; give --epochs")
        elif name not in params:
            nearest = registry.nearest(name, params)
            problems.append(f"--fix: {name!r} is a parameter of none of the models; {nearest}")
    return problems


def _pinned(space: Space, pins: Sequence[str]) -> Space:
    """`space` with the pins that it has, without `epochs`, which every system has its own way with.

    Raises InputError for a bad value, and for what other systems could not search.
    """
    values: dict[str, Any] = {}
    for pin in pins:
        if pin.partition("=")[0].strip() in space.params:
            values |= typed_pairs(space, [pin])
    if values:
        space = space.fix(values)
    raw = space.as_dict()
    raw["params"].pop("epochs", None)
    raw["document"].pop("epochs", None)
    raw.pop("published", None)
    pinned = Space.from_dict(raw)
    if unknown := unfit(pinned):
        rule = (
            f"--models: {space.model} searches {', '.join(unknown)}, which other systems' `fit`"
            " knows nothing of"
        )
        raise InputError(
            f"{rule}; pin what can be (--fix schedule=constant), or leave the model out"
        )
    return pinned


def _some_of(data: Dataset, n: int) -> Path:
    """An .npz file of `n` of `data`'s training images, by class shares, and all test images."""
    keep = np.ones(len(data.y_train), dtype=np.bool_)
    if n < len(keep):
        keep = stratified(data.y_train, n / len(keep), seed=0)
    path = cache() / f"{data.name}-{int(keep.sum())}-{data.digest[:12]}.npz"
    if not path.exists():
        arrays = {key: getattr(data, key) for key in ARRAYS}
        for key in ("x_train", "y_train"):
            arrays[key] = arrays[key][keep]
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    return path
