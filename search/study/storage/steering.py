"""What is decided of a whole study: taking back lost trials, pausing, cancelling, closing."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from optuna.trial import TrialState
from sqlalchemy.orm import Session

from search.errors import InputError
from search.records import TrialRecord
from search.retry_limits import trial_retries
from search.study.finalists import final_spec
from search.study.settings import FINAL
from search.study.spec import StudySpec
from search.study.storage.claim import WorkerIdentity, is_lost
from search.study.storage.database import models
from search.study.storage.ledger import CANCELLED_REASON, Ledger, best_value, stored_spec
from search.study.storage.optuna_storage import database_time
from search.study.storage.queue import Place, QueueState, n_started, opened, put_place
from search.study.storage.read import CLAIM_LOST_REASON


def requeue_lost(ledger: Ledger, owner: WorkerIdentity, *, grace_s: float) -> list[int]:
    """Return the trials of lost workers to WAITING; their numbers. One that lost its workers too
    often fails.

    A worker is lost when its process on this machine is gone, or when it has been silent for
    `grace_s` seconds by the database's clock. `owner`, who asks, holds no trial by its own account:
    one that the storage says it holds is from a claim whose confirmation never arrived. In a
    cancelled study such trials end as PRUNED.
    """
    storage = ledger.storage
    # Looked at without a lock first: mostly nobody is lost, and many workers ask.
    with storage.reading(), storage.session() as session:
        if not _lost(ledger, session, owner, grace_s):
            return []
    taken = []
    with _settling(ledger) as (session, place):
        for trial, claim in _lost(ledger, session, owner, grace_s):
            locked = session.get(
                models.TrialModel, trial.trial_id, with_for_update=True, populate_existing=True
            )
            if locked is None or locked.state != TrialState.RUNNING:
                continue
            taken.append(trial.number)
            if place.state is QueueState.CANCELLED:
                ledger.end_pruned(session, locked, best_value(session, locked), CANCELLED_REASON)
            elif owner.holds(claim):
                storage.release(session, locked)
            else:
                _requeue(ledger, session, locked)
    return taken


def _lost(
    ledger: Ledger, session: Session, owner: WorkerIdentity, grace_s: float
) -> list[tuple[Any, Mapping[str, Any]]]:
    began = time.monotonic()
    running = ledger.storage.silent_for(session, ledger.study_id)
    claims = [
        (trial, silent_s, ledger.storage.claim_of(session, trial.trial_id))
        for trial, silent_s in running
    ]
    if time.monotonic() - began > grace_s / 4:
        return []  # a database that hung let nobody beat
    return [
        (t, claim)
        for t, silent_s, claim in claims
        if owner.holds(claim) or is_lost(claim, silent_s, grace_s)
    ]


def _requeue(ledger: Ledger, session: Session, trial: Any) -> None:
    attrs = {
        r.key: r.value_json
        for r in models.TrialUserAttributeModel.where_trial_id(trial.trial_id, session)
    }
    n_epochs = sum(key.startswith("epoch:") for key in attrs)
    at, n_fruitless = json.loads(attrs.get("fruitless", "[0, 0]"))
    n_fruitless = n_fruitless + 1 if n_epochs == at else 1
    if n_fruitless > trial_retries():
        ledger.end_failed(
            session, trial, CLAIM_LOST_REASON.format(n=n_fruitless), log_tail="", untrainable=False
        )
        return
    changes = {
        "n_retries": int(attrs.get("n_retries", "0")) + 1,
        "fruitless": [n_epochs, n_fruitless],
        "paused": False,
    }
    ledger.storage.put(session, trial.trial_id, user=changes)
    ledger.storage.release(session, trial)


def close(ledger: Ledger) -> list[int] | None:
    """End the study; the numbers of paused trials, now PRUNED. None while any may still run."""
    with _settling(ledger) as (session, place):
        if (
            place.state is not QueueState.OPEN
            or n_started(session, ledger.study_id) < ledger.spec.n_trials
        ):
            return None
        running = session.query(models.TrialModel).filter_by(
            study_id=ledger.study_id, state=TrialState.RUNNING
        )
        if running.first() is not None or ledger.waiting(session, paused=False).first() is not None:
            return None
        waiting = ledger.waiting(session, paused=True).all()
        for trial in waiting:
            n_epochs = models.TrialIntermediateValueModel.where_trial_id(trial.trial_id, session)
            ledger.end_pruned(
                session,
                trial,
                best_value(session, trial),
                f"not promoted from epoch {len(n_epochs)}",
            )
        _put(ledger, session, place, QueueState.DONE)
        return [t.number for t in waiting]


def finish(ledger: Ledger, reason: str, n_before: int) -> None:
    """Take an open study off the queue that is to start no more trials; its paused ones stay, for a
    larger budget.

    It stays open if another command has just opened it again: with another spec, or more than
    `n_before` trials.
    """
    spec = ledger.spec
    with _settling(ledger) as (session, place):
        if place.state is QueueState.OPEN and ledger.spec == spec and place.n_before == n_before:
            _put(ledger, session, place, QueueState.DONE, reason)


def open_finals(
    ledger: Ledger, trials: Sequence[TrialRecord], environment: Mapping[str, str]
) -> Ledger | None:
    """Put the study of the search's finalists on the queue, or back on it; None if it wants none.

    It has the search's priority, and what is left of its time.
    """
    storage = ledger.storage
    with storage.reading(), storage.session() as session:
        place, now = ledger.place_in(session), database_time(session)
    left_s = place.left_s(now)
    for is_last in (False, True):
        spec = _final_spec(ledger, trials, left_s)
        if spec is None:
            return None
        timed = spec.model_copy(update={"timeout_s": None if left_s is None else max(left_s, 1.0)})
        try:
            return Ledger.open(
                storage,
                timed,
                environment,
                priority=place.priority,
                trackers=place.trackers,
                other_code=True,
            )
        except InputError:
            # Another worker may just have opened it with other finalists, since more time was left.
            if is_last:
                raise
    return None


def grow_finals(ledger: Ledger, environment: Mapping[str, str]) -> bool:
    """Add the replicates of a baseline to `ledger`, the study of finalists, once the training that
    they replay is over.

    Whether there were any to add.
    """
    if not any(replicate.is_pilot for replicate in ledger.spec.replicates):
        return False
    search = Ledger(ledger.storage, ledger.name.removesuffix(FINAL))
    trials = search.trials()
    # As if no time were left for other finalists: they are no matter of this training.
    spec = _final_spec(search, trials, 0.0)
    if spec is None or len(spec.replicates) <= len(ledger.spec.replicates):
        return False
    return open_finals(search, trials, environment) is not None


def _final_spec(
    ledger: Ledger, trials: Sequence[TrialRecord], left_s: float | None
) -> StudySpec | None:
    stored = stored_spec(ledger.storage, ledger.name + FINAL)
    made = Ledger(ledger.storage, ledger.name + FINAL).trials() if stored else ()
    to_train_s = None if left_s is None else left_s * ledger.spec.workers
    return final_spec(ledger.spec, trials, stored, made=made, left_s=to_train_s)


def pause(ledger: Ledger, reason: str = "") -> QueueState:
    """Let no worker serve the study until `resume`. Its state from now on."""
    with _settling(ledger) as (session, place):
        if place.state is not QueueState.OPEN:
            return place.state
        return _put(ledger, session, place, QueueState.PAUSED, reason)


def resume(ledger: Ledger) -> QueueState:
    """Put a paused or cancelled study back on the queue. Its state; DONE if nothing is left."""
    with _settling(ledger) as (session, place):
        if place.state not in {QueueState.PAUSED, QueueState.CANCELLED}:
            return place.state
        n_before = n_started(session, ledger.study_id)
        again = opened(
            priority=place.priority,
            timeout_s=ledger.spec.timeout_s,
            n_before=n_before,
            trackers=place.trackers,
        )
        return _put(ledger, session, again, again.state)


def cancel(ledger: Ledger) -> QueueState:
    """End the study: trials that wait become PRUNED at once, running ones as soon as their workers
    see it.

    Returns its state from now on: a study that is done stays done.
    """
    with _settling(ledger) as (session, place):
        if place.state is QueueState.DONE:
            return place.state
        waiting = session.query(models.TrialModel).filter_by(
            study_id=ledger.study_id, state=TrialState.WAITING
        )
        for trial in waiting.all():
            ledger.end_pruned(session, trial, best_value(session, trial), CANCELLED_REASON)
        return _put(ledger, session, place, QueueState.CANCELLED)


@contextmanager
def _settling(ledger: Ledger) -> Iterator[tuple[Session, Place]]:
    """A transaction that holds the study's lock, and the study's place."""
    with ledger.storage.session() as session:
        ledger.storage.lock_study(session, ledger.study_id)
        yield session, ledger.place_in(session)


def _put(
    ledger: Ledger, session: Session, place: Place, state: QueueState, reason: str = ""
) -> QueueState:
    ended = replace(place, state=state, reason=reason, due=state.is_over, writer="", report="")
    put_place(ledger.storage, session, ledger.study_id, ended)
    return state
