"""From a suite file to what can be run: systems checked, data split, networks built."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from search import registry
from search.actions.plan_suite import Bench
from search.actions.suite_searches import plan_searches
from search.actions.suite_systems import resolve
from search.datasets import data_source, load
from search.datasets.dataset import Dataset
from search.datasets.split import Prepared, prepare
from search.errors import InputError
from search.paths import cache, check_home, storage_url
from search.retry_limits import limit_problems
from search.space.space import Space
from search.study.read_settings import settings_for
from search.study.settings import FLAGS
from search.study.storage.optuna_storage import LedgerStorage
from search.study.suite import Suite, System
from search.study.suite_file import SuiteFile, read_suite, suite_name
from search.training.probe import build_all
from search.training.question import Question
from search.worker.engines import engine as engine_called

Say = Callable[[str], None]


def prepare_suite(
    name: str,
    flags: Mapping[str, Any],
    only: Sequence[str],
    skip: Sequence[str],
    say: Say,
    engine: str = "local",
) -> Bench:
    """Check suite `name` with `flags` (keys of SuiteFile, workers, threads, name): its models
    `only`, without `skip`.

    Raises InputError with every problem of every system.
    """
    of_workers = [key for key, flag in FLAGS.items() if flag.of_workers]
    settings, problems = settings_for("default", {k: flags.get(k) for k in (*of_workers, "name")})
    problems += [p for p in (check_home(),) if p] + limit_problems()
    try:
        file = read_suite(name, {k: flags.get(k) for k in ("seeds", "seed", "epochs", "precision")})
        title = flags.get("name") or suite_name(name)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from error
    systems, spaces, mistakes = resolve(file, title)
    models = (_models(file) & set(only) if only else _models(file)) - set(skip)
    chosen = tuple(s for s in systems if s.model in models)
    unknown = [*_unknown("--only", only, file), *_unknown("--skip", skip, file)]
    problems += [*unknown, *mistakes]
    if not models and not unknown:
        problems.append("--only and --skip leave no system of the suite")
    data, mistakes = _load(chosen, models, file, say)
    problems += mistakes
    if problems or settings is None:
        raise InputError(problems)
    if fixed := [s for s in chosen if s.search is None]:
        say("building each network once …")
        _check_networks(fixed, spaces, data)
    suite, storage = Suite(name=title, systems=systems), LedgerStorage(storage_url())
    crew = engine_called(engine).crew(settings)
    searches = plan_searches(
        [s for s in chosen if s.search], file, spaces, data, storage, crew, say
    )
    return Bench(suite, chosen, file, spaces, data, storage, crew, settings, searches)


def _unknown(flag: str, models: Sequence[str], file: SuiteFile) -> list[str]:
    names = _models(file)
    return [
        f"{flag}: {m!r} is not in the suite; {registry.nearest(m, names)}"
        for m in models
        if m not in names
    ]


def _models(file: SuiteFile) -> set[str]:
    return set(chain.from_iterable(entry.model for entry in file.systems))


def _load(
    systems: Sequence[System], models: set[str], file: SuiteFile, say: Say
) -> tuple[dict[str, Prepared], list[str]]:
    """The prepared data of every study, each data set loaded once, and every problem."""
    prepared: dict[str, Prepared] = {}
    problems: list[str] = []
    entries = [entry for entry in file.systems if not models.isdisjoint(entry.model)]
    names = chain.from_iterable(entry.data for entry in entries)
    for source in dict.fromkeys(data_source(name) for name in names):
        of_source = [s for s in systems if s.data_source == source]
        say(f"loading {source} …")
        try:
            images = load(source)
            prepared |= {s.study: _split(images, file, s) for s in of_source}
        except InputError as error:
            problems += [
                *error.problems,
                *([f"or leave out what needs it: {_skips(of_source)}"] if of_source else []),
            ]
    return prepared, problems


def _split(images: Dataset, file: SuiteFile, system: System) -> Prepared:
    return prepare(
        images, seed=file.seed, validation_fraction=system.validation_fraction, cache=cache()
    )


def _check_networks(
    systems: Sequence[System], spaces: Mapping[str, Space], data: Mapping[str, Prepared]
) -> None:
    questions = []
    for system in systems:
        split = data[system.study]
        space = spaces[system.study]
        questions.append(
            Question.of(space, system.setting, split.input_shape, split.n_classes, split.task)
        )
    answers = build_all(questions, weights=True)
    bad = [(s, a.error) for s, a in zip(systems, answers, strict=True) if a.error]
    if bad:
        mistakes = [f"{s.model} on {s.data}: {error}" for s, error in bad]
        raise InputError([*mistakes, f"or leave them out: {_skips([s for s, _ in bad])}"])


def _skips(systems: Sequence[System]) -> str:
    return " ".join(dict.fromkeys(f"--skip {s.model}" for s in systems))
