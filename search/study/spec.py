"""What a study is: the resolved StudySpec, stored with it."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from search.bounds import bound_of
from search.errors import InputError
from search.objectives import default_objective, objective_of, text_of
from search.records import Bound, Goal, Objective, Task
from search.space.space import Space
from search.study.settings import Lasting
from search.user_code import without_ours

Split = Literal["test", "validation", "train"]


class Replicate(BaseModel):
    """One setting to be trained again on a fresh seed and scored once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: dict[str, Any]
    seed: int
    source: int | None = None
    """The trial that it repeats; None for a setting that no trial had, such as a document's."""
    epochs: int
    """The horizon of schedules."""
    stop_at: int | None = None
    """Where training ends, if before `epochs`."""
    rates: tuple[float, ...] | None = None
    """The source's learning rate of each epoch; None where the schedule needs no validation."""
    train_on: Literal["train", "all"]
    evaluate: Split

    @property
    def last_epoch(self) -> int:
        """The epochs that it trains."""
        return min(self.epochs, self.stop_at or self.epochs)

    @property
    def is_pilot(self) -> bool:
        """Whether it watches validation images, for replicates of its trial that have none."""
        return self.source is not None and self.train_on == "train"


class _Subject(BaseModel):
    """What is searched."""

    name: str
    model: str
    loop: bool = False
    """Whether the model is a loop, which trains by itself."""
    data: str
    """Short name of the data set."""
    data_source: str
    """What loads it: a registered name or the path of a file."""
    task: Task = Task.CLASSIFICATION
    has_test: bool = True
    """Whether its data have a test set; if not, its best setting is trained again once, for its
    network.
    """


class StudySpec(Lasting, _Subject):
    """A resolved study: all that decides what its trials do, stored and in study.yaml."""

    n_trials: int  # none for an imported study to begin with
    epochs: int
    workers: int
    threads: int
    data_digest: str
    space_digest: str
    first: tuple[dict[str, Any], ...]
    """Settings of the first trials: the document's, those to try, starting points."""
    space: dict[str, Any]
    finalists: int | None = 0
    """None for as many as about the search's own time pays for."""
    n_replicates: int = 5
    replicates: tuple[Replicate, ...] = ()
    """What a study of replicates runs, one per trial; such a study searches nothing."""
    code: dict[str, str] | None = None
    """The user's files that build its networks, with digests; None where not recorded."""

    @property
    def first_objective(self) -> Objective:
        """What its trials are ranked by."""
        return objective_of(self.objective[0])

    @property
    def goal(self) -> Goal:
        """All that it is for."""
        first, *others = map(objective_of, self.objective)
        return Goal(first, tuple(others), self.bounds)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What it demands of networks."""
        return tuple(map(bound_of, self.at_most))

    @property
    def search_space(self) -> Space:
        """The space as an object."""
        return Space.from_dict(self.space)

    def total_epochs(self, number: int, params: Mapping[str, Any]) -> int:
        """The epochs that trial `number` with `params` may train, within the study's limit."""
        if replicate := self.replicate(number):
            return replicate.last_epoch
        return min(int(params.get("epochs", self.epochs)), self.epochs)

    def first_setting(self, number: int) -> dict[str, Any] | None:
        """The fixed setting of trial `number`, or None if the strategy chooses."""
        if replicate := self.replicate(number):
            return dict(replicate.setting)
        return dict(self.first[number]) if number < len(self.first) else None

    @model_validator(mode="before")
    @classmethod
    def _has_an_objective(cls, spec: dict[str, Any]) -> dict[str, Any]:
        """Specs of earlier versions name none, but a metric that nobody read."""
        kept = {key: value for key, value in spec.items() if key != "metric"}
        default = default_objective(Task(spec.get("task", Task.CLASSIFICATION)))
        return kept | {"objective": spec.get("objective") or (text_of(default),)}

    @field_validator("code")
    @classmethod
    def _own_models_have_none(cls, code: dict[str, str] | None) -> dict[str, str] | None:
        return code and without_ours(code)

    def replicate(self, number: int) -> Replicate | None:
        """What trial `number` repeats, or None in a study that searches."""
        return self.replicates[number] if number < len(self.replicates) else None


def stored_spec_of(name: str, attrs: Mapping[str, Any]) -> StudySpec:
    """The spec among a study's attributes. Raises InputError if it is not of this version."""
    try:
        return StudySpec(**attrs["spec"])
    except (KeyError, TypeError, ValidationError) as error:
        rule = f"study {name!r} in the storage was not made by this version of Gridless"
        raise InputError(f"{rule}; choose another NAME") from error


def watches(setting: Mapping[str, Any]) -> bool:
    """Whether training watches validation images: to lower its rate, or to stop early."""
    return setting.get("schedule") == "plateau" or bool(setting.get("early_stopping"))
