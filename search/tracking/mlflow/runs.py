"""The runs of one study in an MLflow store: what they are tagged with, and finding them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

STUDY, STUDY_ID, KIND = ("gridless.study", "gridless.study_id", "gridless.kind")
TRIAL = "gridless.trial"
REPLICATE = "gridless.replicate"
"""The number of a replicate; earlier versions gave it as TRIAL, in an experiment of its own."""
TWIN_OF = "gridless.twin_of"
"""On a run that a mirror deleted: the run that was kept instead."""
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
"""MLflow shows this tag as the run's description."""
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
MISSING = "RESOURCE_DOES_NOT_EXIST"


@dataclass
class Run:
    """What the store is known to hold of a run."""

    id: str
    is_deleted: bool = False
    """By the user: nothing is written to it, and it is not made again."""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The latest value of each."""
    inputs: set[str] = field(default_factory=set)
    """Names of the data that it was said to use."""
    status: str = "RUNNING"
    is_new: bool = False
    """Made by this process, so that nothing is there that it doesn't know of."""
    steps: dict[str, set[int]] = field(default_factory=dict)
    """Steps that are there, by metric, filled when first asked for."""

    @property
    def trial(self) -> int | None:
        """The number of the trial or replicate; None for a study's run."""
        text = self.tags.get(TRIAL) or self.tags.get(REPLICATE, "")
        return int(text) if text.isdecimal() else None


def find_runs(client: Any, experiment: str, study_id: str, condition: str = "") -> Iterator[Run]:
    """Yield the runs of a study that meet `condition` (of MLflow's search language), the oldest
    first: those too that the user deleted, but not those of which another was kept.
    """
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment],
            filter_string=f"tags.`{STUDY_ID}` = '{study_id}'{condition}",
            run_view_type=3,  # ViewType.ALL
            max_results=1000,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
            page_token=token,
        )
        for run in map(as_run, page):
            if not (run.is_deleted and TWIN_OF in run.tags):
                yield run
        token = page.token
        if not token:
            return


def as_run(run: Any) -> Run:
    """MLflow's `run` as ours."""
    info, data = run.info, run.data
    return Run(
        id=info.run_id,
        is_deleted=info.lifecycle_stage == "deleted",
        params=dict(data.params),
        tags=dict(data.tags),
        metrics=dict(data.metrics),
        inputs=({used.dataset.name for used in run.inputs.dataset_inputs} if run.inputs else set()),
        status=info.status,
    )
