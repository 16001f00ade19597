"""What a person typed, checked as far as that needs no framework, every problem in one error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from search import registry
from search.actions.space_source import (
    check_settings,
    space_for,
    typed_pairs,
)
from search.datasets import data_name, load
from search.datasets.dataset import Dataset
from search.datasets.split import Prepared, prepare
from search.errors import InputError
from search.objectives import default_objective, objective_of, objective_problem, text_of
from search.paths import cache, check_artifacts, check_home, home, storage_url
from search.records import Task
from search.retry_limits import limit_problems
from search.space.params import ends
from search.space.space import Space
from search.study.read_settings import read_settings, settings_for
from search.study.settings import Settings, name_problem
from search.study.storage.optuna_storage import LedgerStorage
from search.training.discovery import FoundSpace
from search.worker.engines import engine
from search.worker.engines.devices import Crew

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What a person asked for."""

    model: str
    data: str
    flags: Mapping[str, Any]
    """Settings given on the command line, as text; None where not given."""
    space: Path | Space | None = None
    """What can vary, or the file that says it; None for what the model's own file does."""
    tries: Sequence[str] = ()
    """Settings to run first, each "name=value,name=value"."""
    fixes: Sequence[str] = ()
    """Pinned parameters, each "name=value"."""
    engine: str = "local"
    """Where workers will run: local, ray or slurm."""
    other_code: bool = False
    """Whether a study may go on though the code of its model has changed."""
    loop: bool = False
    """Whether the model is a loop, which trains by itself."""


@dataclass(frozen=True)
class Checked:
    """Input that holds together as far as can be told without loading a framework."""

    request: Request
    name: str
    settings: Settings
    space: Space
    data: Prepared
    storage: LedgerStorage
    crew: Crew
    notices: tuple[str, ...] = ()
    """What to tell of the space, if it was found by building."""
    targets: tuple[float, float] | None = None
    """The smallest and the largest number to be predicted; None where none is."""

    @property
    def objective(self) -> tuple[str, ...]:
        """What to search for, by the settings or by the task."""
        return self.settings.objective or (text_of(default_objective(self.data.task)),)

    @property
    def folder(self) -> Path:
        """Where the study writes."""
        return home() / self.name


def check(request: Request, say: Callable[[str], None], *, load_ahead: bool = False) -> Checked:
    """Check and prepare what needs no framework. Raises InputError with every problem of every
    part.

    `say` is told what takes time. With `load_ahead` the framework is loaded beside, for workers.
    Nothing is stored but prepared data.
    """
    settings, discovery, data, storage, crew = _check_parts(request, say, load_ahead=load_ahead)
    space = discovery.space
    name = settings.name or _study_name(request)
    if problem := name_problem(name) or _torn_study_file(name):
        raise InputError(f"NAME: {name!r}: {problem}")
    problems = [*_objective_problems(settings, data), *_weights_problems(space, data)]
    if problems:
        raise InputError(problems)
    prepared = prepare(
        data, seed=settings.seed, validation_fraction=settings.validation_fraction, cache=cache()
    )
    fixed = space.fix(typed_pairs(space, request.fixes)) if request.fixes else space
    facts = request, name, settings, fixed, prepared, storage, crew
    return Checked(*facts, discovery.notices, data.target_range)


def _weights_problems(space: Space, data: Dataset) -> list[str]:
    param = space.params.get("class_weight")
    if param is None or "balanced" not in ends(param) or data.task is Task.CLASSIFICATION:
        return []
    rule = f"class_weight: balanced is for examples of one class each; {data.name} is {data.task}"
    return [f"{rule}: leave it out"]


def _objective_problems(settings: Settings, data: Dataset) -> list[str]:
    """Why what is searched for can't be measured on `data`, as far as that shows."""
    objectives = map(objective_of, settings.objective)
    problems = [objective_problem(each, data.task, data.n_classes) for each in objectives]
    return [problem for problem in problems if problem]


def _check_parts(
    request: Request, say: Callable[[str], None], *, load_ahead: bool
) -> tuple[Settings, FoundSpace, Dataset, LedgerStorage, Crew]:
    """The parts that don't need each other; every problem of every part in one error."""
    problems: list[str] = []

    def attempt(part: Callable[[], T]) -> T | None:
        try:
            return part()
        except InputError as error:
            problems.extend(error.problems)
            return None

    settings, mistakes = settings_for(_study_name(request), request.flags)
    problems += mistakes
    model_problem = registry.check_name(registry.MODELS, request.model)
    if model_problem:
        problems.append(model_problem)
    problems += limit_problems()
    crew = attempt(lambda: engine(request.engine).crew(settings)) if settings else None
    if load_ahead and crew and not problems:
        engine(request.engine).load_ahead(crew)
    home_problem = check_home()
    problems += [p for p in (home_problem, None if home_problem else check_artifacts()) if p]
    store = None if home_problem else attempt(lambda: LedgerStorage(storage_url()))
    say(f"loading {request.data} …")
    data = attempt(lambda: load(request.data))
    space = None if model_problem else attempt(lambda: _space(request, data, say))
    if (
        problems
        or settings is None
        or space is None
        or data is None
        or store is None
        or crew is None
    ):
        raise InputError(problems)
    return settings, space, data, store, crew


def _space(request: Request, data: Dataset | None, say: Callable[[str], None]) -> FoundSpace:
    discovery = space_for(request.model, request.space, data, say)
    check_settings(discovery.space, request.tries, request.fixes)
    return discovery


def _study_name(request: Request) -> str:
    return f"{request.model.split(':')[-1]}-{data_name(request.data)}"


def study_file(name: str) -> Path:
    """The file in which study `name` says what it is."""
    return home() / name / "study.yaml"


def _torn_study_file(name: str) -> str | None:
    file = study_file(name)
    try:
        if file.exists() and not read_settings(file):
            return f"{file} is empty; remove it: it is written again from the storage"
    except InputError as error:
        return f"{error}; it is written again from the storage"
    return None
