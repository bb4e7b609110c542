"""Intervals by hand, and what the bootstrap draws."""

import numpy as np
import pytest

from lib.common import intervals


def test_wilson():
    # 81 of 263, after Newcombe 1998 (Statistics in Medicine 17:857), table I
    assert intervals.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    low, high = intervals.wilson(np.array([0, 10]), np.array([10, 10]))
    assert low[0] == 0 and high[1] == 1 and high[0] == pytest.approx(1 - low[1])


def test_mean_interval():
    low, high = intervals.mean_interval(10, 2, 4)  # t of 3 degrees of freedom: 3.1824
    assert (low, high) == pytest.approx((10 - 3.1824, 10 + 3.1824), abs=1e-4)
    assert np.isnan(intervals.mean_interval(10, 2, 1)).all()


def test_every_call_draws_the_same_whatever_the_blocks(monkeypatch):
    whole = intervals.bootstrap(lambda drawn: drawn, 7, 50)
    assert whole.shape == (50, 7) and set(whole.ravel()) == set(range(7))
    monkeypatch.setattr(intervals, "BLOCK", 30)
    np.testing.assert_array_equal(intervals.bootstrap(lambda drawn: drawn, 7, 50), whole)
    times = intervals.counts(whole)
    assert (times.sum(axis=1) == 7).all()
    assert times[3, 2] == (whole[3] == 2).sum()


def test_percentiles_leave_out_what_is_not_defined():
    assert intervals.percentile_interval([*range(101), np.nan]) == (2.5, 97.5)
