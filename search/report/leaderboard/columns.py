"""The columns of leaderboard.csv, a line each; docs/leaderboard.md describes them."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from search.analysis.finalists import Finalist
from search.analysis.ranking import further_values
from search.analysis.statistics import Interval
from search.objectives import text_of
from search.records import ACCURACY, Objective, StudyRecord, TrialRecord, has_rank

Kind = Literal["Int64", "float64", "boolean", "object"]
"""A pandas type whose blanks are missing values."""


class Row(NamedTuple):
    """What a row of the leaderboard is about."""

    place: int
    """In the order of the table, from 1."""
    study: StudyRecord
    trial: TrialRecord
    finalist: Finalist | None
    """What it came to when it was trained again; None for a trial that was not."""
    on_front: bool | None = None
    """Whether no trial beats it by all objectives; None where there is one objective."""


class Column(NamedTuple):
    """A column: its name, its type and its value in a row, None for a blank."""

    name: str
    kind: Kind
    value: Callable[[Row], Any]


def of_finalists(name: str, kind: Kind, value: Callable[[Finalist], Any]) -> Column:
    """A column that is blank in the rows of trials that were not trained again."""
    return Column(name, kind, lambda row: None if row.finalist is None else value(row.finalist))


def _accuracy(row: Row) -> Interval | None:
    """The test accuracy of a finalist."""
    if row.finalist is None:
        return None
    is_objective = row.study.objective == ACCURACY
    return row.finalist.interval if is_objective else row.finalist.accuracy


def _end(interval: Interval | None, name: Literal["mean", "low", "high"]) -> float | None:
    return None if interval is None else getattr(interval, name)


COLUMNS = (
    Column("rank", "Int64", lambda row: row.place if has_rank(row.trial) else None),
    Column("study", "object", lambda row: row.study.name),
    Column("model", "object", lambda row: row.study.model),
    Column("data", "object", lambda row: row.study.data),
    Column("trial", "Int64", lambda row: row.trial.number),
    Column("state", "object", lambda row: str(row.trial.state)),
    Column("val_accuracy", "float64", lambda row: row.trial.val_accuracy),
    Column("best_epoch", "Int64", lambda row: row.trial.best_epoch),
    Column("epochs", "Int64", lambda row: row.trial.epochs),
    Column("train_s", "float64", lambda row: round(row.trial.train_s, 3)),
    Column("n_params", "Int64", lambda row: row.trial.n_params),
    Column("objective", "object", lambda row: text_of(row.study.objective)),
    Column("value", "float64", lambda row: row.trial.value),
    Column("on_front", "boolean", lambda row: row.on_front),
    Column("broken_bounds", "object", lambda row: " ".join(row.trial.broken) or None),
)
"""Before `value.*` and the parameters, `param.*`."""

FINALIST_COLUMNS = (
    Column("test_accuracy_mean", "float64", lambda row: _end(_accuracy(row), "mean")),
    Column("test_accuracy_ci_low", "float64", lambda row: _end(_accuracy(row), "low")),
    Column("test_accuracy_ci_high", "float64", lambda row: _end(_accuracy(row), "high")),
    of_finalists("n_replicates", "Int64", lambda f: len(f.values)),
    of_finalists("tied_with_best", "boolean", lambda f: f.tied_with_best),
    of_finalists("test_value_mean", "float64", lambda f: _end(f.interval, "mean")),
    of_finalists("test_value_ci_low", "float64", lambda f: _end(f.interval, "low")),
    of_finalists("test_value_ci_high", "float64", lambda f: _end(f.interval, "high")),
)
"""After the parameters, before `test_value_mean.*`; a single finished replicate leaves the ends of
intervals blank.
"""


def value_columns(study: StudyRecord) -> list[Column]:
    """What else the study is for, or has bounds for, of each trial."""
    return [
        Column(f"value.{objective.name}", "float64", _value_of(objective))
        for objective in further_values(study.goal)
    ]


def _value_of(objective: Objective) -> Callable[[Row], float | None]:
    return lambda row: row.trial.value_of(objective)


def test_value_columns(study: StudyRecord) -> list[Column]:
    """The means of other objectives over a finalist's replicates."""
    return [
        of_finalists(f"test_value_mean.{objective.name}", "float64", _mean_of(place))
        for place, objective in enumerate(study.others)
    ]


def _mean_of(place: int) -> Callable[[Finalist], float | None]:
    return lambda finalist: _end(finalist.others[place], "mean")
