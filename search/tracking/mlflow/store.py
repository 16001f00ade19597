"""Studies in an MLflow store: an experiment each, a run for it, below it one for each trial, and
below those one for each replicate.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.paths import home
from search.records import Epoch, Search, StudyRecord, TrialRecord
from search.secret import redacted
from search.study.settings import FINAL
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.inputs import data_inputs
from search.tracking.mlflow.pages import VIEW_TAG, view_of
from search.tracking.mlflow.runs import (
    KIND,
    MISSING,
    NOTE,
    PARENT,
    REPLICATE,
    STUDY,
    STUDY_ID,
    TRIAL,
    TWIN_OF,
    Run,
    as_run,
    find_runs,
)
from search.tracking.mlflow.writer import Point, RunWriter, to_ms
from search.tracking.protocol import GoneError, Ids, RefusedError
from search.tracking.summaries import Summary, measured, of_replicates, of_search, time_of_last
from search.tracking.titles import repeat_of, title
from search.tracking.uri import default_artifact_root, is_remote

_SETTINGS = ("n_trials", "epochs", "seed", "strategy", "validation_fraction", "precision")
_FACTS = ("model", "data", "data_digest", "space_digest")


@dataclass
class _Place:
    """Where a study lies."""

    experiment: str
    parent: Run
    """The study's own run."""
    is_nested: bool = False
    """Whether that is the run of another study, of whose trials these are replicates."""
    runs: dict[int, Run] = field(default_factory=dict)
    """Of trials that have not ended."""


class Store:
    """The MLflow store at `uri`. Any method may raise what MLflow raises."""

    def __init__(self, uri: str, ids: Ids) -> None:
        self._uri = uri
        self._ids = ids
        self._client = open_client(uri)
        self._writer = RunWriter(self._client, uri)
        self._places: dict[str, _Place] = {}
        """By the study's uid."""
        self._made: set[str] = set()
        """Experiments that were made by this object: in them is nothing that it doesn't know of."""

    def bring_trial(self, study: StudyRecord, trial: TrialRecord, new: Sequence[Epoch]) -> None:
        """Write what is new of a trial into its run."""
        place = self._place(study)
        if place.parent.is_deleted:
            return
        run = place.runs.get(trial.number) or self._trial_run(place, study, trial)
        place.runs[trial.number] = run
        at = _time_of(trial)
        summary = measured(trial) if trial.state.is_final else {}
        self._writer.use(run, data_inputs(study.spec))
        self._writer.log(
            run,
            params=trial.params if study.name.endswith(FINAL) else trial.trained_params,
            tags=_tags(study, trial),
            points=_points(trial, new),
            summary=summary,
            at=at,
        )
        self._writer.set_state(run, trial.state, at)
        if not trial.state.is_final:
            if not place.is_nested:
                self._writer.set_status(place.parent, "RUNNING", at)
            return
        del place.runs[trial.number]
        objective = study.objective
        best, before = (m.get(objective.best_key) for m in (summary, place.parent.metrics))
        if place.is_nested or best is None:
            return
        if before is None or objective.score(best) > objective.score(before):
            # Of several values MLflow shows the one of the latest time; trials' clocks may differ.
            self._writer.log(place.parent, summary={objective.best_key: best}, at=time.time())

    def bring_end(self, search: Search, files: Sequence[Path]) -> None:
        """Write what came of a search into the runs of it, its trials and their replicates."""
        at = time_of_last(search)
        parts = [(search.study, of_search(search))]
        parts += [(search.finalists, of_replicates(search))] if search.finalists else []
        for study, summaries in parts:
            place = self._place(study)
            trials = {trial.number: trial for trial in study.trials}
            for run in find_runs(self._client, place.experiment, study.uid):
                if run.trial in trials and not run.is_deleted:
                    self._sum_up(run, trials[run.trial], summaries.get(run.trial), at)
            if place.is_nested:
                continue
            summary = summaries.get(None, Summary({}, {}))
            tags = dict(summary.tags)
            tags |= {NOTE: tags.pop("note")} if "note" in tags else {}
            self._writer.log(place.parent, tags=tags, summary=summary.values, at=time.time())
            status = "FINISHED" if search.is_over else "RUNNING"
            self._writer.set_status(place.parent, status, at)
        self._keep(self._place(search.study).parent, files)

    def experiment_of(self, study: str) -> str | None:
        """The experiment that has the study's run; None before it has one."""
        stored = self._ids.get(study)
        return stored and str(self._client.get_run(stored).info.experiment_id)

    def _sum_up(self, run: Run, trial: TrialRecord, summary: Summary | None, at: float) -> None:
        summary = summary or Summary({}, {})
        tags = {"state": trial.state, **summary.tags}
        self._writer.log(run, tags=tags, summary=summary.values, at=at)
        self._writer.set_state(run, trial.state, _time_of(trial))

    def _keep(self, run: Run, files: Sequence[Path]) -> None:
        try:
            for path in files:
                self._writer.keep(run, path)
        except Exception as error:
            # Whatever the artifact store raises: there is one class per kind of store.
            self._client.get_run(run.id)  # MLflow itself may be away
            reason = redacted(" ".join(str(error).split()), self._uri) or type(error).__name__
            raise RefusedError(f"its report can't be kept in MLflow: {reason}") from error

    def _place(self, study: StudyRecord) -> _Place:
        if study.uid not in self._places:
            place = self._look_up(study)
            if not place.is_nested:
                facts = {key: study.spec.get(key) for key in _FACTS}
                facts |= {key: study.environment.get(key, "") for key in ("code_version", "device")}
                facts["kind"] = "replicates" if study.spec.get("replicates") else "search"
                settings = {key: study.spec.get(key) for key in _SETTINGS}
                tags = {key: f"{value}" for key, value in facts.items()}
                self._writer.log(place.parent, params=settings, tags=tags)
                self._writer.use(place.parent, data_inputs(study.spec))
                view = view_of(study.objective, study.spec.get("space", {}).get("params", ()))
                self._client.set_experiment_tag(place.experiment, VIEW_TAG, view)
            self._places[study.uid] = place
        return self._places[study.uid]

    def _look_up(self, study: StudyRecord) -> _Place:
        """Where the study lies: by its id, where an earlier version put it, or made now."""
        if stored := self._ids.get(study.name):
            return _Place(*self._by_id(study, stored))
        name = study.name.removesuffix(FINAL)
        # Earlier versions put replicates into an experiment of their own.
        for experiment_name in dict.fromkeys([study.name, name]):
            experiment = self._client.get_experiment_by_name(experiment_name)
            if experiment is None:
                continue
            self._check(experiment)
            for run in find_runs(self._client, experiment.experiment_id, study.uid):
                if run.trial is None:
                    return _Place(experiment.experiment_id, self._reserve(study, None, run))
        if name != study.name and (stored := self._ids.get(name)):
            return _Place(*self._by_id(study, stored), is_nested=True)
        made = self._make_experiment(name)
        run = self._make(made, study, None, study.name, {KIND: "study"}, _made(study))
        return _Place(made, run)

    def _by_id(self, study: StudyRecord, run_id: str) -> tuple[str, Run]:
        run = self._get(run_id)
        if run is None:
            raise GoneError(study.name)
        experiment = str(self._client.get_run(run_id).info.experiment_id)
        self._check(self._client.get_experiment(experiment))
        return experiment, run

    def _check(self, experiment: Any) -> None:
        if experiment.lifecycle_stage == "deleted":
            name, number = experiment.name, experiment.experiment_id
            raise RefusedError(
                f"MLflow's experiment {name!r} was deleted there; `mlflow experiments restore -x"
                f" {number}` brings it back, `mlflow gc --experiment-ids {number}` lets it be made"
                " anew"
            )

    def _make_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = None if is_remote(self._uri) else default_artifact_root(home()) / name
            uri = None if location is None else location.as_uri()
            try:
                made = str(self._client.create_experiment(name, artifact_location=uri))
                self._made.add(made)
                return made
            except MlflowException:
                # Another process may have been faster: names of experiments are unique.
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def _trial_run(self, place: _Place, study: StudyRecord, trial: TrialRecord) -> Run:
        """The run of a trial: by its id, as somebody left it who died too early, or made now."""
        if stored := self._ids.get(study.name, trial.number):
            return self._get(stored) or Run(stored, is_deleted=True)
        if place.experiment not in self._made:
            number = REPLICATE if place.is_nested else TRIAL
            condition = f" AND tags.`{number}` = '{trial.number}'"
            runs = list(find_runs(self._client, place.experiment, study.uid, condition))
            for run in sorted(runs, key=lambda run: run.is_deleted):
                return self._reserve(study, trial.number, run)
        name = f"trial-{trial.number:04d}"
        tags = {KIND: "trial", TRIAL: f"{trial.number}", PARENT: place.parent.id}
        if place.is_nested:
            repeat = repeat_of(study, trial)
            below = None
            if repeat and repeat.source is not None:
                below = self._ids.get(study.name.removesuffix(FINAL), repeat.source)
            name = title(study, trial)
            tags = {
                KIND: "replicate",
                REPLICATE: f"{trial.number}",
                PARENT: below or place.parent.id,
            }
        return self._make(place.experiment, study, trial.number, name, tags, _began(trial))

    def _make(
        self,
        experiment: str,
        study: StudyRecord,
        trial: int | None,
        name: str,
        tags: Mapping[str, str],
        at: float,
    ) -> Run:
        tags = {**tags, STUDY: study.name, STUDY_ID: study.uid}
        made = self._client.create_run(experiment, start_time=to_ms(at), tags=tags, run_name=name)
        run = as_run(made)
        run.is_new = True
        return self._reserve(study, trial, run)

    def _reserve(self, study: StudyRecord, trial: int | None, run: Run) -> Run:
        """The run that all processes use from now on: `run`, or that of one that was faster."""
        stored = self._ids.reserve(study.name, trial, run.id)
        if stored == run.id:
            return run
        if run.is_new:
            self._client.set_tag(run.id, TWIN_OF, stored)
            self._client.delete_run(run.id)
        return self._get(stored) or Run(stored, is_deleted=True)

    def _get(self, run_id: str) -> Run | None:
        """A run by its id; None if it is gone for good."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        try:
            return as_run(self._client.get_run(run_id))
        except MlflowException as error:
            if error.error_code != MISSING:
                raise
            return None


def _tags(study: StudyRecord, trial: TrialRecord) -> dict[str, str]:
    facts = study.environments.get(trial.environments[-1], {}) if trial.environments else {}
    tags: dict[str, object] = {
        "state": trial.state,
        "seed": trial.seed,
        "device": trial.device,
        "worker": trial.worker,
        "code_version": facts.get("code_version"),
        "data_digest": study.spec.get("data_digest"),
        "reason": trial.reason,
    }
    repeat = repeat_of(study, trial)
    tags["source_trial"] = repeat.source if repeat else None
    return {name: f"{value}" for name, value in tags.items() if value is not None}


def _points(trial: TrialRecord, new: Sequence[Epoch]) -> list[Point]:
    points = [Point(e.step, e.at, {**e.values, "seconds": e.seconds}) for e in new]
    if score := trial.evaluation:
        names = ("accuracy", "loss")
        values = {f"final_{score.split}_{name}": getattr(score, name) for name in names}
        points.append(Point(trial.total_epochs or 1, score.at or _time_of(trial), values))
    return points


def _began(trial: TrialRecord) -> float:
    return trial.started.timestamp() if trial.started else _time_of(trial)


def _made(study: StudyRecord) -> float:
    return time.time() if study.made is None else study.made


def _time_of(trial: TrialRecord) -> float:
    """When it ended, or what was heard of it last; Unix seconds."""
    if trial.ended:
        return trial.ended.timestamp()
    return trial.curve[-1].at if trial.curve else time.time()
