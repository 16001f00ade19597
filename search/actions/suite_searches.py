"""The searches of a suite: their plans, as of `gridless study`, and whether they are over."""

from collections.abc import Callable, Mapping, Sequence

from search.actions.check_study import Checked, Request
from search.actions.plan_study import Plan, make_plan
from search.datasets.split import Prepared
from search.errors import InputError
from search.space.space import Space
from search.study.read_settings import settings_for
from search.study.settings import Settings
from search.study.spec import StudySpec
from search.study.storage.ledger import Ledger, finals_of, stored_spec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState
from search.study.suite import System
from search.study.suite_file import SearchSettings, SuiteFile
from search.worker.engines.devices import Crew

_LIMITS = set(SearchSettings.model_fields) - {"epochs", "strategy"}
"""What decides how far a search goes."""


def plan_searches(
    systems: Sequence[System],
    file: SuiteFile,
    spaces: Mapping[str, Space],
    data: Mapping[str, Prepared],
    storage: LedgerStorage,
    crew: Crew,
    say: Callable[[str], None],
) -> dict[str, Plan]:
    """The plan of each of `systems`, which are searched, by study; `spaces` and `data` are by
    study, too.

    Raises InputError with every problem of all: a space of which nothing can be built on the data,
    or a study of an earlier command that can't go on.
    """
    plans: dict[str, Plan] = {}
    problems: list[str] = []
    for system in systems:
        name = system.study
        say(f"building {system.model} on {system.data} with each of its choices …")
        try:
            settings = _settings(system, file)
            request = Request(system.model, system.data_source, {})
            checked = Checked(request, name, settings, spaces[name], data[name], storage, crew)
            plans[name] = make_plan(checked, lambda _text: None)
        except InputError as error:
            problems += [
                p if name in p else f"{system.model} on {system.data}: {p}" for p in error.problems
            ]
            problems.append(f"or leave it out: --skip {system.model}")
            continue
        for notice in plans[name].notices:
            say(f"note: {system.model} on {system.data}: {notice}")
    if problems:
        raise InputError(problems)
    return plans


def is_searched(storage: LedgerStorage, spec: StudySpec) -> bool:
    """Whether the search of `spec`, with these limits, and its replicates have all ended."""
    stored = stored_spec(storage, spec.name)
    if stored is None or stored.model_dump(include=_LIMITS) != spec.model_dump(include=_LIMITS):
        return False
    # Its finalists are put on the queue before it is closed.
    names = [spec.name, *finals_of(storage, [spec.name])]
    return all(Ledger(storage, name).place().state is QueueState.DONE for name in names)


def _settings(system: System, file: SuiteFile) -> Settings:
    flags = system.search.model_dump(exclude_none=True) if system.search else {}
    flags["seed"] = file.seed
    flags["precision"] = file.precision
    flags["validation_fraction"] = system.validation_fraction
    settings, problems = settings_for("default", flags)
    if settings is None:
        raise InputError(problems)
    return settings
