"""Pickled builders, each stored with its study."""

from search.errors import StudyError
from search.pickled import ALLOW, Pickled, pickled_problem
from search.registry import pickled_digest
from search.study.settings import FINAL
from search.study.spec import StudySpec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import find_study
from search.study.storage.trial_rows import decoding

_KEY = "gridless:builder"


def store_builder(storage: LedgerStorage, name: str, builder: Pickled) -> None:
    """Keep `builder` with study `name`, in place of an earlier one."""
    study_id, _ = find_study(storage, name)
    with storage.session() as session:
        storage.put_large(session, study_id, {_KEY: builder.as_json()})


def stored_builder(storage: LedgerStorage, name: str) -> Pickled | None:
    """What was stored with study `name`; None without any, or without such a study."""
    row = storage.read_study(name)
    if row is None:
        return None
    with storage.reading(), storage.session() as session, decoding(name):
        raw = storage.large_attr(session, row[0], _KEY)
        return Pickled.from_json(raw) if raw else None


def fetch_builder(storage: LedgerStorage, spec: StudySpec, *, is_allowed: bool) -> None:
    """Bring the pickled builder of a study to this machine, if it has one and that is not here.

    Raises StudyError when it `is_allowed` not, or can't be read here.
    """
    if not pickled_digest(spec.model):
        return
    rule = f"study {spec.name!r} can't be served on this machine"
    if not is_allowed:
        why = "its builder is pickled code of whoever made the study"
        raise StudyError(f"{rule}: {why}; `gridless worker {ALLOW}` runs it, if you trust them")
    if not pickled_problem(spec.model):
        return
    stored = stored_builder(storage, spec.name.removesuffix(FINAL))
    if stored and stored.model == spec.model:
        stored.keep()
    if problem := pickled_problem(spec.model):
        raise StudyError(f"{rule}: {problem}")
