import math
import random
from dataclasses import replace
from statistics import fmean

import pytest

from search.analysis.forecast import Gain, forecast
from search.records import Epoch, TrialRecord

HOUR = 3600.0


def searched(values, *, seconds=360.0, state="COMPLETE"):
    """Trials of one epoch each, one after the other on one worker: by default ten an hour."""
    return [
        TrialRecord(i, state, {}, (Epoch(1, {"val_accuracy": v}, seconds, 1.7e9 + i * seconds),), 1)
        for i, v in enumerate(values)
    ]


def uniform(n, seed, low=0.8, high=0.9):
    rng = random.Random(seed)
    return [rng.uniform(low, high) for _ in range(n)]


def told(trials, n_workers=1, n_validation=10_000, **more):
    return forecast(trials, n_validation=n_validation, n_workers=n_workers, **more)


def gains(found):
    return found.gain[1:]


def test_the_forecast_agrees_with_what_is_known_of_the_values():
    # The least of n values u^¼, u uniform over 0…1, is Γ(5/4) Γ(n + 1) / Γ(n + 5/4) ≈ 0.9064 / (n +
    # 0.625)^¼ on average. So the best of values 0.9 − 0.1 u^¼ gains 0.09064 · (0.42509 − 0.39610) =
    # 0.002628 from the 30th to the 40th.
    said, n_above = [], 0
    for seed in range(60):
        values = [0.9 - 0.1 * v**0.25 for v in uniform(40, seed, 0, 1)]
        said.append(told(searched(values[:30])).gain)
        n_above += max(values) - max(values[:30]) > said[-1].high
    # The pace is never taken to fall, so the forecast errs a little to the side of going on.
    assert 0.002628 < fmean(g.expected for g in said) < 1.5 * 0.002628
    assert 1 <= n_above <= 6
    assert all(g.low <= g.expected <= g.high for g in said)


def test_the_chance_of_a_new_best_is_that_of_its_place_among_all_values():
    values = sorted(uniform(40, 3))
    # After 40 trials of a tenth of an hour, ten more hold the best of all 50 with a chance of
    # 10/50.
    assert told(searched(values[::-1])).gain.chance == pytest.approx(0.2)
    # Where the ten best came last, after 31…40 trials, the exponent of their process is 10 / Σ ln
    # (40 / i).
    trend = 10 / sum(math.log(40 / i) for i in range(31, 41))
    assert told(searched(values)).gain.chance == pytest.approx(1 - (40 / 50) ** trend, rel=1e-4)


def test_time_is_counted_in_training_however_long_the_study_was_interrupted():
    trials = searched(uniform(30, 1))
    later = [
        t if t.number < 15 else replace(t, curve=tuple(replace(e, at=e.at + 1e6) for e in t.curve))
        for t in trials
    ]
    assert told(later) == told(trials)
    assert told(trials).spent_s == 30 * 360


def test_workers_and_hours_are_the_same_to_it_and_the_order_of_rows_is_nothing():
    trials = searched(uniform(30, 2))
    hour = told(trials)
    assert gains(told(trials, n_workers=2, horizon_s=HOUR / 2)) == gains(hour)
    assert gains(told(trials, n_workers=2)) > gains(hour)
    assert told(random.Random(0).sample(trials, 30)) == hour


def test_more_is_expected_of_a_search_that_keeps_improving():
    values = sorted(uniform(40, 3))
    rising, falling = told(searched(values)), told(searched(values[::-1]))
    assert rising.gain.expected > 2 * falling.gain.expected


def test_failed_trials_cost_time_and_have_no_value():
    trials = searched(uniform(30, 4))
    failed = [replace(t, number=30 + t.number, state="FAIL") for t in searched([0.99] * 30)]
    with_failed, without = told([*trials, *failed]), told(trials)
    assert (with_failed.n_trials, with_failed.best) == (30, without.best)
    assert with_failed.spent_s == 2 * without.spent_s
    assert with_failed.gain.expected < without.gain.expected


def test_paused_pruned_and_running_trials_count_with_what_they_reached():
    trials = searched(uniform(30, 5))
    mixed = [
        replace(t, state=("WAITING", "PRUNED", "RUNNING")[t.number % 3], paused=True)
        for t in trials
    ]
    assert told(mixed) == told(trials)


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([], "no value"),
        (searched([0.9] * 20, state="FAIL"), "no value"),
        (searched([math.nan] * 20), "no value"),
        (searched([0.0]), "few trials"),
        (searched([*[math.nan] * 20, *uniform(9, 6)]), "few trials"),
        (searched([0.1] * 40), "all the same"),
        (searched(uniform(10, 7), seconds=30.0), "early"),
        (searched(uniform(10, 7), seconds=0.0), "early"),
    ],
)
def test_where_there_is_too_little_to_say_it_says_why_and_is_not_flat(trials, why):
    found = told(trials)
    assert (found.why, found.gain, found.is_flat) == (why, None, False)


def test_nothing_can_be_gained_on_images_that_are_all_right():
    found = told(searched([0.5, 1.0]))
    assert (found.gain, found.is_flat) == (Gain(HOUR, 0.0, 0.0, 0.0, 0.0), True)
    near = told(searched([*uniform(39, 8, 0.9, 0.99), 0.9999]))
    assert near.gain.high <= 0.0001 + 1e-12


def test_it_is_flat_when_the_best_values_lie_within_the_noise_for_long():
    found = told(searched([0.5 + 0.4 * (1 - math.exp(-i)) + 0.0002 * (i % 5) for i in range(60)]))
    assert found.is_flat
    assert found.gain.high < found.noise


def test_one_good_trial_among_many_bad_ones_is_not_flat():
    found = told(searched([0.85, *[0.1] * 14]))
    assert (found.why, found.is_flat) == (None, False)
    assert found.gain.high > 0.05


def test_an_hour_that_is_too_short_for_any_gain_does_not_make_a_search_flat():
    # Sixty trials of two hours each: the next hour holds half a trial, so most likely no better
    # one.
    found = told(searched(uniform(60, 9), seconds=2 * HOUR))
    assert found.gain.high < found.noise < found.further.high
    assert found.further.horizon_s == 30 * HOUR
    assert not found.is_flat


def test_the_noise_floor_is_that_of_the_images_or_of_the_seeds_whichever_is_larger():
    trials = searched([*uniform(29, 10), 0.91])
    # √(0.91 · 0.09 / 10,000) = 0.0028618
    images = told(trials, seed_spread=0.001)
    assert (images.noise, images.noise_from) == (pytest.approx(0.0028618, abs=1e-7), "images")
    seeds = told(trials, seed_spread=0.004)
    assert (seeds.noise, seeds.noise_from) == (0.004, "seeds")
    # With every image right the formula gives nothing, yet no measurement is finer than one image.
    assert told(searched([1.0]), n_validation=50).noise == 0.02


@pytest.mark.parametrize(
    "wrong", [{"n_validation": 0}, {"n_workers": 0}, {"horizon_s": 0.0}, {"horizon_s": math.nan}]
)
def test_counts_and_times_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="a forecast needs images, workers and time"):
        forecast([], **({"n_validation": 100, "n_workers": 1} | wrong))
