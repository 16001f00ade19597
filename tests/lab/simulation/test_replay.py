from pathlib import Path

import pytest

from search.errors import InputError
from search.lab.simulation.replay import distance, replay_of
from search.lab.simulation.run import Setup, simulate
from search.records import StudyRecord, TrialRecord
from tests.study.helpers import SPACE, epoch, spec


def recorded(n: int, state: str = "COMPLETE", start: int = 0) -> list[TrialRecord]:
    """Trials of nine epochs, the later the better."""
    return [
        TrialRecord(
            i,
            state,
            {"optimizer": "adam", "lr": 10 ** -(1 + i % 3), "units": 8 + i},
            tuple(epoch(s, (i + s) / 50) for s in range(1, 10 if state == "COMPLETE" else 4)),
        )
        for i in range(start, start + n)
    ]


def study(trials: list[TrialRecord]) -> StudyRecord:
    return StudyRecord("s", "mlp", "digits", spec().model_dump(mode="json"), tuple(trials))


def test_a_replayed_study_tries_recorded_settings_each_once_and_ends_with_the_last(
    template: Path,
) -> None:
    replay = replay_of(study(recorded(6) + recorded(3, "PRUNED", start=6)))
    assert replay.n_left_out == 3
    outcome = simulate(Setup("tpe", "s", 2, 2, 100.0), replay, template)
    assert sorted(t.params["units"] for t in outcome.trials) == list(range(8, 14))
    assert {t.state for t in outcome.trials} == {"COMPLETE"}
    assert outcome.improvements[-1][1] == replay.best("s", 0) == (5 + 9) / 50
    for trial in outcome.trials:
        assert trial.val_accuracy == (trial.params["units"] - 8 + 9) / 50


def test_the_documents_setting_comes_first_where_it_was_recorded(template: Path) -> None:
    document = TrialRecord(
        0, "COMPLETE", dict(spec().first[0]), tuple(epoch(s, s / 10) for s in range(1, 10))
    )
    replay = replay_of(study([document, *recorded(3, start=1)]))
    outcome = simulate(Setup("random", "s", 0, 1, 1.0), replay, template)
    assert [t.params for t in outcome.trials] == [spec().first[0]]


def test_too_few_curves_are_refused() -> None:
    with pytest.raises(InputError, match="1 of the 3 trials of 's' were trained to their end"):
        replay_of(study(recorded(1) + recorded(2, "PRUNED", start=1)))


def test_distance_is_a_mean_over_parameters_of_parts_of_their_ranges() -> None:
    a = {"optimizer": "adam", "lr": 1e-4, "units": 8}
    assert distance(SPACE, a, a) == 0
    # lr is half of its four decades away, units 62 of 248.
    assert distance(SPACE, a, a | {"lr": 1e-2, "units": 70}) == pytest.approx((0 + 0.5 + 0.25) / 3)
    # Another optimizer, and a momentum that only one of them has.
    assert distance(SPACE, a, a | {"optimizer": "sgd", "momentum": 0.5}) == pytest.approx(
        (1 + 0 + 1 + 0) / 4
    )
