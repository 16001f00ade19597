import math

import numpy as np
import pytest
from scipy.stats import sem, t

from search.analysis.statistics import (
    Difference,
    Interval,
    Runs,
    compare_all,
    holm,
    mean_interval,
    pooled_error,
    single_run_interval,
)


def test_the_interval_is_students_t_worked_by_hand():
    # Mean 0.84, s = 0.02, t(0.975, 2) = 4.302653 from the table: half the width is 4.302653 · 0.02
    # / √3 = 0.0496828.
    found = mean_interval((0.82, 0.84, 0.86))
    assert found.n == 3
    assert found.mean == pytest.approx(0.84)
    assert (found.low, found.high) == pytest.approx((0.84 - 0.0496828, 0.84 + 0.0496828), abs=1e-7)
    # t(0.95, 2) = 2.919986 at the 90 % level.
    assert mean_interval((0.82, 0.84, 0.86), level=0.9).high == pytest.approx(
        0.84 + 2.919986 * 0.02 / math.sqrt(3)
    )


def test_one_more_run_varies_by_the_spread_of_runs_and_of_the_mean():
    # 4.302653 · 0.02 · √(1 + 1/3) = 0.0993656, twice as far as the mean's.
    found = single_run_interval((0.82, 0.84, 0.86))
    assert (found.low, found.high) == pytest.approx((0.84 - 0.0993656, 0.84 + 0.0993656), abs=1e-7)


def test_one_value_or_two_have_no_interval_and_equal_values_have_one_of_no_width():
    assert mean_interval((0.9,)) == Interval(0.9, None, None, 1)
    assert (
        mean_interval((0.5, 0.75))
        == single_run_interval((0.5, 0.75))
        == Interval(0.625, None, None, 2)
    )
    assert mean_interval((0.1, 0.1, 0.1)) == Interval(0.1, 0.1, 0.1, 3)


def test_an_interval_never_leaves_the_range_of_an_accuracy():
    assert mean_interval((0.90, 0.99, 0.99)).high == 1.0
    assert mean_interval((0.01, 0.01, 0.10)).low == 0.0


@pytest.mark.parametrize(
    ("values", "level"),
    [((), 0.95), ((0.5, math.nan), 0.95), ((84.26,), 0.95), ((0.5, 0.6), 95), ((0.5, 0.6), 0)],
)
def test_what_is_no_accuracy_or_no_level_is_refused(values, level):
    with pytest.raises(ValueError, match="an interval needs"):
        mean_interval(values, level)


def test_holm_steps_down_and_never_below_a_smaller_one():
    # Sorted: 0.005·4, 0.01·3, 0.03·2, and 0.04·1, which must not come out below the 0.06 before it.
    assert holm((0.01, 0.04, 0.03, 0.005)) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(()) == []


def two(a, b, **options):
    return compare_all((a, b), **options)[0, 1]


def test_over_seeds_alone_it_is_welchs_test_worked_by_hand():
    # Means 0.82 and 0.74, variances 0.0004 and 0.0016: error √(0.002 / 3) = 0.0258199, t = 3.0984,
    # and 0.002² / (0.0004² / 2 + 0.0016² / 2) = 2.9412 degrees of freedom, where t(0.975) = 3.2185.
    found = two(Runs((0.80, 0.82, 0.84)), Runs((0.70, 0.74, 0.78)))
    assert found.over == "seeds"
    assert found.value == pytest.approx(0.08)
    assert (found.low, found.high) == pytest.approx(
        (0.08 - 3.2185 * 0.0258199, 0.08 + 3.2185 * 0.0258199), abs=1e-5
    )
    assert found.p_value == pytest.approx(0.0547, abs=1e-4)


def test_over_seeds_alone_without_any_spread_replicates_are_shuffled():
    # Of the 6!/3!3! = 20 ways to deal six values to two sides, two set them apart as far as this.
    assert two(Runs((0.9,) * 3), Runs((0.8,) * 3)) == Difference(0.1, None, None, 0.1, "seeds")
    assert two(Runs((0.9,) * 3), Runs((0.9,) * 3)).p_value == 1.0


def test_one_replicate_without_predictions_tells_nothing():
    assert two(Runs((0.9,)), Runs((0.8, 0.82))) == Difference(0.09, None, None, None, "nothing")


def single(right):
    return Runs((float(np.mean(right)),), np.asarray(right, dtype=float))


def test_single_replicates_are_compared_by_mcnemars_exact_test():
    # M. P. Fay, "Exact McNemar's test and matching confidence intervals" (2010): 9 against 2
    # discordant, p = 0.06543. By hand: 2 · (1 + 11 + 55) / 2¹¹.
    a = single([1] * 21 + [1] * 9 + [0] * 2 + [0] * 12)
    b = single([1] * 21 + [0] * 9 + [1] * 2 + [0] * 12)
    found = two(a, b)
    assert found.p_value == pytest.approx(134 / 2048)
    assert found.value == pytest.approx(7 / 44)
    assert found.over == "images"
    # Paired: had the images been drawn apart for the two, the interval would be 1.7 times as wide.
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sem(a.shares - b.shares), rel=0.07)
    assert two(b, a)[:4] == pytest.approx((-found.value, -found.high, -found.low, found.p_value))


def test_equal_predictions_are_no_difference():
    right = np.arange(50) % 3 > 0
    for n in (1, 3):
        found = two(Runs((right.mean(),) * n, right * 1.0), Runs((right.mean(),) * n, right * 1.0))
        assert found[:4] == (0.0, 0.0, 0.0, 1.0)


def test_errors_of_images_and_seeds_add_up_in_squares():
    rng = np.random.default_rng(3)
    hits = rng.choice((0.0, 0.5, 1.0), size=(2, 400), p=(0.1, 0.2, 0.7))
    seeds = ((0.80, 0.82, 0.84), (0.75, 0.77, 0.79))
    found = two(*(Runs(v, h) for v, h in zip(seeds, hits, strict=True)))
    images, of_seeds = sem(hits[0] - hits[1]), 0.02 * math.sqrt(2 / 3)
    error, df = pooled_error((images, 399), (of_seeds, 4))
    assert found.value == pytest.approx(0.05)
    assert found.over == "images and seeds"
    assert (found.high - found.low) / 2 == pytest.approx(t.ppf(0.975, df) * error, rel=0.03)
    assert found.p_value == pytest.approx(2 * t.sf(0.05 / error, df), rel=0.1)
    # Replicates without any spread leave the images' error, images all alike leave the seeds'.
    same = two(*(Runs((v[1],) * 3, h) for v, h in zip(seeds, hits, strict=True)))
    assert (same.high - same.low) / 2 == pytest.approx(1.966 * images, rel=0.05)
    alike = two(*(Runs(v, hits[0]) for v in seeds))
    assert alike[:4] == pytest.approx(two(*(Runs(v) for v in seeds))[:4])


def test_degrees_of_freedom_of_a_sum_are_those_of_the_guides_example():
    # ISO Guide to the expression of uncertainty in measurement, H.1.6: errors of 25, 9.7, 2.9 and
    # 16.6 nm with 18, 25.6, 50 and 2 degrees of freedom make 32 nm with 16.7.
    error, df = pooled_error((25, 18), (9.7, 25.6), (2.9, 50), (16.6, 2))
    assert error == pytest.approx(31.7, abs=0.05)
    assert df == pytest.approx(16.7, abs=0.1)


def test_hits_on_other_images_and_settings_without_runs_are_refused():
    with pytest.raises(ValueError, match="shares of the same images"):
        compare_all((single([1, 0]), single([1, 0, 1])))
    with pytest.raises(ValueError, match="a value of each setting"):
        compare_all((single([1, 0]), Runs(())))


def drawn(rng, shift=0.0, n_seeds=5, n_images=200):
    """Two settings that fit some images better than others, trained on luckier and unluckier
    seeds.
    """
    base, runs = rng.normal(4, 4, n_images), []
    for k in range(2):
        ease = (
            base
            + rng.normal(0, 4, n_images)
            + rng.normal(0, 0.6, (n_seeds, 1))
            + (shift if k == 0 else 0)
        )
        right = rng.random(ease.shape) < 1 / (1 + np.exp(-ease))
        runs.append(Runs(tuple(right.mean(axis=1).tolist()), right.mean(axis=0)))
    return runs


def claims(n_studies, **options):
    """In how many studies two settings are called different."""
    rng = np.random.default_rng(8)
    return sum(
        two(*drawn(rng, **options), n_resamples=200).p_value < 0.05 for _ in range(n_studies)
    )


def test_settings_that_differ_by_seeds_and_images_only_are_seldom_called_different_and_real_ones_are():
    # 5 % of 120 studies are 6. The seeds alone would claim 24, the images alone 12, each of them by
    # itself 10.
    assert claims(120) <= 6
    assert claims(10, shift=4.0) == 10
