"""Writing to one run of an MLflow store, so that sending a thing twice changes nothing."""

import json
import logging
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from search.records import State
from search.secret import masked, redacted
from search.text import cut, visible
from search.tracking.mlflow.runs import (
    ENDED,
    ENDED_AT,
    REFUSED,
    STATE,
    STATE_AT,
    SUMMED_AT,
    Run,
    RunMovedError,
    as_run,
)
from search.tracking.outbox import Input
from search.tracking.update import Point, StateAt, Summary, Update, marker

_log = logging.getLogger(__name__)

_STATUS: dict[str, str] = {State.COMPLETE: "FINISHED", State.PRUNED: "KILLED", State.FAIL: "FAILED"}
_MAX_METRICS = 800
"""In a request: 1,000 things fit in one, and up to 100 params and 100 tags go with the metrics."""
_STALE_S = 20.0
"""How long known steps are believed: another host takes a trial over after a longer silence
only.
"""


class RunWriter:
    """Writes to the runs of the store behind `client`, whose address is `uri`. RunMovedError: the
    run was deleted.
    """

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri

    def is_deleted(self, run: Run) -> bool:
        """Whether `run` is deleted by now."""
        return bool(self._client.get_run(run.id).info.lifecycle_stage == "deleted")

    def bring(self, run: Run, update: Update) -> None:
        """Send what `update` has and `run` has not; nothing to a run that the user deleted."""
        if run.is_deleted:
            return
        points = [
            p for (key, step), p in update.points.items() if step not in self._steps(run, key)
        ]
        tags = dict(update.tags)
        if update.state and update.state.is_final:
            # In one request; what is less than an end for good needs a look before.
            tags |= _state_tags(_greatest(update.state, run))
        self.log(run, params=update.params, tags=tags, points=points)
        if update.state:
            self._set_state(run, update.state)
        if update.summary:
            self._sum_up(run, update.summary)
        for path in map(Path, update.paths):
            self._keep(run, path)

    def use(self, run: Run, inputs: Sequence[Input]) -> None:
        """Say what data `run` uses, unless that was said before. MLflow itself keeps each name and
        digest once.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        if run.is_deleted or run.inputs.issuperset(used.name for used in inputs):
            return
        try:
            self._client.log_inputs(run.id, datasets=[_as_dataset(used) for used in inputs])
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            if self.is_deleted(run):
                raise RunMovedError(run.id) from error
            _log.warning(
                "MLflow refuses the data of run %s: %s", run.id, redacted(str(error), self._uri)
            )
        run.inputs |= {used.name for used in inputs}

    def _sum_up(self, run: Run, summary: Summary) -> None:
        """Bring `summary` into the tags of `run` and, at step 0, into its metrics, unless it has a
        later one.

        Told again it changes nothing: MLflow drops a metric of the same step, time and value.
        """
        tags = {**summary.tags, SUMMED_AT: repr(summary.at)}
        if tags.items() <= run.tags.items():
            return  # written after the metrics
        self._look_again(run)
        if float(run.tags.get(SUMMED_AT, 0)) <= summary.at:
            self.log(
                run,
                tags=tags,
                points=[Point(0, summary.at, summary.values)] if summary.values else [],
            )

    def _set_state(self, run: Run, state: StateAt) -> None:
        """Bring the greatest of `state` and what any host gave to `run` into its tags and its
        status.

        MLflow has no comparing write. An end for good has tags of its own, written first, which a
        host that writes anything less looks for afterwards: one of the two always sees the other.
        """
        best = _greatest(state, run)
        if not best.is_final:
            self._look_again(run)
            best = _greatest(state, run)
        self._write_state(run, best)
        if not best.is_final:
            self._look_again(run)
            if (newer := _greatest(best, run)) != best:
                self._write_state(run, newer)

    def _write_state(self, run: Run, state: StateAt) -> None:
        self.log(run, tags=_state_tags(state))
        self.set_status(run, _STATUS.get(state.name, "RUNNING"), state.at)

    def _look_again(self, run: Run) -> None:
        now = as_run(self._client.get_run(run.id))
        if now.is_deleted:
            raise RunMovedError(run.id)
        run.tags, run.params, run.status = now.tags, now.params, now.status

    def set_status(self, run: Run, status: str, at: float) -> None:
        """Give `run` MLflow's `status`; `at` is when it ended, if it did, in Unix seconds."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        if status == run.status:
            return
        try:
            if status == "RUNNING":
                self._client.update_run(run.id, status)
            else:
                self._client.set_terminated(run.id, status, end_time=to_ms(at))
        except MlflowException as error:
            if error.error_code in REFUSED and self.is_deleted(run):
                raise RunMovedError(run.id) from error
            raise
        run.status = status

    def _steps(self, run: Run, key: str) -> set[int]:
        if time.monotonic() - run.steps_at > _STALE_S:
            run.steps, run.steps_at = {}, time.monotonic()
        if key not in run.steps:
            history = self._client.get_metric_history(run.id, _name(key))
            run.steps[key] = {metric.step for metric in history}
        return run.steps[key]

    def log(
        self,
        run: Run,
        *,
        params: Mapping[str, Any] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
        points: Sequence[Point] = (),
    ) -> None:
        """Send all `points`, and those of `params` and `tags` that `run` has not."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 (takes seconds)

        texts = {_name(key): _sendable(str(value)) for key, value in params.items()}
        labels = {_name(key): _sendable(value) for key, value in tags.items()}
        new_params = [Param(key, text) for key, text in texts.items() if key not in run.params]
        new_tags = [RunTag(key, text) for key, text in labels.items() if run.tags.get(key) != text]
        *first, last = _batches(points) or [[]]
        for batch in [*first, last]:
            metrics = [
                Metric(_name(k), v, to_ms(p.at), p.step) for p in batch for k, v in p.values.items()
            ]
            rest = {"params": new_params, "tags": new_tags} if batch is last else {}
            self._send(run, metrics=metrics, **rest)
        run.params |= {param.key: param.value for param in new_params}
        run.tags |= {tag.key: tag.value for tag in new_tags}
        for point in points:
            self._steps(run, marker(point.values)).add(point.step)

    def _send(self, run: Run, **parts: Sequence[Any]) -> None:
        """Log `parts` in one request, or in ever smaller ones if MLflow refuses it, to leave out
        what is bad.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        filled = {kind: things for kind, things in parts.items() if things}
        try:
            if filled:
                self._client.log_batch(run.id, **filled)
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            if self.is_deleted(run):
                raise RunMovedError(run.id) from error
            pieces = [(kind, piece) for kind, things in filled.items() for piece in _halves(things)]
            if len(pieces) == 1:
                _log.warning(
                    "MLflow refuses %s of run %s: %s",
                    *filled,
                    run.id,
                    redacted(str(error), self._uri),
                )
                return
            for kind, piece in pieces if len(filled) == 1 else filled.items():
                self._send(run, **{kind: piece})

    def _keep(self, run: Run, path: Path) -> None:
        if not path.exists():
            _log.warning("%s is gone and can't be kept in MLflow", path)
            return
        try:
            self._client.log_artifact(run.id, str(path))
        except (
            Exception
        ) as error:  # whatever the artifact store raises: there is one class per kind of store
            # A store out of reach is tried again; a file that can't be stored must not hold up the
            # rest.
            self._client.get_run(run.id)
            _log.warning("%s can't be kept in MLflow: %s", path, redacted(str(error), self._uri))
        if self.is_deleted(run):
            raise RunMovedError(run.id)

    def bring_files(self, twin: Run, kept: Run) -> None:
        """Copy the artifacts of `twin` to `kept`."""
        if not self._client.list_artifacts(twin.id):
            return
        with tempfile.TemporaryDirectory() as folder:
            self._client.log_artifacts(
                kept.id, self._client.download_artifacts(twin.id, "", folder)
            )


def _as_dataset(used: Input) -> Any:
    """`used` as MLflow's entity: a path as a place on this machine, a registered name as code."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 (takes seconds)

    is_path = Path(used.source).is_absolute()
    source = {"uri": used.source} if is_path else {"tags": {"mlflow.source.name": used.source}}
    dataset = Dataset(used.name, used.digest, "local" if is_path else "code", json.dumps(source))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", used.context)])


def _batches(points: Iterable[Point]) -> list[list[Point]]:
    """Divide `points` into requests of a size that MLflow takes, never a step: it arrives whole or
    not.
    """
    batches: list[list[Point]] = []
    n_metrics = _MAX_METRICS
    for point in points:
        if n_metrics + len(point.values) > _MAX_METRICS:
            batches.append([])
            n_metrics = 0
        batches[-1].append(point)
        n_metrics += len(point.values)
    return batches


def _state_tags(state: StateAt) -> dict[str, str]:
    tags = {STATE: state.name, STATE_AT: repr(state.at)}
    return tags | {ENDED: state.name, ENDED_AT: repr(state.at)} if state.is_final else tags


def _greatest(state: StateAt, run: Run) -> StateAt:
    return max(state, run.state) if run.state else state


def _halves(things: Sequence[Any]) -> list[Sequence[Any]]:
    middle = len(things) // 2
    return [half for half in (things[:middle], things[middle:]) if half]


def _sendable(text: str) -> str:
    """`text` as MLflow takes and shows it, without passwords."""
    return cut(visible(masked(text)))


def _name(key: str) -> str:
    """`key` with the characters that MLflow takes in a name."""
    return re.sub(r"[^/\w.\- :]", "_", key)[:250]


def to_ms(at: float) -> int:
    """Unix seconds as MLflow's milliseconds."""
    return round(at * 1000)
