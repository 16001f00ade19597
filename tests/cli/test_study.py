"""`gridless study` from start to end, on the digits."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import mlflow
import pytest

from search.training.job import Job
from tests.cli import own_models
from tests.cli.helpers import (
    QUICK,
    SLOW,
    epochs_stored,
    gridless,
    kill_all,
    rows,
    start,
    study,
    wait_for,
    workers_of,
)
from tests.worker.helpers import pretend

FIRST_COLUMNS = [
    "rank",
    "study",
    "model",
    "data",
    "trial",
    "state",
    "val_accuracy",
    "best_epoch",
    "epochs",
    "train_s",
    "n_params",
]


def finished(home: Path, name: str) -> list[str]:
    """The states of a study's trials, which must be all there are: none waiting, none running, none
    twice.
    """
    record = study(home, name)
    assert record is not None
    assert [t.number for t in record.trials] == list(range(len(record.trials)))
    for trial in record.trials:
        assert [e.step for e in trial.curve] == list(range(1, trial.epochs + 1))
    return [t.state for t in record.trials]


def test_a_study_runs_to_a_leaderboard_and_again_and_further(own_home: Path, command: Any) -> None:
    finals = ("--finalists", "1", "--n-replicates", "2")
    done = gridless("study", "mlp", "digits", "--n-trials", "4", *QUICK, *finals)
    assert done.returncode == 0, done.stderr
    if "gridless sync" in done.stderr:  # a busy machine: MLflow took longer than anybody waits
        assert gridless("sync", "mlp-digits").returncode == 0
    assert "Leaderboard of mlp-digits" in done.stdout
    assert "360 test images" in " ".join(done.stdout.split())
    assert str(own_home / "mlp-digits" / "report.html") in done.stdout.replace("\n", "")
    table = rows(own_home, "mlp-digits")
    assert list(table[0])[:11] == FIRST_COLUMNS
    assert {"param.lr", "param.units", "param.optimizer"} <= table[0].keys()
    assert [r["rank"] for r in table] == ["1", "2", "3", "4"]
    assert sorted(r["trial"] for r in table) == ["0", "1", "2", "3"]
    document = next(r for r in table if r["trial"] == "0")
    assert (document["state"], document["param.lr"], document["epochs"]) == ("COMPLETE", "0.1", "4")
    assert set(finished(own_home, "mlp-digits")) <= {"COMPLETE", "PRUNED"}
    assert not (own_home / "mlp-digits" / "checkpoints").exists()
    assert mlflow_runs(own_home, "mlp-digits") == {
        "study": 1,
        "0": 4,
        **{str(n): table_epochs(table, n) for n in (1, 2, 3)},
    }

    replicated = {"0", table[0]["trial"]}
    assert {r["trial"] for r in table if r["n_replicates"] == "2"} == replicated
    assert all((r["test_accuracy_mean"] != "") == (r["trial"] in replicated) for r in table)
    assert finished(own_home, "mlp-digits.final") == ["COMPLETE"] * 2 * len(replicated)

    before = (own_home / "mlp-digits" / "leaderboard.csv").read_text()
    quiet = ("--json", "--quiet", "--no-mlflow")
    code, out, err = command("study", "mlp", "digits", "--n-trials", "4", *quiet, *QUICK, *finals)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["study"], Path(told["model"]).name) == ("mlp-digits", "model.keras")
    assert Path(told["model"]).is_file()
    assert (own_home / "mlp-digits" / "leaderboard.csv").read_text() == before

    logs = written(own_home / "mlp-digits" / "logs")
    once_more = command("study", "mlp", "digits", "--n-trials", "4", *quiet, *QUICK, *finals)
    assert once_more == (0, out, "")
    assert written(own_home / "mlp-digits" / "logs") == logs, "workers were started for nothing"

    code, _, err = command("study", "mlp", "digits", "--n-trials", "5", "--seed", "9", *QUICK)
    assert (code, "seed" in err) == (2, True)
    assert (own_home / "mlp-digits" / "leaderboard.csv").read_text() == before


def written(folder: Path) -> dict[Path, int]:
    """When each file of `folder` was last written."""
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert files
    return files


def table_epochs(table: list[dict[str, str]], trial: int) -> int:
    return next(int(r["epochs"]) for r in table if r["trial"] == str(trial))


def mlflow_runs(home: Path, name: str) -> dict[str, int]:
    """Trial → points of val_accuracy in MLflow, and how many parents there are."""
    client = mlflow.MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found = {"study": 0}
    for run in client.search_runs([experiment.experiment_id]):
        trial = run.data.tags.get("gridless.trial")
        if run.data.tags["gridless.kind"] == "study":
            found["study"] += 1
        elif trial is not None:
            found[trial] = len(client.get_metric_history(run.info.run_id, "val_accuracy"))
    return found


def test_whatever_ends_a_study_the_same_command_goes_on_from_the_last_epoch(own_home: Path) -> None:
    """A worker that is killed, a Ctrl-C, a power cut and data that vanish, one after the other."""
    command = ("study", "mlp", "digits", "--n-trials", "2", "--workers", "1", "--no-mlflow", *SLOW)
    process = start(*command)
    wait_for(lambda: epochs_stored(own_home, "mlp-digits") >= 1, process)
    [worker] = workers_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    seen = epochs_stored(own_home, "mlp-digits")
    wait_for(lambda: epochs_stored(own_home, "mlp-digits") > seen, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "goes on" in err
    assert "Leaderboard" in out
    assert "Traceback" not in err
    stopped = study(own_home, "mlp-digits")
    assert stopped is not None
    assert "RUNNING" not in {t.state for t in stopped.trials}
    assert stopped.trials[0].epochs > seen

    process = start(*command)
    wait_for(lambda: epochs_stored(own_home, "mlp-digits") > stopped.trials[0].epochs, process)
    kill_all(process)
    cut = study(own_home, "mlp-digits")
    assert cut is not None
    assert "RUNNING" in {t.state for t in cut.trials}
    curve = cut.trials[0].curve
    assert curve[: stopped.trials[0].epochs] == stopped.trials[0].curve

    process = start(*command)
    wait_for(lambda: epochs_stored(own_home, "mlp-digits") > len(curve), process)
    shutil.rmtree(own_home / ".cache")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, (out, err)
    assert "x_train.npy" in err or ".cache" in err
    left = study(own_home, "mlp-digits")
    assert left is not None
    assert [t.state for t in left.trials] == ["COMPLETE", "WAITING"], "the fault is no trial's"

    assert gridless(*command).returncode == 0
    assert set(finished(own_home, "mlp-digits")) <= {"COMPLETE", "PRUNED"}
    whole = study(own_home, "mlp-digits")
    assert whole is not None
    assert len(whole.trials) == 2
    assert whole.trials[0].curve[: len(curve)] == curve
    assert sum(t.n_retries for t in whole.trials) == 2


def test_every_fault_of_a_trial_ends_that_trial_with_its_reason(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a script that takes arguments, in a folder whose other files have the names of modules."""
    for name in (
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
    ):
        monkeypatch.setenv(name, own_models.SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://u:{own_models.SECRET}@127.0.0.1:1")
    arguments = (
        "import argparse\nparser ="
        " argparse.ArgumentParser()\nparser.add_argument('--units')\nparser.parse_args()\n"
    )
    (tmp_path / "own_models.py").write_text(arguments + Path(own_models.__file__).read_text())
    (tmp_path / "own.yaml").write_text(own_models.SPACE)
    for name in ("search", "queue", "random", "test", "keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('it is not me that you mean')")
    reasons = {
        "raises": "no such layer",
        "exits": "exit code 7",
        "is killed": "SIGKILL",
        "hangs": "time limit",
        "runs out of memory": "out of memory",
        "goes nan": "NaN",
        "interrupts": "KeyboardInterrupt",
        "quits": "SystemExit: enough",
        "stops": "StopError: enough",
    }
    tries = [part for fault in reasons for part in ("--try", f"fault={fault}")]
    done = gridless(
        "study",
        "own_models:build",
        "digits",
        "--space",
        "own.yaml",
        "--name",
        "own",
        "--n-trials",
        "10",
        "--trial-timeout",
        "20",
        "--no-mlflow",
        "--finalists",
        "0",
        *tries,
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    record = study(own_home, "own")
    assert record is not None
    assert [t.state for t in record.trials] == ["COMPLETE"] + ["FAIL"] * 9
    for trial, part in zip(record.trials[1:], reasons.values(), strict=True):
        assert part in (trial.reason or ""), trial.reason
    assert "Traceback" in (record.trials[1].log_tail or "")
    assert [r["rank"] for r in rows(own_home, "own")] == ["1", *[""] * 9]
    assert "no such layer" in (own_home / "own" / "report.html").read_text()
    again = gridless("reproduce", "own", "0", folder=tmp_path)
    assert "trial 0 of own: bit-equal" in again.stdout, again.stderr


def fail(*_: object, **__: object) -> str:
    raise RuntimeError("no such layer")


@pytest.mark.parametrize("pretending", [fail], indirect=True)
def test_a_study_in_which_nothing_could_be_trained_exits_with_1(
    own_home: Path, command: Any, pretending: None
) -> None:
    code, out, err = command("study", "mlp", "digits", "--n-trials", "7", "--no-mlflow")
    assert (code, "3 failed" in out) == (1, True)
    why = "its first 3 trials failed alike, before an epoch: RuntimeError('no such layer')"
    assert f"error: the study ended: {why}; 4 of 7 trials are left" in err
    assert finished(own_home, "mlp-digits") == ["FAIL"] * 3
    page = (own_home / "mlp-digits" / "report.html").read_text()
    assert (
        '<p class="status failed"><b>Failed</b> 3 of 7 trials started: its first 3 trials failed'
        " alike" in page
    )
    assert "its first 3 trials failed alike" in " ".join(
        command("status", "mlp-digits", "--json")[1].split()
    )


def fail_until_mended(job: Job, **told: Any) -> str:
    return pretend(job, **told) if "mended" in Path("edited.py").read_text() else fail()


@pytest.mark.parametrize("pretending", [fail_until_mended], indirect=True)
def test_code_may_change_until_a_trial_has_a_value_and_by_the_flag_after_that(
    own_home: Path, tmp_path: Path, command: Any, pretending: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(own_models.SPACE)
    study_of = (
        "study",
        "edited:build",
        "digits",
        "--space",
        "space.yaml",
        "--name",
        "own",
        "--finalists",
        "0",
    )
    Path("edited.py").write_text("")
    assert command(*study_of, "--n-trials", "4", "--no-mlflow")[0] == 1
    Path("edited.py").write_text("mended = 1")
    code, _, err = command(*study_of, "--n-trials", "4", "--no-mlflow")
    told = (
        "note: the code of model edited:build has changed since the study began (changed:"
        " edited.py)"
    )
    assert (code, told in err) == (0, True)
    assert finished(own_home, "own") == ["FAIL"] * 3 + ["COMPLETE"]

    Path("edited.py").write_text("mended = 2")
    more = (*study_of, "--n-trials", "5", "--no-mlflow")
    for refused in (more, (*more, "--dry-run")):
        code, _, err = command(*refused)
        assert (code, "can't go on with other code of its model (changed: edited.py)" in err) == (
            2,
            True,
        )
    code, out, _ = command(*more, "--allow-changed-code")
    assert (code, "ran with other code of the model" in out) == (0, True)
    with (own_home / "own" / "leaderboard.csv").open(newline="") as file:
        codes = {row["trial"]: row["code"] for row in csv.DictReader(file)}
    assert codes["0"] == codes["1"] == codes["2"] != codes["3"] != codes["4"]
    assert (
        "Trial 3 ran with other code of the model" in (own_home / "own" / "report.html").read_text()
    )


def test_a_dry_run_changes_nothing(own_home: Path, command: Any, pretending: None) -> None:
    flags = ("--fix", "optimizer=adam", "--fix", "epochs=2", "--try", "lr=0.5")
    code, out, err = command("study", "mlp", "digits", "--dry-run", *flags)
    assert code == 0, err
    assert "10 trials" in out
    assert "--fix epochs=2 is the baseline's epochs, too, whatever its document says" in err
    assert study(own_home, "mlp-digits") is None


def test_a_time_limit_pauses_and_exits_0(own_home: Path) -> None:
    limits = ("--n-trials", "9", "--timeout", "0.1", "--workers", "1")
    done = gridless("study", "mlp", "digits", *limits, "--no-mlflow", *SLOW)
    assert done.returncode == 0, done.stderr
    assert "RUNNING" not in finished(own_home, "mlp-digits")
