"""The entries of a suite file → systems, each with its setting's or its search's space."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

from search import registry
from search.datasets import data_name, data_source
from search.errors import InputError
from search.space.load import find_space, load_space
from search.space.space import Published, Space
from search.space.training_params import TRAINING, problems_of
from search.study.spec import Split
from search.study.suite import System
from search.study.suite_file import Entry, SearchSettings, SuiteFile

Change = Mapping[str, Any]
"""What differs from the document's setting; in a search, what is pinned."""


def resolve(file: SuiteFile, title: str) -> tuple[tuple[System, ...], dict[str, Space], list[str]]:
    """Every system of the suite called `title`, its space by study, and the problems of all."""
    systems: list[System] = []
    spaces: dict[str, Space] = {}
    problems: list[str] = []
    for entry in file.systems:
        for model, data, change in itertools.product(entry.model, entry.data, entry.setting):
            try:
                space, setting, published = _setting(model, data, change)
                system = _system(file, entry, model, data, space, setting, published)
            except InputError as error:
                problems += [f"{model} on {data}: {p}" for p in error.problems]
                continue
            study = _free_name(
                f"{title}.{model.rsplit(':', maxsplit=1)[-1]}-{system.data}", change, spaces
            )
            document_epochs = _epochs(space.document) if published else None
            label = ", ".join(f"{k}={v}" for k, v in change.items())
            named = {"study": study, "label": label, "published_epochs": document_epochs}
            systems.append(system.model_copy(update=named))
            spaces[study] = space
    return tuple(systems), spaces, problems


def _setting(
    model: str, data: str, change: Change
) -> tuple[Space, dict[str, Any], Published | None]:
    """The space with `change` pinned, the complete setting, and the figure published for it."""
    if problem := registry.check_name(registry.MODELS, model):
        raise InputError(problem)
    documented = load_space(find_space(model, None))
    space = _pinned(documented.model_copy(update={"model": model}), change)
    is_documents = documented.model == model and data_name(data) == documented.data and not change
    return space, space.complete({}), documented.published if is_documents else None


def _pinned(space: Space, change: Change) -> Space:
    """`space` with the values of `change`, also of training parameters that it does not know, as
    constants.

    Raises InputError with every bad name and value of `change`.
    """
    new = {
        name: value
        for name, value in change.items()
        if name in TRAINING and name not in space.params
    }
    problems = []
    for name, value in new.items():
        problems += [f"{name}: {text}" for _, text in problems_of(name, value)]
    try:
        pinned = space.fix({name: value for name, value in change.items() if name not in new})
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    raw = pinned.as_dict()
    raw["params"] |= {name: {"type": "constant", "value": value} for name, value in new.items()}
    raw["document"] |= new
    return Space.from_dict(raw) if new else pinned


def _system(
    file: SuiteFile,
    entry: Entry,
    model: str,
    data: str,
    space: Space,
    setting: Mapping[str, Any],
    published: Published | None,
) -> System:
    search = _search(file, entry)
    wishes = [_epochs(setting) if search is None else search.epochs, entry.epochs, file.epochs]
    limits = [e for e in wishes if e is not None] or [
        e for e in (search and space.max_epochs,) if e
    ]
    if not limits:
        raise InputError("epochs: the setting has none; give them in the suite")
    seeds = entry.seeds or file.seeds
    if search is not None:
        seeds = search.n_replicates or seeds
        search = search.model_copy(update={"epochs": min(limits), "n_replicates": seeds})
    return System(
        study="",
        model=model,
        data=data_name(data),
        data_source=data_source(data),
        setting=dict(setting),
        search=search,
        evaluate=entry.evaluate or ("test" if search else _split_of(published)),
        seeds=seeds,
        epochs=min(limits),
        validation_fraction=entry.validation_fraction or file.validation_fraction,
        published=published,
        note=entry.note,
    )


def _search(file: SuiteFile, entry: Entry) -> SearchSettings | None:
    """How `entry` is searched. Raises InputError where results could not be compared."""
    if entry.search is None and file.search is None:
        return None
    problems = []
    if entry.evaluate not in {None, "test"}:
        problems.append(
            f"evaluate: a search is scored on the test set, not on {entry.evaluate}; leave it out"
        )
    if entry.validation_fraction not in {None, file.validation_fraction}:
        problems.append(
            "validation_fraction: searches of a suite share their split; give it for the whole"
            " suite"
        )
    if problems:
        raise InputError(problems)
    return (entry.search or SearchSettings()).over(file.search)


def _free_name(base: str, change: Change, taken: Mapping[str, Any]) -> str:
    """A study's name that says what is changed; numbered only if all the same."""
    digest = hashlib.sha256(json.dumps(dict(change), sort_keys=True).encode()).hexdigest()[:6]
    name = f"{base}-{digest}" if change else base
    numbered = (name if n == 1 else f"{name}-n{n}" for n in itertools.count(1))
    return next(n for n in numbered if n not in taken)


def _epochs(setting: Mapping[str, Any]) -> int | None:
    return int(setting["epochs"]) if "epochs" in setting else None


def _split_of(published: Published | None) -> Split:
    """The split that a figure was measured on, to compare with; else the test set."""
    splits: dict[str, Split] = {"train": "train", "validation": "validation"}
    return splits.get(published.split, "test") if published else "test"
