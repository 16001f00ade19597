"""Frozen studies, as storage would hand them to a report."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from search.records import Epoch, StudyRecord, TrialRecord

STARTED = datetime(2026, 1, 2, tzinfo=UTC)


def curve(*accuracies: float, seconds: float = 1.5) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(
            step,
            {
                "loss": 1 / step,
                "accuracy": a + 0.01,
                "val_loss": 1.1 / step,
                "val_accuracy": a,
                "lr": 1e-3,
            },
            seconds,
            1.7e9 + step,
        )
        for step, a in enumerate(accuracies, start=1)
    )


def trial(
    number: int, state: str, accuracies: tuple[float, ...] = (), **fields: Any
) -> TrialRecord:
    fields = {
        "params": {"lr": 0.001, "units": 64, "optimizer": "adam"},
        "started": STARTED,
    } | fields
    return TrialRecord(
        number, state, curve=curve(*accuracies), total_epochs=3, n_params=1000 + number, **fields
    )


SPACE: Mapping[str, Any] = {
    "source": "a paper",
    "params": {
        "optimizer": {"type": "choice", "choices": ["adam", "sgd"]},
        "momentum": {
            "type": "float",
            "low": 0.5,
            "high": 0.99,
            "log": False,
            "when": {"optimizer": ["sgd"]},
        },
        "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
        "units": {"type": "int", "low": 16, "high": 512, "log": False, "step": 16},
    },
}


@pytest.fixture
def study() -> StudyRecord:
    """One trial of every state and two that tie: 0 and 4 at 0.9, with trial 3 on top of both."""
    sgd = {"optimizer": "sgd", "momentum": 0.9, "lr": 1e-5, "units": 128}
    return StudyRecord(
        name="mlp-digits",
        model="mlp",
        data="digits",
        spec={
            "n_trials": 8,
            "epochs": 3,
            "seed": 7,
            "data_digest": "sha256:abc",
            "timeout_s": None,
            "space": SPACE,
        },
        trials=(
            trial(0, "COMPLETE", (0.7, 0.9, 0.9)),
            trial(1, "FAIL", (0.99,), reason="out of memory", log_tail="last words\nof trial 1"),
            trial(2, "PRUNED", (0.1 + 0.2,), params=sgd, reason="below the rung"),
            trial(
                3, "RUNNING", (0.8, 0.9125), params={"lr": 0.02, "units": 32, "optimizer": "adam"}
            ),
            trial(4, "WAITING", (0.9,), paused=True),
            trial(5, "RUNNING"),
            trial(6, "FAIL", reason="the loss became NaN", log_tail=None),
            trial(7, "WAITING", started=None),
        ),
        environment={"python": "3.11.2"},
        published={"value": 0.95, "split": "test", "source": "a paper"},
    )


@pytest.fixture
def hostile(study: StudyRecord) -> StudyRecord:
    """Names, values, reasons and logs that mean something to HTML, JavaScript or a spreadsheet."""
    evil = "</script><script>alert(1)</script>"
    params = {"=cmd()": "=cmd()", "units": -64, evil: evil}
    first = trial(0, "COMPLETE", (0.9,), params=params)
    other = trial(
        1,
        "COMPLETE",
        (0.8,),
        params={"=cmd()": "-2+3", "units": 64, evil: "<img src=x onerror=alert(1)>"},
    )
    failed = trial(2, "FAIL", params=params, reason=evil, log_tail=f"</pre>{evil}")
    return replace(
        study,
        name=evil,
        model="@m",
        data=evil,
        trials=(first, other, failed),
        environment={evil: evil},
        published={"value": 0.9, "split": evil, "source": evil},
    )


@pytest.fixture
def many() -> Callable[[int], StudyRecord]:
    """A study of any size, all trials complete but every seventh, which failed."""

    def make(n: int) -> StudyRecord:
        rows = [
            trial(
                i,
                "FAIL" if i % 7 == 6 else "COMPLETE",
                (0.5, 0.6 + 0.3 * ((i * 37) % 101) / 101),
                params={"lr": 10 ** -(1 + i % 4), "units": 16 * (1 + i % 9), "optimizer": "adam"},
            )
            for i in range(n)
        ]
        return StudyRecord("s", "m", "d", {"n_trials": n, "space": SPACE}, tuple(rows))

    return make
