"""Brings to one tracker what the studies' storage has and it has not: in turns, from a cursor."""

import itertools
import logging
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from search.errors import InputError, RetryLaterError
from search.paths import home, home_id
from search.records import Search, StudyRecord, TrialRecord
from search.retry_limits import grace_s
from search.secret import redacted_here
from search.study.settings import DEFAULT_TRACKERS, FINAL
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState
from search.study.storage.read import read_study
from search.study.storage.tracked import (
    Cursor,
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
_MAX_ERROR = 300


@dataclass
class Turn:
    """What came of one turn."""

    n_sent: int = 0
    """Trials that were brought."""
    errors: dict[str, str] = field(default_factory=dict)
    """Why a study could not be brought, by its name."""
    holder: str | None = None
    """Another process that brings the studies, if it is not this one."""
    n_failed: int = 0
    """Studies at which the tracker raised what it does not promise to: it may be out of reach."""
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
        # Whoever writes is no part of an address.
        where = [name, re.sub(r"//[^/@]*@", "//", self.target).rstrip("/")]
        where += [home_id()] if self._tracker.is_local else []
        self._key = f"{name}@{sha256(repr(where).encode()).hexdigest()[:12]}"
        ids.bind(self._key)
        self._claim = TrackerClaim(storage, self._key, owner)
        self._beaten = float("-inf")
        self._marks: dict[str, Marks] = {}
        """By the study's uid: rows are used again."""
        self._looks: dict[tuple[str, int], tuple[object, ...]] = {}
        """What a pending trial looked like when it was brought last, by uid and trial_id."""
        self._settled: dict[str, Place] = {}
        """The place of a study of which nothing is left as long as it keeps that, by uid."""

    def turn(
        self,
        names: Collection[str] | None = None,
        stop: Callable[[], bool] = lambda: False,
        *,
        thorough: bool = False,
    ) -> Turn:
        """Bring what is new of the searches `names` (None: of all) until `stop()`; with `thorough`,
        go through what was brought before, too.

        Where another process has the claim, only the files of reports of this machine, and with
        `thorough` the ends. Raises RetryLaterError when the database is out of reach, and what the
        tracker does at two studies in a row.
        """
        turn = Turn(holder=self._holder())
        studies = self._studies(names)
        for name, study in studies.items():
            if turn.holder or stop():
                break
            if name in turn.gone:
                continue
            begun = replace(study, cursor=Cursor()) if thorough else study
            with self._noting(turn, study, studies):
                studies[name] = self._bring_trials(begun, turn, stop)
        for name, study in studies.items():
            if stop():
                break
            # Of what is gone, the trials come first.
            if not _is_part(name, studies) and not turn.gone & {name, name + FINAL}:
                with self._noting(turn, study, studies):
                    turn.holder = self._holder()
                    self._bring_end(study, studies.get(name + FINAL), turn, thorough)
        return turn

    def _studies(self, names: Collection[str] | None) -> dict[str, TrackedStudy]:
        """The studies to bring by name: the open ones and their finalists first, each search before
        its finalists.
        """
        every = tracked_studies(self._storage, self._key)
        open_ = {s.name.removesuffix(FINAL) for s in every if s.place.state is QueueState.OPEN}
        every.sort(key=lambda s: s.name.removesuffix(FINAL) not in open_)
        return {study.name: study for study in every if self._concerns(study, names)}

    def left(self, names: Collection[str] | None = None) -> list[str]:
        """What is still to be brought of the searches `names`, a phrase each. Raises as `turn`."""
        studies = self._studies(names)
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
            if _awaits_report(study):
                phrases.append(f"the report of {name}, which is still to be written")
            elif reported and reported.files and study.files != f"{reported.at}":
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
        is_open = study.place.state is QueueState.OPEN
        return self._name in DEFAULT_TRACKERS and (was_tracked or is_open)

    @contextmanager
    def _noting(
        self, turn: Turn, study: TrackedStudy, studies: Mapping[str, TrackedStudy]
    ) -> Iterator[None]:
        """Note in `turn` what keeps `study`, and no other, from being brought. A search and its
        finalists are gone together.
        """
        try:
            yield
        except GoneError:
            search = study.name.removesuffix(FINAL)
            logger.warning("%s: all of %s is brought again", self._name, search)
            for name in {study.name, search, search + FINAL} & studies.keys():
                turn.gone.add(name)
                forget(self._storage, studies[name].study_id, self._key)
                self._marks.pop(studies[name].uid, None)
                self._settled.pop(studies[name].uid, None)
            self._looks.clear()
        except (RefusedError, InputError) as error:
            turn.errors[study.name] = str(error)
        except RetryLaterError:
            raise
        except Exception as error:
            # Of this study alone, or the tracker is out of reach: the next one shows.
            turn.errors[study.name] = one_line(error)
            turn.n_failed += 1
            if turn.n_failed > 1 or len(studies) == 1:
                raise

    def _bring_trials(
        self, study: TrackedStudy, turn: Turn, stop: Callable[[], bool]
    ) -> TrackedStudy:
        """Bring the trials that changed; the study with its cursor moved on."""
        if self._settled.get(study.uid) == study.place and study.cursor.newest >= 0:
            return study
        header = None
        marks = self._marks.setdefault(study.uid, {})
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
                judged = replace(trial, **header.goal._asdict())
                self._bring_trial(header, trial_id, judged, pending.get(trial_id, 0), turn)
                pending[trial_id] = trial.epochs
                if trial.state.is_final:
                    del pending[trial_id]
                    self._looks.pop((study.uid, trial_id), None)
                newest = max(newest, trial_id)
            moved = replace(cursor, newest=newest, pending=pending)
            if moved != cursor:
                put_cursor(self._storage, study, self._claim, moved)
                study = replace(study, cursor=moved)
            if turn.holder or stop():
                return study
        if study.place.state.is_over and not study.cursor.pending:
            self._settled[study.uid] = study.place
        return study

    def _bring_trial(
        self, study: StudyRecord, trial_id: int, trial: TrialRecord, n_before: int, turn: Turn
    ) -> None:
        """Bring a trial, unless it looks as it did when it was brought last."""
        look = (trial.state, trial.epochs, trial.n_segments, trial.worker, bool(trial.params))
        if self._looks.get((study.uid, trial_id)) != look:
            self._tracker.trial_changed(study, trial, trial.curve[n_before:])
            self._looks[study.uid, trial_id] = look
            turn.n_sent += 1

    def _bring_end(
        self, study: TrackedStudy, finals: TrackedStudy | None, turn: Turn, thorough: bool
    ) -> None:
        """Bring what came of a search, if that changed: the files too, where they are here."""
        reported = study.reported
        mark = _end_mark(study, finals)
        files: list[Path] = []
        if reported and reported.home == home_id():
            files = [path for path in map(Path, reported.files) if path.exists()]
        are_due = bool(reported and files and study.files != f"{reported.at}")
        if turn.holder and not thorough:
            # Its holder can't read the files of this machine.
            if not are_due or turn.holder.startswith(f"{socket.gethostname()}/"):
                return
        elif not mark or (mark == study.cursor.ended and not are_due and not thorough):
            return
        parts = [study, finals] if finals else [study]
        is_over = all(part.place.state.is_over for part in parts)
        search = Search(read_study(self._storage, study.name), reported=reported, is_over=is_over)
        if finals:
            search = replace(search, finalists=read_study(self._storage, finals.name))
        self._tracker.study_ended(search, files)
        if reported and files:
            put_files(self._storage, study, self._key, reported.at)
        if turn.holder is None:
            ended = replace(study.cursor, ended=mark)
            put_cursor(self._storage, study, self._claim, ended)


def one_line(problem: Exception) -> str:
    """An error as people are told it: a line without passwords."""
    text = redacted_here(" ".join(str(problem).split())) or type(problem).__name__
    return text if len(text) <= _MAX_ERROR else text[:_MAX_ERROR] + "…"


def _is_part(name: str, studies: Mapping[str, TrackedStudy]) -> bool:
    """Whether study `name` has the finalists of one of `studies`, which says what came of it."""
    return name.endswith(FINAL) and name.removesuffix(FINAL) in studies


def _is_missing(study: TrackedStudy, trial_id: int, trial: TrialRecord) -> bool:
    """Whether a trial has what was not brought."""
    n_brought = study.cursor.pending.get(trial_id)
    return n_brought is None or trial.state.is_final or trial.epochs > n_brought


def _awaits_report(study: TrackedStudy) -> bool:
    """Whether a study is over and its report still to be written; replicates alone have none."""
    return study.place.due and not study.name.endswith(FINAL)


def _end_mark(study: TrackedStudy, finals: TrackedStudy | None) -> str:
    """What there is to bring of a search's end, or of its last report: empty where nothing is, and
    different whenever that changes.
    """
    parts = [study, finals] if finals else [study]
    mark = f"{study.reported.at}" if study.reported else ""
    # A report that is due says more.
    if all(part.place.state.is_over for part in parts) and not _awaits_report(study):
        for part in parts:
            mark += f"|{part.place.state}/{part.cursor.newest}/{len(part.cursor.pending)}"
    return mark
