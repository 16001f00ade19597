"""The exact budget: which trial runs next, and every change to one under its claim."""

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import delete, func
from sqlalchemy.orm import Session

from search.errors import InputError
from search.records import Epoch, State, TrialRecord
from search.strategies.optuna_trials import FAILED_CONSTRAINT, distributions
from search.study.environment import environment_digest
from search.study.resume import check_goes_on
from search.study.settings import DEFAULT_TRACKERS, FINAL
from search.study.spec import StudySpec, stored_spec_of
from search.study.storage.claim import Claim, WorkerIdentity
from search.study.storage.database import models
from search.study.storage.optuna_storage import N_SEGMENTS, LedgerStorage, database_time
from search.study.storage.queue import Place, QueueState, n_started, opened, put_place
from search.study.storage.read import ENVIRONMENT, TrialReader, find_study
from search.study.storage.trial_rows import decoding

TIME_OVER = "time limit"
CANCELLED_REASON = "the study was cancelled"


class Ledger:
    """One study in the storage, as a worker changes it.

    Methods that write raise ClaimLostError when the claim is not (or no longer) the trial's, and
    RetryLaterError when the database is out of reach: the same call may then be made again, whether
    or not it took effect.
    """

    def __init__(self, storage: LedgerStorage, name: str) -> None:
        self.storage = storage
        self.name = name
        self.study_id, attrs = find_study(storage, name)
        self.spec = stored_spec_of(name, attrs)
        if "uid" not in attrs:
            raise InputError(
                f"study {name!r} was made by an earlier version; `gridless storage upgrade` carries"
                " it over"
            )
        self.uid: str = attrs["uid"]
        """Tells this study from others of its name, in other storages or times."""
        self._stored = ""
        self._distributions = distributions(self.spec.search_space)
        self._reader = TrialReader(storage, self.study_id, self.spec.goal)

    @classmethod
    def open(
        cls,
        storage: LedgerStorage,
        spec: StudySpec,
        environment: Mapping[str, str],
        *,
        priority: int | None = None,
        trackers: tuple[str, ...] | None = None,
        other_code: bool = False,
    ) -> "Ledger":
        """Make the study of `spec`, or go on with it, and put it on the queue.

        `priority` stays what it was when it is None, at first 0; `trackers` likewise, at first
        MLflow alone. Raises InputError with every difference when the study can't go on with
        `spec`; with `other_code`, the code of its model may have changed.
        """
        attrs = {
            "spec": spec.model_dump(mode="json"),
            "environment": dict(environment),
            "uid": uuid.uuid4().hex,
            "made": time.time(),
        }
        storage.create_study(spec.name, attrs, is_maximized=spec.first_objective.is_maximized)
        study_id, _ = find_study(storage, spec.name)
        with storage.session() as session:
            storage.lock_study(session, study_id)
            stored = storage.study_attrs(session, study_id)
            check_goes_on(
                stored_spec_of(spec.name, {"spec": json.loads(stored["spec"])}),
                spec,
                other_code=other_code,
            )
            before = Place.of(stored)
            if trackers is None:
                trackers = DEFAULT_TRACKERS if before.trackers is None else before.trackers
            place = opened(
                priority=before.priority if priority is None else priority,
                timeout_s=spec.timeout_s,
                n_before=n_started(session, study_id),
                trackers=trackers,
            )
            put_place(storage, session, study_id, place)
            storage.put_study(session, study_id, {"spec": spec.model_dump(mode="json")})
        return cls(storage, spec.name)

    def trials(self) -> list[TrialRecord]:
        """All trials that have a row, in the order of their numbers."""
        return self._reader.read()

    def place(self) -> Place:
        """The study's place on the queue, paused if its time is over. Reads `spec` again, too."""
        with self.storage.reading(), self.storage.session() as session:
            return self.place_in(session)

    def place_in(self, session: Session) -> Place:
        """The same inside `session`."""
        attrs = self.storage.study_attrs(session, self.study_id)
        if "spec" not in attrs:
            raise InputError(f"study {self.name!r} was deleted")
        if (
            attrs["spec"] != self._stored
        ):  # another command may just have raised n_trials or the budget
            with decoding(self.name):
                stored = json.loads(attrs["spec"])
            self.spec = stored_spec_of(self.name, {"spec": stored})
            self._stored = attrs["spec"]
        with decoding(self.name):
            place = Place.of(attrs)
        if place.timeout_s is not None and place.is_overdue(database_time(session)):
            return replace(place, state=QueueState.PAUSED, reason=TIME_OVER)
        return place

    def claim(
        self, owner: WorkerIdentity, *, promote: int | None = None, new: bool = True
    ) -> Claim | None:
        """Take the next trial, if the study is open and has one to hand out.

        First comes one that waits for a worker (interrupted, or taken back from a lost one), then
        trial `promote`, which is paused at a rung, then a new one, if fewer than n_trials have been
        started and `new` is true.
        """
        with self.storage.session() as session:
            self.storage.lock_study(session, self.study_id)
            place = self.place_in(session)
            if place.reason == TIME_OVER:
                put_place(self.storage, session, self.study_id, place)
            if place.state is not QueueState.OPEN:
                return None
            if trial := self.waiting(session, paused=False).first():
                return self._take(session, place, trial, owner)
            if promote is not None:
                trial = (
                    self.waiting(session, paused=True)
                    .filter(models.TrialModel.number == promote)
                    .first()
                )
                return self._take(session, place, trial, owner, promoted=True) if trial else None
            number = n_started(session, self.study_id)
            if not new or number >= self.spec.n_trials:
                return None
            trial = self.storage.new_trial(session, self.study_id, number)
            return self._take(session, place, trial, owner, new=True)

    def note_environment(self, environment: Mapping[str, str]) -> str:
        """Keep with the study what a worker runs on; the name under which trials refer to it."""
        name = environment_digest(environment)
        with self.storage.session() as session:
            self.storage.lock_study(session, self.study_id)
            if ENVIRONMENT + name not in self.storage.study_attrs(session, self.study_id):
                self.storage.put_study(
                    session, self.study_id, {ENVIRONMENT + name: dict(environment)}
                )
        return name

    def environment(self, name: str) -> dict[str, str]:
        """What was noted under `name`; empty where nothing was."""
        with self.storage.reading(), self.storage.session() as session:
            facts: dict[str, str] = json.loads(
                self.storage.study_attrs(session, self.study_id).get(ENVIRONMENT + name, "{}")
            )
        return facts

    def waiting(self, session: Session, *, paused: bool) -> Any:
        """The WAITING trials by number that are paused, or that are not."""
        mark = models.TrialUserAttributeModel
        query = session.query(models.TrialModel).filter_by(
            study_id=self.study_id, state=TrialState.WAITING
        )
        joined = query.outerjoin(
            mark, (mark.trial_id == models.TrialModel.trial_id) & (mark.key == "paused")
        )
        is_paused = func.coalesce(mark.value_json, "false") == "true"
        return joined.filter(is_paused if paused else ~is_paused).order_by(models.TrialModel.number)

    def _take(
        self,
        session: Session,
        place: Place,
        trial: Any,
        owner: WorkerIdentity,
        *,
        promoted: bool = False,
        new: bool = False,
    ) -> Claim:
        if place.timeout_s is not None and not place.opened:
            begun = replace(place, opened=database_time(session).isoformat())
            put_place(self.storage, session, self.study_id, begun)
        claim = Claim(trial.trial_id, trial.number, uuid.uuid4().hex, promoted, new)
        self.storage.take(session, trial, asdict(owner) | {"token": claim.token, "at": time.time()})
        n_segments = 1 if new else 1 + self.storage.n_segments(session, trial.trial_id)
        attrs = {"worker": owner.worker, "paused": False, N_SEGMENTS: n_segments}
        attrs |= {"started": time.time()} if new else {}
        self.storage.put(session, trial.trial_id, user=attrs)
        return claim

    def start(self, claim: Claim, params: Mapping[str, Any], *, seed: int, **facts: Any) -> None:
        """Store a new trial's params, largest number of epochs, seed and other facts."""
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            self.storage.put_params(session, claim.trial_id, params, self._distributions)
            total_epochs = self.spec.total_epochs(claim.number, params)
            self.storage.put(
                session, claim.trial_id, user={"total_epochs": total_epochs, "seed": seed} | facts
            )

    def report(self, claim: Claim, epochs: Sequence[Epoch] = (), **facts: Any) -> None:
        """Store completed epochs and facts of a trial (n_params, device, …), and that its worker
        lives.

        The same step again overwrites it.
        """
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            self._keep(session, claim, epochs, facts)
            self.storage.beat(session, claim.trial_id)

    def forget_epochs(self, claim: Claim) -> None:
        """Drop the epochs of a trial that is to be trained from its beginning again."""
        steps, attrs = models.TrialIntermediateValueModel, models.TrialUserAttributeModel
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            session.execute(delete(steps).where(steps.trial_id == claim.trial_id))
            session.execute(
                delete(attrs).where(
                    attrs.trial_id == claim.trial_id, attrs.key.startswith("epoch:")
                )
            )

    def _keep(
        self, session: Session, claim: Claim, epochs: Sequence[Epoch], facts: Mapping[str, Any]
    ) -> None:
        key = self.spec.first_objective.key
        self.storage.put_steps(
            session,
            claim.trial_id,
            {e.step: e.values[key] for e in epochs if key in e.values},
        )
        self.storage.put(
            session,
            claim.trial_id,
            user={f"epoch:{e.step}": e.report for e in epochs} | dict(facts),
        )

    def give_back(
        self, claim: Claim, epochs: Sequence[Epoch] = (), *, paused: bool, **facts: Any
    ) -> State:
        """Return the trial to WAITING: `paused` until it is promoted, otherwise for the next free
        worker.

        In a study that has just been cancelled it ends as PRUNED instead; its state is returned.
        This and the methods that end a trial first store `epochs` and `facts` that were not
        reported yet.
        """
        with self.storage.held(claim.trial_id, claim.token, study_id=self.study_id) as (
            session,
            trial,
        ):
            self._keep(session, claim, epochs, facts | {"paused": paused})
            if (
                Place.of(self.storage.study_attrs(session, self.study_id)).state
                is QueueState.CANCELLED
            ):
                self.end_pruned(session, trial, self.best_value(session, trial), CANCELLED_REASON)
                return State.PRUNED
            self.storage.release(session, trial)
            return State.WAITING

    def complete(
        self, claim: Claim, value: float, epochs: Sequence[Epoch] = (), **facts: Any
    ) -> None:
        """End the trial as COMPLETE with its value, or the score of a replicate."""
        with self.storage.ending(claim.trial_id, claim.token) as (session, trial):
            if trial is not None:
                self._keep(session, claim, epochs, facts)
                self.storage.put(session, claim.trial_id, system={FAILED_CONSTRAINT: 0.0})
                self.storage.put_end(session, trial, TrialState.COMPLETE, value)

    def prune(
        self,
        claim: Claim,
        value: float | None,
        reason: str,
        epochs: Sequence[Epoch] = (),
        **facts: Any,
    ) -> None:
        """End the trial as PRUNED, for good."""
        with self.storage.ending(claim.trial_id, claim.token) as (session, trial):
            if trial is not None:
                self._keep(session, claim, epochs, facts)
                self.end_pruned(session, trial, value, reason)

    def end_pruned(self, session: Session, trial: Any, value: float | None, reason: str) -> None:
        """End `trial` as PRUNED inside `session`, whoever holds it."""
        self.storage.put(
            session, trial.trial_id, user={"reason": reason}, system={FAILED_CONSTRAINT: 0.0}
        )
        self.storage.put_end(session, trial, TrialState.PRUNED, value)

    def best_value(self, session: Session, trial: Any) -> float | None:
        """The best intermediate value of `trial`; None without any."""
        values = models.TrialIntermediateValueModel.where_trial_id(trial.trial_id, session)
        measured = [v.intermediate_value for v in values if v.intermediate_value is not None]
        return max(measured, key=self.spec.first_objective.score, default=None)

    def fail(
        self,
        claim: Claim,
        reason: str,
        epochs: Sequence[Epoch] = (),
        *,
        log_tail: str = "",
        untrainable: bool = False,
        **facts: Any,
    ) -> None:
        """End the trial as failed.

        An `untrainable` setting (NaN, out of memory) is stored PRUNED with a violated constraint,
        since samplers never see FAIL rows and would ask for it again; everywhere else it is shown
        as FAIL.
        """
        with self.storage.ending(claim.trial_id, claim.token) as (session, trial):
            if trial is not None:
                self._keep(session, claim, epochs, facts)
                self.end_failed(session, trial, reason, log_tail=log_tail, untrainable=untrainable)

    def end_failed(
        self, session: Session, trial: Any, reason: str, *, log_tail: str, untrainable: bool
    ) -> None:
        """End `trial` as failed inside `session`, whoever holds it."""
        user = {"reason": reason, "log_tail": log_tail, "untrainable": untrainable}
        self.storage.put(session, trial.trial_id, user=user, system={FAILED_CONSTRAINT: 1.0})
        self.storage.put_end(
            session, trial, TrialState.PRUNED if untrainable else TrialState.FAIL, None
        )


def stored_spec(storage: LedgerStorage, name: str) -> StudySpec | None:
    """The spec of study `name`, or None if the storage has no such study."""
    row = storage.read_study(name)
    return stored_spec_of(name, row[1]) if row else None


def finals_of(storage: LedgerStorage, names: Iterable[str]) -> list[str]:
    """Of the studies of finalists that studies `names` may have, those that are in the storage."""
    finals = [name + FINAL for name in names if not name.endswith(FINAL)]
    return [name for name in finals if storage.read_study(name)]
