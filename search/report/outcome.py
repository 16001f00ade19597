"""What a report says of the finalists, in the form that is stored for trackers."""

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from search.analysis.finalists import Finalist, Judgement
from search.analysis.statistics import Interval
from search.paths import home_id
from search.records import ACCURACY, Objective, Reported
from search.report.text.finalists import judgement_words

_YES_NO = {True: "yes", False: "no"}


def outcome(judgement: Judgement | None, files: Sequence[Path]) -> Reported:
    """What a report of `judgement`, written now as `files` on this machine, says."""
    tags: dict[str, dict[str, str]] = {}
    values: dict[str, dict[str, float]] = {}
    if judgement:
        for row in judgement.rows:
            tags[f"{row.trial}"] = _tags(row, judgement)
            values[f"{row.trial}"] = _values(row, judgement.objective)
        champion = judgement.champion
        words = " ".join(judgement_words(judgement))
        tags[""] = {"champion_trial": f"{champion.trial}", "note": words}
        values[""] = _values(champion, judgement.objective)
        if judgement.gain:
            values[""]["gain_over_document"] = judgement.gain.value
    paths = tuple(str(path.absolute()) for path in files)
    return Reported(time.time(), socket.gethostname(), home_id(), paths, tags, values)


def _tags(row: Finalist, judgement: Judgement) -> dict[str, str]:
    tags = {"finalist": _YES_NO[not row.is_extra], "champion": _YES_NO[row is judgement.champion]}
    if row.tied_with_best is not None:
        tags["tied_with_best"] = _YES_NO[row.tied_with_best]
    return tags


def _values(row: Finalist, objective: Objective) -> dict[str, float]:
    if row.interval is None:
        return {}
    is_accuracy = objective == ACCURACY
    values = {
        **_ends("test_accuracy", row.interval if is_accuracy else row.accuracy),
        **_ends("test_value", None if is_accuracy else row.interval),
        "n_replicates": float(len(row.values)),
        "optimism": row.optimism,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {}
    return {
        f"{name}_mean": interval.mean,
        f"{name}_ci_low": interval.low,
        f"{name}_ci_high": interval.high,
    }
