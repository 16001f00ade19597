"""From a checked suite to the studies that workers serve: searches, first trainings, replicates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.actions.plan_study import Plan, open_study
from search.actions.suite_searches import is_searched
from search.datasets.split import Prepared
from search.errors import InputError
from search.paths import home
from search.records import State
from search.space.space import Space
from search.study.finalists import of_setting, of_trial
from search.study.resume import check_goes_on
from search.study.settings import FINAL, Settings
from search.study.spec import Replicate, StudySpec, watches
from search.study.storage.ledger import Ledger, stored_spec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study
from search.study.suite import Suite, System, stored_systems, write_suite
from search.study.suite_file import SuiteFile
from search.user_code import user_code
from search.worker.engines.devices import Crew


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
    crew: Crew
    settings: Settings
    searches: Mapping[str, Plan]
    """The systems to run that are searched, by study."""

    @property
    def folder(self) -> Path:
        """Where the suite writes."""
        return home() / self.suite.name

    def first_plans(self) -> list[Plan]:
        """Searches, and studies of one trial: of systems whose training watches validation images
        but is scored on others.

        Raises InputError, naming every system, when a study of an earlier command can't go on.
        """
        self.final_plans()
        first = self._plans([s for s in self.chosen if _needs_trial(s)], lambda _system: ())
        return [*self.searches.values(), *first]

    def final_plans(self) -> list[Plan]:
        """Studies of replicates; those of systems that must be tried first, once that has come to a
        good end.

        Those of a search's finalists are opened by its workers. Raises InputError, naming every
        system, when a study of an earlier command can't go on.
        """
        fixed = [s for s in self.chosen if s.search is None]
        return self._plans(
            [s for s in fixed if not _needs_trial(s) or self._is_tried(s)], self._replicates
        )

    def batches(self, plans: Sequence[Plan]) -> list[list[Plan]]:
        """`plans` that are not done: all together, but one by one where time is limited."""
        todo = [plan for plan in plans if not self.is_done(plan)]
        together = [plan for plan in todo if plan.spec.timeout_s is None]
        return [
            *([together] if together else []),
            *([plan] for plan in todo if plan not in together),
        ]

    def is_done(self, plan: Plan) -> bool:
        """Whether every trial of `plan`, and of the finalists of a search, has ended."""
        if plan.spec.name in self.searches:
            return is_searched(self.storage, plan.spec)
        if not plan.resumes:
            return False
        trials = read_study(self.storage, plan.spec.name).trials
        return len(trials) >= plan.spec.n_trials and all(
            t.state in {State.COMPLETE, State.FAIL} for t in trials
        )

    def _plans(
        self, systems: Sequence[System], replicates: Callable[[System], tuple[Replicate, ...]]
    ) -> list[Plan]:
        plans: list[Plan] = []
        problems: list[str] = []
        for system in systems:
            try:
                plans.append(self._plan(system, replicates(system)))
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)
        return plans

    def _is_tried(self, system: System) -> bool:
        if stored_spec(self.storage, system.study) is None:
            return False
        return [t.state for t in read_study(self.storage, system.study).trials] == [State.COMPLETE]

    def _replicates(self, system: System) -> tuple[Replicate, ...]:
        n, seed, evaluate = system.seeds, self.file.seed, system.evaluate
        if not _needs_trial(system):
            return of_setting(
                system.setting, epochs=system.epochs, n=n, seed=seed, evaluate=evaluate
            )
        [trial] = read_study(self.storage, system.study).trials
        # A published recipe is run to its end, not to the best of its epochs.
        return of_trial(trial, n=n, seed=seed, evaluate=evaluate, stop_at=trial.epochs)

    def _plan(self, system: System, replicates: tuple[Replicate, ...]) -> Plan:
        space, data = self.spaces[system.study], self.data[system.study]
        name = system.study + (FINAL if replicates else "")
        spec = StudySpec(
            name=name,
            model=system.model,
            data=system.data,
            data_source=system.data_source,
            n_trials=len(replicates) or 1,
            epochs=system.epochs,
            seed=self.file.seed,
            strategy="random",
            workers=len(self.crew.devices),
            threads=self.crew.threads,
            validation_fraction=system.validation_fraction,
            data_digest=data.digest,
            space_digest=space.digest,
            first=(dict(system.setting),),
            space=space.as_dict(),
            precision=self.file.precision,
            replicates=replicates,
            code=user_code(system.model),
        )
        stored = stored_spec(self.storage, name)
        if stored is not None:
            check_goes_on(stored, spec)
        return Plan(
            spec,
            data,
            self.crew,
            (),
            stored is not None,
            trackers=self.settings.tracker,
        )


def open_suite(bench: Bench, plans: Sequence[Plan]) -> list[Ledger]:
    """Make or resume the studies of `plans`, and keep the suite for `gridless compare`.

    Systems that were not chosen this time stay as an earlier command ran them. Raises InputError
    when a study can't go on, or nothing can be written.
    """
    ledgers = [open_study(plan, bench.storage) for plan in plans]
    by_study = {s.study: s for s in stored_systems(bench.folder)} | {
        s.study: s for s in bench.chosen
    }
    merged = tuple(by_study.get(s.study, s) for s in bench.suite.systems)
    write_suite(Suite(name=bench.suite.name, systems=merged), bench.folder)
    return ledgers


def _needs_trial(system: System) -> bool:
    return system.search is None and watches(system.setting) and system.evaluate != "validation"
