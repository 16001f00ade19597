"""Studies by their names, or a suite, and the storage → who takes part in a comparison."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from search.errors import InputError
from search.objectives import text_of
from search.records import StudyRecord
from search.study.settings import FINAL
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study, stored_studies
from search.study.suite import System
from search.words import listing, show

_OTHER_SPLIT = (
    "compare those that agree, or search again with the same SEED and validation_fraction under"
    " another NAME"
)
_OTHER_IMAGES = (
    "these are other images under one name: compare those that agree, or search again on the same"
    " file"
)
_SPLIT = ("seed", "validation_fraction")
_FACTS = ("precision", "validation_fraction", "seed")


@dataclass(frozen=True)
class Entrant:
    """Who takes part: a stored study, or a suite's system, which may not have been run yet."""

    study: str
    """The name without `.final`."""
    model: str
    """With what is pinned."""
    data: str
    search: StudyRecord | None
    replicates: StudyRecord | None
    system: System | None = None

    @property
    def is_search(self) -> bool:
        """Whether its setting was searched."""
        return self.system is None or self.system.search is not None

    @property
    def record(self) -> StudyRecord | None:
        """The study that says what it ran on."""
        return self.search if self.is_search else self.replicates


def stored_entrants(storage: LedgerStorage, names: Sequence[str]) -> list[Entrant]:
    """The studies `names`, each once. Raises InputError with every name that is no search."""
    entrants: list[Entrant] = []
    problems: list[str] = []
    for name in dict.fromkeys(names):
        try:
            records = {s.name: read_study(storage, s.name) for s in stored_studies(storage, name)}
        except InputError as error:
            problems += error.problems
            continue
        if name in records:
            study = records[name]
            entrants.append(
                Entrant(name, study.model, study.data, study, records.get(name + FINAL))
            )
        else:
            problems.append(
                f"study {name!r} has replicates of a fixed setting only; give the suite that it"
                " belongs to"
            )
    if problems:
        raise InputError(problems)
    return entrants


def suite_entrants(storage: LedgerStorage, systems: Iterable[System]) -> list[Entrant]:
    """The systems of a suite; those that were not run yet have no records."""
    stored = set(storage.study_names())

    def read(name: str) -> StudyRecord | None:
        return read_study(storage, name) if name in stored else None

    return [
        Entrant(s.study, label(s), s.data, read(s.study), read(s.study + FINAL), s) for s in systems
    ]


def differences(studies: Sequence[StudyRecord], searches: Sequence[str] | None = None) -> list[str]:
    """Why `studies` can't be compared, a line each: for other objectives or, on one data set, with
    other images or splits.

    Only those named in `searches` (all by default) have used the split.
    """
    problems = _objectives(studies)
    for data, key in itertools.product(
        dict.fromkeys(s.data for s in studies), ("data_digest", *_SPLIT)
    ):
        groups: dict[Any, list[str]] = {}
        for study in studies:
            if study.data == data and (
                key == "data_digest" or searches is None or study.name in searches
            ):
                groups.setdefault(study.spec.get(key), []).append(study.name)
        if len(groups) > 1:
            who = listing(
                [f"{show(value)[:12]} in {listing(names)}" for value, names in groups.items()]
            )
            problems.append(
                f"studies on {data} can’t be compared: {key} is {who};"
                f" {_OTHER_IMAGES if key == 'data_digest' else _OTHER_SPLIT}"
            )
    return problems


def _objectives(studies: Sequence[StudyRecord]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for study in studies:
        groups.setdefault(text_of(study.objective), []).append(study.name)
    if len(groups) < 2:
        return []
    who = listing([f"{name} in {listing(names)}" for name, names in groups.items()])
    rule = f"studies for different objectives can’t be compared: {who}"
    return [f"{rule}; compare those of one objective"]


def facts(studies: Iterable[StudyRecord]) -> dict[str, str]:
    """Hardware and versions that `studies` recorded, with all values that differ."""
    counts: dict[str, Counter[str]] = {}
    for study in studies:
        spec = {k: str(study.spec[k]) for k in _FACTS if k in study.spec}
        for name, value in (dict(study.environment) | spec).items():
            counts.setdefault(name.replace("_", " "), Counter())[value] += 1
    return {name: ", ".join(values) for name, values in counts.items()}


def label(system: System) -> str:
    """A system's model with what is pinned."""
    return system.model + (f" ({system.label})" if system.label else "")
