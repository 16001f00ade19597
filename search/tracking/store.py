"""One study's place in an MLflow store: its experiment, its run and its trials' runs."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.tracking.database import open_client
from search.tracking.fold import Point, State, Update, make_state, marker
from search.tracking.outbox import Header
from search.tracking.uri import is_remote

_log = logging.getLogger(__name__)

STUDY, STUDY_ID, KIND, TRIAL = "gridless.study", "gridless.study_id", "gridless.kind", "gridless.trial"
STATE, STATE_AT = "state", "gridless.state_at"
_PARENT = "mlflow.parentRunId"
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
_MAX_METRICS = 800
"""In a request: 1,000 things fit in one, and up to 100 params and 100 tags go with the metrics."""
_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


@dataclass
class _Run:
    """What the store is known to hold of a run."""

    id: str
    is_new: bool
    is_deleted: bool = False
    params: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    steps: dict[str, set[int]] = field(default_factory=dict)
    """Known steps by marker, filled when first asked for."""

    @property
    def state(self) -> State | None:
        if STATE not in self.tags or STATE_AT not in self.tags:
            return None
        return make_state(self.tags[STATE], float(self.tags[STATE_AT]))


class StudyStore:
    """Brings updates into MLflow so that sending one twice changes nothing.

    What is there already is read once, when it is made. Any method may raise what MLflow raises; the object
    should then be dropped, since it no longer knows what arrived.
    """

    def __init__(self, uri: str, artifact_root: Path | None, header: Header) -> None:
        self._client = open_client(uri)
        self._header = header
        root = None if artifact_root is None or is_remote(uri) else artifact_root.absolute()
        self._experiment = self._find_experiment(root)
        found = list(self._find_runs())
        parent = next((run for run in found if run.tags.get(KIND) == "study"), None)
        self._parent = parent or self._create(header.study, {KIND: "study"}, header.at)
        self.run_id = self._parent.id
        """The study's run."""
        self._trials = {int(run.tags[TRIAL]): run for run in found if run.tags.get(TRIAL, "").isdecimal()}
        self._log(self._parent, params=header.params, tags=header.tags, points=())

    def apply(self, trial: int | None, update: Update) -> None:
        """Send what `update` has and the run of `trial` (None: the study's) has not."""
        run = self._parent if trial is None else self._find_trial(trial, update.first_at)
        if run.is_deleted:
            return
        tags, state = dict(update.tags), update.state
        if state and (run.state is None or state > run.state):
            # The status goes first and its tags last: after a crash between them it is sent again.
            self._set_status(run, _STATUS.get(state.name, "RUNNING"), state.at)
            tags |= {STATE: state.name, STATE_AT: repr(state.at)}
        points = [p for (key, step), p in update.points.items() if step not in self._steps(run, key)]
        self._log(run, params=update.params, tags=tags, points=points)
        for path in map(Path, update.paths):
            self._keep(run, path)

    def settle(self) -> None:
        """Mark the study's run finished if each of its trials is, running otherwise."""
        states = [run.state for run in self._trials.values() if not run.is_deleted]
        ends = [state.at for state in states if state and state.is_final]
        is_over = bool(states) and len(ends) == len(states)
        if not self._parent.is_deleted:
            self._set_status(self._parent, "FINISHED" if is_over else "RUNNING", max(ends, default=0))

    def _find_experiment(self, artifact_root: Path | None) -> str:
        name = self._header.study
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            location = None if artifact_root is None else (artifact_root / name).as_uri()
            return str(self._client.create_experiment(name, artifact_location=location))
        if experiment.lifecycle_stage == "deleted":
            number = experiment.experiment_id
            raise RuntimeError(
                f"MLflow's experiment {name!r} was deleted there; `mlflow experiments restore -x {number}` "
                f"brings it back, `mlflow gc --experiment-ids {number}` lets it be made anew"
            )
        return str(experiment.experiment_id)

    def _find_trial(self, trial: int, at: float) -> _Run:
        if trial not in self._trials:
            # Another machine, with an outbox of its own, may have made it since we looked.
            found = next(self._find_runs(f" AND tags.`{TRIAL}` = '{trial}'"), None)
            tags = {KIND: "trial", TRIAL: str(trial), _PARENT: self._parent.id}
            self._trials[trial] = found or self._create(f"trial-{trial:04d}", tags, at)
        return self._trials[trial]

    def _find_runs(self, condition: str = "") -> Iterator[_Run]:
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                filter_string=f"tags.`{STUDY_ID}` = '{self._header.id}'{condition}",
                run_view_type=3,  # ViewType.ALL: a run that the user deleted is not made again
                max_results=1000,
                order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
                page_token=token,
            )
            for run in page:
                info, data = run.info, run.data
                is_deleted = info.lifecycle_stage == "deleted"
                yield _Run(info.run_id, False, is_deleted, set(data.params), dict(data.tags), info.status)
            token = page.token
            if not token:
                return

    def _create(self, name: str, tags: Mapping[str, str], at: float) -> _Run:
        full = {STUDY: self._header.study, STUDY_ID: self._header.id, **tags}
        run = self._client.create_run(self._experiment, start_time=_ms(at), tags=full, run_name=name)
        return _Run(run.info.run_id, True, tags=full)

    def _set_status(self, run: _Run, status: str, at: float) -> None:
        if status == run.status:
            return
        if status == "RUNNING":
            self._client.update_run(run.id, status)
        else:
            self._client.set_terminated(run.id, status, end_time=_ms(at))
        run.status = status

    def _steps(self, run: _Run, key: str) -> set[int]:
        if key not in run.steps:
            history = () if run.is_new else self._client.get_metric_history(run.id, _name(key))
            run.steps[key] = {metric.step for metric in history}
        return run.steps[key]

    def _log(self, run: _Run, *, params: Mapping[str, Any], tags: Mapping[str, str], points: Sequence[Point]) -> None:
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 (takes seconds)

        named = {_name(key): value for key, value in params.items()}
        new_params = [Param(key, str(value)) for key, value in named.items() if key not in run.params]
        new_tags = [RunTag(_name(k), v) for k, v in tags.items() if run.tags.get(_name(k)) != v]
        *first, last = _batches(points) or [[]]
        for batch in [*first, last]:
            metrics = [Metric(_name(k), v, _ms(p.at), p.step) for p in batch for k, v in p.values.items()]
            rest = {"params": new_params, "tags": new_tags} if batch is last else {}
            self._send(run, metrics=metrics, **rest)
        run.params |= {param.key for param in new_params}
        run.tags |= {tag.key: tag.value for tag in new_tags}
        for point in points:
            self._steps(run, marker(point.values)).add(point.step)

    def _send(self, run: _Run, **parts: Sequence[Any]) -> None:
        """Log `parts` in one request, or in ever smaller ones if MLflow refuses it, to leave out what is bad."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        filled = {kind: things for kind, things in parts.items() if things}
        try:
            if filled:
                self._client.log_batch(run.id, **filled)
        except MlflowException as error:
            if error.error_code not in _REFUSED:
                raise
            pieces = [(kind, piece) for kind, things in filled.items() for piece in _halves(things)]
            if len(pieces) == 1:
                _log.warning("MLflow refuses %s of run %s: %s", *filled, run.id, error)
                return
            for kind, piece in pieces if len(filled) == 1 else filled.items():
                self._send(run, **{kind: piece})

    def _keep(self, run: _Run, path: Path) -> None:
        if not path.exists():
            _log.warning("%s is gone and can't be kept in MLflow", path)
            return
        try:
            self._client.log_artifact(run.id, str(path))
        except Exception as error:  # whatever the artifact store raises: there is one class per kind of store
            # A store out of reach is tried again; a file that can't be stored must not hold up the rest.
            self._client.get_run(run.id)
            _log.warning("%s can't be kept in MLflow: %s", path, error)


def _batches(points: Iterable[Point]) -> list[list[Point]]:
    """Divide `points` into requests of a size that MLflow takes, never a step: it arrives whole or not."""
    batches: list[list[Point]] = []
    n_metrics = _MAX_METRICS
    for point in points:
        if n_metrics + len(point.values) > _MAX_METRICS:
            batches.append([])
            n_metrics = 0
        batches[-1].append(point)
        n_metrics += len(point.values)
    return batches


def _halves(things: Sequence[Any]) -> list[Sequence[Any]]:
    middle = len(things) // 2
    return [half for half in (things[:middle], things[middle:]) if half]


def _name(key: str) -> str:
    """`key` with the characters that MLflow takes in a name."""
    return re.sub(r"[^/\w.\- :]", "_", key)[:250]


def _ms(at: float) -> int:
    return int(at * 1000)
