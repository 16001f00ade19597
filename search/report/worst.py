"""How good predictions are in a sentence, and the worst of them as a table. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from search.report.evidence import Answers, LabelPredictions, NumberPredictions, Predictions
from search.words import count, listing, percent

N_WORST = 24
N_NUMBERS = 4
"""Numbers of an example that a cell shows."""


class Worst(NamedTuple):
    """A table of examples that a network is farthest from, the worst first."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def achievement(answers: Answers, split: str) -> str:
    """What a network has done on all examples of `split`, without its subject."""
    examples = count(answers.n, split)
    if isinstance(answers, NumberPredictions):
        error = float(np.abs(answers.true - answers.predicted).mean())
        spread = float(answers.true.std(axis=0).mean())
        return (
            f"is off by {error:.4g} on average over {examples}, whose true numbers have a standard"
            f" deviation of {spread:.4g}"
        )
    if isinstance(answers, LabelPredictions):
        right = int((answers.true == answers.predicted).all(axis=1).sum())
        return f"gets all labels of {right:,} of {examples} right, {percent(right / answers.n)}"
    right = int((answers.true == answers.predicted).sum())
    return f"recognises {right:,} of {examples}, {percent(right / answers.n)}"


def worst_answers(answers: Answers, names: Sequence[str]) -> Worst | None:
    """At most `N_WORST` mistakes; None without one."""
    if isinstance(answers, NumberPredictions):
        return _numbers(answers)
    if isinstance(answers, LabelPredictions):
        return _labels(answers, names)
    return _classes(answers, names) if isinstance(answers, Predictions) else None


def _classes(answers: Predictions, names: Sequence[str]) -> Worst | None:
    head = ["no.", "true", "predicted", "sure (%)"]
    rows = [
        [
            str(i),
            names[answers.true[i]],
            names[answers.predicted[i]],
            f"{100 * answers.confidence[i]:.1f}",
        ]
        for i in answers.wrong_index[:N_WORST]
    ]
    if answers.wrong_values is not None:
        head.append("values")
        for row, values in zip(rows, answers.wrong_values, strict=False):
            row.append(_shown(values))
    return Worst(tuple(head), tuple(map(tuple, rows))) if rows else None


def _labels(answers: LabelPredictions, names: Sequence[str]) -> Worst | None:
    def named(row: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> str:
        return listing([names[int(i)] for i in np.flatnonzero(row)]) or "none"

    n_wrong = (answers.true != answers.predicted).sum(axis=1)
    worst = np.argsort(-n_wrong, kind="stable")[:N_WORST]
    rows = tuple(
        (str(i), named(answers.true[i]), named(answers.predicted[i]), str(n_wrong[i]))
        for i in worst
        if n_wrong[i]
    )
    return Worst(("no.", "true", "predicted", "labels wrong"), rows) if rows else None


def _numbers(answers: NumberPredictions) -> Worst | None:
    # Numbers of other units are added up by what they vary.
    spread = answers.true.std(axis=0)
    errors = np.abs(answers.true - answers.predicted) / np.where(spread > 0, spread, 1.0)
    worst = np.argsort(-errors.mean(axis=1), kind="stable")[:N_WORST]
    rows = tuple(
        (
            str(i),
            _shown(answers.true[i]),
            _shown(answers.predicted[i]),
            _shown(answers.true[i] - answers.predicted[i]),
        )
        for i in worst
    )
    return Worst(("no.", "true", "predicted", "true − predicted"), rows)


def _shown(numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    cells = [f"{number:.4g}" for number in numbers[:N_NUMBERS]]
    return ", ".join([*cells, "…"] if len(numbers) > N_NUMBERS else cells)
