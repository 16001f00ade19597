"""Trials of a stored study trained again: only their processes are threads, and most train
nothing.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from search.actions import reproduce
from search.actions.recorded_trial import find_recorded
from search.analysis.reproduction import Verdict, compare
from search.cli.reproduce import reproduce as command
from search.datasets import load
from search.errors import InputError, TrialError
from search.paths import cache, home, storage_url
from search.study.environment import environment
from search.study.finalists import of_trial
from search.study.settings import FINAL
from search.study.storage.claim import WorkerIdentity
from search.study.storage.database import models
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.training.job import Job
from search.worker import study_worker as loop
from search.worker.engines import devices
from search.worker.engines.gpus import Gpu
from tests.study.helpers import begin, epoch, measured, spec
from tests.worker.helpers import Sandbox, pretend, serve

ME = WorkerIdentity.me("me")
Put = Callable[..., Ledger]


@pytest.fixture
def storage(own_home: Path) -> Iterator[LedgerStorage]:
    own_home.mkdir()
    made = LedgerStorage(storage_url())
    yield made
    made.remove_session()
    made.engine.dispose()


@pytest.fixture
def put(storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a study of the digits on the queue, whose command and workers run on what is
    `recorded`.
    """

    def put_one(name: str = "s", recorded: Mapping[str, str] = {}, **changes: Any) -> Ledger:
        monkeypatch.setattr(loop, "environment", lambda _device, code=None: dict(recorded))
        source = {
            "data_digest": load("digits").digest,
            "strategy": "random",
            "n_trials": 1,
            "epochs": 3,
        }
        return Ledger.open(storage, spec(name=name, **source | changes), recorded)

    return put_one


@pytest.fixture
def train_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sandbox]:
    """What trains again, in place of processes of their own."""

    def use(train: Any) -> Sandbox:
        made = Sandbox(train)
        monkeypatch.setattr(reproduce, "Sandbox", lambda: made)
        return made

    return use


def again(storage: LedgerStorage, *which: Any, tolerance: float = 0.0) -> reproduce.Reproduced:
    return reproduce.reproduce(find_recorded(storage, *which), tolerance=tolerance)


def gridless(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def doctor(ledger: Ledger, number: int, step: int, **metrics: float) -> None:
    """Alter the stored record of an epoch."""
    row = models.TrialUserAttributeModel
    with ledger.storage.session() as session:
        trial = (
            session.query(models.TrialModel)
            .filter_by(study_id=ledger.study_id, number=number)
            .one()
        )
        stored = session.query(row).filter_by(trial_id=trial.trial_id, key=f"epoch:{step}").one()
        stored.value_json = json.dumps(json.loads(stored.value_json) | metrics)


def everything() -> dict[str, str]:
    """All that is stored, by file; what SQLite shares among readers is not."""
    files = [f for f in home().rglob("*") if f.is_file() and f.suffix != ".db-shm"]
    return {str(f.relative_to(home())): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_a_trained_trial_comes_out_bit_equal_and_a_doctored_record_is_told(
    put: Put, storage: LedgerStorage, train_by: Callable[..., Sandbox]
) -> None:
    from search.training.trainer import train

    there = environment("another CPU") | {"keras": "3.0.0", "python": "3.11.0"}
    ledger = put(
        recorded=there,
        epochs=2,
        first=({"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "units": 16},),
    )
    serve([ledger], Sandbox(train))
    train_by(train)
    before = everything()
    done = again(storage, "s", 0)
    assert everything() == before
    assert done.comparison.verdict is Verdict.BIT_EQUAL
    assert [part.what for part in done.comparison.parts] == ["epoch 1", "epoch 2"]
    listed = {c.name: (c.recorded, c.here) for c in done.changes}
    assert listed["keras"] == ("3.0.0", environment("here")["keras"])
    assert {"python", "keras", "device"} <= set(listed) <= {"python", "keras", "device", "threads"}
    doctor(ledger, 0, 2, loss=done.again.curve[1].values["loss"] + 0.006)
    found = compare(find_recorded(storage, "s", 0).trial, done.again, tolerance=0.5)
    assert [part.verdict for part in found.parts] == [Verdict.BIT_EQUAL, Verdict.DIFFERENT]
    assert found.largest is not None
    assert (found.largest[0], found.largest[1].metric) == ("epoch 2", "loss")


def test_a_trial_that_was_stopped_or_paused_is_trained_as_far_as_it_came(
    put: Put, storage: LedgerStorage, train_by: Callable[..., Sandbox]
) -> None:
    """Its schedule's horizon stays what it was."""
    ledger = put(n_trials=2, epochs=9)
    curves: list[tuple[Any, ...]] = []
    pretend(
        _job(2),
        on_built=_ignore,
        on_epoch=lambda _s, m: curves.append(m) or "go on",
        on_evaluated=_ignore,
    )
    for end in ("prune", "pause"):
        claim = begin(ledger, ME)
        epochs = [measured(epoch(1, 0.0), **metrics) for metrics in curves]
        ledger.report(claim, epochs, n_params=7)
        if end == "prune":
            ledger.prune(claim, 0.02, "stopped by the strategy")
        else:
            ledger.give_back(claim, paused=True)
    sandbox = train_by(pretend)
    for number in (0, 1):
        done = again(storage, "s", number)
        assert done.comparison.verdict is Verdict.BIT_EQUAL
        assert (done.again.epochs, sandbox.jobs[-1].last_epoch) == (2, 9)


def test_a_replicate_is_trained_again_and_scored(
    put: Put, storage: LedgerStorage, train_by: Callable[..., Sandbox]
) -> None:
    ledger = put()
    serve([ledger], Sandbox(pretend))
    [trial] = ledger.trials()
    replicates = of_trial(trial, n=2, seed=3, evaluate="test")
    final = put("s" + FINAL, n_trials=2, replicates=replicates)
    serve([final], Sandbox(pretend))
    sandbox = train_by(pretend)
    for which in (("s", 0, 1), ("s.final", 1)):
        done = again(storage, *which)
        assert done.comparison.verdict is Verdict.BIT_EQUAL
        assert [part.what for part in done.comparison.parts] == [
            "epoch 1",
            "epoch 2",
            "epoch 3",
            "test",
        ]
        job = sandbox.jobs[-1]
        assert (job.seed, job.train_on, job.evaluate) == (replicates[1].seed, "all", "test")
        assert np.load(Path(str(job.test_data), "y_test.npy")).shape == (360,)
    again(storage, "s", 0)
    assert sandbox.jobs[-1].test_data is None
    for which, problem in (
        (("s", 0, 2), "no replicate 2; it has 0 to 1"),
        (("s", 9, 0), "no trial 9; it has 0 to 0"),
        (("s.final", 0, 0), "are replicates"),
    ):
        with pytest.raises(InputError, match=problem):
            find_recorded(storage, *which)


def fails_at(step: int, reason: str) -> Callable[..., str]:
    def train(job: Job, *, on_epoch: Any, **on: Any) -> str:
        def until(n: int, metrics: Any) -> str:
            if n == step:
                raise TrialError(reason)
            return str(on_epoch(n, metrics))

        return pretend(job, on_epoch=until, **on)

    return train


def test_a_failed_trial_is_asked_whether_it_fails_again(
    put: Put, storage: LedgerStorage, train_by: Callable[..., Sandbox]
) -> None:
    ledger = put(epochs=5)
    serve([ledger], Sandbox(fails_at(2, "a loss of NaN")))
    train_by(fails_at(2, "a loss of NaN"))
    assert again(storage, "s", 0).comparison.verdict is Verdict.BIT_EQUAL
    train_by(pretend)
    done = again(storage, "s", 0)
    assert done.comparison.verdict is Verdict.DIFFERENT
    assert done.again.epochs == 2  # the epoch that failed then; no more is to be learnt
    train_by(fails_at(1, "no memory"))
    [problem] = again(storage, "s", 0).comparison.problems
    assert (
        problem
        == "then it failed after 1 epoch: a loss of NaN; this time it failed after 0 epochs: no"
        " memory"
    )


def test_a_trial_of_a_gpu_is_trained_again_on_one_of_its_kind_if_there_is_one(
    put: Put,
    storage: LedgerStorage,
    train_by: Callable[..., Sandbox],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ledger = put(n_trials=2, recorded={"device": "Old", "threads": "3"})
    for facts in ({"device": "B", "peak_device_mb": 9.0}, {"device": "a CPU"}):
        claim = begin(ledger, ME, [0.5])
        ledger.complete(claim, 0.5, **facts)
    monkeypatch.setenv("GRIDLESS_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen: list[tuple[str, str]] = []

    def looks(job: Job, **on: Any) -> str:
        seen.append((os.environ["CUDA_VISIBLE_DEVICES"], os.environ["TF_NUM_INTRAOP_THREADS"]))
        return pretend(job, **on)

    train_by(looks)
    for names, number, pinned, device in (
        ("AB", 0, "GPU-B", None),
        ("AC", 0, "GPU-A", "A"),
        ("AB", 1, "-1", "CPU"),
    ):
        gpus = [Gpu(str(i), f"GPU-{name}", name, 1000.0) for i, name in enumerate(names)]
        monkeypatch.setattr(devices, "installed_gpus", lambda gpus=gpus: gpus)
        monkeypatch.setattr(devices, "cpu_name", lambda: "CPU")
        done = again(storage, "s", number)
        assert seen.pop() == (pinned, "3")
        assert {c.name: c.here for c in done.changes}.get("device") == device
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_what_cannot_be_reproduced_is_refused_in_words(put: Put, storage: LedgerStorage) -> None:
    ledger = put(n_trials=4)
    begin(ledger, ME, [0.5])
    ledger.give_back(begin(ledger, ME, [0.5]), paused=False)
    assert ledger.claim(ME)  # the one just given back
    ledger.prune(begin(ledger, ME), None, "the study was cancelled")
    damaged = begin(ledger, ME)
    ledger.report(damaged, [epoch(2, 0.5)])
    ledger.complete(damaged, 0.5)
    for which, problem in (
        (("nope", 0), "'nope' is not in the storage; known: s"),
        (("s", 7), "has no trial 7; it has 0 to 3"),
        (("s", 0), "trial 0 of s is running"),
        (("s", 2), r"no completed epoch to compare with \(the study was cancelled\)"),
        (("s", 3), "epochs are missing"),
        (("s", 0, 0), "no replicates: there is no study 's.final'"),
    ):
        with pytest.raises(InputError, match=problem):
            find_recorded(storage, *which)


def test_other_data_and_all_else_that_is_missing_here_is_refused_before_training(
    put: Put,
    storage: LedgerStorage,
    train_by: Callable[..., Sandbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = load("digits").digest
    ledger = put(
        "other",
        data_digest="d" * 64,
        model="nomodule_at_all:build",
        recorded={"backend": "nobackend"},
    )
    claim = begin(ledger, ME, [0.5])
    ledger.complete(claim, 0.5)
    sandbox = train_by(pretend)
    with pytest.raises(InputError) as caught:
        again(storage, "other", 0)
    text = str(caught.value)
    assert all(part in text for part in (here, "d" * 64, "nomodule_at_all", "backend nobackend"))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # the user's own choice
    with pytest.raises(InputError) as caught:
        again(storage, "other", 0)
    assert "backend" not in str(caught.value)
    assert sandbox.jobs == []
    assert not cache().exists()
    with pytest.raises(InputError, match="tolerance nan: must be 0 or more"):
        again(storage, "other", 0, tolerance=float("nan"))


def test_the_command_tells_people_and_scripts_what_came_out(
    put: Put, train_by: Callable[..., Sandbox]
) -> None:
    ledger = put(recorded={"keras": "3.0.0"})
    serve([ledger], Sandbox(pretend))
    train_by(pretend)
    said = gridless("s", "0")
    assert said.return_value == 0
    assert "trial 0 of s: bit-equal" in said.stdout
    assert "epoch 3 of 3: bit-equal" in said.stderr
    assert ["keras", "3.0.0"] in [line.split()[:2] for line in said.stdout.splitlines()]
    doctor(ledger, 0, 3, val_accuracy=0.032)
    assert gridless("s", "0").return_value == 0  # by 0.2 points
    told = gridless("s", "0", "--tolerance", "0.1", "--json", "--quiet")
    assert (told.return_value, told.stderr) == (1, "")
    result = json.loads(told.stdout)
    assert (result["verdict"], result["largest"]["metric"]) == ("different", "val_accuracy")
    assert [part["verdict"] for part in result["parts"]] == ["bit-equal", "bit-equal", "different"]
    doctor(ledger, 0, 3, val_accuracy=float("nan"))
    assert json.loads(gridless("s", "0", "--json").stdout)["largest"]["points"] is None


def _job(epochs: int) -> Job:
    return Job("mlp", {}, 0, epochs, "", (8, 8, 1), 10, "", "")


def _ignore(*_: Any) -> None:
    pass
