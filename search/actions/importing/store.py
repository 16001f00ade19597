"""Past trials of other programs as a finished study: to report, compare and begin with."""

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.orm import Session

from search.actions.importing.rows import Fitted, Past, Rejected, fit, unknown_to
from search.errors import InputError
from search.records import Epoch
from search.space.space import Space
from search.strategies.optuna_trials import FAILED_CONSTRAINT, distributions
from search.study.spec import StudySpec, stored_spec_of
from search.study.storage.database import models
from search.study.storage.ledger import stored_spec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QUEUE, Place, QueueState, n_started
from search.study.storage.read import find_study

IMPORTED = "imported_from"
"""The user attribute of a trial that another program ran: {kind, place, row}."""
NO_DATA = "imported"
"""Stands for the digest of images and split: no source tells it, so none is compared."""


class Imported(NamedTuple):
    """What came of an import."""

    n_new: int
    n_known: int
    """Trials that an earlier import brought."""
    rejected: tuple[Rejected, ...]
    assumed: Mapping[str, Any]
    """Values that the source lacks, as all its trials got them where they use them."""


def imported_spec(
    storage: LedgerStorage, name: str, *, model: str | None, data: str | None
) -> StudySpec | None:
    """The spec of study `name` if past trials were imported into it before; None if there is no
    such study.

    Raises InputError when a search made it, or `model` or the name of `data` are not its own.
    """
    spec = stored_spec(storage, name)
    if spec is None:
        return None
    if spec.data_digest != NO_DATA:
        raise InputError(
            f"--into: study {name!r} is a search; past trials get a study of their own, by another"
            " name"
        )
    given = (("--model", model, spec.model), ("--data", data, spec.data))
    if problems := [
        f"{flag}: study {name!r} has {old}, not {new}"
        for flag, new, old in given
        if new not in {None, old}
    ]:
        raise InputError(problems)
    return spec


def new_spec(name: str, space: Space, *, data: str, data_source: str) -> StudySpec:
    """The spec of a study that takes in trials of other programs: nobody searches it."""
    return StudySpec(
        name=name,
        model=space.model,
        data=data,
        data_source=data_source,
        n_trials=0,
        epochs=space.max_epochs or 1,
        workers=1,
        threads=1,
        data_digest=NO_DATA,
        space_digest=space.digest,
        first=(),
        space=space.as_dict(),
    )


def take_in(
    storage: LedgerStorage, spec: StudySpec, past: Past, renamed: Mapping[str, str]
) -> Imported:
    """Store the trials of `past` that fit in the study of `spec`, which is made if it is not there.

    All or none are stored, each COMPLETE, with where it came from; one that is there already is
    passed over. Raises RetryLaterError when the database is out of reach.
    """
    space = spec.search_space
    unknown = unknown_to(past, space, renamed)
    results = [fit(trial, space, assumed=unknown, renamed=renamed) for trial in past.trials]
    fitted = [f for f in results if isinstance(f, Fitted)]
    n_new = _store(storage, spec, past, fitted) if fitted else 0
    used = set(chain.from_iterable(f.setting for f in fitted))
    return Imported(
        n_new,
        len(fitted) - n_new,
        tuple(f for f in results if isinstance(f, Rejected)),
        {name: space.document.get(name) for name in unknown if name in used},
    )


def _store(storage: LedgerStorage, spec: StudySpec, past: Past, fitted: Sequence[Fitted]) -> int:
    place = asdict(Place(QueueState.DONE, reason="its trials were imported"))
    attrs = {
        "spec": spec.model_dump(mode="json"),
        "environment": {},
        "uid": uuid.uuid4().hex,
        QUEUE: place,
    }
    storage.create_study(spec.name, attrs)
    study_id, _ = find_study(storage, spec.name)
    with storage.session() as session:
        storage.lock_study(session, study_id)
        stored = json.loads(storage.study_attrs(session, study_id)["spec"])
        stored_rows = _stored_rows(session, study_id)
        new = [f for f in fitted if (past.kind, past.place, f.row) not in stored_rows]
        first = n_started(session, study_id)
        for number, past_trial in enumerate(new, first):
            _store_trial(
                storage,
                session,
                storage.new_trial(session, study_id, number),
                spec,
                past,
                past_trial,
            )
        grown = stored_spec_of(spec.name, {"spec": stored}).model_copy(
            update={"n_trials": first + len(new)}
        )
        storage.put_study(session, study_id, {"spec": grown.model_dump(mode="json")})
    return len(new)


def _stored_rows(session: Session, study_id: int) -> set[tuple[str, str, str]]:
    trial, attr = models.TrialModel, models.TrialUserAttributeModel
    query = (
        sa.select(attr.value_json)
        .join(trial, trial.trial_id == attr.trial_id)
        .where(trial.study_id == study_id, attr.key == IMPORTED)
    )
    rows = [json.loads(text) for text in session.scalars(query)]
    return {(row["kind"], row["place"], row["row"]) for row in rows}


def _store_trial(
    storage: LedgerStorage,
    session: Session,
    trial: Any,
    spec: StudySpec,
    past: Past,
    past_trial: Fitted,
) -> None:
    storage.put_params(
        session, trial.trial_id, past_trial.setting, distributions(spec.search_space)
    )
    storage.put_steps(session, trial.trial_id, dict(enumerate(past_trial.curve, 1)))
    seconds = (past_trial.seconds or 0.0) / len(past_trial.curve)
    unknown, now = dict.fromkeys(("loss", "accuracy", "val_loss", "lr"), math.nan), time.time()
    epochs = [
        Epoch(step, unknown | {"val_accuracy": value}, seconds, now)
        for step, value in enumerate(past_trial.curve, 1)
    ]
    attrs: dict[str, Any] = {f"epoch:{e.step}": e.report for e in epochs}
    attrs |= {
        "total_epochs": len(epochs),
        IMPORTED: {"kind": past.kind, "place": past.place, "row": past_trial.row},
    }
    storage.put(session, trial.trial_id, user=attrs, system={FAILED_CONSTRAINT: 0.0})
    storage.put_end(session, trial, TrialState.COMPLETE, max(past_trial.curve))
