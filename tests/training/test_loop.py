"""A loop that trains by itself: what it is told, kept and asked to stop for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search.errors import TrialError
from search.records import Ending
from search.strategies.protocol import Decision
from search.training import loop
from search.training.job import Job


def run(folder: Path, train: Any, answers: list[Decision] = [], **changes: Any) -> tuple[Any, Any]:  # noqa: B006
    """How it ended, and the epochs that were reported."""
    told: list[Mapping[str, Any]] = []

    def on_epoch(step: int, metrics: Mapping[str, Any]) -> Decision:
        told.append(metrics)
        return answers[step - 1] if step <= len(answers) else Decision.GO_ON

    facts = {
        "params": {"gain": 2.0},
        "seed": 7,
        "total_epochs": 3,
        "data": "d",
        "input_shape": (1,),
    }
    places = {"n_classes": 2, "checkpoint": str(folder / "state"), "evidence": str(folder)}
    job = Job(model="m", loop=True, objective="val_loss", **{**facts, **places, **changes})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "source_of", lambda _: train)
        return loop.train_loop(job, on_epoch), told


def counting(trial: Any) -> None:
    total = trial.restore() or 0.0
    for step in trial.steps(3):
        total += trial.params["gain"]
        trial.save(total)
        trial.report(step, val_loss=total)


def test_it_goes_on_from_the_state_that_it_saved(tmp_path: Path) -> None:
    ending, told = run(tmp_path, counting, [Decision.GO_ON, Decision.PAUSE])
    assert ending is Ending.PAUSE
    assert [metrics["val_loss"] for metrics in told] == [2.0, 4.0]
    ending, told = run(tmp_path, counting)
    assert ending is Ending.DONE
    assert [(metrics["step"], metrics["val_loss"]) for metrics in told] == [
        (1, 2.0),
        (2, 4.0),
        (3, 6.0),
    ]
    ending, told = run(tmp_path, counting, params={"gain": 3.0})
    assert told[0]["val_loss"] == 3.0


@pytest.mark.parametrize(
    ("report", "rule"),
    [
        (lambda trial: trial.report(2, val_loss=1.0), "step 2 was reported after step 0"),
        (lambda trial: trial.report(1, loss=1.0), "step 1 has no val_loss, but loss"),
        (lambda trial: trial.report(1, val_loss=float("nan")), "val_loss is NaN after step 1"),
        (lambda trial: None, "the loop reported no step; report val_loss of each"),
    ],
)
def test_what_can_t_be_ranked_fails_with_the_reason(tmp_path: Path, report: Any, rule: str) -> None:
    with pytest.raises(TrialError, match=rule):
        run(tmp_path, report)
