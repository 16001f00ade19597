"""What a study's storage says, as plain values: the only thing that reports and views are made
from.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import accumulate, chain
from typing import Annotated, Any, NamedTuple

from pydantic import Field

Whole = Annotated[int, Field(ge=0, lt=2**63)]
"""A count, as tables can hold it."""


class State(StrEnum):
    """Where a trial stands, as people are shown it: a NaN loss or a lack of memory reads FAIL."""

    WAITING = "WAITING"
    """For a worker or, paused, at a rung for its promotion."""
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"

    @property
    def is_final(self) -> bool:
        """Whether a trial of this state has ended for good."""
        return self not in {State.WAITING, State.RUNNING}


class Ending(StrEnum):
    """How a segment of a trial ended."""

    DONE = "done"
    """The trial has trained all of its epochs."""
    PAUSE = "pause"
    """It waits at a rung."""
    STOP = "stop"
    """The strategy prunes it."""
    CANCEL = "cancel"
    """Its study was cancelled."""
    UNFIT = "unfit"
    """Its network breaks a bound of the study, and isn't trained."""
    INTERRUPTED = "interrupted"
    """Its worker stops, or its study was paused: it goes on from its last epoch."""
    FAIL = "fail"
    """By its setting, its code or its process; the reason says which."""
    HALT = "halt"
    """No trial can be trained here, for a reason that is not the trial's."""


class Task(StrEnum):
    """What a network is to say of an example."""

    CLASSIFICATION = "classification"
    """Which one of two or more classes it is of: a probability for each."""
    BINARY = "binary"
    """Which of two classes it is of, by one sigmoid unit: the probability of the second."""
    MULTILABEL = "multilabel"
    """Which classes it is of, none or several: a sigmoid for each."""
    REGRESSION = "regression"
    """One number or more."""


@dataclass(frozen=True)
class Objective:
    """What a search makes as large or as small as it can."""

    name: str = "accuracy"
    """As people give it: accuracy, f1_macro, val_loss, package.module:function, n_params …"""
    is_maximized: bool = True
    title: str = "accuracy"
    """As sentences and axes have it."""
    is_fraction: bool = True
    """Whether it lies in 0…1 and is shown in percent."""
    is_fact: bool = False
    """Whether it is known of the network or its training, not measured on validation examples."""

    @property
    def key(self) -> str:
        """What it is called among an epoch's values: val_accuracy."""
        is_whole = self.is_fact or self.name.startswith("val_")
        return self.name if is_whole else f"val_{self.name}"

    @property
    def best_key(self) -> str:
        """What the best value of a trial is called by trackers: best_val_accuracy."""
        return f"best_{self.key}"

    def score(self, value: float) -> float:
        """`value` as a number of which more is better, and back."""
        return value if self.is_maximized else -value


ACCURACY = Objective()


@dataclass(frozen=True)
class Bound:
    """The most that a network may have, take or hold to be ranked."""

    fact: str
    """The name of a column: n_params, model_mb, latency_ms, train_s, peak_device_mb …"""
    limit: float


class Goal(NamedTuple):
    """What a study is for."""

    objective: Objective = ACCURACY
    """What its trials are ranked by."""
    others: tuple[Objective, ...] = ()
    bounds: tuple[Bound, ...] = ()


ACCURATE = Goal()


@dataclass(frozen=True)
class Epoch:
    """One completed epoch of a trial."""

    step: Whole
    values: Mapping[str, float]
    """What was measured, by name: accuracies are fractions, losses mean cross-entropies in nats,
    `lr` the learning rate at its start. Names that begin with val_ are missing where nothing
    validates: a replicate trains on all images but the test set.
    """
    seconds: float
    """Wall-clock seconds of this epoch, training and validation."""
    at: float
    """When it ended, Unix seconds."""

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> "Epoch":
        """From a flat `report`, as training tells it and the storage holds it; None stands for no
        value.
        """
        return cls(**epoch_fields(report))

    @property
    def report(self) -> dict[str, float]:
        """All of it as one flat mapping: step, the values, seconds and at."""
        return {"step": self.step, **self.values, "seconds": self.seconds, "at": self.at}

    @property
    def val_accuracy(self) -> float | None:
        """The validation accuracy, a fraction; None where nothing validates."""
        return self.values.get("val_accuracy")


def epoch_fields(report: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `Epoch` in a flat `report`, unchecked."""
    fields = {name: report[name] for name in ("step", "seconds", "at") if name in report}
    values = {
        name: value for name, value in report.items() if name not in fields and value is not None
    }
    return fields | {"values": values}


@dataclass(frozen=True)
class Evaluation:
    """What a replicate's network scored, once, on images that its training did not choose by."""

    split: str
    """test, validation or train."""
    accuracy: float | None
    """A fraction of `n`; None of numbers."""
    loss: float
    """Mean loss: of classes the cross-entropy in nats, of numbers the squared error."""
    n: int
    """Examples."""
    at: float = field(default=0.0, compare=False)
    """When, Unix seconds; 0 in studies of earlier versions."""
    values: Mapping[str, float] = field(default_factory=dict)
    """What else was measured, by the names of objectives."""

    def value(self, objective: Objective) -> float | None:
        """What was scored by `objective`; None where it was not."""
        measured = {"accuracy": self.accuracy, "val_loss": self.loss, **self.values}
        return measured.get(objective.name)


@dataclass(frozen=True)
class TrialRecord:
    """One row of the study."""

    number: Whole
    state: State
    params: Mapping[str, Any]
    curve: tuple[Epoch, ...] = ()
    total_epochs: Whole | None = None
    """The most epochs that this trial may train."""
    n_params: Whole | None = None
    seed: int | None = None
    device: str | None = None
    worker: str | None = None
    """The worker that holds it (RUNNING) or held it last."""
    environments: tuple[str, ...] = ()
    """What its segments ran on, each once, the last one last: keys of StudyRecord.environments."""
    paused: bool = False
    """WAITING at a rung for promotion, not for a worker."""
    n_segments: int = 0
    n_retries: int = 0
    """How often it was taken back from a lost worker."""
    untrainable: bool = False
    """It failed by its setting (a NaN loss, too little memory), not by a fault of the machine or
    the code.
    """
    reason: str | None = None
    """Why it failed or was pruned, one line."""
    log_tail: str | None = None
    """The last lines that a failed trial's process printed."""
    evaluation: Evaluation | None = None
    """Replicates only, once they are COMPLETE."""
    peak_host_mb: float | None = None
    """The most memory that its process held, MB (2**20 bytes)."""
    peak_device_mb: float | None = None
    """The most memory that it held on the device, MB; None on a CPU."""
    started: datetime | None = None
    """When its first segment began, UTC."""
    ended: datetime | None = None
    """When it ended for good, UTC."""
    objective: Objective = ACCURACY
    """What its study searches for."""
    others: tuple[Objective, ...] = ()
    """What its study searches for beside, in the order of their importance."""
    bounds: tuple[Bound, ...] = ()
    """What its study demands."""
    latency_ms: float | None = None
    """Median milliseconds of a prediction of one example; None where nobody asks."""
    batch_latency_ms: float | None = None
    """The same of 32 examples at once."""

    @property
    def model_mb(self) -> float | None:
        """Its weights in float32, MB (2**20 bytes)."""
        return None if self.n_params is None else self.n_params * 4 / 2**20

    @property
    def epoch_s(self) -> float | None:
        """Wall-clock seconds of an epoch, their mean; None before the first."""
        return self.train_s / self.epochs if self.epochs else None

    def value_of(self, objective: Objective) -> float | None:
        """What it comes to by `objective`: a fact, or what `best_epoch` has; None where unknown."""
        if objective.is_fact:
            value: float | None = getattr(self, objective.name)
            return value
        return self.best.values.get(objective.key) if self.best else None

    @property
    def scores(self) -> tuple[float, ...] | None:
        """A score for each objective, of which more is better; None unless all are known."""
        scores = [self.score_of(objective) for objective in (self.objective, *self.others)]
        measured = [score for score in scores if score is not None]
        return tuple(measured) if len(measured) == len(scores) else None

    def score_of(self, objective: Objective) -> float | None:
        """`value_of` as a number of which more is better."""
        value = self.value_of(objective)
        return None if value is None else objective.score(value)

    @property
    def broken(self) -> tuple[str, ...]:
        """The facts by which it breaks bounds of its study, as far as they are known."""
        facts = [(bound, getattr(self, bound.fact)) for bound in self.bounds]
        return tuple(b.fact for b, value in facts if value is not None and value > b.limit)

    @property
    def is_infeasible(self) -> bool:
        """Whether it can't win by its setting: it could not be trained, or breaks a bound."""
        return self.state == State.FAIL or bool(self.broken)

    @property
    def trained_params(self) -> Mapping[str, Any]:
        """Its params, `epochs` as the study's limit let it train: a larger value made no
        difference.
        """
        asked, most = self.params.get("epochs"), self.total_epochs
        is_cut = isinstance(asked, int) and most is not None and asked > most
        return {**self.params, "epochs": most} if is_cut else self.params

    @cached_property
    def best(self) -> Epoch | None:
        """The epoch with the best value of the objective, the earliest of equals; None before the
        first one that has any.
        """
        valued = [(self._score(e), -e.step, e) for e in self.curve if self.value_at(e) is not None]
        return max(valued, key=lambda ranked: ranked[:2])[2] if valued else None

    def value_at(self, epoch: Epoch) -> float | None:
        """The objective's value after `epoch`, as it was measured; None where nothing validates."""
        return epoch.values.get(self.objective.key)

    def _score(self, epoch: Epoch) -> float:
        value = self.value_at(epoch)
        return -math.inf if value is None else self.objective.score(value)

    @cached_property
    def best_so_far(self) -> tuple[float, ...]:
        """The best score up to each completed epoch, of which more is better; −inf before there is
        any.
        """
        return tuple(accumulate((self._score(e) for e in self.curve), max))

    @property
    def value(self) -> float | None:
        """The best value of the objective over completed epochs, as it was measured."""
        return self.value_at(self.best) if self.best else None

    @property
    def score(self) -> float | None:
        """`value` as a number of which more is better."""
        return self.best_so_far[-1] if self.best else None

    @property
    def val_accuracy(self) -> float | None:
        """The validation accuracy at `best_epoch`, a fraction."""
        return self.best.val_accuracy if self.best else None

    @property
    def final_value(self) -> float | None:
        """What its network scored by the objective, once it was evaluated."""
        return self.final_value_of(self.objective)

    def final_value_of(self, objective: Objective) -> float | None:
        """The same by another `objective` of its study, or a fact of its network."""
        if objective.is_fact:
            return self.value_of(objective)
        return self.evaluation.value(objective) if self.evaluation else None

    @property
    def best_epoch(self) -> int | None:
        """The step of `value`, from 1."""
        return self.best.step if self.best else None

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return len(self.curve)

    @property
    def train_s(self) -> float:
        """Wall-clock seconds spent in completed epochs."""
        return sum(e.seconds for e in self.curve)


@dataclass(frozen=True)
class StudyRecord:
    """A study and its trials, in the order of their numbers. Trials that no worker has started yet
    have no row.
    """

    name: str
    model: str
    data: str
    spec: Mapping[str, Any]
    """The resolved spec, as in study.yaml (keys of StudySpec: n_trials, epochs, seed, space, …)."""
    trials: tuple[TrialRecord, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Python, package and machine versions, as recorded when the study was made."""
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What its workers ran on, by the names that trials have for it; empty for studies of older
    versions.
    """
    ended_by: str = ""
    """Why its search ended before all trials were started; empty where it did not."""
    uid: str = ""
    """Tells it from others of its name, in other storages or times."""
    made: float | None = None
    """When, Unix seconds; None in studies of earlier versions."""
    published: Mapping[str, Any] | None = None
    """The document's own figure on this data: {value, split, source}; None where it has none."""
    objective: Objective = ACCURACY
    """What it searches for."""
    others: tuple[Objective, ...] = ()
    """What it searches for beside."""
    bounds: tuple[Bound, ...] = ()
    """What it demands beside."""

    @property
    def goal(self) -> Goal:
        """All that it is for."""
        return Goal(self.objective, self.others, self.bounds)

    @property
    def document(self) -> TrialRecord | None:
        """Trial 0, which has the document's own setting; None before it is started, and in an
        imported study.
        """
        return (
            next((t for t in self.trials if t.number == 0), None)
            if self.spec.get("first", True)
            else None
        )


@dataclass(frozen=True)
class Reported:
    """What the last report of a search says of its finalists, and where its files are."""

    at: float
    """When it was written, Unix seconds."""
    host: str
    home: str = ""
    """`home_id()` of where it was written."""
    files: tuple[str, ...] = ()
    """Absolute paths on `host`."""
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By number of the finalist; of the search under an empty key."""
    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Likewise."""


@dataclass(frozen=True)
class Search:
    """A search and the study that trains its finalists again."""

    study: StudyRecord
    finalists: StudyRecord | None = None
    """None before there is one."""
    reported: Reported | None = None
    """None before there was a report, and where nobody asks."""
    is_over: bool = False
    """Whether no trial of either is started any more, for trackers."""


def as_trained(study: StudyRecord) -> StudyRecord:
    """A search with its trials' params as they were trained, for reports: see
    `TrialRecord.trained_params`.
    """
    if study.spec.get("replicates"):
        return study
    return replace(study, trials=tuple(replace(t, params=t.trained_params) for t in study.trials))


def epochs_of(trials: Iterable[TrialRecord]) -> Iterator[Epoch]:
    """The epochs of all `trials`, trial by trial."""
    return chain.from_iterable(trial.curve for trial in trials)


def has_rank(trial: TrialRecord) -> bool:
    """Whether `trial` has a value to be ranked by: any state but FAIL, no broken bound, one epoch
    or more.
    """
    return not trial.is_infeasible and trial.value is not None and math.isfinite(trial.value)


def rank_key(trial: TrialRecord) -> tuple[float, ...]:
    """What trials are sorted by, the best first: the score, among equals the scores by the study's
    other objectives, and the number.
    """
    scores = map(trial.score_of, trial.others)
    return (*(_descending(score) for score in (trial.score, *scores)), trial.number)


def _descending(score: float | None) -> float:
    return math.inf if score is None else -score
