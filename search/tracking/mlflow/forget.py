"""Deleting the runs of one study from an MLflow store."""

from pathlib import Path

from search.errors import RetryLaterError
from search.secret import redacted
from search.study.settings import FINAL
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.runs import find_runs


def has_store(uri: str) -> bool:
    """Whether there may be runs at `uri`: a file that isn't there holds none."""
    scheme, _, path = uri.partition(":///")
    return scheme != "sqlite" or Path(path).is_file()


def forget(uri: str, study: str, study_id: str) -> int:
    """Mark every run of `study`, whose id in its storage is `study_id`, as deleted in MLflow; how
    many there were.

    MLflow can restore them until `mlflow gc` removes them with their files. Its experiment stays:
    other studies of that name, later ones too, are in it. Raises RetryLaterError when MLflow is out
    of reach; runs that were marked until then stay so.
    """
    if not has_store(uri):
        return 0
    try:
        client = open_client(uri)
        # Earlier versions gave replicates an experiment of their own.
        named = {study, study.removesuffix(FINAL)}
        experiments = filter(None, map(client.get_experiment_by_name, sorted(named)))
        runs = [
            run
            for experiment in experiments
            for run in find_runs(client, experiment.experiment_id, study_id)
            if not run.is_deleted
        ]
        for run in runs:
            client.delete_run(run.id)
    except Exception as error:  # stores, servers and drivers each raise their own
        line = (redacted(str(error), uri).strip().splitlines() or [type(error).__name__])[0]
        rule = f"MLflow can't delete the runs of {study!r}: {line}"
        raise RetryLaterError(
            f"{rule}; nothing else was removed; try again, or leave --mlflow out"
        ) from error
    return len(runs)
