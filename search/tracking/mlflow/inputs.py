"""The parts of a data set that a study's runs use, as MLflow lists them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_DIGEST = 12
"""Characters of a data set's digest, as elsewhere; MLflow takes 36."""


class Input(NamedTuple):
    """A part of a data set."""

    name: str
    """Different for each part of one data set: MLflow tells data by name and digest."""
    digest: str
    context: str
    """What it is used for: training, validation or test."""
    source: str
    """What loads it: a registered name or a path."""


def data_inputs(spec: Mapping[str, Any]) -> list[Input]:
    """The parts of its data set that the trials of a study of `spec` see, and what for."""
    parts = {"training": "training", "validation": "validation"}
    if replicates := spec.get("replicates"):
        titles = {"train": "training", "all": "training+validation"}
        parts = {titles[r["train_on"]]: "training" for r in replicates}
        parts |= {r["evaluate"]: r["evaluate"] for r in replicates if r["evaluate"] != "train"}
    digest, source = str(spec["data_digest"])[:_DIGEST], str(spec["data_source"])
    return [
        Input(f"{spec['data']}.{part}", digest, context, source) for part, context in parts.items()
    ]
