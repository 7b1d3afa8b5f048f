"""A time limit that a user may set."""

import pytest

from img2world.poses.deadline import Deadline


def test_no_limit_is_never_over():
    never = Deadline(limit=0.0)
    assert never.left == float("inf")
    assert not never.is_over()
    assert not never.is_over(0.1)


def test_a_limit_is_over_after_its_seconds_or_a_fraction_of_them(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    deadline = Deadline(limit=10.0, start=now)
    assert deadline.left == pytest.approx(10)
    now = 107.5
    assert deadline.is_over(0.7)
    assert not deadline.is_over(0.8)
    assert not deadline.is_over()
    now = 110.5
    assert deadline.is_over()
