"""Writing to one run of an MLflow store, so that writing a thing twice changes nothing."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from search.records import State
from search.secret import masked, redacted
from search.text import cut, visible
from search.tracking.mlflow.inputs import Input
from search.tracking.mlflow.runs import REFUSED, Run

_log = logging.getLogger(__name__)

_STATUS: dict[str, str] = {State.COMPLETE: "FINISHED", State.PRUNED: "KILLED", State.FAIL: "FAILED"}
_MAX_METRICS = 800
"""In a request: 1,000 things fit in one, and up to 100 params and 100 tags go with the metrics."""


class Point(NamedTuple):
    """What was measured at one step; `at` in Unix seconds."""

    step: int
    at: float
    values: Mapping[str, float]

    @property
    def marker(self) -> str:
        """The one metric whose steps say which steps are there."""
        return "val_accuracy" if "val_accuracy" in self.values else min(self.values)


class RunWriter:
    """Writes to the runs of the store behind `client`, whose address is `uri`.

    Methods raise what MLflow raises when it is out of reach. To a run that the user deleted they
    write nothing, and note in it that it is.
    """

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri

    def log(
        self,
        run: Run,
        *,
        params: Mapping[str, Any] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
        points: Sequence[Point] = (),
        summary: Mapping[str, float] = MappingProxyType({}),
        at: float = 0.0,
    ) -> None:
        """Write what `run` has not of `params` (the first value stays), `tags`, `points` and, as of
        `at` at step 0, of `summary`.
        """
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 (takes seconds)

        texts = {_name(key): _sendable(str(value)) for key, value in params.items()}
        labels = {_name(key): _sendable(value) for key, value in tags.items()}
        new_params = [Param(key, text) for key, text in texts.items() if key not in run.params]
        new_tags = [RunTag(key, text) for key, text in labels.items() if run.tags.get(key) != text]
        new_points = [p for p in points if p.values and p.step not in self._steps(run, p.marker)]
        changed = {k: v for k, v in summary.items() if run.metrics.get(_name(k)) != v}
        summed_up = [Point(0, at, changed)] if changed else []
        *first, last = _batches([*new_points, *summed_up]) or [[]]
        for batch in [*first, last]:
            metrics = [
                Metric(_name(k), v, to_ms(p.at), p.step) for p in batch for k, v in p.values.items()
            ]
            rest = {"params": new_params, "tags": new_tags} if batch is last else {}
            self._send(run, metrics=metrics, **rest)
        run.params |= {param.key: param.value for param in new_params}
        run.tags |= {tag.key: tag.value for tag in new_tags}
        run.metrics |= {_name(k): v for k, v in changed.items()}
        for point in new_points:
            self._steps(run, point.marker).add(point.step)

    def use(self, run: Run, inputs: Sequence[Input]) -> None:
        """Say what data `run` uses, unless that was said before."""
        if not run.inputs.issuperset(used.name for used in inputs):
            datasets = [_as_dataset(used) for used in inputs]
            self._try(run, lambda: self._client.log_inputs(run.id, datasets=datasets), "the data")
            run.inputs |= {used.name for used in inputs}

    def set_state(self, run: Run, state: str, at: float) -> None:
        """Give `run` the MLflow status of a trial's `state`; `at` is when it ended, if it did."""
        self.set_status(run, _STATUS.get(state, "RUNNING"), at)

    def set_status(self, run: Run, status: str, at: float) -> None:
        """Give `run` MLflow's `status`; `at` is when it ended, if it did, in Unix seconds."""
        if status == run.status:
            return
        if status == "RUNNING":
            self._try(run, lambda: self._client.update_run(run.id, status), "a status")
        else:
            end = to_ms(at)
            self._try(
                run,
                lambda: self._client.set_terminated(run.id, status, end_time=end),
                "a status",
            )
        run.status = status

    def keep(self, run: Run, path: Path) -> None:
        """Keep the file or folder `path` with `run`. Raises what the artifact store raises."""
        if not run.is_deleted:
            self._client.log_artifact(run.id, str(path))

    def _steps(self, run: Run, key: str) -> set[int]:
        if key not in run.steps:
            history = [] if run.is_new else self._client.get_metric_history(run.id, _name(key))
            run.steps[key] = {metric.step for metric in history}
        return run.steps[key]

    def _send(self, run: Run, **parts: Sequence[Any]) -> None:
        """Log `parts` in one request, or in ever smaller ones if MLflow refuses it, to leave out
        what is bad.
        """
        filled = {kind: things for kind, things in parts.items() if things}
        if not filled:
            return
        if self._try(run, lambda: self._client.log_batch(run.id, **filled), " and ".join(filled)):
            return
        pieces = [(kind, piece) for kind, things in filled.items() for piece in _halves(things)]
        if run.is_deleted or len(pieces) == 1:
            return
        for kind, piece in pieces if len(filled) == 1 else filled.items():
            self._send(run, **{kind: piece})

    def _try(self, run: Run, call: Callable[[], object], what: str) -> bool:
        """Whether MLflow takes a call; what it refuses is logged and left out."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

        if run.is_deleted:
            return False
        try:
            call()
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            now = self._client.get_run(run.id)
            run.is_deleted = now.info.lifecycle_stage == "deleted"
            if not run.is_deleted:
                reason = redacted(str(error), self._uri)
                _log.warning("MLflow refuses %s of run %s: %s", what, run.id, reason)
            return False
        return True


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
