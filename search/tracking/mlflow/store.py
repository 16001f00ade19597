"""One study's place in an MLflow store: its experiment, its run and its trials' runs."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.runs import (
    KIND,
    PARENT,
    STUDY,
    STUDY_ID,
    TRIAL,
    Run,
    RunMovedError,
    choose,
    content,
    discard,
    find_runs,
)
from search.tracking.mlflow.writer import RunWriter, to_ms
from search.tracking.outbox import Header
from search.tracking.update import Update
from search.tracking.uri import is_remote


class StudyStore:
    """Brings updates into MLflow so that sending one twice, or from several hosts, changes nothing.

    What is there already is read once, when it is made. Any method may raise what MLflow raises, or
    RunMovedError; the object should then be dropped, since it no longer knows what is there.
    """

    def __init__(self, uri: str, artifact_root: Path | None, header: Header) -> None:
        self._header = header
        self._client = open_client(uri)
        self._writer = RunWriter(self._client, uri)
        root = None if artifact_root is None or is_remote(uri) else artifact_root.absolute()
        self._experiment = self._find_experiment(root)
        self._trials: dict[int, Run] = {}
        self._parent = self._refresh()
        self._writer.log(self._parent, params=header.params, tags=header.tags)
        self._writer.use(self._parent, header.inputs)

    @property
    def run_id(self) -> str:
        """The study's run."""
        return self._parent.id

    def apply(self, trial: int | None, update: Update) -> None:
        """Send what `update` has and the run of `trial` (None: the study's) has not."""
        run = self._parent if trial is None else self._find_trial(trial, update.first_at)
        self._writer.use(run, self._header.inputs)
        self._writer.bring(run, update)

    def settle(self) -> None:
        """Mark the study's run finished if each of its trials is, whichever host sent them; running
        otherwise.
        """
        self._parent = self._refresh()
        states = [run.state for run in self._trials.values() if not run.is_deleted]
        ends = [state.at for state in states if state and state.is_final]
        is_over = bool(states) and len(ends) == len(states)
        if not self._parent.is_deleted:
            self._writer.set_status(
                self._parent, "FINISHED" if is_over else "RUNNING", max(ends, default=0)
            )

    def _find_experiment(self, artifact_root: Path | None) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        name = self._header.study
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = None if artifact_root is None else (artifact_root / name).as_uri()
            try:
                return str(self._client.create_experiment(name, artifact_location=location))
            except MlflowException:
                # Another host may have been faster: names of experiments are unique.
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage == "deleted":
            number = experiment.experiment_id
            raise RuntimeError(
                f"MLflow's experiment {name!r} was deleted there; `mlflow experiments restore -x"
                f" {number}` brings it back, `mlflow gc --experiment-ids {number}` lets it be made"
                " anew"
            )
        return str(experiment.experiment_id)

    def _refresh(self) -> Run:
        """Look all runs of the study up, leave one per trial, each below the study's; return the
        study's.
        """
        runs_by_trial: dict[int | None, list[Run]] = defaultdict(list)
        for run in self._find_runs():
            if run.tags.get(KIND) == "study":
                runs_by_trial[None].append(run)
            elif run.tags.get(TRIAL, "").isdecimal():
                runs_by_trial[int(run.tags[TRIAL])].append(run)
        parents = runs_by_trial.pop(None, [])
        are_many = sum(not run.is_deleted for run in parents) > 1
        parent = self._parent = self._unite(parents) or self._make(None, self._header.at)
        if are_many:
            # A host that held another one may have put trials below it until now.
            return self._refresh()
        united = {trial: self._unite(runs) for trial, runs in runs_by_trial.items()}
        self._trials = {trial: run for trial, run in united.items() if trial is not None and run}
        for run in self._trials.values():
            if run.tags.get(PARENT) != parent.id and not run.is_deleted:
                self._client.set_tag(run.id, PARENT, parent.id)
                run.tags[PARENT] = parent.id
        return parent

    def _find_trial(self, trial: int, at: float) -> Run:
        if trial not in self._trials:
            # Another machine, with an outbox of its own, may have made it since we looked.
            run = self._unite(self._find_runs(f" AND tags.`{TRIAL}` = '{trial}'"))
            self._trials[trial] = run or self._make(trial, at)
        return self._trials[trial]

    def _find_runs(self, condition: str = "") -> list[Run]:
        return list(find_runs(self._client, self._experiment, self._header.id, condition))

    def _unite(self, runs: Iterable[Run]) -> Run | None:
        """Leave one of `runs`, which mean the same, with all that the others hold; None if there is
        none.
        """
        kept, surplus, deleted = choose(runs)
        if kept is None:
            return None
        for run in surplus:
            discard(self._client, run, kept)
        # Also what was deleted earlier: whoever did it may have died before it had brought
        # everything over.
        for run in [] if kept.is_deleted else [*surplus, *deleted]:
            self._writer.bring(kept, content(self._client, run))
            self._writer.bring_files(run, kept)
        return kept

    def _make(self, trial: int | None, at: float) -> Run:
        """Create the run of `trial` (None: the study's), unless another host does so at the same
        moment.
        """
        if trial is None:
            name, tags, condition = (
                self._header.study,
                {KIND: "study"},
                f" AND tags.`{KIND}` = 'study'",
            )
        else:
            name, condition = f"trial-{trial:04d}", f" AND tags.`{TRIAL}` = '{trial}'"
            tags = {KIND: "trial", TRIAL: str(trial), PARENT: self._parent.id}
        tags |= {STUDY: self._header.study, STUDY_ID: self._header.id}
        self._client.create_run(self._experiment, start_time=to_ms(at), tags=tags, run_name=name)
        # The last of several hosts to have created one sees them all.
        kept = self._unite(self._find_runs(condition))
        if kept is None or (trial is not None and self._has_lost_parent()):
            raise RunMovedError(name)
        return kept

    def _has_lost_parent(self) -> bool:
        return not self._parent.is_deleted and self._writer.is_deleted(self._parent)
