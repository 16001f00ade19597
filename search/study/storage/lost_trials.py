"""Take the trials of lost workers back."""

import json
import time
from collections.abc import Mapping
from typing import Any

from optuna.trial import TrialState
from sqlalchemy.orm import Session

from search.retry_limits import trial_retries
from search.study.storage.claim import WorkerIdentity, is_lost
from search.study.storage.database import models
from search.study.storage.ledger import CANCELLED_REASON, Ledger
from search.study.storage.queue import QueueState
from search.study.storage.read import CLAIM_LOST_REASON
from search.study.storage.study_state import locked_study


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
    with locked_study(ledger) as (session, place):
        for trial, claim in _lost(ledger, session, owner, grace_s):
            locked = session.get(
                models.TrialModel, trial.trial_id, with_for_update=True, populate_existing=True
            )
            if locked is None or locked.state != TrialState.RUNNING:
                continue
            taken.append(trial.number)
            if place.state is QueueState.CANCELLED:
                value = ledger.best_value(session, locked)
                ledger.end_pruned(session, locked, value, CANCELLED_REASON)
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
