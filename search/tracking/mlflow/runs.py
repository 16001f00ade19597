"""The runs of one study in an MLflow store: finding them, and keeping one of several that mean the
same trial.

MLflow knows no unique names, so two hosts that begin at the same moment may each create a run for
one trial, or for the study. Whoever sees such twins keeps the same one (`choose`), marks the others
and deletes them, and only then brings what they hold into the kept one: a deleted run takes nothing
more, so nothing can slip in between. The last to create a run sees all of them, so none is
overlooked.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from search.tracking.update import Point, StateAt, Update, make_state

STUDY, STUDY_ID, KIND, TRIAL = (
    "gridless.study",
    "gridless.study_id",
    "gridless.kind",
    "gridless.trial",
)
STATE, STATE_AT = "state", "gridless.state_at"
ENDED, ENDED_AT = "gridless.ended", "gridless.ended_at"
"""Only ends for good are written here, so that no host's late WAITING or RUNNING can overwrite
them.
"""
SUMMED_AT = "gridless.summed_at"
"""Of when the summary is that a run has, so that no host's older one overwrites it."""
TWIN_OF = "gridless.twin_of"
"""On a run that a mirror deleted: the run that was kept instead."""
PARENT = "mlflow.parentRunId"
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
_OURS = ("gridless.", "mlflow.")


class RunMovedError(Exception):
    """A run was deleted while it was written to: look it up again."""


@dataclass
class Run:
    """What the store is known to hold of a run."""

    id: str
    started_ms: int
    is_deleted: bool = False
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: set[str] = field(default_factory=set)
    """Names of the metrics it had when it was looked up."""
    inputs: set[str] = field(default_factory=set)
    """Names of the data that it was said to use."""
    status: str = "RUNNING"
    steps: dict[str, set[int]] = field(default_factory=dict)
    """Known steps by marker, filled when first asked for."""
    steps_at: float = float("-inf")
    """When `steps` was begun, seconds of the monotonic clock."""

    @property
    def state(self) -> StateAt | None:
        """The greatest state that it was given."""
        pairs = [
            (self.tags.get(name), self.tags.get(at))
            for name, at in ((STATE, STATE_AT), (ENDED, ENDED_AT))
        ]
        return max((make_state(name, float(at)) for name, at in pairs if name and at), default=None)

    @property
    def is_twin(self) -> bool:
        """Whether a mirror deleted it because another run means the same."""
        return self.is_deleted and TWIN_OF in self.tags


class Choice(NamedTuple):
    """Which of the runs that mean the same is kept."""

    kept: Run | None
    surplus: list[Run]
    """Still to be deleted."""
    deleted: list[Run]
    """Deleted by a mirror."""


def choose(runs: Iterable[Run]) -> Choice:
    """Choose among `runs` that mean the same: every host decides alike, whatever the order it sees
    them in.

    A run that the user deleted is kept as such if there is no other, and is not brought back.
    """
    every = sorted(runs, key=lambda run: (run.is_deleted, run.started_ms, run.id))
    candidates = [run for run in every if not run.is_twin]
    surplus = [run for run in candidates[1:] if not run.is_deleted]
    return Choice(next(iter(candidates), None), surplus, [run for run in every if run.is_twin])


def find_runs(client: Any, experiment: str, study_id: str, condition: str = "") -> Iterator[Run]:
    """Yield the runs of a study, also deleted ones, that meet `condition` (of MLflow's search
    language).
    """
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment],
            filter_string=f"tags.`{STUDY_ID}` = '{study_id}'{condition}",
            run_view_type=3,  # ViewType.ALL: a run that the user deleted is not made again
            max_results=1000,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            page_token=token,
        )
        yield from map(as_run, page)
        token = page.token
        if not token:
            return


def as_run(run: Any) -> Run:
    """Return MLflow's `run` as ours."""
    info, data = run.info, run.data
    return Run(
        id=info.run_id,
        started_ms=info.start_time or 0,
        is_deleted=info.lifecycle_stage == "deleted",
        params=dict(data.params),
        tags=dict(data.tags),
        metrics=set(data.metrics),
        inputs=({used.dataset.name for used in run.inputs.dataset_inputs} if run.inputs else set()),
        status=info.status,
    )


def discard(client: Any, run: Run, kept: Run) -> None:
    """Delete `run`, marked as a twin of `kept`. Raises RunMovedError when another was faster."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (takes seconds)

    try:
        client.set_tag(run.id, TWIN_OF, kept.id)
        client.delete_run(run.id)
    except MlflowException as error:
        if error.error_code in REFUSED:
            raise RunMovedError(run.id) from error
        raise
    run.tags[TWIN_OF] = kept.id
    run.is_deleted = True


def content(client: Any, run: Run) -> Update:
    """Return what `run` holds, its files excepted, as an update for another run."""
    fresh = as_run(client.get_run(run.id))
    points = {
        (name, metric.step): Point(metric.step, metric.timestamp / 1000, {name: metric.value})
        for name in sorted(fresh.metrics)
        for metric in client.get_metric_history(run.id, name)
    }
    tags = {
        name: value
        for name, value in fresh.tags.items()
        if not name.startswith(_OURS) and name != STATE
    }
    return Update(fresh.started_ms / 1000, dict(fresh.params), tags, points, fresh.state)
