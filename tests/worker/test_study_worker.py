"""What a worker does with a study that it serves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.errors import InputError, StudyError, TrialError
from search.report.text.code_changes import code_words
from search.study.storage.ledger import Ledger
from search.study.storage.lost_trials import requeue_lost
from search.study.storage.queue import QueueState
from search.study.storage.read import read_study
from search.study.storage.study_state import cancel, pause, resume
from search.training.job import Job
from search.user_code import user_code
from search.worker.trial_files import TrialFiles
from tests.study.helpers import forget_beats
from tests.worker.helpers import Sandbox, wait_until
from tests.worker.service_helpers import OTHER, Flaky, Put, Stop, Training, states, study_of


def test_code_that_changes_on_the_way_is_not_mixed_in_unless_allowed(
    put: Put,
    storage: Flaky,
    serve: Callable[..., Stop],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in a study that runs, nor by a command or a worker that has other code; nor within
    one trial.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edited.py").write_text("import deeper\n")
    (tmp_path / "deeper.py").write_text("")
    before = user_code("edited:build")
    ledger = put("s", model="edited:build", code=before, n_trials=3, epochs=3)

    def edit_and_pause(job: Job, step: int) -> None:
        if (job.number, step) == (0, 1):
            (tmp_path / "deeper.py").write_text("more = True\n")
        if (job.number, step) == (1, 3):
            pause(ledger)
            sandbox.closing.wait(20)

    sandbox = Sandbox(Training(edit_and_pause))
    with pytest.raises(StudyError, match=r"not the study's \(changed: deeper\.py\)"):
        serve(sandbox, "s")
    assert states(ledger) == ["COMPLETE", "WAITING"]
    (tmp_path / "deeper.py").write_text("")
    serve(sandbox, "s")
    assert states(ledger) == ["COMPLETE", "WAITING"]
    old = ledger.trials()[1].curve
    assert [e.step for e in old] == [1, 2]

    (tmp_path / "deeper.py").write_text("more = 2\n")
    resume(ledger)
    with pytest.raises(StudyError, match=r"can't be served on this machine: .*changed: deeper\.py"):
        serve(sandbox, "s")
    wanted = {
        "model": "edited:build",
        "code": user_code("edited:build"),
        "n_trials": 3,
        "epochs": 3,
    }
    with pytest.raises(InputError, match=r"changed: deeper\.py.*--allow-changed-code"):
        put("s", **wanted)
    put("s", other_code=True, **wanted)
    training = Training()  # whose checkpoints are gone, as the real ones are
    checkpoint = Path(TrialFiles("s").checkpoint(1))
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.touch()
    serve(Sandbox(training), "s")
    assert not checkpoint.exists()
    assert [number for _, number, _ in training.trained] == [1, 1, 1, 2, 2, 2]
    study = read_study(storage, "s")
    assert [t.state for t in study.trials] == ["COMPLETE"] * 3
    curve = study.trials[1].curve
    assert len(curve) == 3
    for new, then in zip(curve, old, strict=False):
        assert new.val_accuracy != then.val_accuracy
    assert [len(t.environments) for t in study.trials] == [1, 1, 1]
    [told] = code_words(study)
    assert told.startswith(
        "Trial 0 ran with other code of the model than the last ones (since then changed: deeper.py"
    )


FAULTS = {
    "alike": (
        lambda n: ValueError(f"shape (?, {n}) of <object at 0x{n:x}f>"),
        3,
        "its first 3 trials failed alike",
    ),
    "unlike": (lambda n: ValueError("abc"[n % 3]), 7, ""),
    "by their settings": (lambda n: TrialError(f"the loss became NaN in epoch {n}"), 7, ""),
}


@pytest.mark.parametrize(("fault", "n_failed", "why"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("strategy", ["random", "halving"])
def test_a_study_whose_first_trials_fail_alike_keeps_the_rest_for_when_it_is_mended(
    put: Put,
    storage: Flaky,
    serve: Callable[..., Stop],
    strategy: str,
    fault: Any,
    n_failed: int,
    why: str,
) -> None:
    is_mended = False

    def fail(job: Job, step: int) -> None:
        if not is_mended:
            raise fault(job.number)

    ledger = put("s", n_trials=7, strategy=strategy)
    sandbox = Sandbox(Training(fail))
    serve(sandbox, "s")
    assert states(ledger) == ["FAIL"] * n_failed
    assert ledger.place().state is QueueState.DONE
    assert read_study(storage, "s").ended_by.startswith(why)
    if n_failed == 7:
        return
    put("s", n_trials=7, strategy=strategy)
    is_mended = True
    serve(sandbox, "s")
    assert states(ledger)[:4] == ["FAIL"] * 3 + ["COMPLETE"]
    assert len(states(ledger)) == 7
    assert "FAIL" not in states(ledger)[3:]
    assert read_study(storage, "s").ended_by == ""


@pytest.mark.parametrize("stop_when_flat", [False, True])
def test_a_search_that_is_told_to_stops_when_more_promises_less_than_noise(
    put: Put, serve: Callable[..., Stop], stop_when_flat: bool
) -> None:
    def train(job: Job, *, on_built: Any, on_epoch: Any, on_evaluated: Any) -> str:
        value = 0.9 - job.number % 5 / 1000
        metrics = {
            "step": 1,
            "loss": 1.0,
            "accuracy": value,
            "val_loss": 1.0,
            "val_accuracy": value,
            "lr": 0.1,
        }
        on_epoch(1, metrics | {"seconds": 3600.0, "at": 1.7e9})
        return "done"

    ledger = put(
        "s", n_trials=25, epochs=1, finalists=1, n_replicates=1, stop_when_flat=stop_when_flat
    )
    serve(Sandbox(train), "s")
    place, n_trials = ledger.place(), len(ledger.trials())
    assert place.state is QueueState.DONE
    if stop_when_flat:
        assert n_trials < 25
        assert place.reason == "more compute promises less than noise"
    else:
        assert n_trials == 25


@pytest.mark.parametrize("names", [("s",), ()], ids=["its own workers", "a service"])
def test_after_a_search_its_finalists_are_trained_again_and_nobody_else_is_told_of_the_test_set(
    put: Put, serve: Callable[..., Stop], storage: Flaky, names: tuple[str, ...]
) -> None:
    ledger = put("s", n_trials=3, finalists=1, n_replicates=2)
    sandbox = Sandbox(Training())
    serve(sandbox, *names)
    final = Ledger(storage, "s.final")
    assert (states(ledger), states(final)) == (["COMPLETE"] * 3, ["COMPLETE"] * 4)
    assert [r.source for r in final.spec.replicates] == [
        2,
        0,
    ] * 2  # every epoch is better than all before it
    assert ledger.place().state is final.place().state is QueueState.DONE
    searched, replicated = sandbox.jobs[:3], sandbox.jobs[3:]
    assert [(j.test_data, j.evaluate, j.train_on, j.model_file) for j in searched] == [
        (None, None, "train", None)
    ] * 3
    assert [Path(j.test_data or "").is_dir() for j in replicated] == [True] * 4
    assert {(j.evaluate, j.train_on) for j in replicated} == {("test", "all")}
    assert [Path(j.model_file or "").name for j in replicated] == [
        "model-0000.keras",
        "model-0001.keras",
        "",
        "",
    ]


@pytest.mark.parametrize("names", [("s",), ()], ids=["its own workers", "a service"])
def test_a_baseline_that_watches_is_replicated_once_it_was_watched_for_all_its_epochs(
    put: Put, serve: Callable[..., Stop], storage: Flaky, names: tuple[str, ...]
) -> None:
    document = {"units": 64, "early_stopping": 3, "epochs": 5}
    params = {name: {"type": "constant", "value": value} for name, value in document.items()}
    space = {
        "model": "mlp",
        "document": document,
        "params": params | {"lr": {"type": "float", "low": 0.1, "high": 1}},
    }
    space["document"] = document | {"lr": 0.1}
    put("s", finalists=1, n_replicates=2, first=(space["document"],), space=space)
    sandbox = Sandbox(Training())
    serve(sandbox, *names)
    final = Ledger(storage, "s.final")
    assert (states(final), final.place().state) == (["COMPLETE"] * 5, QueueState.DONE)
    assert [r.source for r in final.spec.replicates] == [
        0,
        1,
        1,
        0,
        0,
    ]  # every epoch is better than all before it
    pilot, *others = sandbox.jobs[2:]
    assert (pilot.train_on, pilot.evaluate, pilot.last_epoch) == ("train", "validation", 5)
    assert (pilot.test_data, pilot.model_file) == (None, None)
    assert [(j.train_on, j.evaluate, j.last_epoch) for j in others] == [
        ("all", "test", n) for n in (2, 2, 5, 5)
    ]
    assert all(Path(j.test_data or "").is_dir() for j in others)


def test_a_search_that_goes_on_has_its_new_finalists_trained_and_the_old_ones_kept(
    put: Put, serve: Callable[..., Stop], storage: Flaky
) -> None:
    sandbox = Sandbox(Training())
    for n_trials in (1, 2):
        put("s", n_trials=n_trials, finalists=1, n_replicates=1)
        serve(sandbox, "s")
    assert [r.source for r in Ledger(storage, "s.final").spec.replicates] == [0, 1]
    assert [(study_of(j), j.number) for j in sandbox.jobs] == [
        ("s", 0),
        ("s.final", 0),
        ("s", 1),
        ("s.final", 1),
    ]


def test_a_trial_that_was_taken_over_is_dropped_without_a_word(
    put: Put, serve: Callable[..., Stop]
) -> None:
    """The worker hung; another has its trial by now."""
    ledger = put("s", epochs=9)
    taken: list[Any] = []

    def hang(job: Job, step: int) -> None:
        if (job.number, step) == (0, 3):
            wait_until(lambda: ledger.trials()[0].epochs == 2)
            forget_beats(ledger)
            assert requeue_lost(ledger, OTHER, grace_s=3600) == [0]
            taken.append(ledger.claim(OTHER))
        if (job.number, step) == (1, 9):
            [claim] = taken
            ledger.complete(claim, 0.9)

    serve(Sandbox(Training(hang)))
    first, second = ledger.trials()
    assert (first.state, first.worker, first.epochs) == ("COMPLETE", "far", 2)
    assert (second.state, second.worker) == ("COMPLETE", "me")


def test_a_fault_of_ours_costs_the_trial_and_not_the_worker(
    put: Put, serve: Callable[..., Stop]
) -> None:
    class Broken(Sandbox):
        def start(self, job: Job, log: Path) -> Any:
            if job.number == 0:
                raise RuntimeError("no such page")
            return super().start(job, log)

    ledger = put("s")
    serve(Broken(Training()))
    first, second = ledger.trials()
    assert (first.state, second.state) == ("FAIL", "COMPLETE")
    assert "no such page" in (first.reason or "")


def test_nothing_of_a_cancelled_study_is_left_behind(put: Put, serve: Callable[..., Stop]) -> None:
    ledger = put("s", strategy="halving", n_trials=2, epochs=9)
    checkpoints: list[Path] = []

    def write_and_cancel(job: Job, step: int) -> None:
        checkpoints.append(Path(job.checkpoint))
        checkpoints[-1].parent.mkdir(parents=True, exist_ok=True)
        checkpoints[-1].touch()
        if (job.number, step) == (1, 2):
            cancel(ledger)
            sandbox.closing.wait(20)

    sandbox = Sandbox(Training(write_and_cancel))
    serve(sandbox)
    assert not checkpoints[0].parent.exists()
