"""A search whose finalists were trained again, as storage and statistics would hand it to the
page.
"""

from dataclasses import replace
from typing import Any

from search.analysis.finalists import Finalist, Judgement
from search.analysis.statistics import Difference, Interval
from search.records import Evaluation, StudyRecord, TrialRecord
from tests.report.conftest import trial

REPLICATES = ((0, 0.93), (0, 0.94), (1, 0.90), (1, 0.90))
"""Which trial is repeated, and its accuracy on the test set."""


def finished(study: StudyRecord) -> StudyRecord:
    """Trial 0, the document's setting, is beaten by trial 1."""
    sgd = {"optimizer": "sgd", "momentum": 0.9, "lr": 1e-5, "units": 128}
    rows = (trial(0, "COMPLETE", (0.8, 0.9)), trial(1, "COMPLETE", (0.9, 0.95), params=sgd))
    return replace(
        study,
        trials=rows,
        spec=dict(study.spec) | {"n_trials": 2, "finalists": 2, "n_replicates": 2},
    )


def final_of(study: StudyRecord, n_done: int = 4) -> StudyRecord:
    """Its replicates, of which the first `n_done` are finished and the next is running."""
    rows = []
    for number, (_, accuracy) in enumerate(REPLICATES[: n_done + 1]):
        done = {"evaluation": Evaluation("test", accuracy, 0.3, 100)} if number < n_done else {}
        rows.append(
            TrialRecord(number, "COMPLETE" if done else "RUNNING", {}, total_epochs=2, **done)
        )
    return replace(study, name=f"{study.name}.final", trials=tuple(rows))


def judgement(**changes: Any) -> Judgement:
    """What they have shown."""
    chosen = Finalist(
        1,
        1,
        False,
        False,
        0.95,
        Interval(0.935, 0.92, 0.95, 2),
        (0.93, 0.94),
        2,
        0,
        0.015,
        None,
        True,
    )
    own = Finalist(
        0, 2, True, False, 0.9, Interval(0.9, 0.9, 0.9, 2), (0.9, 0.9), 2, 0, 0.0, 0.04, False
    )
    gain = Difference(0.035, 0.01, 0.06, 0.03)
    return Judgement(
        (chosen, own), gain, 100, is_complete=True, how="By careful counting.", **changes
    )
