"""Reports still to be written of studies that are over: which, by whom, and where to."""

from collections.abc import Collection
from dataclasses import replace

from search.study.settings import FINAL
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, n_running, places, put_place
from search.study.storage.read import find_study


def due_reports(storage: LedgerStorage) -> list[str]:
    """Searches that are over, with their finalists, and whose report nobody has written since.

    Raises RetryLaterError when the database is out of reach.
    """
    stored = places(storage)
    due = [name for name, place in stored.items() if place.due and not name.endswith(FINAL)]
    over = [
        n
        for n in due
        if all(stored[part].state.is_over for part in (n, n + FINAL) if part in stored)
    ]
    running = n_running(storage, [*over, *(name + FINAL for name in over)]) if over else {}
    return [name for name in over if not {name, name + FINAL} & running.keys()]


def take_report(storage: LedgerStorage, name: str, worker: str, alive: Collection[str]) -> bool:
    """Let `worker` write a study's report unless one of those `alive` does; whether it may."""
    study_id, _ = find_study(storage, name)
    with storage.session() as session:
        storage.lock_study(session, study_id)
        place = Place.of(storage.study_attrs(session, study_id))
        is_free = place.due and (place.writer == worker or place.writer not in alive)
        if is_free:
            put_place(storage, session, study_id, replace(place, writer=worker))
        return is_free


def note_report(storage: LedgerStorage, name: str, where: str) -> None:
    """Keep with study `name` that its report, which was due, is written, and `where`."""
    study_id, _ = find_study(storage, name)
    with storage.session() as session:
        storage.lock_study(session, study_id)
        place = Place.of(storage.study_attrs(session, study_id))
        if place.due:
            put_place(
                storage, session, study_id, replace(place, due=False, writer="", report=where)
            )
