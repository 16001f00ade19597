"""Bringing studies to MLflow in this process, and reading it."""

from collections import Counter
from dataclasses import replace

from search.study.storage.claim import WorkerIdentity
from search.tracking.follow import Follower
from search.tracking.mirror import Mirror
from search.tracking.mlflow.tracker import MlflowTracker

ME = WorkerIdentity.me("me")
DEAD = replace(WorkerIdentity.me("dead"), pid=2**22 + 1)
"""A process that is gone."""
ELSEWHERE = replace(WorkerIdentity.me("far/1"), host="far", pid=1)
"""A process of another machine."""


def mirror(storage, owner=ME, make=MlflowTracker):
    """What brings the studies of `storage` to MLflow, as the process `owner`."""
    return Mirror(storage, "mlflow", make, owner)


def mirrored(storage, *names, limit_s=60.0, **options):
    """Bring what MLflow lacks of the searches `names`, or of all; what came of it."""
    thorough = options.pop("thorough", False)
    follower = Follower(lambda: mirror(storage, **options), "mlflow")
    return follower.finish(names or None, limit_s, thorough=thorough)


def client(uri):
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri, registry_uri=uri)


def runs(uri, study="mlp-digits"):
    """The runs of `study` by name; fails if two have one name."""
    mlflow = client(uri)
    rows = mlflow.search_runs([mlflow.get_experiment_by_name(study).experiment_id])
    assert max(Counter(run.info.run_name for run in rows).values()) == 1
    return {run.info.run_name: run for run in rows}


def steps(uri, run, key="val_accuracy"):
    return [metric.step for metric in client(uri).get_metric_history(run.info.run_id, key)]
