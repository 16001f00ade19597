"""From a suite file to studies that workers can serve: every system checked, its data split, its network built once."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import registry
from search.datasets import data_name, data_source, load
from search.datasets.split import Prepared, prepare
from search.errors import InputError
from search.places import cache, check_home, home, storage_url
from search.space.known import TRAINING
from search.space.load import find_space, load_space
from search.space.types import Published, Space
from search.study.ledger import Ledger, stored_spec
from search.study.reading import read_study
from search.study.replicates import FINAL, of_setting, of_trial, watches
from search.study.spec import Replicate, Settings, StudySpec, check_goes_on, settings_for
from search.study.storage import LedgerStorage
from search.study.suite import (
    Entry,
    Split,
    Suite,
    SuiteFile,
    System,
    read_suite,
    stored_systems,
    suite_name,
    write_suite,
)
from search.training.probe import Question, build_all
from search.worker.devices import Device, available_cores, default_workers, find_devices
from search.worker.prepare import Plan, open_study

Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """A suite that holds together: what it runs, with what, and where."""

    suite: Suite
    """All systems of the suite."""
    chosen: tuple[System, ...]
    """Those to run."""
    file: SuiteFile
    spaces: Mapping[str, Space]
    """By study."""
    data: Mapping[str, Prepared]
    """By study."""
    storage: LedgerStorage
    devices: tuple[Device, ...]
    threads: int

    @property
    def folder(self) -> Path:
        """Where the suite writes."""
        return home() / self.suite.name

    def first_plans(self) -> list[Plan]:
        """Studies of one trial: of systems whose training watches validation images but is scored on others."""
        return [self._plan(s, ()) for s in self.chosen if _needs_trial(s)]

    def final_plans(self) -> list[Plan]:
        """Studies of replicates. Those whose systems were tried first need `first_plans` to be done.

        Raises InputError, naming every system, when a first training has failed.
        """
        plans, problems = [], []
        for system in self.chosen:
            try:
                plans.append(self._plan(system, self._replicates(system)))
            except InputError as error:
                problems += [f"{system.study}: {p}" for p in error.problems]
        if problems:
            raise InputError(problems)
        return plans

    def _replicates(self, system: System) -> tuple[Replicate, ...]:
        seed = self.file.seed
        if not _needs_trial(system):
            return of_setting(
                system.setting, epochs=system.epochs, n=system.seeds, seed=seed, evaluate=system.evaluate
            )  # fmt: skip
        [trial] = read_study(self.storage, system.study).trials
        # A published recipe is run to its end, not to the best of its epochs.
        return of_trial(trial, n=system.seeds, seed=seed, evaluate=system.evaluate, stop_at=trial.epochs)

    def _plan(self, system: System, replicates: tuple[Replicate, ...]) -> Plan:
        space, data = self.spaces[system.study], self.data[system.study]
        name = system.study + (FINAL if replicates else "")
        limits = Settings().model_dump(include={"timeout_s", "budget", "trial_timeout_s"})
        spec = StudySpec(
            name=name, model=system.model, data=system.data, data_source=system.data_source,
            n_trials=len(replicates) or 1, epochs=system.epochs, seed=self.file.seed, strategy="random",
            workers=len(self.devices), threads=self.threads, validation_fraction=self.file.validation_fraction,
            data_digest=data.digest, space_digest=space.digest, first=(dict(system.setting),), space=space.as_dict(),
            precision=self.file.precision, replicates=replicates, **limits,
        )  # fmt: skip
        stored = stored_spec(self.storage, name)
        if stored is not None:
            check_goes_on(stored, spec)
        return Plan(spec, data, self.devices, (), stored is not None)


def prepare_suite(name: str, flags: Mapping[str, Any], only: Sequence[str], say: Say) -> Bench:
    """Check suite `name` with `flags` (keys of SuiteFile, workers, threads, name), cut down to the models `only`.

    Raises InputError with every problem of every system.
    """
    settings, problems = settings_for("default", {k: flags.get(k) for k in ("workers", "threads", "name")})
    keys = ("seeds", "seed", "epochs", "precision")
    file = read_suite(name, {k: flags.get(k) for k in keys})
    title = suite_name(flags.get("name") or name)
    unknown = [m for m in only if not any(m in entry.model for entry in file.systems)]
    known = [m for entry in file.systems for m in entry.model]
    problems += [f"--only: {m!r} is not in the suite; {registry.nearest(m, known)}" for m in unknown]
    problems += [p for p in (check_home(),) if p]
    if problems or settings is None:
        raise InputError(problems)
    systems, spaces = _resolve(file, title)
    chosen = tuple(s for s in systems if not only or s.model in only)
    data = _load(chosen, file, say)
    say(f"building {len(chosen)} networks …")
    _check_networks(chosen, data)
    found, cores = find_devices(), available_cores()
    workers = settings.workers or default_workers(found, cores=cores)
    devices = tuple(found[i % len(found)] for i in range(workers))
    threads = settings.threads or max(1, cores // workers)
    storage = LedgerStorage(storage_url())
    return Bench(Suite(name=title, systems=systems), chosen, file, spaces, data, storage, devices, threads)


def open_suite(bench: Bench, plans: Sequence[Plan]) -> list[Ledger]:
    """Make or resume the studies of `plans`, and keep the suite for `gridless compare`. Raises InputError.

    Systems that were not chosen this time stay as an earlier command ran them.
    """
    known = {s.study: s for s in stored_systems(bench.folder)} | {s.study: s for s in bench.chosen}
    write_suite(
        Suite(name=bench.suite.name, systems=tuple(known.get(s.study, s) for s in bench.suite.systems)), bench.folder
    )
    return [open_study(plan, bench.storage) for plan in plans]


def _needs_trial(system: System) -> bool:
    return watches(system.setting) and system.evaluate != "validation"


def _resolve(file: SuiteFile, title: str) -> tuple[tuple[System, ...], dict[str, Space]]:
    """Every system of the file with its space. Raises InputError with the problems of all."""
    systems: list[System] = []
    spaces: dict[str, Space] = {}
    problems: list[str] = []
    for entry in file.systems:
        for model, data, change in itertools.product(entry.model, entry.data, entry.setting):
            try:
                system, space = _system(file, entry, title, model, data, change)
            except InputError as error:
                problems += [f"{model} on {data}: {p}" for p in error.problems]
                continue
            taken = sum(s.study == system.study or s.study.startswith(f"{system.study}-") for s in systems)
            if taken:
                system = system.model_copy(update={"study": f"{system.study}-{taken + 1}"})
            systems.append(system)
            spaces[system.study] = space
    if problems:
        raise InputError(problems)
    return tuple(systems), spaces


def _system(
    file: SuiteFile, entry: Entry, title: str, model: str, data: str, change: Mapping[str, Any]
) -> tuple[System, Space]:
    if problem := registry.check_name(registry.MODELS, model):
        raise InputError(problem)
    space = _widened(load_space(find_space(model, None)).model_copy(update={"model": model}), change)
    setting = space.complete(change)
    asked = int(setting["epochs"]) if "epochs" in setting else None  # type: ignore[arg-type]  # the space has checked it
    limits = [e for e in (asked, entry.epochs, file.epochs) if e is not None]
    if not limits:
        raise InputError("epochs: the setting has none; give them in the suite")
    short = data_name(data)
    published = space.published if short == space.data and not change else None
    system = System(
        study=f"{title}.{model.rsplit(':', maxsplit=1)[-1]}-{short}",
        model=model,
        data=short,
        data_source=data_source(data),
        setting=setting,
        evaluate=entry.evaluate or _split_of(published),
        seeds=entry.seeds or file.seeds,
        epochs=min(limits),
        published=published,
        published_epochs=int(space.document["epochs"]) if published and "epochs" in space.document else None,  # type: ignore[arg-type]
        label=", ".join(f"{k}={v}" for k, v in change.items()),
        note=entry.note,
    )
    return system, space


def _widened(space: Space, change: Mapping[str, Any]) -> Space:
    """`space` with the training parameters of `change` that it does not vary, as constants."""
    new = {name: value for name, value in change.items() if name in TRAINING and name not in space.params}
    if not new:
        return space
    raw = space.as_dict()
    raw["params"] |= {name: {"type": "constant", "value": value} for name, value in new.items()}
    raw["document"] |= new
    return Space.from_dict(raw)


def _split_of(published: Published | None) -> Split:
    """The split that a figure was measured on, so that ours can be held against it; else the test set."""
    splits: dict[str, Split] = {"train": "train", "validation": "validation"}
    return splits.get(published.split, "test") if published else "test"


def _load(systems: Sequence[System], file: SuiteFile, say: Say) -> dict[str, Prepared]:
    """The prepared data of every study, each data set loaded once. Raises InputError with the problems of all."""
    prepared: dict[str, Prepared] = {}
    problems: list[str] = []
    for source in dict.fromkeys(s.data_source for s in systems):
        say(f"loading {source} …")
        try:
            prepared[source] = prepare(
                load(source), seed=file.seed, validation_fraction=file.validation_fraction, cache=cache()
            )
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return {s.study: prepared[s.data_source] for s in systems}


def _check_networks(systems: Sequence[System], data: Mapping[str, Prepared]) -> None:
    questions = [
        Question(s.model, s.setting, data[s.study].input_shape, data[s.study].n_classes) for s in systems
    ]  # fmt: skip
    answers = build_all(questions, weights=True)
    problems = [f"{s.model} on {s.data}: {a.error}" for s, a in zip(systems, answers, strict=True) if a.error]
    if problems:
        raise InputError(problems)
