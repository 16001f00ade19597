"""A worker's day, in this process: which studies it serves, and what it does when something gets in
between.
"""

import errno
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.datasets.image_data import ImageData, from_arrays
from search.datasets.split import prepare
from search.errors import GridlessError, InputError, RetryLaterError, StudyError, TrialError
from search.paths import cache
from search.records import TrialRecord
from search.report.text.code import code_words
from search.study.storage.claim import Owner
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState
from search.study.storage.read import read_study
from search.study.storage.steering import CANCELLED_REASON, cancel, pause, requeue_lost, resume
from search.study.storage.workers import Roster, WorkerRecord
from search.study.user_code import user_code
from search.tracking.protocol import NullTracker
from search.training.job import Job
from search.worker import service
from search.worker.engines.order import Order
from search.worker.outages import Patience
from search.worker.pace import Pace
from search.worker.service import Service
from search.worker.trial_files import TrialFiles
from tests.study.helpers import begin, forget_beats, spec
from tests.worker.helpers import HASTE, Recorder, Sandbox, wait_until

ME = Owner.me("me")
DEAD = replace(ME, worker="dead", pid=2**22 + 1)
OTHER = replace(ME, worker="far", host="another machine")
Put = Callable[..., Ledger]


class Training:
    """Trains nothing, but goes on from checkpoints as the real one; calls `before(job, step)` amid
    every epoch.
    """

    def __init__(self, before: Callable[[Job, int], None] = lambda _job, _step: None) -> None:
        self.trained: list[tuple[str, int, int]] = []
        """Study, trial and step of each epoch that came to its end, in that order."""
        self._before = before
        self._checkpoints: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, job: Job, *, on_built: Any, on_epoch: Any, on_evaluated: Any) -> str:
        on_built(7)
        history = self._checkpoints.setdefault(job.checkpoint, [])
        for metrics in list(history):
            if (answer := on_epoch(metrics["step"], metrics)) != "go on":
                return str(answer)
        for step in range(len(history) + 1, job.last_epoch + 1):
            self._before(job, step)
            self.trained.append((study_of(job), job.number, step))
            value = len(self.trained) / 1000
            metrics = {
                "step": step,
                "loss": 1.0,
                "accuracy": value,
                "val_loss": 1.0,
                "val_accuracy": value,
                "lr": 0.1,
            }
            history.append(metrics | {"seconds": 1.0, "at": 1.7e9})
            if (answer := on_epoch(step, history[-1])) != "go on":
                return str(answer)
        return "done"


def study_of(job: Job) -> str:
    return Path(job.checkpoint).parents[1].name


class Stop(threading.Event):
    """Counts how often a worker found nothing to do, and lets it look again soon."""

    n_naps = 0

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and timeout < 3:
            self.n_naps += 1
            timeout = 0.01
        return super().wait(timeout)


class Flaky(LedgerStorage):
    """Out of reach for the next `n_left` transactions."""

    n_left = 0
    n_refused = 0

    @contextmanager
    def session(self) -> Iterator[Any]:
        self._refuse()
        with super().session() as session:
            yield session

    def read_trials(self, *arguments: Any) -> Any:
        self._refuse()
        return super().read_trials(*arguments)

    def _refuse(self) -> None:
        if self.n_left > 0:
            self.n_left, self.n_refused = self.n_left - 1, self.n_refused + 1
            raise RetryLaterError("the database is away")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Flaky]:
    made = Flaky(f"sqlite:///{tmp_path / 'studies.db'}")
    yield made
    made.remove_session()
    made.engine.dispose()


def until_told(day: Service) -> None:
    with suppress(StudyError):  # a study that can't be served as the stop comes
        day.run()


def images(name: str) -> ImageData:
    labels = np.arange(8) % 2
    pixels = np.arange(8 * 4, dtype=np.uint8).reshape(8, 2, 2)
    return from_arrays(
        name, {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels}
    )


@pytest.fixture
def put(storage: LedgerStorage) -> Put:
    """Puts a study on the queue whose data is here, unless it is called otherwise."""

    def put_one(
        name: str,
        *,
        priority: int = 0,
        data: str = "small",
        other_code: bool = False,
        **changes: Any,
    ) -> Ledger:
        found = images(data)
        if data == "small":
            prepare(found, seed=3, validation_fraction=0.25, cache=cache())
        quick = {"n_trials": 2, "epochs": 2, "strategy": "random", "validation_fraction": 0.25}
        source = {"data": data, "data_source": f"/nowhere/{data}.npz", "data_digest": found.digest}
        wanted = spec(name=name, **quick | source | changes)
        return Ledger.open(storage, wanted, {}, priority=priority, other_code=other_code)

    return put_one


def a_day(
    storage: LedgerStorage,
    sandbox: Sandbox,
    *names: str,
    stop: threading.Event,
    until_idle: bool = True,
    tracker: Any = None,
    pace: Pace = HASTE,
) -> Service:
    order = Order(storage.url, names or None, until_idle)
    tell = tracker or NullTracker()
    patience = Patience(stop, pace=pace)
    return Service(storage, order, ME, "CPU", sandbox, patience, lambda _ledger: tell)  # type: ignore[arg-type]


@pytest.fixture
def serve(storage: LedgerStorage) -> Iterator[Callable[..., Stop]]:
    """Works until idle; or, `until_idle=False`, in the background until the test ends."""
    stops: list[Stop] = []
    threads: list[threading.Thread] = []

    def work(sandbox: Sandbox, *names: str, until_idle: bool = True, **options: Any) -> Stop:
        stops.append(Stop())
        day = a_day(storage, sandbox, *names, stop=stops[-1], until_idle=until_idle, **options)
        if until_idle:
            day.run()
        else:
            threads.append(threading.Thread(target=until_told, args=(day,)))
            threads[-1].start()
        return stops[-1]

    yield work
    for stop in stops:
        stop.set()
    for thread in threads:
        thread.join(20)


def states(ledger: Ledger) -> list[str]:
    return [t.state for t in ledger.trials()]


def n_running(storage: LedgerStorage) -> int:
    with storage.reading(), storage.session() as session:
        return len(storage.silent_for(session, 1))


def steps(trial: TrialRecord) -> list[int]:
    return [e.step for e in trial.curve]


def test_one_worker_shares_itself_out_among_studies_and_serves_the_urgent_one_first(
    put: Put, serve: Callable[..., Stop]
) -> None:
    """With one device, too, nobody waits until an older study of the same priority is over."""
    ledgers = [put("a", n_trials=4), put("b", n_trials=4), put("urgent", priority=1)]
    sandbox = Sandbox(Training())
    serve(sandbox)
    order = [study_of(job) for job in sandbox.jobs]
    assert order[:2] == ["urgent"] * 2
    assert sorted(order[2:]) == ["a"] * 4 + ["b"] * 4
    for n in range(2, len(order)):
        assert abs(order[2:n].count("a") - order[2:n].count("b")) <= 1, order
    assert all(ledger.place().state is QueueState.DONE for ledger in ledgers)


def test_a_study_is_over_at_once_although_its_workers_have_others_to_serve(
    put: Put, serve: Callable[..., Stop]
) -> None:
    long, short = (
        put("long", n_trials=3),
        put("short", n_trials=2, priority=1, epochs=9, strategy="halving"),
    )
    seen: list[tuple[QueueState, list[str]]] = []

    def look(job: Job, step: int) -> None:
        if (study_of(job), job.number, step) == ("long", 1, 1):
            seen.append((short.place().state, states(short)))

    serve(Sandbox(Training(look)))
    assert seen == [(QueueState.DONE, states(short))]
    assert set(states(short)) <= {"COMPLETE", "PRUNED"}
    assert long.place().state is QueueState.DONE


def test_a_study_that_can_not_be_served_here_is_left_alone_until_it_can(
    put: Put, serve: Callable[..., Stop], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    here, elsewhere = put("here"), put("elsewhere", priority=9, data="other")
    put("stranger", priority=8, model="nobody.here:build")
    serve(Sandbox(Training()))
    assert here.place().state is QueueState.DONE
    assert (elsewhere.place().state, states(elsewhere)) == (QueueState.OPEN, [])
    reasons = {r.getMessage().split(" is left alone")[0]: r.getMessage() for r in caplog.records}
    assert "/nowhere/other.npz" in reasons["study elsewhere"]
    assert "nobody" in reasons["study stranger"]
    with pytest.raises(GridlessError, match=r"/nowhere/other\.npz"):
        serve(Sandbox(Training()), "here", "elsewhere")
    caplog.clear()
    serve(Sandbox(Training()), until_idle=False)
    wait_until(lambda: any("elsewhere" in r.getMessage() for r in caplog.records))
    prepare(
        images("other"), seed=3, validation_fraction=0.25, cache=cache()
    )  # somebody copied the data over
    wait_until(lambda: states(elsewhere) == ["COMPLETE"] * 2)


def test_a_full_disk_costs_one_trial_with_its_reason_and_not_the_worker_which_says_what_it_waits_for(
    put: Put, serve: Callable[..., Stop], storage: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = put("s", n_trials=3)
    notes: list[str] = []

    def disk_usage(folder: Path) -> SimpleNamespace:
        notes.extend(w.note for w in Roster(storage).read() if w.study == "s" and w.note)
        return SimpleNamespace(free=2**40 if notes else 0)

    monkeypatch.setenv("GRIDLESS_GRACE_S", "3")
    monkeypatch.setattr(service.shutil, "disk_usage", disk_usage)

    def fill(job: Job, step: int) -> None:
        if (job.number, step) == (0, 2):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Stop, "wait", lambda self, timeout=None: threading.Event.wait(self, 0.01))
    serve(Sandbox(Training(fill)), pace=replace(HASTE, shortest_rest=60.0, longest_rest=60.0))
    assert "the disk is full: waiting for room" in notes[0]
    first, *others = ledger.trials()
    assert (first.state, steps(first), first.untrainable) == ("FAIL", [1], False)
    assert "No space left" in (first.reason or "")
    assert [t.state for t in others] == ["COMPLETE"] * 2


def test_a_trial_trains_on_through_an_outage_and_nothing_is_lost(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    ledger = put("s", epochs=9)
    trained_while_away: list[int] = []

    def go_away(job: Job, step: int) -> None:
        if (job.number, step) == (0, 3):
            storage.n_left = 10_000
            wait_until(lambda: storage.n_refused > 0)
        if storage.n_left:
            trained_while_away.append(step)
        if (job.number, step) == (0, 9):
            storage.n_left = 5  # it is still away as the trial ends

    serve(Sandbox(Training(go_away)))
    assert trained_while_away == [3, 4, 5, 6, 7, 8, 9]
    assert storage.n_left == 0
    assert [(t.state, steps(t), t.n_segments) for t in ledger.trials()] == [
        ("COMPLETE", list(range(1, 10)), 1)
    ] * 2
    assert [t.n_retries for t in ledger.trials()] == [0, 0]


def test_a_pause_in_mid_trial_gives_it_back_and_it_goes_on_without_a_gap(
    put: Put, serve: Callable[..., Stop]
) -> None:
    ledger = put("s", epochs=9)

    def hold(job: Job, step: int) -> None:
        if (job.number, step, len(sandbox.jobs)) == (0, 4, 1):
            pause(ledger)
            sandbox.closing.wait(20)

    training, told = Training(hold), Recorder()
    sandbox = Sandbox(training)
    serve(sandbox, tracker=told)
    [trial] = ledger.trials()
    assert (trial.state, trial.paused, steps(trial), trial.n_retries) == (
        "WAITING",
        False,
        [1, 2, 3],
        0,
    )
    resume(ledger)
    serve(sandbox, tracker=told)
    trial, other = ledger.trials()
    assert (trial.state, other.state, trial.n_segments) == ("COMPLETE", "COMPLETE", 2)
    assert [e.val_accuracy for e in trial.curve] == [step / 1000 for step in range(1, 10)]
    assert training.trained[:9] == [("s", 0, step) for step in range(1, 10)]
    assert [step for number, step, _ in told.told if number == 0] == list(range(1, 10))


def test_a_cancel_in_mid_trial_ends_it_with_what_it_reached(
    put: Put, serve: Callable[..., Stop]
) -> None:
    ledger = put("s", epochs=9)

    def stop_all(job: Job, step: int) -> None:
        if step == 4:
            cancel(ledger)
            sandbox.closing.wait(20)

    sandbox = Sandbox(Training(stop_all))
    serve(sandbox)
    [trial] = ledger.trials()
    assert (trial.state, steps(trial), trial.val_accuracy) == ("PRUNED", [1, 2, 3], 0.003)
    assert trial.reason == CANCELLED_REASON
    assert ledger.place().state is QueueState.CANCELLED


def test_a_stop_in_mid_trial_gives_it_back_and_signs_out(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    ledger, roster = put("s", epochs=9), Roster(storage)

    def tell_to_stop(_job: Job, step: int) -> None:
        if step == 4:
            wait_until(lambda: [w.device for w in roster.read()] == ["CPU"])
            stop.set()
            sandbox.closing.wait(20)

    sandbox, stop = Sandbox(Training(tell_to_stop)), Stop()
    a_day(storage, sandbox, stop=stop).run()
    [trial] = ledger.trials()
    assert (trial.state, trial.paused, steps(trial), trial.n_retries) == (
        "WAITING",
        False,
        [1, 2, 3],
        0,
    )
    assert ledger.place().state is QueueState.OPEN
    assert roster.read() == []


def test_a_worker_kept_for_one_study_waits_while_that_is_paused(
    put: Put, serve: Callable[..., Stop]
) -> None:
    ledger, other = put("s"), put("other")
    pause(ledger)
    stop = serve(Sandbox(Training()), "s", until_idle=False)
    wait_until(lambda: stop.n_naps > 3)
    resume(ledger)
    wait_until(lambda: states(ledger) == ["COMPLETE"] * 2)
    assert states(other) == []


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
    class Broken(NullTracker):
        def params(self, trial: int, params: Any) -> None:
            if trial == 0:
                raise RuntimeError("no such page")

    ledger = put("s")
    serve(Sandbox(Training()), tracker=Broken())
    first, second = ledger.trials()
    assert (first.state, second.state) == ("FAIL", "COMPLETE")
    assert "no such page" in (first.reason or "")


def test_a_fault_of_the_machine_costs_no_trial_and_is_told(
    put: Put, storage: Flaky, serve: Callable[..., Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, fine = put("s"), put("fine", priority=-1)
    sandbox, notes = Sandbox(Training()), []

    def start(job: Job, log: Path) -> Any:
        if study_of(job) == "s":
            raise OSError(errno.EMFILE, "Too many open files")
        wait_until(lambda: any(w.note for w in Roster(storage).read()))
        notes.extend(w.note for w in Roster(storage).read())
        return Sandbox.start(sandbox, job, log)

    monkeypatch.setenv("GRIDLESS_GRACE_S", "1")
    monkeypatch.setattr(sandbox, "start", start)
    serve(sandbox, pace=replace(HASTE, refusal=60.0))
    assert states(fine) == ["COMPLETE"] * 2
    assert states(ledger) == ["WAITING"]
    assert "can't serve s: on this machine: [Errno 24] Too many open files" in notes[0]


def test_a_process_that_never_begins_is_given_up_and_its_trial_is_not(
    put: Put, serve: Callable[..., Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        def receive(self, wait_s: float) -> None:
            return None

        def close(self) -> None:
            return None

    ledger, sandbox = put("s"), Sandbox(Training())
    monkeypatch.setattr(sandbox, "start", lambda _job, _log: Silent())
    with pytest.raises(StudyError, match="did not begin within"):
        serve(sandbox, "s", pace=replace(HASTE, start=0.05))
    assert states(ledger) == ["WAITING"]


def test_a_worker_goes_on_beating_whatever_the_roster_holds(
    put: Put, storage: Flaky, serve: Callable[..., Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDLESS_GRACE_S", "0.1")
    beat, n_beats = Roster.beat, []

    def fails_once(self: Roster, *told: Any) -> None:
        n_beats.append(1)
        if len(n_beats) == 1:
            raise TypeError("a later version tells more")
        beat(self, *told)

    monkeypatch.setattr(Roster, "beat", fails_once)
    put("s")
    serve(Sandbox(Training()), until_idle=False)
    wait_until(lambda: [w.worker for w in Roster(storage).read()] == ["me"])


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


def test_a_busy_worker_closes_what_nobody_works_on(put: Put, serve: Callable[..., Stop]) -> None:
    """A study whose last trial a lost worker had ended, and a cancelled one with a lost worker's
    trial.
    """
    over, left, long = (
        put("over", n_trials=1, priority=-1),
        put("left", priority=-2),
        put("long", n_trials=9),
    )
    claim = over.claim(DEAD)
    assert claim is not None
    over.start(claim, {"optimizer": "adam", "lr": 0.01, "units": 16}, seed=1)
    over.complete(claim, 0.5)
    assert left.claim(DEAD) is not None
    cancel(left)
    seen: list[Any] = []

    def look(job: Job, _step: int) -> None:
        if job.number == 8:
            seen.append((over.place().state, states(left)))

    serve(Sandbox(Training(look)), pace=replace(HASTE, tidy=0.0))
    assert len(long.trials()) == 9
    assert seen[0] == (QueueState.DONE, ["PRUNED"])


def test_a_study_that_is_deleted_is_left_and_one_of_the_same_name_is_served(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    other = put("other", priority=-1)

    def delete(job: Job, _step: int) -> None:
        if (study_of(job), job.number) == ("s", 0) and storage.get_study_id_from_name("s") == first:
            storage.delete_study(first)
            put("s", n_trials=1)

    put("s")
    first = storage.get_study_id_from_name("s")
    serve(Sandbox(Training(delete)))
    assert states(other) == ["COMPLETE"] * 2
    assert states(Ledger(storage, "s")) == ["COMPLETE"]


def test_a_study_that_is_found_deleted_in_the_middle_of_a_trial_is_left(
    put: Put, storage: Flaky, serve: Callable[..., Stop]
) -> None:
    class Deleting(Sandbox):
        def start(self, job: Job, log: Path) -> Any:
            if study_of(job) == "s":
                storage.delete_study(storage.get_study_id_from_name("s"))
                raise InputError("study 's' was deleted")
            return super().start(job, log)

    put("s", priority=1)
    other = put("other")
    serve(Deleting(Training()))
    assert states(other) == ["COMPLETE"] * 2


@pytest.mark.parametrize("strategy", ["random", "halving"])
@pytest.mark.parametrize("key", ["epoch:1", "queue", "spec"])
def test_a_damaged_study_is_left_alone_and_the_others_are_served(
    put: Put,
    storage: Flaky,
    serve: Callable[..., Stop],
    caplog: pytest.LogCaptureFixture,
    strategy: str,
    key: str,
) -> None:
    """Its record is damaged while a trial of it waits to go on."""
    mine, other = put("s", priority=1, strategy=strategy, epochs=9), put("other")
    mine.give_back(begin(mine, OTHER, [0.5]), paused=False)
    with storage.session() as session:
        for table in ("trial_user_attributes", "study_user_attributes"):
            statement = f"UPDATE {table} SET value_json = '{{' WHERE key = '{key}'"
            session.connection().exec_driver_sql(
                statement + (" AND study_id = 1" if table[:2] == "st" else "")
            )
    caplog.set_level(logging.ERROR)
    serve(Sandbox(Training()), pace=replace(HASTE, refusal=60.0))
    assert states(other) == ["COMPLETE"] * 2
    if key != "queue":  # without a place it is not on the queue
        assert any(
            "study s is left alone" in r.getMessage() and "damaged" in r.getMessage()
            for r in caplog.records
        )
    assert n_running(storage) == 0


def test_a_damaged_entry_of_the_roster_is_none(storage: Flaky) -> None:
    roster = Roster(storage)
    for pid in (1, 2):
        roster.beat(replace(ME, pid=pid), WorkerRecord(f"host/{pid}", "CPU"))
    with storage.session() as session:
        session.connection().exec_driver_sql(
            "UPDATE study_user_attributes SET value_json = '{' WHERE key LIKE '%/1/%'"
        )
    assert [w.worker for w in Roster(storage).read()] == ["host/2"]
    roster.beat(ME, WorkerRecord("host/3", "CPU"))
    with storage.reading(), storage.session() as session:
        assert len(storage.study_attrs(session, 1)) == 2
