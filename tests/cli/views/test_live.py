"""What a person is told while a study runs."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from search.cli.views.live import LiveView, SuiteView, counts, duration, render, snapshot, suite_row
from search.records import Evaluation, TrialRecord
from search.study.finalists import final_spec
from search.study.spec import Replicate
from tests.study.helpers import measured, spec, trial

TRIALS = [
    trial(0, [0.5, 0.6], "COMPLETE"),
    replace(trial(1, [0.4, 0.7], "RUNNING"), worker="worker-1"),
    replace(trial(2, [0.9], "WAITING"), paused=True),
    trial(3, [0.2], "PRUNED"),
    trial(4, [0.95], "FAIL"),
]


def test_every_trial_is_counted_once_and_a_failed_one_is_never_the_best() -> None:
    line = counts(snapshot(TRIALS, n_trials=10, workers=1))
    assert line.startswith("10 trials: 1 done, 1 running, 1 paused, 1 pruned, 1 failed")
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
    given_back = trial(1, [0.4], "WAITING")  # it waits for a worker, to go on
    assert snapshot([TRIALS[0], given_back], n_trials=2, workers=1).left_s == 2.0


def test_the_live_view_shows_what_each_worker_does() -> None:
    console = Console(width=80, file=StringIO())
    console.print(render(snapshot(TRIALS, n_trials=10, workers=1)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "worker-1" in text
    assert "2/9" in text
    assert "70.00" in text


def test_a_study_that_is_over_waits_for_no_workers() -> None:
    console = Console(width=80, file=StringIO())
    console.print(render(snapshot(TRIALS[:1], n_trials=1, workers=1)))
    assert "1 done" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "workers" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_durations_read_as_people_say_them() -> None:
    assert [duration(s) for s in (5, 600, 7500)] == ["5 s", "10 min", "2 h 05 min"]


def replicate(number: int, accuracy: float) -> TrialRecord:
    """Trained on all images, so without validated epochs, and scored on the test set."""
    made = trial(number, [0.1, 0.2], "COMPLETE", evaluation=Evaluation("test", accuracy, 0.5, 360))
    return replace(
        made, curve=tuple(measured(e, val_loss=None, val_accuracy=None) for e in made.curve)
    )


def test_a_study_of_a_suite_is_one_row_with_the_scores_of_what_ended() -> None:
    study = spec(name="own.mlp-digits.final", n_trials=5)
    running = [trial(3, [0.4, 0.7], "RUNNING"), replace(trial(4, [], "RUNNING"), total_epochs=None)]
    trials = [replicate(0, 0.9), replicate(1, 0.92), trial(2, [0.99], "FAIL"), *running]
    assert suite_row(study, trials) == (
        "own.mlp-digits.final",
        "3 of 5 (1 failed)",
        "91.00 %",
        "2/9, 0/?",
    )
    repeats = [
        Replicate(setting={}, seed=n, source=n % 2, epochs=9, train_on="all", evaluate="test")
        for n in range(5)
    ]
    several = study.model_copy(update={"replicates": tuple(repeats)})
    assert suite_row(several, trials[:2])[2] == ""  # a mean over several settings says nothing
    assert suite_row(study, []) == ("own.mlp-digits.final", "0 of 5", "", "")
    assert (
        suite_row(study, [trial(0, [0.5, 0.25], "COMPLETE")])[2] == "50.00 %"
    )  # a first training, not scored


def test_outside_a_terminal_a_suite_says_a_line_whenever_a_trial_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    specs = [spec(name=name, n_trials=2) for name in ("a.final", "b.final")]
    done = [replicate(0, 0.9), trial(1, [], "RUNNING")]
    for quiet in (False, True):
        with SuiteView(quiet=quiet) as view:
            for studies in ([[], []], [[], done], [[], done], [[trial(0, [], "FAIL")], done]):
                view.update(list(zip(specs, studies, strict=True)))
        out, err = capsys.readouterr()
        lines = (
            [] if quiet else ["b.final: 1 of 2 done, 90.00 %", "a.final: 1 of 2 (1 failed) done"]
        )
        assert (out, err.splitlines()) == ("", lines)


def test_once_a_search_is_over_its_finalists_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    search, final = spec(name="s", n_trials=1), spec(name="s.final", n_trials=4)
    ended = (search, [trial(0, [0.5], "COMPLETE")])
    with LiveView(quiet=False) as view:
        view.update([ended])
        view.update([ended, (final, [])])
        view.update([ended, (final, [replicate(0, 0.9)])])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("1 trial: 1 done, 0 running · best 50.00 %")
    assert lines[1:] == [
        "the best settings again, 4 trainings",
        "finalists on the test set: 1 of 4 done, 90.00 %",
    ]
    with LiveView(quiet=False) as view:
        view.update([ended, (spec(name="s.final", n_trials=1), [])])
    assert capsys.readouterr().err.splitlines()[1:] == ["the best settings again, 1 training"]


def test_finalists_are_part_of_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two trials one is done, of two epochs of 2 s; three replicates of it, the baseline, train
    nine each.
    """
    search = spec(name="s", n_trials=2, finalists=1, n_replicates=3, workers=2)
    trials = [trial(0, [0.5, 0.6], "COMPLETE")]
    final = final_spec(search, trials)
    assert final is not None
    with LiveView(quiet=False) as view:
        view.update([(search, trials)])
        view.update([(search, trials), (final, [])])
        view.update(
            [(search, trials), (final, [replace(replicate(0, 0.9), ended=datetime.now(UTC))])]
        )
        again = [*trials, trial(1, [0.5], "RUNNING"), trial(2, [0.5, 0.5], "COMPLETE")]
        view.update([(search.model_copy(update={"n_trials": 3}), again), (final, [])])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("about 35 s left, 33 s of it for finalists")
    assert lines[1:] == [
        "the best settings again, 3 trainings, about 27 s left",
        "finalists on the test set: 1 of 3 done, 90.00 %, about 18 s left",
        (
            "3 trials: 2 done, 1 running · best 60.00 % (trial 0) · about 34 s left, 33 s of it for"
            " finalists"
        ),
    ]
