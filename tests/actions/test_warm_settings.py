from dataclasses import replace

from search.actions.warm_settings import N_POINTS, starting_points
from search.records import StudyRecord
from tests.study.helpers import SPACE, trial

DOCUMENT = {"optimizer": "sgd", "lr": 0.1, "units": 8}


def study(*trials):
    return StudyRecord(name="s", model="mlp", data="d", spec={}, trials=trials, environment={})


def having(number, value, state="COMPLETE", **params):
    return replace(
        trial(number, [value], state),
        params={"optimizer": "adam", "lr": 0.01, "units": 16} | params,
    )


def test_the_best_of_each_study_come_first_each_once_and_valid():
    first = study(
        having(0, 0.9, units=8), having(1, 0.95, units=16), having(2, 0.99, "FAIL", units=24)
    )
    second = study(having(0, 0.5, units=16), having(1, 0.4, units=10**9), having(2, 0.3, units=32))
    points = starting_points([first, second], SPACE, [])
    assert [p["units"] for p in points] == [16, 8, 32]
    assert len(points) <= N_POINTS
    assert starting_points([first, second], SPACE, points[:1]) == points[1:]


def test_studies_of_another_space_and_studies_without_a_value_give_nothing():
    assert (
        starting_points(
            [study(having(0, 0.9, dropout=0.5)), study(trial(0, []))], SPACE, [DOCUMENT]
        )
        == []
    )
