"""Finished trials of another study of Optuna's."""

import math
from datetime import timedelta
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.actions.importing.rows import Past, PastTrial
from search.errors import InputError
from search.secret import masked, redacted
from search.study.storage.database import engine_options, normalize_url, root_cause
from search.untrusted import check_memory

_PREFIX = "optuna:"
_FILES = (".db", ".sqlite", ".sqlite3", ".log", ".journal")
_JOURNALS = (".log", ".journal")
_GROWTH = 10
"""How many times its size a journal takes once it is read."""


def is_optuna(source: str) -> bool:
    """Whether `source` names a storage of Optuna's: `optuna:URL#study`, or a file by its ending."""
    return source.startswith(_PREFIX) or Path(source).suffix in _FILES


def read_optuna(source: str, study: str | None) -> Past:
    """The trials of a study in `source`; nothing is written there.

    Raises InputError when it can't be opened, the study is not in it, or does not maximize one
    value.
    """
    place, _, named = source.removeprefix(_PREFIX).partition("#")
    name = study or named or None
    file = Path(place).expanduser()
    is_file = "://" not in place
    if is_file and not file.is_file():
        raise InputError(
            f"{place}: there is no such file; give optuna:URL#study or the path of a .db file"
        )
    url = f"sqlite:///{file.resolve()}" if is_file else normalize_url(place)
    shown = str(file.resolve()) if is_file else masked(url)
    try:
        if is_file and file.suffix in _JOURNALS:
            check_memory(file.stat().st_size * _GROWTH, f"{file}: its trials")
            return _past(shown, optuna.storages.JournalStorage(JournalFileBackend(str(file))), name)
        storage = RDBStorage(url, engine_kwargs=engine_options(url), skip_table_creation=True)
        try:
            return _past(shown, storage, name)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except InputError:
        raise
    except Exception as error:  # whatever Optuna and its drivers raise of what it did not write
        reason = redacted(str(root_cause(error)), url).strip().splitlines() or [
            type(error).__name__
        ]
        raise InputError(
            f"{shown} can't be read as a storage of Optuna's: {reason[0]}; is it one?"
        ) from error


def _past(place: str, storage: optuna.storages.BaseStorage, name: str | None) -> Past:
    names = sorted(s.study_name for s in storage.get_all_studies())
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        rule = f"there is no study {name!r}" if name else "say which study, by --study"
        raise InputError(f"{place}: {rule}; it holds {', '.join(names) or 'none'}")
    study = Study(name, storage)
    if study.directions != [StudyDirection.MAXIMIZE]:
        ways = ", ".join(d.name.lower() for d in study.directions)
        raise InputError(
            f"{place}: study {name!r} is to {ways}, so its values are no accuracy to be maximized"
        )
    return Past(
        "optuna", f"{place}#{name}", tuple(_trial(t) for t in study.get_trials(deepcopy=False))
    )


def _trial(trial: FrozenTrial) -> PastTrial:
    steps = sorted(trial.intermediate_values)
    value, problem = _outcome(trial)
    # Some count epochs from 0.
    contiguous = steps in (list(range(len(steps))), list(range(1, len(steps) + 1)))
    curve = tuple(trial.intermediate_values[s] for s in steps) if contiguous else ()
    took: timedelta | None = trial.duration
    return PastTrial(
        str(trial.number),
        dict(trial.params),
        value,
        problem,
        curve,
        seconds=took.total_seconds() if took else None,
    )


def _outcome(trial: FrozenTrial) -> tuple[float | None, str | None]:
    """A trial's accuracy, of a pruned one the best that it reported; or why it has none."""
    if trial.state == TrialState.COMPLETE:
        return trial.value, None
    if trial.state != TrialState.PRUNED:
        return None, f"it is {trial.state.name}, not COMPLETE or PRUNED"
    reported = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    return (max(reported), None) if reported else (None, "it was pruned before it reported a value")
