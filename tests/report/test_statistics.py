import math

import pytest

from search.report.statistics import Interval, mean_interval, single_run_interval


def test_the_interval_is_students_t_worked_by_hand():
    # Mean 0.84, s = 0.02, t(0.975, 2) = 4.302653 from the table: half the width is 4.302653 · 0.02 / √3 = 0.0496828.
    found = mean_interval((0.82, 0.84, 0.86))
    assert found.n == 3
    assert found.mean == pytest.approx(0.84)
    assert (found.low, found.high) == pytest.approx((0.84 - 0.0496828, 0.84 + 0.0496828), abs=1e-7)
    # t(0.95, 2) = 2.919986 at the 90 % level.
    assert mean_interval((0.82, 0.84, 0.86), level=0.9).high == pytest.approx(0.84 + 2.919986 * 0.02 / math.sqrt(3))


def test_one_more_run_varies_by_the_spread_of_runs_and_of_the_mean():
    # 4.302653 · 0.02 · √(1 + 1/3) = 0.0993656, twice as far as the mean's.
    found = single_run_interval((0.82, 0.84, 0.86))
    assert (found.low, found.high) == pytest.approx((0.84 - 0.0993656, 0.84 + 0.0993656), abs=1e-7)


def test_one_value_has_no_interval_and_equal_values_have_one_of_no_width():
    assert mean_interval((0.9,)) == Interval(0.9, None, None, 1)
    assert mean_interval((0.1, 0.1, 0.1)) == Interval(0.1, 0.1, 0.1, 3)


def test_an_interval_never_leaves_the_range_of_an_accuracy():
    assert mean_interval((0.90, 0.99)).high == 1.0
    assert mean_interval((0.01, 0.10)).low == 0.0


@pytest.mark.parametrize(
    ("values", "level"), [((), 0.95), ((0.5, math.nan), 0.95), ((84.26,), 0.95), ((0.5, 0.6), 95), ((0.5, 0.6), 0)]
)
def test_what_is_no_accuracy_or_no_level_is_refused(values, level):
    with pytest.raises(ValueError, match="an interval needs"):
        mean_interval(values, level)
