"""From what a person typed to a study to serve: inputs checked, data split, space probed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from search import registry
from search.actions.space_source import (
    DEFAULT_EPOCHS,
    check_settings,
    differs_in_conditions,
    space_for,
    typed_pairs,
)
from search.actions.warm_start import warmed
from search.artifacts import join
from search.datasets import data_name, data_source, load
from search.datasets.image_data import ImageData
from search.datasets.samples import write_samples
from search.datasets.split import Prepared, prepare
from search.errors import InputError
from search.files import unwritable, whole_file
from search.limits import limit_problems
from search.paths import artifacts, cache, check_artifacts, check_home, home, storage_url
from search.space.space import Space
from search.space.training_params import hint
from search.study.environment import environment
from search.study.resume import changed_code, check_goes_on
from search.study.settings import (
    DEFAULT_STRATEGY,
    N_REPLICATES,
    Settings,
    name_problem,
    read_settings,
    settings_for,
)
from search.study.spec import StudySpec
from search.study.storage.ledger import Ledger, stored_spec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study
from search.study.user_code import user_code
from search.training.discovery import FoundSpace
from search.training.probe import probe
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
    space_file: Path | None = None
    tries: Sequence[str] = ()
    """Settings to run first, each "name=value,name=value"."""
    fixes: Sequence[str] = ()
    """Pinned parameters, each "name=value"."""
    engine: str = "local"
    """Where workers will run: local or ray."""
    other_code: bool = False
    """Whether a study may go on though the code of its model has changed."""


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

    @property
    def folder(self) -> Path:
        """Where the study writes."""
        return home() / self.name


@dataclass(frozen=True)
class Plan:
    """What will be done."""

    spec: StudySpec
    data: Prepared
    crew: Crew
    notices: tuple[str, ...]
    resumes: bool
    other_code: bool = False
    """Whether the code of its model may be other than the study's."""

    @property
    def folder(self) -> Path:
        """Where the study writes."""
        return home() / self.spec.name


def check(request: Request, say: Callable[[str], None]) -> Checked:
    """Check and prepare what needs no framework. Raises InputError with every problem of every
    part.

    `say` is told what takes time. Nothing is stored but prepared data.
    """
    settings, discovery, data, storage, crew = _check_parts(request, say)
    space = discovery.space
    name = settings.name or _study_name(request)
    if problem := name_problem(name) or _torn_study_file(name):
        raise InputError(f"NAME: {name!r}: {problem}")
    prepared = prepare(
        data, seed=settings.seed, validation_fraction=settings.validation_fraction, cache=cache()
    )
    fixed = space.fix(typed_pairs(space, request.fixes)) if request.fixes else space
    return Checked(request, name, settings, fixed, prepared, storage, crew, discovery.notices)


def make_plan(checked: Checked, say: Callable[[str], None]) -> Plan:
    """Drop what can't be built on the data at hand, and resolve the spec.

    Raises InputError if nothing is left, or if an older study of this name can't go on with it.
    """
    say("building the model with each of its choices …")
    shape, n_classes = checked.data.input_shape, checked.data.n_classes
    report = probe(
        checked.space, input_shape=shape, n_classes=n_classes, corners=False, weights=True
    )
    usable, dropped = report.usable(checked.space)
    notices = [*checked.notices, *dropped]
    # What was found by building has been read; one more build may go another way.
    unread = () if checked.notices else report.unread
    notices += [
        f"parameter {name} is never read by model {usable.model}{hint(name)}" for name in unread
    ]
    if pinned := typed_pairs(checked.space, checked.request.fixes).get("epochs"):
        notices.append(
            f"--fix epochs={pinned} is the baseline's epochs, too, whatever its document says"
        )
    stored = stored_spec(checked.storage, checked.name)
    if (
        checked.notices
        and stored is not None
        and differs_in_conditions(stored.search_space, usable)
    ):
        notices.append("the study goes on with the conditions that its space began with")
        usable = stored.search_space
    resolved = _resolve(checked, usable, stored)
    if (
        stored is not None
        and resolved.strategy == DEFAULT_STRATEGY
        and checked.request.flags.get("strategy") is None
    ):
        # A study goes on as it began, whatever has become the default since.
        resolved = resolved.model_copy(update={"strategy": stored.strategy})
    if stored is not None and resolved.data_digest == stored.data_digest:
        resolved = resolved.model_copy(
            update={"data": stored.data}
        )  # the same images by another name
    spec = warmed(resolved, stored, checked.storage)
    if n_points := len(spec.first) - len(resolved.first):
        notices.append(
            f"{n_points} starting points from earlier studies come after the document's setting"
        )
    other_code = checked.request.other_code
    if stored is not None and (changes := changed_code(stored, spec)):
        other_code |= not any(t.curve for t in read_study(checked.storage, stored.name).trials)
        notices.append(
            f"the code of model {spec.model} has changed since the study began ({changes})"
        )
    if stored is not None:
        check_goes_on(stored, spec, other_code=other_code)
    return Plan(
        spec,
        checked.data,
        checked.crew,
        tuple(notices),
        resumes=stored is not None,
        other_code=other_code,
    )


def open_study(plan: Plan, storage: LedgerStorage, *, priority: int | None = None) -> Ledger:
    """Make or resume the study of `plan`, put it on the queue and write its study.yaml.

    `priority` on the queue stays what it was when it is None. Raises InputError if it can't.
    """
    here = environment(plan.crew.devices[0].name, threads=plan.crew.threads, code=plan.spec.code)
    ledger = Ledger.open(storage, plan.spec, here, priority=priority, other_code=plan.other_code)
    try:
        write_samples(plan.data, join(artifacts(plan.spec.name), "evidence", "samples.npz"))
        with whole_file(_study_file(plan.spec.name)) as file:
            YAML(typ="safe", pure=True).dump(plan.spec.model_dump(mode="json"), file)
    except OSError as error:
        raise InputError(unwritable(plan.folder, error)) from error
    return ledger


def _check_parts(
    request: Request, say: Callable[[str], None]
) -> tuple[Settings, FoundSpace, ImageData, LedgerStorage, Crew]:
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


def _space(request: Request, data: ImageData | None, say: Callable[[str], None]) -> FoundSpace:
    discovery = space_for(request.model, request.space_file, data, say)
    check_settings(discovery.space, request.tries, request.fixes)
    return discovery


def _study_name(request: Request) -> str:
    return f"{request.model.split(':')[-1]}-{data_name(request.data)}"


def _study_file(name: str) -> Path:
    return home() / name / "study.yaml"


def _torn_study_file(name: str) -> str | None:
    file = _study_file(name)
    try:
        if file.exists() and not read_settings(file):
            return f"{file} is empty; remove it: it is written again from the storage"
    except InputError as error:
        return f"{error}; it is written again from the storage"
    return None


def _resolve(checked: Checked, space: Space, stored: StudySpec | None) -> StudySpec:
    request, settings, data = checked.request, checked.settings, checked.data
    epochs = settings.epochs or space.max_epochs or (DEFAULT_EPOCHS if checked.notices else None)
    if epochs is None:
        raise InputError("epochs: the space has none; give EPOCHS, the most that a trial may train")
    first = [space.document, *(space.complete(typed_pairs(space, [t])) for t in request.tries)]
    finalists, n_replicates = settings.finalists, settings.n_replicates
    if (
        stored is not None
    ):  # a study goes on as it began; one that had no finalists may have some now
        finalists = (stored.finalists or None) if finalists is None else finalists
        n_replicates = n_replicates or stored.n_replicates
    return StudySpec(
        name=checked.name,
        model=request.model,
        data=data.name,
        data_source=data_source(request.data),
        epochs=epochs,
        workers=len(checked.crew.devices),
        threads=checked.crew.threads,
        data_digest=data.digest,
        space_digest=space.digest,
        first=tuple(dict(s) for s in first),
        space=space.as_dict(),
        finalists=finalists,
        n_replicates=n_replicates or N_REPLICATES,
        code=user_code(request.model),
        **settings.lasting,
    )
