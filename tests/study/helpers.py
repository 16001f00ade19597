"""A small study without data or networks."""

from datetime import datetime
from typing import Any

from search.records import Epoch, TrialRecord
from search.space.space import Space
from search.study.spec import StudySpec
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.database import models
from search.study.storage.ledger import Ledger
from search.study.storage.queue import Place, put_place

SPACE = Space.from_dict(
    {
        "model": "mlp",
        "document": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.0, "units": 64},
        "params": {
            "optimizer": {"type": "choice", "choices": ["sgd", "adam"]},
            "lr": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
            "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
            "units": {"type": "int", "low": 8, "high": 256},
        },
    }
)


def spec(**changes: Any) -> StudySpec:
    """A study of six trials of at most nine epochs."""
    values: dict[str, Any] = {
        "name": "s",
        "model": "mlp",
        "data": "digits",
        "data_source": "digits",
        "n_trials": 6,
        "epochs": 9,
        "seed": 3,
        "strategy": "halving",
        "workers": 1,
        "threads": 1,
        "timeout_s": None,
        "budget": None,
        "trial_timeout_s": None,
        "validation_fraction": 0.2,
        "data_digest": "d",
        "space_digest": SPACE.digest,
        "first": ({"optimizer": "sgd", "lr": 0.1, "momentum": 0.0, "units": 64},),
        "space": SPACE.as_dict(),
    }
    return StudySpec(**(values | changes))


def epoch(step: int, val_accuracy: float) -> Epoch:
    """A plausible epoch."""
    loss = 1.0 / step
    values = {
        "loss": loss,
        "accuracy": val_accuracy,
        "val_loss": loss,
        "val_accuracy": val_accuracy,
        "lr": 0.1,
    }
    return Epoch(step, values, 2.0, 1_700_000_000.0 + step)


def measured(epoch: Epoch, **values: float | None) -> Epoch:
    """`epoch` with other `values`; None for none of that name."""
    return Epoch.of(epoch.report | values)


def trial(number: int, values: list[float], state: str = "WAITING", **changes: Any) -> TrialRecord:
    """A trial whose curve is `values`."""
    curve = tuple(epoch(i, v) for i, v in enumerate(values, start=1))
    params = {"optimizer": "adam", "lr": 10 ** (-4 + number % 5), "units": 8 + number}
    return TrialRecord(number, state, params, curve, total_epochs=9, **changes)


def begin(ledger: Ledger, owner: WorkerIdentity, values: list[float] = ()) -> Claim:  # type: ignore[assignment]
    """A new trial with some epochs reported."""
    claim = ledger.claim(owner)
    if claim is None:
        raise AssertionError("no new trial is left")
    ledger.start(claim, {"optimizer": "adam", "lr": 0.01, "units": 16}, seed=1)
    ledger.report(claim, [epoch(step, value) for step, value in enumerate(values, start=1)])
    return claim


def store_place(ledger: Ledger, place: Place) -> None:
    """Put the study anywhere on the queue, as time or another version may have."""
    with ledger.storage.session() as session:
        put_place(ledger.storage, session, ledger.study_id, place)


def forget_beats(ledger: Ledger) -> None:
    """All workers of the study have been silent for years."""
    with ledger.storage.session() as session:
        session.query(models.TrialHeartbeatModel).update({"heartbeat": datetime(2020, 1, 1)})
