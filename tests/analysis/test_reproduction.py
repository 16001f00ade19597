"""What is said of a trial that was trained again, by its numbers, its end and its environment."""

import math
from dataclasses import replace
from typing import Any

import pytest

from search.analysis.reproduction import Change, Verdict, changes, compare
from search.records import Evaluation, TrialRecord
from tests.study.helpers import epoch, measured, trial

RECORDED = trial(3, [0.5, 0.75, 0.7], "PRUNED", n_params=10, seed=1)
FAILED = replace(RECORDED, state="FAIL", reason="the loss became NaN or infinite in epoch 4")
SCORED = replace(RECORDED, state="COMPLETE", evaluation=Evaluation("test", 0.8, 0.4, 360))


def again(recorded: TrialRecord = RECORDED, step: int = 2, **metrics: Any) -> TrialRecord:
    """The same trial at another time, with other `metrics` in one epoch."""
    curve = [replace(e, seconds=9.0, at=1.8e9) for e in recorded.curve]
    curve[step - 1] = measured(curve[step - 1], **metrics)
    return replace(recorded, curve=tuple(curve), state="COMPLETE", started=None, worker=None)


def test_the_same_numbers_at_another_time_are_bit_equal() -> None:
    found = compare(RECORDED, again(), tolerance=0)
    assert found.verdict is Verdict.BIT_EQUAL
    assert [(p.what, p.verdict) for p in found.parts] == [
        (f"epoch {i}", "bit-equal") for i in (1, 2, 3)
    ]
    assert (found.largest, found.problems) == (None, ())


@pytest.mark.parametrize(
    ("metrics", "points"),
    [
        ({"accuracy": 0.753}, 0.3),
        ({"val_accuracy": 0.746}, 0.4),
        ({"loss": 0.504}, 0.4),
        ({"val_loss": 0.5 + 1e-12}, 1e-10),
        (
            {"lr": 0.1004},
            0.4,
        ),  # of itself, for rates are small: 0.04 points would pass for anything
        ({"val_accuracy": 0.749, "loss": 0.498}, 0.2),
        ({"val_f1_macro": 0.746}, 0.4),
        ({"val_mse": 2008.0}, 0.4),  # of itself, as losses
    ],
)
def test_whatever_metric_is_off_decides_by_how_far(
    metrics: dict[str, float], points: float
) -> None:
    recorded = again(RECORDED, val_f1_macro=0.75, val_mse=2000.0)
    found = compare(recorded, again(recorded, **metrics), tolerance=points * 1.01)
    assert found.verdict is Verdict.WITHIN
    assert [p.verdict for p in found.parts] == ["bit-equal", "equal within tolerance", "bit-equal"]
    assert found.largest is not None
    what, largest = found.largest
    assert what == "epoch 2"
    assert largest.metric == list(metrics)[-1]
    assert largest.points == pytest.approx(points, rel=0.01)
    strict = compare(recorded, again(recorded, **metrics), tolerance=points * 0.99)
    assert strict.verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("metric", "value"), [("val_loss", None), ("loss", math.nan), ("accuracy", math.inf)]
)
def test_what_cannot_be_compared_is_different(metric: str, value: float | None) -> None:
    for recorded, now in (
        (RECORDED, again(**{metric: value})),
        (again(**{metric: value}), again()),
    ):
        assert compare(recorded, now, tolerance=100).verdict is Verdict.DIFFERENT


def test_a_loss_above_a_nat_is_judged_by_its_size() -> None:
    recorded = replace(RECORDED, curve=(measured(epoch(1, 0.5), loss=40.0),))
    [part] = compare(recorded, again(recorded, step=1, loss=40.2), tolerance=0.5).parts
    assert part.verdict is Verdict.WITHIN
    assert part.largest is not None
    assert part.largest.points == pytest.approx(0.5)


def test_epochs_without_validation_compare_by_what_they_have() -> None:
    recorded = replace(
        RECORDED, curve=tuple(measured(e, val_loss=None, val_accuracy=None) for e in RECORDED.curve)
    )
    assert compare(recorded, again(recorded)).verdict is Verdict.BIT_EQUAL


@pytest.mark.parametrize(
    ("recorded", "now", "words"),
    [
        (
            RECORDED,
            replace(again(), n_params=11),
            "the network has 11 parameters, the record says 10",
        ),
        (
            RECORDED,
            replace(again(), curve=RECORDED.curve[:2]),
            "it trained 2 epochs, the record has 3",
        ),
        (
            RECORDED,
            replace(again(), state="FAIL", reason="boo"),
            "failed after 3 epochs, which it did not then: boo",
        ),
        (SCORED, replace(again(SCORED), evaluation=None), "it was not scored on the test images"),
        (FAILED, again(), "this time it did not fail: 3 epochs came to a good end"),
        (
            FAILED,
            replace(again(), state="FAIL", reason="boo"),
            "this time it failed after 3 epochs: boo",
        ),
    ],
)
def test_another_network_or_another_end_is_told_in_words(
    recorded: TrialRecord, now: TrialRecord, words: str
) -> None:
    found = compare(recorded, now, tolerance=100)
    assert found.verdict is Verdict.DIFFERENT
    [problem] = found.problems
    assert words in problem


def test_a_trial_that_fails_again_the_same_way_is_bit_equal() -> None:
    assert (
        compare(FAILED, replace(again(), state="FAIL", reason=FAILED.reason)).verdict
        is Verdict.BIT_EQUAL
    )


def test_what_a_replicate_scored_counts_too() -> None:
    assert compare(SCORED, again(SCORED)).verdict is Verdict.BIT_EQUAL
    now = replace(again(SCORED), evaluation=Evaluation("test", 0.79, 0.4, 360))
    found = compare(SCORED, now, tolerance=0.5)
    assert found.verdict is Verdict.DIFFERENT
    assert found.largest is not None
    assert (found.largest[0], found.largest[1].metric) == ("test", "accuracy")


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((0.0, 1e-7, 3e-4, 0.02), True),
        ((1e-5, 1e-7, 0.02, 0.004), True),
        ((0.0, 0.02, 0.0, 0.0), False),  # one metric was altered
        ((0.01, 0.02, 0.02, 0.03), False),  # another setting
        ((1e-7, 1e-7, 2e-7, 1e-7), False),  # nothing grows
        ((0.0, 0.0, 0.0, 0.0), False),
    ],
)
def test_rounding_that_grows_is_told_from_other_differences(
    gaps: tuple[float, ...], expected: bool
) -> None:
    recorded = trial(0, [0.5] * len(gaps))
    curve = tuple(
        measured(e, loss=e.values["loss"] + gap)
        for e, gap in zip(recorded.curve, gaps, strict=True)
    )
    assert compare(recorded, replace(recorded, curve=curve)).drifts is expected


def test_every_change_of_the_environment_is_listed() -> None:
    recorded = {"python": "3.11.7", "keras": "3.15.1", "tensorflow": "2.20.0", "jax": "0.10.2"}
    here = {"python": "3.11.7", "keras": "3.15.2", "tensorflow": "2.20.0", "threads": "2"}
    assert changes(recorded, here) == (
        Change("keras", "3.15.1", "3.15.2"),
        Change("jax", "0.10.2", None),
        Change("threads", None, "2"),
    )
    assert changes(here, here) == ()
