"""What becomes of a whole study: paused, resumed, cancelled, closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from optuna.trial import TrialState
from sqlalchemy.orm import Session

from search.study.storage.database import models
from search.study.storage.ledger import CANCELLED_REASON, Ledger
from search.study.storage.queue import Place, QueueState, n_started, opened, put_place


def close(ledger: Ledger) -> list[int] | None:
    """End the study; the numbers of paused trials, now PRUNED. None while any may still run."""
    with locked_study(ledger) as (session, place):
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
                ledger.best_value(session, trial),
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
    with locked_study(ledger) as (session, place):
        if place.state is QueueState.OPEN and ledger.spec == spec and place.n_before == n_before:
            _put(ledger, session, place, QueueState.DONE, reason)


def pause(ledger: Ledger, reason: str = "") -> QueueState:
    """Let no worker serve the study until `resume`. Its state from now on."""
    with locked_study(ledger) as (session, place):
        if place.state is not QueueState.OPEN:
            return place.state
        return _put(ledger, session, place, QueueState.PAUSED, reason)


def resume(ledger: Ledger) -> QueueState:
    """Put a paused or cancelled study back on the queue. Its state; DONE if nothing is left."""
    with locked_study(ledger) as (session, place):
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
    with locked_study(ledger) as (session, place):
        if place.state is QueueState.DONE:
            return place.state
        waiting = session.query(models.TrialModel).filter_by(
            study_id=ledger.study_id, state=TrialState.WAITING
        )
        for trial in waiting.all():
            ledger.end_pruned(session, trial, ledger.best_value(session, trial), CANCELLED_REASON)
        return _put(ledger, session, place, QueueState.CANCELLED)


@contextmanager
def locked_study(ledger: Ledger) -> Iterator[tuple[Session, Place]]:
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
