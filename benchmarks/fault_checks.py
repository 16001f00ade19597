"""What a study must look like after faults, whatever they were; and its trials trained again,
undisturbed.

`python benchmarks/fault_checks.py < jobs.json` is the second half: it trains jobs one after another
in this process and prints their epochs as JSON.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.records import TrialRecord
from search.study.settings import FINAL
from search.study.storage.ledger import Ledger
from search.training.job import Job
from search.worker.data import data_for
from search.worker.engines.devices import Device, environment_for

ENDED = ("COMPLETE", "PRUNED", "FAIL")
NOT_REPEATED = ("seconds", "at")
"""What differs between two trainings of one setting."""
NAMES = ("loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds")
"""Metrics of one epoch in MLflow."""


def storage_problems(ledger: Ledger, n_trials: int) -> list[str]:
    """What is wrong with the study's trials, in the project's eyes and in Optuna's."""
    trials = ledger.trials()
    problems = [f"{len(trials)} trials instead of {n_trials}"] * (len(trials) != n_trials)
    problems += [f"trial {t.number} is {t.state}" for t in trials if t.state not in ENDED]
    problems += [
        f"trial {t.number} failed: {t.reason}"
        for t in trials
        if t.state == "FAIL" and not t.untrainable
    ]
    problems += [
        f"trial {t.number} ended with nothing trained"
        for t in trials
        if t.state == "PRUNED" and not t.curve
    ]
    cut = [t for t in trials if t.state == "COMPLETE" and t.epochs != t.total_epochs]
    problems += [
        f"trial {t.number} is complete after {t.epochs} of {t.total_epochs} epochs" for t in cut
    ]
    stored = {t.number: t for t in ledger.storage.get_all_trials(ledger.study_id)}
    for trial in trials:
        whole = list(range(1, trial.epochs + 1))
        valued = [e.step for e in trial.curve if e.val_accuracy is not None]
        if [e.step for e in trial.curve] != whole or sorted(
            stored[trial.number].intermediate_values
        ) != valued:
            problems.append(
                f"trial {trial.number} has gaps or repeats: {[e.step for e in trial.curve]}"
            )
    return problems


def mlflow_problems(database: Path, study: str, trials: Sequence[TrialRecord]) -> list[str]:
    """What is wrong with a study's runs in MLflow's own tables, where doubles show."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        runs = connection.execute(
            "select run_uuid from runs where lifecycle_stage = 'active'"
        ).fetchall()
        tags: dict[str, dict[str, str]] = {run: {} for (run,) in runs}
        for run, key, value in connection.execute("select run_uuid, key, value from tags"):
            tags.get(run, {})[key] = value
        points: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for run, key, step, value in connection.execute(
            "select run_uuid, key, step, value from metrics order by step"
        ):
            points.setdefault((run, key), []).append((step, value))
    ours = {run for run in tags if tags[run].get("gridless.study") == study}
    children = {run for run in ours if "mlflow.parentRunId" in tags[run]}
    n_parents = len(ours) - len(children)
    # Replicates are below the trials that they repeat.
    n_expected = 0 if study.endswith(FINAL) else 1
    problems = [f"{n_parents} parent runs of {study} in MLflow instead of {n_expected}"] * (
        n_parents != n_expected
    )
    n_children = len(children)
    problems += [f"{n_children} child runs of {study} in MLflow instead of {len(trials)}"] * (
        n_children != len(trials)
    )
    number = "gridless.replicate" if study.endswith(FINAL) else "gridless.trial"
    by_number = {int(tags[run][number]): run for run in children}
    for trial in trials:
        run = by_number.get(trial.number, "")
        stored = {name: _points(trial, name) for name in NAMES}
        sent = {name: points.get((run, name), []) for name in NAMES}
        wrong = [
            f"{name} {len(sent[name])} for {len(stored[name])}"
            for name in NAMES
            if sent[name] != stored[name]
        ]
        problems += [f"trial {trial.number} of {study} in MLflow: {', '.join(wrong)}"] * bool(wrong)
        state = tags.get(run, {}).get("state")
        problems += [f"trial {trial.number} is {trial.state}, in MLflow {state}"] * (
            state != trial.state
        )
    return problems


def _points(trial: TrialRecord, name: str) -> list[tuple[int, float]]:
    """What MLflow should have of one metric; replicates are not validated."""
    values = [(e.step, e.report.get(name)) for e in trial.curve]
    return [(step, float(value)) for step, value in values if value is not None]


def curve_problems(ledger: Ledger, trials: Iterable[TrialRecord]) -> list[str]:
    """Which of `trials` differ from undisturbed trainings of the same setting and seed."""
    trials = list(trials)
    with tempfile.TemporaryDirectory(prefix="gridless-again-") as folder:
        jobs = [asdict(_job(ledger, trial, Path(folder))) for trial in trials]
        jobs = [
            {"job": job, "epochs": trial.epochs} for job, trial in zip(jobs, trials, strict=True)
        ]
        variables = (
            os.environ | environment_for(Device("CPU"), threads=1) | {"TF_CPP_MIN_LOG_LEVEL": "2"}
        )
        done = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps(jobs),
            env=variables,
            text=True,
            check=False,
            capture_output=True,
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    again = json.loads(done.stdout.splitlines()[-1])
    problems = []
    for trial, curve in zip(trials, again, strict=True):
        if (was := [_repeated(e.report) for e in trial.curve]) != curve:
            step = next(
                (e["step"] for e, a in zip(was, curve, strict=False) if e != a), len(curve) + 1
            )
            problems.append(
                f"trial {trial.number} differs from an undisturbed one from epoch {step} on"
            )
    return problems


def _job(ledger: Ledger, trial: TrialRecord, folder: Path) -> Job:
    data = data_for(ledger.spec)
    return Job(
        model=ledger.spec.model,
        params=dict(trial.params),
        seed=trial.seed or 0,
        total_epochs=trial.total_epochs or 1,
        data=str(data.folder),
        input_shape=data.input_shape,
        n_classes=data.n_classes,
        checkpoint=str(folder / f"{trial.number}.npz"),
        evidence=str(folder),
        number=trial.number,
        cache=str(folder / "cache"),
        precision=ledger.spec.precision,
    )


def _repeated(metrics: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in metrics.items() if name not in NOT_REPEATED}
    return {name: value for name, value in kept.items() if value is not None}


def main() -> int:
    """Train the jobs on stdin, each for as many epochs as its trial has."""
    from search.training.trainer import train

    curves = []
    for question in json.load(sys.stdin):
        curve: list[dict[str, Any]] = []

        def on_epoch(
            step: int, metrics: Any, curve: list[Any] = curve, last: int = question["epochs"]
        ) -> str:
            curve.append(_repeated(dict(metrics)))
            return "go on" if step < last else "stop"

        job = question["job"] | {"input_shape": tuple(question["job"]["input_shape"])}
        train(Job(**job), on_built=lambda _n: None, on_epoch=on_epoch)
        curves.append(curve)
    print(json.dumps(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
