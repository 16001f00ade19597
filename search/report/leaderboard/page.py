"""The leaderboard and the finalists as the page's tables show them. Pure."""

from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from search.analysis.baseline import DOCUMENT, baseline_cut, baseline_name, printed_name
from search.analysis.finalists import Finalist, Judgement
from search.analysis.ranking import best_trial, front, further_values, ranking, varied_params
from search.records import ACCURACY, Objective, StudyRecord, TrialRecord, has_rank

N_SHOWN = 200


class Row(NamedTuple):
    """A trial of the leaderboard."""

    rank: int | None
    trial: TrialRecord
    finalist: Finalist | None
    on_front: bool


@dataclass(frozen=True)
class Board:
    """The leaderboard: its rows, and which parameters have a column of their own."""

    rows: tuple[Row, ...]
    varied: tuple[str, ...]
    fixed: dict[str, Any]
    """Parameters with one value throughout, and that value."""
    best: TrialRecord | None
    document: TrialRecord | None
    baseline: str
    """What `document` is called."""
    tag: str
    """The same in a few letters."""
    cut: str
    """How far the study's limit let it train, empty where it cut nothing."""
    judgement: Judgement | None
    n_shown: int
    """Rows that are seen at first: a browser takes seconds to lay out a thousand."""
    example: str
    """A filter that finds something in this table."""
    objective: Objective
    column: str
    """What filters call the column of its values."""
    has_accuracy: bool
    """Whether the validation accuracy has a column beside it."""
    further: tuple[Objective, ...]
    """What else has a column: other objectives, and facts that have bounds."""
    has_front: bool
    """Whether there are several objectives."""
    has_bounds: bool


def board(study: StudyRecord, judgement: Judgement | None) -> Board:
    """The leaderboard of `study`."""
    trials = ranking(study)
    varied = varied_params(study)
    params = chain.from_iterable(trial.params.items() for trial in trials)
    finalists = {row.trial: row for row in judgement.rows} if judgement else {}
    members = front(study) or frozenset()
    return Board(
        rows=tuple(
            Row(i if has_rank(t) else None, t, finalists.get(t.number), t.number in members)
            for i, t in enumerate(trials, start=1)
        ),
        varied=tuple(varied),
        fixed={name: value for name, value in params if name not in varied},
        best=best_trial(study),
        document=study.document,
        baseline=printed_name(study),
        tag="doc" if baseline_name(study) == DOCUMENT else "base",
        cut=baseline_cut(study),
        judgement=judgement,
        n_shown=N_SHOWN,
        example=_example(study, varied),
        objective=study.objective,
        column=_column(study),
        has_accuracy=study.objective != ACCURACY
        and any(t.val_accuracy is not None for t in trials),
        further=tuple(further_values(study.goal)),
        has_front=bool(study.others),
        has_bounds=bool(study.bounds),
    )


def _example(study: StudyRecord, varied: list[str]) -> str:
    best = best_trial(study)
    if best is None or best.value is None:
        return "state=running"
    words = [f"{_column(study)}{_bound(study.objective, best.value)}"]
    choices = [
        n
        for n in varied
        if isinstance(best.params.get(n), str) and " " not in f"{n}{best.params[n]}"
    ]
    return " ".join(words + [f"{n}={best.params[n]}" for n in choices[:1]])


def _column(study: StudyRecord) -> str:
    return "accuracy" if study.objective == ACCURACY else "value"


def _bound(objective: Objective, value: float) -> str:
    """A comparison that holds for values near the best."""
    if objective.is_fraction:
        return f">{int(100 * value) - 1}"
    if objective.is_maximized:
        return f">{value - abs(value) / 10:.3g}"
    return f"<{value + abs(value) / 10:.3g}"
