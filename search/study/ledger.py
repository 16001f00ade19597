"""The exact budget: which trial a worker may run next, and every change to a trial while it holds the claim."""

import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from optuna.trial import TrialState
from sqlalchemy import func

from search.study.distributions import FAILED_CONSTRAINT, distributions
from search.study.reading import CLAIM_LOST_REASON, TrialReader, find_study
from search.study.records import Epoch, TrialRecord
from search.study.spec import StudySpec, check_goes_on, stored_spec_of
from search.study.storage import LedgerStorage, models

HEARTBEAT_S = 10.0
GRACE_S = 60.0
"""A worker that has been silent for so long is taken for lost, if it can't be looked up on this machine."""
MAX_RETRIES = 3


@dataclass(frozen=True)
class Owner:
    """A worker as the storage knows it: enough to tell, on the same machine, whether its process still lives."""

    worker: str
    host: str
    pid: int
    born: float

    @classmethod
    def me(cls, worker: str) -> "Owner":
        """This process."""
        return cls(worker, _host(), os.getpid(), _born(os.getpid()))


@dataclass(frozen=True)
class Claim:
    """The right to write to one trial, until it is finished, given back or lost."""

    trial_id: int
    number: int
    token: str
    promoted: bool = False
    """Taken from a rung, where it has earned to go on."""


@cache
def _host() -> str:
    """Host name, boot and PID namespace: inside one of these, a PID means one process."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    return "/".join(
        [
            socket.gethostname(),
            boot.read_text().strip() if boot.exists() else "",
            os.readlink(space) if space.exists() else "",
        ]
    )


class Ledger:
    """One study in the storage, as a worker changes it.

    Methods that write raise ClaimLostError when the claim is not (or no longer) the trial's, and RetryLaterError
    when the database is out of reach: the same call may then be made again, whether or not it took effect.
    """

    def __init__(self, storage: LedgerStorage, name: str) -> None:
        self.storage = storage
        self.name = name
        self._study_id, attrs = find_study(storage, name)
        self.spec = stored_spec_of(name, attrs)
        self.uid: str = attrs["uid"]
        """Tells this study from others of its name, in other storages or times."""
        self._distributions = distributions(self.spec.search_space)
        self._reader = TrialReader(storage, self._study_id)

    @classmethod
    def open(cls, storage: LedgerStorage, spec: StudySpec, environment: Mapping[str, str]) -> "Ledger":
        """Make the study of `spec`, or go on with it. Raises InputError with every difference when it can't go on."""
        attrs = {"spec": spec.model_dump(mode="json"), "environment": dict(environment), "uid": uuid.uuid4().hex}
        if not storage.create_study(spec.name, attrs):
            cls._go_on(storage, spec)
        return cls(storage, spec.name)

    @classmethod
    def _go_on(cls, storage: LedgerStorage, spec: StudySpec) -> None:
        study_id, _ = find_study(storage, spec.name)
        with storage.session() as session:
            storage.lock_study(session, study_id)
            stored = stored_spec_of(spec.name, {"spec": storage.study_attr(session, study_id, "spec")})
            check_goes_on(stored, spec)
            storage.put_study(session, study_id, {"spec": spec.model_dump(mode="json")})

    def refresh(self) -> None:
        """Read the spec again: another command may have raised n_trials or the budget."""
        self.spec = stored_spec_of(self.name, find_study(self.storage, self.name)[1])

    def trials(self) -> list[TrialRecord]:
        """All trials that have a row, in the order of their numbers."""
        return self._reader.read()

    def take_waiting(self, owner: Owner) -> Claim | None:
        """Claim the first trial that waits for a worker: interrupted or given back, not paused at a rung."""
        with self.storage.session() as session:
            self.storage.lock_study(session, self._study_id)
            trial = self._waiting(session, paused=False).first()
            return self._take(session, trial, owner) if trial else None

    def take_paused(self, number: int, owner: Owner) -> Claim | None:
        """Claim trial `number`, which is paused at a rung; None if another worker was faster."""
        with self.storage.session() as session:
            self.storage.lock_study(session, self._study_id)
            trial = self._waiting(session, paused=True).filter(models.TrialModel.number == number).first()
            return self._take(session, trial, owner, promoted=True) if trial else None

    def take_new(self, owner: Owner) -> Claim | None:
        """Start a new trial, if fewer than n_trials have been started."""
        with self.storage.session() as session:
            self.storage.lock_study(session, self._study_id)
            started = session.query(models.TrialModel).filter_by(study_id=self._study_id).count()
            if started >= self._n_trials(session):
                return None
            return self._take(session, self.storage.new_trial(session, self._study_id), owner)

    def _n_trials(self, session: Any) -> int:
        """The budget as it stands: another command may just have raised it."""
        return int(self.storage.study_attr(session, self._study_id, "spec")["n_trials"])

    def _waiting(self, session: Any, *, paused: bool) -> Any:
        """The WAITING trials by number that are paused, or that are not."""
        mark = models.TrialUserAttributeModel
        query = session.query(models.TrialModel).filter_by(study_id=self._study_id, state=TrialState.WAITING)
        joined = query.outerjoin(mark, (mark.trial_id == models.TrialModel.trial_id) & (mark.key == "paused"))
        is_paused = func.coalesce(mark.value_json, "false") == "true"
        return joined.filter(is_paused if paused else ~is_paused).order_by(models.TrialModel.number)

    def _take(self, session: Any, trial: Any, owner: Owner, *, promoted: bool = False) -> Claim:
        claim = Claim(trial.trial_id, trial.number, uuid.uuid4().hex, promoted)
        self.storage.take(session, trial, asdict(owner) | {"token": claim.token, "at": time.time()})
        self.storage.put(session, trial.trial_id, user={"worker": owner.worker, "paused": False})
        return claim

    def start(self, claim: Claim, params: Mapping[str, Any], *, seed: int) -> None:
        """Store a new trial's params, its largest number of epochs and its seed."""
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            self.storage.put_params(session, claim.trial_id, params, self._distributions)
            total_epochs = self.spec.total_epochs(claim.number, params)
            self.storage.put(session, claim.trial_id, user={"total_epochs": total_epochs, "seed": seed})

    def note(self, claim: Claim, **attrs: Any) -> None:
        """Store facts about a trial (n_params, device, n_segments)."""
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            self.storage.put(session, claim.trial_id, user=attrs)

    def report(self, claim: Claim, epoch: Epoch) -> None:
        """Store a completed epoch. The same step again overwrites it."""
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            if epoch.val_accuracy is not None:
                self.storage.put_step(session, claim.trial_id, epoch.step, epoch.val_accuracy)
            self.storage.put(session, claim.trial_id, user={f"epoch:{epoch.step}": asdict(epoch)})
            self.storage.beat(session, claim.trial_id)

    def beat(self, claim: Claim) -> None:
        """Record that the claim's worker lives."""
        with self.storage.held(claim.trial_id, claim.token) as (session, _):
            self.storage.beat(session, claim.trial_id)

    def give_back(self, claim: Claim, *, paused: bool) -> None:
        """Return the trial to WAITING: `paused` until it is promoted, otherwise for the next free worker."""
        with self.storage.held(claim.trial_id, claim.token) as (session, trial):
            self.storage.put(session, claim.trial_id, user={"paused": paused})
            self.storage.release(session, trial)

    def complete(self, claim: Claim, value: float) -> None:
        """End the trial as COMPLETE with its val_accuracy, or a replicate's accuracy where it was evaluated."""
        with self.storage.ending(claim.trial_id, claim.token) as (session, trial):
            if trial is not None:
                self.storage.put(session, claim.trial_id, system={FAILED_CONSTRAINT: 0.0})
                self.storage.put_end(session, trial, TrialState.COMPLETE, value)

    def prune(self, claim: Claim, value: float | None, reason: str) -> None:
        """End the trial as PRUNED, for good."""
        with self.storage.ending(claim.trial_id, claim.token) as (session, trial):
            if trial is not None:
                self._prune(session, trial, value, reason)

    def _prune(self, session: Any, trial: Any, value: float | None, reason: str) -> None:
        self.storage.put(session, trial.trial_id, user={"reason": reason}, system={FAILED_CONSTRAINT: 0.0})
        self.storage.put_end(session, trial, TrialState.PRUNED, value)

    def fail(self, claim: Claim, reason: str, *, log_tail: str = "", untrainable: bool = False) -> None:
        """End the trial as failed.

        An `untrainable` setting (NaN, out of memory) is stored PRUNED with a violated constraint, since samplers
        never see FAIL rows and would ask for it again; everywhere else it is shown as FAIL.
        """
        with self.storage.ending(claim.trial_id, claim.token) as (session, trial):
            if trial is not None:
                self._fail(session, trial, reason, log_tail=log_tail, untrainable=untrainable)

    def _fail(self, session: Any, trial: Any, reason: str, *, log_tail: str, untrainable: bool) -> None:
        user = {"reason": reason, "log_tail": log_tail, "untrainable": untrainable}
        self.storage.put(session, trial.trial_id, user=user, system={FAILED_CONSTRAINT: 1.0})
        self.storage.put_end(session, trial, TrialState.PRUNED if untrainable else TrialState.FAIL, None)

    def requeue_lost(self, owner: Owner, *, grace_s: float = GRACE_S) -> list[int]:
        """Return the trials of lost workers to WAITING; their numbers. One that lost its workers too often fails.

        A worker is lost when its process on this machine is gone, or when it has been silent for `grace_s` seconds
        by the database's clock and this machine can't look it up. `owner`, who asks, holds no trial by its own
        account: one that the storage says it holds is from a claim whose confirmation never arrived.
        """
        taken = []
        with self.storage.session() as session:
            self.storage.lock_study(session, self._study_id)
            for trial, silent_s in self.storage.silent_for(session, self._study_id):
                claim = self.storage.claim_of(session, trial.trial_id)
                own = (claim.get("host"), claim.get("pid"), claim.get("born")) == (owner.host, owner.pid, owner.born)
                if not own and not _is_lost(claim, silent_s, grace_s):
                    continue
                locked = session.get(models.TrialModel, trial.trial_id, with_for_update=True, populate_existing=True)
                if locked is None or locked.state != TrialState.RUNNING:
                    continue
                taken.append(trial.number)
                if own:
                    self.storage.release(session, locked)
                else:
                    self._requeue(session, locked)
        return taken

    def _requeue(self, session: Any, trial: Any) -> None:
        attrs = {r.key: r.value_json for r in models.TrialUserAttributeModel.where_trial_id(trial.trial_id, session)}
        n_retries = int(attrs.get("n_retries", "0")) + 1
        if n_retries > MAX_RETRIES:
            self._fail(session, trial, CLAIM_LOST_REASON.format(n=n_retries), log_tail="", untrainable=False)
            return
        self.storage.put(session, trial.trial_id, user={"n_retries": n_retries, "paused": False})
        self.storage.release(session, trial)

    def close(self) -> list[int] | None:
        """End the study: trials still paused become PRUNED; their numbers. None while any trial may still run."""
        with self.storage.session() as session:
            self.storage.lock_study(session, self._study_id)
            rows = session.query(models.TrialModel).filter_by(study_id=self._study_id).all()
            if len(rows) < self._n_trials(session) or any(t.state == TrialState.RUNNING for t in rows):
                return None
            if self._waiting(session, paused=False).first() is not None:
                return None
            waiting = self._waiting(session, paused=True).all()
            for trial in waiting:
                values = models.TrialIntermediateValueModel.where_trial_id(trial.trial_id, session)
                best = max((v.intermediate_value for v in values), default=None)
                self._prune(session, trial, best, f"not promoted from epoch {len(values)}")
            return [t.number for t in waiting]


def stored_spec(storage: LedgerStorage, name: str) -> StudySpec | None:
    """The spec of study `name`, or None if the storage has no such study."""
    found = storage.read_study(name)
    return stored_spec_of(name, found[1]) if found else None


def _is_lost(claim: Mapping[str, Any], silent_s: float | None, grace_s: float) -> bool:
    if claim.get("host") == _host():
        return not _lives(int(claim["pid"]), float(claim["born"]))
    return silent_s is not None and silent_s > grace_s


def _lives(pid: int, born: float) -> bool:
    try:
        return _born(pid) == born and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return False


def _born(pid: int) -> float:
    """When a process began: on Linux in ticks since boot, which setting the clock does not move."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        return float(stat.read_text().rpartition(")")[2].split()[19])
    return float(psutil.Process(pid).create_time())
