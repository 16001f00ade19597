"""Brings to one tracker what the studies' storage has and it has not: in turns, from a cursor."""

import itertools
import logging
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from search.errors import InputError
from search.paths import home
from search.records import Search, StudyRecord, TrialRecord
from search.retry_limits import grace_s
from search.study.settings import DEFAULT_TRACKERS, FINAL
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study
from search.study.storage.tracked import (
    Ids,
    Marks,
    TrackedStudy,
    changed_trials,
    forget,
    put_cursor,
    put_files,
    tracked_studies,
)
from search.study.storage.tracker_claim import TrackerClaim
from search.tracking.protocol import GoneError, RefusedError, Tracker
from search.words import count

logger = logging.getLogger(__name__)


@dataclass
class Turn:
    """What came of one turn."""

    n_sent: int = 0
    """Trials that were brought."""
    errors: dict[str, str] = field(default_factory=dict)
    """Why a study could not be brought, by its name."""
    holder: str | None = None
    """Another process that brings the studies, if it is not this one."""
    gone: set[str] = field(default_factory=set)
    """Studies of which what was brought is gone, so that all is to be brought again."""


class Mirror:
    """Brings studies to the tracker that `make` makes, as the process `owner`."""

    def __init__(
        self,
        storage: LedgerStorage,
        name: str,
        make: Callable[[Ids], Tracker],
        owner: WorkerIdentity,
    ) -> None:
        ids = Ids(storage)
        self._storage = storage
        self._name = name
        self._tracker = make(ids)
        self.target = self._tracker.target
        where = (name, self.target, *([owner.host] if self._tracker.is_local else []))
        self._key = f"{name}@{sha256(repr(where).encode()).hexdigest()[:12]}"
        ids.bind(self._key)
        self._claim = TrackerClaim(storage, self._key, owner)
        self._beaten = float("-inf")
        self._marks: dict[int, Marks] = {}
        """By study_id."""
        self._looks: dict[int, tuple[object, ...]] = {}
        """What a pending trial looked like when it was brought last, by trial_id."""

    def turn(
        self,
        names: Collection[str] | None = None,
        stop: Callable[[], bool] = lambda: False,
        *,
        thorough: bool = False,
    ) -> Turn:
        """Bring what is new of the searches `names` (None: of all) until `stop()`; with `thorough`,
        bring their ends again, too.

        Where another process has the claim, only the files of reports of this machine. Raises
        RetryLaterError when the database is out of reach, and whatever the tracker does.
        """
        turn = Turn(holder=self._holder())
        every = tracked_studies(self._storage, self._key)
        studies = {study.name: study for study in every if self._concerns(study, names)}
        for name, study in studies.items():
            if turn.holder or stop():
                break
            if name in turn.gone:
                continue
            with self._noting(turn, study, studies.get(name + FINAL)):
                studies[name] = self._bring_trials(study, turn, stop)
        for name, study in studies.items():
            if stop():
                break
            # Of what is gone, the trials come first.
            if not _is_part(name, studies) and not turn.gone & {name, name + FINAL}:
                finals = studies.get(name + FINAL)
                with self._noting(turn, study, finals):
                    self._bring_end(study, finals, turn, thorough)
        return turn

    def left(self, names: Collection[str] | None = None) -> list[str]:
        """What is still to be brought of the searches `names`, a phrase each. Raises as `turn`."""
        every = tracked_studies(self._storage, self._key)
        studies = {study.name: study for study in every if self._concerns(study, names)}
        phrases = []
        for name, study in studies.items():
            chunks = changed_trials(self._storage, study, {})
            rows = itertools.chain.from_iterable(chunks)
            if n := sum(_is_missing(study, trial_id, trial) for trial_id, trial in rows):
                phrases.append(f"{count(n, 'trial')} of {name}")
            if _is_part(name, studies):
                continue
            mark = _end_mark(study, studies.get(name + FINAL))
            if mark not in {"", study.cursor.ended}:
                phrases.append(f"the end of {name}")
            reported = study.reported
            if reported and reported.files and study.files != f"{reported.at}":
                phrases.append(f"the report of {name}, whose files are on {reported.host}")
        return phrases

    def link(self, study: str) -> str | None:
        """Where the tracker shows `study`; None where it doesn't say. Raises what it does."""
        link: Callable[[str], str | None] | None = getattr(self._tracker, "link", None)
        return link(study) if link else None

    def release(self) -> None:
        """Let another process take over. Raises RetryLaterError when the database is away."""
        self._claim.release()
        self._beaten = float("-inf")

    def _holder(self) -> str | None:
        """Who else brings studies; None while this process may."""
        if time.monotonic() - self._beaten < grace_s() / 6:
            return None
        began = time.monotonic()
        holder = self._claim.take()
        self._beaten = float("-inf") if holder else began
        return holder

    def _concerns(self, study: TrackedStudy, names: Collection[str] | None) -> bool:
        search = study.name.removesuffix(FINAL)
        if names is not None and search not in names:
            return False
        if study.place.trackers is not None:
            return self._name in study.place.trackers
        # Earlier versions did not store it, but left an outbox where they told MLflow.
        was_tracked = names is not None or (home() / study.name / "outbox" / "study.json").exists()
        return self._name in DEFAULT_TRACKERS and (was_tracked or not study.place.state.is_over)

    @contextmanager
    def _noting(
        self, turn: Turn, study: TrackedStudy, finals: TrackedStudy | None
    ) -> Iterator[None]:
        """Note in `turn` what keeps `study`, and no other, from being brought. What is gone of it
        is gone of its finalists, too.
        """
        try:
            yield
        except GoneError:
            logger.warning("%s: all of %s is brought again", self._name, study.name)
            for part in (study, finals) if finals else (study,):
                turn.gone.add(part.name)
                forget(self._storage, part.study_id, self._key)
                self._marks.pop(part.study_id, None)
            self._looks.clear()
        except (RefusedError, InputError) as error:
            turn.errors[study.name] = str(error)

    def _bring_trials(
        self, study: TrackedStudy, turn: Turn, stop: Callable[[], bool]
    ) -> TrackedStudy:
        """Bring the trials that changed; the study with its cursor moved on."""
        header = None
        marks = self._marks.setdefault(study.study_id, {})
        for rows in changed_trials(self._storage, study, marks):
            header = header or read_study(self._storage, study.name, with_trials=False)
            cursor = study.cursor
            newest = cursor.newest
            pending = dict(cursor.pending)
            for trial_id, trial in rows:
                # Each time, since a tracker may take seconds for a trial.
                turn.holder = self._holder()
                if turn.holder or stop():
                    break
                self._bring_trial(header, trial_id, trial, pending.get(trial_id, 0), turn)
                pending[trial_id] = trial.epochs
                if trial.state.is_final:
                    del pending[trial_id]
                    self._looks.pop(trial_id, None)
                newest = max(newest, trial_id)
            moved = replace(cursor, newest=newest, pending=pending)
            if moved != cursor:
                put_cursor(self._storage, study.study_id, self._key, moved)
                study = replace(study, cursor=moved)
            if turn.holder or stop():
                break
        return study

    def _bring_trial(
        self, study: StudyRecord, trial_id: int, trial: TrialRecord, n_before: int, turn: Turn
    ) -> None:
        """Bring a trial, unless it looks as it did when it was brought last."""
        look = (trial.state, trial.epochs, trial.n_segments, trial.worker, bool(trial.params))
        if self._looks.get(trial_id) != look:
            self._tracker.trial_changed(study, trial, trial.curve[n_before:])
            self._looks[trial_id] = look
            turn.n_sent += 1

    def _bring_end(
        self, study: TrackedStudy, finals: TrackedStudy | None, turn: Turn, thorough: bool
    ) -> None:
        """Bring what came of a search, if that changed: the files too, where they are here."""
        reported = study.reported
        mark = _end_mark(study, finals)
        files: list[Path] = []
        if reported and reported.host == socket.gethostname():
            files = [path for path in map(Path, reported.files) if path.exists()]
        are_due = bool(reported and files and study.files != f"{reported.at}")
        if turn.holder:
            # Its holder can't read the files of this machine.
            if not are_due or turn.holder.startswith(f"{socket.gethostname()}/"):
                return
        elif not mark or (mark == study.cursor.ended and not are_due and not thorough):
            return
        search = Search(read_study(self._storage, study.name), reported=reported)
        if finals:
            search = replace(search, finalists=read_study(self._storage, finals.name))
        self._tracker.study_ended(search, files)
        if reported and files:
            put_files(self._storage, study.study_id, self._key, reported.at)
        if turn.holder is None:
            ended = replace(study.cursor, ended=mark)
            put_cursor(self._storage, study.study_id, self._key, ended)


def _is_part(name: str, studies: Mapping[str, TrackedStudy]) -> bool:
    """Whether study `name` has the finalists of one of `studies`, which says what came of it."""
    return name.endswith(FINAL) and name.removesuffix(FINAL) in studies


def _is_missing(study: TrackedStudy, trial_id: int, trial: TrialRecord) -> bool:
    """Whether a trial has what was not brought."""
    n_brought = study.cursor.pending.get(trial_id)
    return n_brought is None or trial.state.is_final or trial.epochs > n_brought


def _end_mark(study: TrackedStudy, finals: TrackedStudy | None) -> str:
    """What there is to bring of a search's end, or of its last report: empty where nothing is, and
    different whenever that changes.
    """
    parts = [study, finals] if finals else [study]
    mark = f"{study.reported.at}" if study.reported else ""
    # A report that is due says more.
    if all(part.place.state.is_over for part in parts) and not study.place.due:
        for part in parts:
            mark += f"|{part.place.state}/{part.cursor.newest}/{len(part.cursor.pending)}"
    return mark
