"""The study of a search's finalists: put on the queue, and grown."""

from collections.abc import Mapping, Sequence

from search.errors import InputError
from search.records import TrialRecord
from search.study.finalists import final_spec
from search.study.settings import FINAL
from search.study.spec import StudySpec
from search.study.storage.ledger import Ledger, stored_spec
from search.study.storage.optuna_storage import database_time


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
