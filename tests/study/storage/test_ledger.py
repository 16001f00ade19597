"""The budget and the claims, on every storage."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import optuna
import pytest

from search.errors import ClaimLostError, InputError
from search.retry_limits import trial_retries
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.database import models
from search.study.storage.ledger import Ledger
from search.study.storage.lost_trials import requeue_lost
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.study_state import close
from tests.study.helpers import begin, epoch, spec

Open = Callable[[], LedgerStorage]
T = TypeVar("T")
ME = WorkerIdentity.me("me")
DEAD = replace(ME, worker="dead", pid=2**22 + 1)
ASKER = replace(ME, worker="asker", pid=1)
ELSEWHERE = replace(ME, worker="far", host="another machine")


@pytest.fixture
def ledger(open_storage: Open) -> Ledger:
    return Ledger.open(open_storage(), spec(), {"python": "3"})


def at_once(work: Callable[[T], None], arguments: Sequence[T]) -> None:
    """Call `work` with each of `arguments`, in threads."""
    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def claim_all(open_storage: Open) -> list[Claim]:
    """What eight workers with connections of their own claim, all at once."""
    claims: list[Claim] = []

    def work(ledger: Ledger) -> None:
        while claim := ledger.claim(ME):
            claims.append(claim)

    at_once(work, [Ledger(open_storage(), "s") for _ in range(8)])
    return claims


def test_a_study_starts_exactly_n_trials_under_any_number_of_workers(
    open_storage: Open, ledger: Ledger
) -> None:
    assert sorted(claim.number for claim in claim_all(open_storage)) == list(range(6))
    assert [t.number for t in ledger.trials()] == list(range(6))


def test_a_waiting_trial_is_claimed_by_one_worker_only(open_storage: Open, ledger: Ledger) -> None:
    for _ in range(6):
        ledger.give_back(begin(ledger, ME), paused=False)
    assert sorted(claim.number for claim in claim_all(open_storage)) == list(range(6))


def test_a_paused_trial_is_skipped_until_it_is_promoted_and_stays_one_row(ledger: Ledger) -> None:
    claim = begin(ledger, ME, [0.5, 0.6, 0.7])
    ledger.give_back(claim, paused=True)
    assert ledger.claim(ME, new=False) is None
    again = ledger.claim(ME, promote=claim.number, new=False)
    assert again is not None
    assert ledger.claim(ME, promote=claim.number, new=False) is None
    ledger.report(again, [epoch(4, 0.8)])
    ledger.complete(again, 0.8)
    [trial] = ledger.trials()
    assert (trial.number, trial.state, trial.epochs, trial.val_accuracy) == (0, "COMPLETE", 4, 0.8)


def test_the_trial_of_a_dead_worker_goes_back_and_keeps_its_curve(ledger: Ledger) -> None:
    begin(ledger, DEAD, [0.5, 0.6])
    assert requeue_lost(ledger, ASKER, grace_s=60) == [0]
    claim = ledger.claim(ME, new=False)
    assert claim is not None
    [trial] = ledger.trials()
    assert (trial.number, trial.epochs, trial.n_retries, trial.worker) == (0, 2, 1, "me")


def test_a_living_or_merely_distant_worker_keeps_its_trial(ledger: Ledger) -> None:
    begin(ledger, ME)
    begin(ledger, ELSEWHERE)
    assert requeue_lost(ledger, ASKER, grace_s=60) == []


def test_a_worker_whose_process_is_hidden_keeps_its_trial(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc shows a user's own processes only (hidepid=2)."""
    begin(ledger, ME)
    monkeypatch.setattr(
        "search.study.storage.claim._born", lambda _pid: Path("/proc/nowhere").stat()
    )
    assert requeue_lost(ledger, ASKER, grace_s=60) == []


def test_a_distant_worker_is_lost_after_the_grace_period(
    open_storage: Open, ledger: Ledger
) -> None:
    begin(ledger, ELSEWHERE)
    with open_storage().session() as session:
        session.query(models.TrialHeartbeatModel).update({"heartbeat": datetime(2020, 1, 1)})
    assert requeue_lost(ledger, ASKER, grace_s=3600) == [0]


def test_who_lost_a_claim_can_write_nothing(ledger: Ledger) -> None:
    old = begin(ledger, DEAD, [0.5])
    requeue_lost(ledger, ASKER, grace_s=60)
    new = ledger.claim(ME, new=False)
    assert new is not None
    for write in (
        lambda: ledger.report(old, [epoch(2, 0.9)]),
        lambda: ledger.report(old),
        lambda: ledger.report(old, device="x"),
        lambda: ledger.give_back(old, paused=True),
        lambda: ledger.complete(old, 0.9),
        lambda: ledger.prune(old, 0.9, "r"),
        lambda: ledger.fail(old, "r"),
    ):
        with pytest.raises(ClaimLostError):
            write()
    [trial] = ledger.trials()
    assert (trial.state, trial.epochs, trial.reason) == ("RUNNING", 1, None)


def test_a_trial_that_keeps_losing_its_workers_fails_in_the_end(ledger: Ledger) -> None:
    begin(ledger, DEAD)
    for _ in range(trial_retries()):
        requeue_lost(ledger, ASKER, grace_s=60)
        assert ledger.claim(DEAD, new=False) is not None
    requeue_lost(ledger, ASKER, grace_s=60)
    [trial] = ledger.trials()
    assert trial.state == "FAIL"
    assert "lost" in (trial.reason or "")


def test_an_ended_trial_can_not_be_written_again(ledger: Ledger) -> None:
    claim = begin(ledger, ME, [0.5])
    ledger.complete(claim, 0.5)
    with pytest.raises(ClaimLostError):
        ledger.report(claim, [epoch(2, 0.9)])


def test_what_could_not_be_trained_reads_fail_but_samplers_see_it(
    open_storage: Open, ledger: Ledger
) -> None:
    ledger.fail(begin(ledger, ME), "out of memory", untrainable=True, log_tail="Killed")
    ledger.fail(begin(ledger, ME), "exit code 3", log_tail="Traceback")
    assert [(t.state, t.reason, t.log_tail) for t in ledger.trials()] == [
        ("FAIL", "out of memory", "Killed"),
        ("FAIL", "exit code 3", "Traceback"),
    ]
    stored = optuna.load_study(study_name="s", storage=open_storage()).trials
    assert [t.state.name for t in stored] == ["PRUNED", "FAIL"]
    assert stored[0].constraints["trained"] > 0


def test_a_study_ends_when_all_have_started_and_none_may_go_on(ledger: Ledger) -> None:
    for _ in range(5):
        ledger.give_back(begin(ledger, ME, [0.4, 0.6, 0.5]), paused=True)
    assert close(ledger) is None
    last = begin(ledger, ME, [0.7])
    assert close(ledger) is None
    ledger.complete(last, 0.7)
    assert close(ledger) == [0, 1, 2, 3, 4]
    trials = ledger.trials()
    assert [t.state for t in trials] == ["PRUNED"] * 5 + ["COMPLETE"]
    assert {t.val_accuracy for t in trials[:5]} == {0.6}


def test_a_study_with_an_interrupted_trial_does_not_end(ledger: Ledger) -> None:
    claims = [begin(ledger, ME, [0.5]) for _ in range(6)]
    for claim in claims[1:]:
        ledger.give_back(claim, paused=True)
    ledger.give_back(claims[0], paused=False)
    assert close(ledger) is None


def test_the_budget_may_grow_and_nothing_else_may_change(
    open_storage: Open, ledger: Ledger
) -> None:
    for _ in range(6):
        begin(ledger, ME)
    assert ledger.claim(ME) is None
    Ledger.open(open_storage(), spec(n_trials=7, workers=3, timeout_s=5.0), {})
    assert ledger.claim(ME) is not None
    with pytest.raises(InputError) as error:
        Ledger.open(open_storage(), spec(n_trials=5, seed=4, epochs=8, data_digest="x"), {})
    text = str(error.value)
    assert all(word in text for word in ("n_trials", "seed", "epochs", "data_digest"))
    assert len(error.value.problems) == 4
    assert ledger.spec.n_trials == 7


def test_two_commands_may_make_the_same_study_at_once(open_storage: Open) -> None:
    storages = [open_storage() for _ in range(6)]
    errors: list[BaseException] = []

    def make(storage: LedgerStorage) -> None:
        try:
            Ledger.open(storage, spec(name="both"), {})
        except BaseException as error:
            errors.append(error)

    at_once(make, storages)
    assert errors == []
    assert Ledger(open_storage(), "both").spec.n_trials == 6


def test_an_unknown_study_is_an_input_error(open_storage: Open) -> None:
    with pytest.raises(InputError, match="not in the storage"):
        Ledger(open_storage(), "nobody")


def test_a_claim_whose_confirmation_never_arrived_is_found_and_given_back(ledger: Ledger) -> None:
    """The connection died after the commit: the worker knows of no trial, the storage says that it
    holds one.
    """
    begin(ledger, ME, [0.5])
    assert requeue_lost(ledger, ME, grace_s=60) == [0]
    [trial] = ledger.trials()
    assert (trial.state, trial.n_retries, trial.epochs) == ("WAITING", 0, 1)


def test_an_end_may_be_stored_again_when_its_confirmation_never_arrived(ledger: Ledger) -> None:
    claim, other = begin(ledger, ME, [0.5]), begin(ledger, ME, [0.5])
    for _ in range(2):
        ledger.complete(claim, 0.5)
        ledger.fail(other, "why")
    assert [t.state for t in ledger.trials()] == ["COMPLETE", "FAIL"]


def test_a_study_that_closes_heeds_a_budget_that_has_just_grown(
    open_storage: Open, ledger: Ledger
) -> None:
    for _ in range(6):
        ledger.give_back(begin(ledger, ME, [0.5]), paused=True)
    Ledger.open(open_storage(), spec(n_trials=7), {})
    assert close(ledger) is None
    assert ledger.claim(ME) is not None


def test_a_study_of_another_program_is_an_input_error(open_storage: Open) -> None:
    optuna.create_study(study_name="theirs", storage=open_storage())
    for touch in (
        lambda: Ledger(open_storage(), "theirs"),
        lambda: Ledger.open(open_storage(), spec(name="theirs"), {}),
    ):
        with pytest.raises(InputError, match="Gridless"):
            touch()


def test_an_end_that_waits_while_the_trial_is_taken_back_is_refused(
    open_storage: Open, ledger: Ledger
) -> None:
    """The worker was lost and wakes in the very moment in which another takes its trial back."""
    claim = begin(ledger, ME, [0.5])
    late = Ledger(open_storage(), "s")
    refused: list[bool] = []

    def end() -> None:
        try:
            late.complete(claim, 0.9)
            refused.append(False)
        except ClaimLostError:
            refused.append(True)

    with ledger.storage.session() as session:
        trial = session.get(models.TrialModel, claim.trial_id, with_for_update=True)
        ledger.storage.release(session, trial)
        session.flush()
        thread = threading.Thread(target=end)
        thread.start()
        thread.join(0.3)  # it waits for the row by now, or will find it released
    thread.join(30)
    assert refused == [True]
    assert [t.state for t in ledger.trials()] == ["WAITING"]


def test_a_trial_that_begins_again_keeps_nothing_of_its_epochs(
    open_storage: Open, ledger: Ledger
) -> None:
    claim = begin(ledger, ME, [0.2, 0.9])
    other = begin(ledger, ME, [0.3])
    ledger.forget_epochs(claim)
    ledger.report(claim, [epoch(1, 0.1)])
    ledger.prune(claim, None, "enough")
    first, second = Ledger(open_storage(), "s").trials()
    assert ([e.val_accuracy for e in first.curve], [e.val_accuracy for e in second.curve]) == (
        [0.1],
        [0.3],
    )
    assert (first.total_epochs, first.seed) == (9, 1)
    with pytest.raises(ClaimLostError):
        ledger.forget_epochs(replace(other, token="another"))
