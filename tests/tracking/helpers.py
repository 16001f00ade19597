"""Telling an outbox of trials, and reading MLflow."""

from collections import Counter


def run_trial(outbox, trial, steps, state, *, at=100.0):
    outbox.start(trial, at=at, tags={"device": "cpu"})
    outbox.params(trial, {"lr": 0.1, "units": 32})
    for step in steps:
        outbox.metrics(trial, step, {"val_accuracy": step / 10, "loss": 1.0}, at=at + step)
    if state:
        outbox.end(trial, state, at=at + 50, tags={"reason": "told so"})


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
