"""What every tracker that comes with Gridless promises, each read back by its own programs."""

import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from search.records import Reported, Task
from search.study.finalists import final_spec
from search.study.storage.ledger import Ledger
from search.study.storage.queue import QueueState
from search.study.storage.tracked import put_reported
from search.tracking.follow import Follower
from tests.kept import replicate
from tests.study.helpers import begin, epoch, measured, spec, store_place
from tests.tracking import readers
from tests.tracking.helpers import ME, mirror

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TRACKERS = {
    name: value.split(":")
    for name, value in PROJECT["project"]["entry-points"]["gridless.trackers"].items()
}


@dataclass(frozen=True)
class Kind:
    """A tracker, and what reads it."""

    name: str
    make: Callable[[Any], Any]
    home: Path

    def lose(self) -> None:
        """Remove all that it has, as somebody may."""
        if self.name == "mlflow":
            with closing(sqlite3.connect(self.home / "mlflow.db")) as database, database:
                for table in ("runs", "tags", "experiment_tags", "params", "metrics"):
                    database.execute(f"DELETE FROM {table}")
                database.execute("DELETE FROM latest_metrics")
                database.execute("DELETE FROM experiments WHERE experiment_id != 0")
        else:
            shutil.rmtree(self.home / self.name)

    def read(self) -> dict[str, readers.Run]:
        """What it has, by the names of trials."""
        runs = getattr(readers, f"read_{self.name}")(self.home)
        return dict(sorted(runs.items()))


@pytest.fixture(params=TRACKERS)
def kind(
    request: pytest.FixtureRequest, own_home: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kind]:
    pytest.importorskip(request.param)
    own_home.mkdir()
    if request.param == "mlflow":
        (own_home / "mlflow.db").write_bytes(template.read_bytes())
    if request.param == "wandb":
        import wandb

        for name in ("PROJECT", "ENTITY", "API_KEY", "BASE_URL", "DIR"):
            monkeypatch.delenv(f"WANDB_{name}", raising=False)
        monkeypatch.setenv("WANDB_MODE", "offline")
        wandb.teardown()
    module, name = TRACKERS[request.param]
    yield Kind(request.param, getattr(import_module(module), name), own_home)
    if request.param == "wandb":
        wandb.teardown()


@pytest.fixture
def ledger(storage):
    return Ledger.open(
        storage,
        spec(name="mlp-digits", n_trials=4, finalists=1, n_replicates=2),
        {"device": "CPU"},
    )


def bring(storage, kind, owner=ME, *, thorough=False):
    """Bring all, as a process that begins just now."""
    finished = Follower(lambda: mirror(storage, owner, kind.make), kind.name).finish(
        None, 60.0, thorough=thorough
    )
    assert (finished.error, finished.left) == (None, ())
    return finished


def killed(storage, kind):
    """A process that is killed once it brought something, before it noted that."""
    module, name = TRACKERS[kind.name]
    program = f"""
import os, signal
from search.study.storage.optuna_storage import LedgerStorage
from search.tracking import mirror
from {module} import {name}
from tests.tracking.helpers import DEAD
mirror.put_cursor = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
mirror.Mirror(LedgerStorage({storage.url!r}), "mlflow", {name}, DEAD).turn()
"""
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert process.returncode == -9


def curve(*values):
    return [(step, value) for step, value in enumerate(values, start=1)]


@pytest.mark.slow
def test_each_point_arrives_once_whatever_happens_on_the_way(kind, ledger, storage):
    each = mirror(storage, ME, kind.make)
    claim = begin(ledger, ME, [0.1, 0.2])
    each.turn()
    ledger.report(claim, [epoch(3, 0.3)])
    each.turn()
    each.turn()
    ledger.give_back(claim, paused=True)
    each.turn()
    assert kind.read()["trial-0000"].curve() == curve(0.1, 0.2, 0.3)
    each.release()

    failed, pruned = begin(ledger, ME, [0.5]), begin(ledger, ME, [0.4, 0.3])
    again = ledger.claim(ME, promote=0)
    ledger.report(again, [epoch(4, 0.4)])
    killed(storage, kind)
    ledger.complete(again, 0.6, [epoch(5, 0.6)], n_params=7)
    ledger.fail(failed, "no luck", untrainable=True)
    ledger.prune(pruned, 0.4, "too slow")
    killed(storage, kind)
    bring(storage, kind)
    bring(storage, kind)

    runs = kind.read()
    assert list(runs) == ["trial-0000", "trial-0001", "trial-0002"]
    done, failed, pruned = runs.values()
    assert done.curve() == curve(0.1, 0.2, 0.3, 0.4, 0.6)
    assert failed.curve() == curve(0.5)
    assert pruned.curve() == curve(0.4, 0.3)
    assert [run.state for run in runs.values()] == ["finished", "failed", "finished"]
    assert float(done.params["lr"]) == pytest.approx(0.01)
    assert float(done.params["units"]) == 16
    assert done.params["optimizer"] == "adam"
    assert done.values["best_val_accuracy"] == pytest.approx(0.6)
    assert (done.values["best_epoch"], done.values["epochs"], done.values["n_params"]) == (5, 5, 7)
    assert "best_val_accuracy" not in failed.values, "it has no rank"


def test_numbers_and_what_is_made_small_have_their_own_names(kind, storage):
    goal = {"task": Task.REGRESSION, "objective": ("mse", "n_params")}
    ledger = Ledger.open(storage, spec(name="mlp-digits", **goal), {})
    epochs = [
        measured(epoch(step, 0.5), val_mse=value, val_accuracy=None, accuracy=None)
        for step, value in curve(2.5, 0.5, 4.0)
    ]
    ledger.complete(begin(ledger, ME), 0.5, epochs, n_params=7)
    bring(storage, kind)
    [run] = kind.read().values()
    assert run.curve("val_mse") == curve(2.5, 0.5, 4.0)
    assert run.values["best_val_mse"] == pytest.approx(0.5)
    assert (run.values["best_epoch"], run.values["n_params"]) == (2, 7)
    assert not [name for name in (*run.points, *run.values) if "accuracy" in name]


def test_a_trial_that_runs_is_there_with_its_epochs_so_far(kind, ledger, storage):
    begin(ledger, ME, [0.1, 0.2])
    bring(storage, kind)
    runs = kind.read()
    if kind.name == "wandb":  # offline, where nobody looks at it
        assert runs == {}
    else:
        assert (runs["trial-0000"].state, runs["trial-0000"].curve()) == ("open", curve(0.1, 0.2))


def test_the_end_brings_the_figures_of_finalists_as_often_as_it_is_told(
    kind, ledger, storage, own_home
):
    for values in ([0.1, 0.3], [0.2, 0.9], [0.2, 0.4], [0.1, 0.2]):
        ledger.complete(begin(ledger, ME, values), values[-1], n_params=7)
    final = Ledger.open(storage, final_spec(ledger.spec, ledger.trials()), {})
    replicate(final, own_home)
    bring(storage, kind)
    for part in (ledger, final):
        store_place(part, replace(part.place(), state=QueueState.DONE, due=False))
    for at, mean in ((2e9, 0.8), (2.1e9, 0.85), (2.1e9, 0.85)):
        values = {"1": {"test_accuracy_mean": mean}}
        tags = {"": {"note": "it was good"}, "1": {"champion": "yes"}}
        put_reported(storage, "mlp-digits", Reported(at, "far", tags=tags, values=values))
        bring(storage, kind)
        bring(storage, kind, thorough=True)

    runs = kind.read()
    assert sum(name.startswith("trial-000") and "seed" not in name for name in runs) == 4
    repeated = [run for name, run in runs.items() if "seed" in name]
    assert len(repeated) == len(final.spec.replicates)
    assert runs["trial-0001"].values["test_accuracy_mean"] == pytest.approx(0.85)
    assert "test_accuracy_mean" not in runs["trial-0000"].values
    assert all(run.curve() for run in runs.values())
    assert {len(run.curve()) for run in repeated} == {1}
    assert all(run.values["test_accuracy"] > 0.5 for run in repeated)
    assert {run.state for run in runs.values()} == {"finished"}
    for run in runs.values():
        steps = [step for step, _ in run.points["val_accuracy"]]
        assert steps == sorted(set(steps))


def test_what_a_tracker_lost_is_brought_again_with_replicates(kind, ledger, storage, own_home):
    for values in ([0.1, 0.3], [0.2, 0.9], [0.2, 0.4]):
        ledger.complete(begin(ledger, ME, values), values[-1])
    paused = begin(ledger, ME, [0.1])
    ledger.give_back(paused, paused=True)
    final = Ledger.open(storage, final_spec(ledger.spec, ledger.trials()), {})
    replicate(final, own_home)
    bring(storage, kind)
    before = {name: run.curve() for name, run in kind.read().items()}
    assert len(before) == 4 + len(final.spec.replicates)
    kind.lose()
    again = ledger.claim(ME, promote=3)
    ledger.report(again, [epoch(2, 0.2)])
    ledger.give_back(again, paused=True)
    for part in (ledger, final):
        store_place(part, replace(part.place(), state=QueueState.DONE, due=False))
    bring(storage, kind, thorough=True)
    after = {name: run.curve() for name, run in kind.read().items()}
    assert after == before | {"trial-0003": curve(0.1, 0.2)}
