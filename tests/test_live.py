"""What a person is told while a study runs."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from search.live import counts, duration, render, snapshot
from tests.study.helpers import trial

TRIALS = [
    trial(0, [0.5, 0.6], "COMPLETE"),
    replace(trial(1, [0.4, 0.7], "RUNNING"), worker="worker-1"),
    replace(trial(2, [0.9], "WAITING"), paused=True),
    trial(3, [0.2], "PRUNED"),
    trial(4, [0.95], "FAIL"),
]


def test_every_trial_is_counted_once_and_a_failed_one_is_never_the_best() -> None:
    line = counts(snapshot(TRIALS, n_trials=10, workers=1))
    assert "of 10 trials: 1 done, 1 running, 1 paused, 1 pruned, 1 failed" in line
    assert "best 90.00 % (trial 2)" in line


def test_the_time_left_goes_down_to_nothing_and_is_unknown_at_first() -> None:
    assert snapshot([], n_trials=3, workers=1).left_s is None
    early = snapshot(TRIALS[:1], n_trials=10, workers=1).left_s
    late = snapshot(TRIALS, n_trials=10, workers=1).left_s
    assert early is not None
    assert late is not None
    assert early > late > 0
    assert snapshot(TRIALS[:1], n_trials=1, workers=1).left_s == 0
    assert snapshot(TRIALS[:1], n_trials=10, workers=2).left_s == early / 2


def test_the_live_view_shows_what_each_worker_does() -> None:
    console = Console(width=80, file=StringIO())
    console.print(render(snapshot(TRIALS, n_trials=10, workers=1)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "worker-1" in text
    assert "2/9" in text
    assert "70.00" in text


def test_durations_read_as_people_say_them() -> None:
    assert [duration(s) for s in (5, 600, 7500)] == ["5 s", "10 min", "2 h 05 min"]
