"""Which trainings a setting is judged by: fresh seeds, the right images, and the source's own
rates.
"""

from dataclasses import replace

import pytest

from search.errors import InputError
from search.records import TrialRecord
from search.strategies import derive_seed
from search.study.finalists import of_setting, of_trial
from search.study.spec import Replicate, watches
from tests.study.helpers import measured, spec, trial

SETTING = {"optimizer": "sgd", "lr": 0.1}
PLATEAU = {**SETTING, "schedule": "plateau"}


def tried(params: dict[str, object], n_epochs: int = 4) -> TrialRecord:
    """A trial that was best in its second epoch, its rate halved after every one."""
    made = trial(3, [0.5, 0.9, 0.7, 0.9][:n_epochs], "COMPLETE")
    return replace(
        made, params=params, curve=tuple(measured(e, lr=0.1 / 2**e.step) for e in made.curve)
    )


@pytest.mark.parametrize("seed", [0, 3, 2**31 - 1])
def test_every_replicate_has_a_seed_of_its_own_and_none_that_a_trial_has(seed: int) -> None:
    made = list(of_setting(SETTING, epochs=3, n=20, seed=seed, evaluate="test"))
    for number in (0, 1, 7):
        made += of_trial(trial(number, [0.5]), n=20, seed=seed, evaluate="test")
    seeds = {r.seed for r in made}
    assert len(seeds) == len(made) == 80
    assert all(0 <= s < 2**31 for s in seeds)
    assert not seeds & {derive_seed(seed, number) for number in range(2000)}


def test_more_replicates_leave_the_first_ones_as_they_were() -> None:
    two, three = (of_setting(SETTING, epochs=3, n=n, seed=1, evaluate="test") for n in (2, 3))
    assert three[:2] == two
    two, three = (of_trial(tried(PLATEAU), n=n, seed=1, evaluate="test") for n in (2, 3))
    assert three[:2] == two


@pytest.mark.parametrize(
    ("evaluate", "train_on"), [("test", "all"), ("train", "all"), ("validation", "train")]
)
def test_images_that_score_a_replicate_are_left_out_of_its_training_where_they_judge_it(
    evaluate: str, train_on: str
) -> None:
    [made] = of_setting(SETTING, epochs=3, n=1, seed=1, evaluate=evaluate)  # type: ignore[arg-type]
    assert (made.train_on, made.evaluate, made.stop_at, made.rates) == (
        train_on,
        evaluate,
        None,
        None,
    )


@pytest.mark.parametrize("setting", [PLATEAU, {**SETTING, "early_stopping": 2}])
def test_a_setting_that_watches_is_replicated_untried_only_where_it_can_watch(
    setting: dict[str, object],
) -> None:
    assert watches(setting)
    assert len(of_setting(setting, epochs=3, n=2, seed=1, evaluate="validation")) == 2
    for evaluate in ("test", "train"):
        with pytest.raises(InputError, match="must be tried before"):
            of_setting(setting, epochs=3, n=2, seed=1, evaluate=evaluate)  # type: ignore[arg-type]


def test_without_a_plateau_and_with_early_stopping_off_nothing_is_watched() -> None:
    assert not any(
        watches(s) for s in (SETTING, {**SETTING, "schedule": "cosine", "early_stopping": 0})
    )


def test_a_replicate_of_a_trial_stops_at_its_best_epoch_with_the_horizon_unchanged() -> None:
    source = tried(SETTING)
    [made] = of_trial(source, n=1, seed=1, evaluate="test")
    assert (made.source, made.epochs, made.stop_at, made.last_epoch) == (
        3,
        source.total_epochs,
        2,
        2,
    )
    assert (made.setting, made.train_on, made.rates) == (SETTING, "all", None)
    [made] = of_trial(source, n=1, seed=1, evaluate="test", stop_at=4)
    assert (made.epochs, made.last_epoch) == (source.total_epochs, 4)


def test_rates_that_validation_chose_are_replayed_as_they_were_recorded() -> None:
    [made] = of_trial(tried(PLATEAU), n=1, seed=1, evaluate="test", stop_at=3)
    assert made.rates == (0.05, 0.025, 0.0125)


@pytest.mark.parametrize("schedule", ["constant", "step", "time_decay", "cosine"])
def test_rates_that_nothing_watched_are_left_to_the_schedule(schedule: str) -> None:
    """An optimizer that follows a schedule by itself, step by step, lets nobody set its rate."""
    [made] = of_trial(
        tried({**SETTING, "schedule": schedule, "early_stopping": 3}), n=1, seed=1, evaluate="test"
    )
    assert (made.rates, made.stop_at) == (None, 2)


def test_a_trial_without_a_validated_epoch_can_not_be_replicated() -> None:
    blind = tried(SETTING, 1)
    for source in (
        trial(3, [], "FAIL"),
        replace(blind, curve=(measured(blind.curve[0], val_accuracy=None),)),
    ):
        with pytest.raises(InputError, match=r"trial 3 .* choose another"):
            of_trial(source, n=1, seed=1, evaluate="test")


def test_a_study_of_replicates_trains_each_as_far_as_it_says() -> None:
    made = (
        *of_setting(SETTING, epochs=5, n=1, seed=1, evaluate="test"),
        *of_trial(tried(PLATEAU), n=1, seed=1, evaluate="test"),
    )
    study = spec(n_trials=2, replicates=made, epochs=9)
    assert [study.total_epochs(n, {"epochs": 7}) for n in range(2)] == [5, 2]
    assert [study.first_setting(n) for n in range(2)] == [SETTING, PLATEAU]
    assert spec().replicate(0) is None
    assert (
        Replicate.model_validate_json(made[1].model_dump_json()) == made[1]
    )  # as it comes out of the storage
