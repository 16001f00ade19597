"""Removing a study, in an order of steps that no crash can spoil.

The rows in the storage go last. Whatever ends the program before, the study is still known, no
worker serves it, and removing it once more finishes.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from search.artifacts import remove_tree
from search.datasets.in_use import unused
from search.errors import InputError
from search.paths import artifacts, cache
from search.secret import masked
from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState, put_place
from search.study.storage.read import StoredStudy
from search.study.storage.removal_plan import Removal, busy_problems, unshared_data
from search.study.storage.trial_rows import DamagedError, decoding

REASON = "it is being deleted"


def take_off(
    storage: LedgerStorage, removal: Removal, *, grace_s: float, reason: str = REASON
) -> dict[int, Place]:
    """Let no worker begin a trial of it from now on; the places on the queue that it had, by
    study_id.

    Raises InputError when workers have begun in the meantime.
    """
    places: dict[int, Place] = {}
    with storage.session() as session:
        for study in sorted(removal.studies, key=lambda s: s.study_id):
            storage.lock_study(session, study.study_id)
        if problems := busy_problems(storage, session, removal.name, removal.studies, grace_s):
            raise InputError(problems)
        for study in removal.studies:
            place = _place(storage, session, study)
            places[study.study_id] = place
            # Of one that is done, an archive keeps why; nobody begins to write its report any more.
            off = (
                place
                if place.state is QueueState.DONE
                else replace(place, state=QueueState.CANCELLED, reason=reason)
            )
            put_place(storage, session, study.study_id, replace(off, due=False))
    return places


def put_back(storage: LedgerStorage, places: Mapping[int, Place]) -> None:
    """Undo `take_off`."""
    with storage.session() as session:
        for study_id, place in places.items():
            put_place(storage, session, study_id, place)


def remove(storage: LedgerStorage, removal: Removal) -> list[str]:
    """Remove what `take_off` was called for; the prepared data that stays, since somebody began to
    use it.

    Raises InputError when files can't be removed; a second call goes on.
    """
    kept = []
    for place in removal.places:
        try:
            if Path(place).parent != cache():
                remove_tree(place)
            elif not _remove_prepared(storage, removal, place):
                kept.append(place)
        except OSError as error:
            rule = f"{masked(place)} can't be removed ({error.strerror or error})"
            raise InputError(
                f"{rule}; mend that and give the same command again, which goes on"
            ) from error
    for study in removal.studies:
        with suppress(
            OSError
        ):  # it is gone, holds something else, or is in a store, which knows no folders
            Path(artifacts(study.name)).rmdir()
    delete_rows(storage, [s.study_id for s in removal.studies])
    return kept


def _remove_prepared(storage: LedgerStorage, removal: Removal, place: str) -> bool:
    """Whether `place` could be removed: a study that is about to be stored may use it."""
    with unused(Path(place)) as is_unused:
        if is_unused := is_unused and place in unshared_data(storage, removal.studies):
            remove_tree(place)
    return is_unused


def delete_rows(storage: LedgerStorage, study_ids: Sequence[int]) -> None:
    """Delete studies with all that hangs on them, in one transaction.

    Optuna's delete_study does the same, but loads every row of every trial first: 1,000 trials take
    it seconds.
    """
    trial = models.TrialModel
    trial_ids = sa.select(trial.trial_id).where(trial.study_id.in_(study_ids))
    with storage.session() as session:
        for study_id in sorted(study_ids):
            storage.lock_study(session, study_id)
        for table in reversed(models.BaseModel.metadata.sorted_tables):
            if "study_id" in table.c:
                session.execute(sa.delete(table).where(table.c.study_id.in_(study_ids)))
            elif "trial_id" in table.c:
                session.execute(sa.delete(table).where(table.c.trial_id.in_(trial_ids)))


def _place(storage: LedgerStorage, session: Session, study: StoredStudy) -> Place:
    """The place of a study on the queue; a damaged one reads paused, as none does."""
    with suppress(DamagedError), decoding(study.name):
        return Place.of(storage.study_attrs(session, study.study_id))
    return Place(QueueState.PAUSED)
