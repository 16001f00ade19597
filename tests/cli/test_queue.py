"""`gridless submit`, `worker`, `status`, `pause`, `resume` and `cancel`, on the digits."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from search.records import StudyRecord
from tests.cli.helpers import (
    all_over,
    epochs_stored,
    gridless,
    kill_all,
    start,
    study,
    wait_for,
    workers_of,
)

TINY = ("--fix", "units=32,depth=1,batch_size=100", "--epochs", "2", "--finalists", "0")
LONG = ("--fix", "units=500,depth=3,batch_size=10", "--finalists", "0")


def submit(name: str, n_trials: int, *more: str) -> tuple[str, ...]:
    return ("submit", "mlp", "digits", "--name", name, "--n-trials", str(n_trials), *more)


def by_study(text: str) -> dict[str, dict[str, Any]]:
    return {s["study"]: s for s in json.loads(text)["studies"]}


def stored(home: Path, name: str) -> StudyRecord:
    found = study(home, name)
    assert found is not None
    return found


def test_studies_are_submitted_steered_served_and_given_back(own_home: Path, command: Any) -> None:
    """From an empty queue to a service that is told to end in the middle of a trial."""
    verbs = ("pause", "pause", "cancel", "resume")
    submitted = [
        command(*arguments)
        for arguments in (
            submit("first", 3, *TINY),
            submit("urgent", 1, "--priority", "3", "--json", *TINY),
            submit("long", 1, "--priority", "-1", *LONG),
            *[(verb, "long") for verb in verbs],
            *[(verb, "nobody") for verb in ("pause", "resume", "cancel", "status")],
            ("worker", "--study", "nobody", "--until-idle"),
        )
    ]
    listed = command("status", "--json")
    assert [code for code, _, _ in submitted] == [0] * 7 + [2] * 5, submitted
    first, urgent, _, *steered = [out for _, out, _ in submitted]
    assert (first, json.loads(urgent)) == ("first\n", {"study": "urgent", "n_trials": 1})
    states = ("paused", "paused", "cancelled", "open")
    assert steered == [f"long: {state}\n" for state in states] + [""] * 5
    assert all("'nobody' is not in the storage" in err for _, _, err in submitted[7:])
    assert {
        n: (s["state"], s["priority"], s["n_trials"]) for n, s in by_study(listed[1]).items()
    } == {
        "first": ("open", 0, 3),
        "urgent": ("open", 3, 1),
        "long": ("open", -1, 1),
    }
    assert not stored(own_home, "first").trials

    everybody = serve_until_the_long_one_runs_and_end(own_home)
    assert all_over(everybody)
    [trial] = stored(own_home, "long").trials
    assert (trial.state, trial.paused, trial.n_retries) == ("WAITING", False, 1)
    assert [e.step for e in trial.curve] == list(range(1, trial.epochs + 1))
    after = by_study(command("status", "--json")[1])
    assert {
        n: (s["state"], s["complete"] + s["pruned"], s["waiting"], s["failed"])
        for n, s in after.items()
    } == {
        "first": ("done", 3, 0, 0),
        "urgent": ("done", 1, 0, 0),
        "long": ("open", 0, 1, 0),
    }
    assert after["urgent"]["best_val_accuracy"] > 0.1
    assert after["urgent"]["peak_host_mb"] > 50
    (urgent_trial,) = stored(own_home, "urgent").trials
    assert urgent_trial.ended is not None
    later = stored(own_home, "first").trials
    assert later
    assert all(t.started and t.started > urgent_trial.ended for t in later)
    code, out, err = command("pause", "first")
    assert (code, out, "nothing to pause" in err) == (2, "first: done\n", True)
    assert command("cancel", "long")[:2] == (0, "long: cancelled\n")
    assert by_study(command("status", "long", "--json")[1])["long"]["pruned"] == 1
    idle = gridless("worker", "--until-idle", "--workers", "1", "--no-mlflow")
    assert idle.returncode == 0, idle.stderr
    for name in ("first", "urgent", "long"):  # by the service, or by this one
        assert (own_home / name / "report.html").is_file()
        assert (own_home / name / "leaderboard.csv").is_file()
    assert f"long is over: {own_home / 'long' / 'leaderboard.csv'}" in idle.stdout


def serve_until_the_long_one_runs_and_end(home: Path) -> list[int]:
    """A service that loses its worker and is then told to end; all processes that it had."""
    process = start("worker", "--workers", "1")
    try:
        wait_for(lambda: epochs_stored(home, "long") >= 1, process)
        [worker] = workers_of(process.pid)
        everybody = workers_of(process.pid, deep=True)
        os.kill(worker, signal.SIGKILL)
        seen = epochs_stored(home, "long")
        wait_for(lambda: epochs_stored(home, "long") > seen + 1, process)
        everybody += workers_of(process.pid, deep=True)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            kill_all(process)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return everybody
