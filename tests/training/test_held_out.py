import pytest

from training.held_out import collect, mean_values, psnr_from_error


def test_collect_skips_missing_items():
    assert collect(lambda number: number if number % 3 else None, 4) == (1, 2, 4, 5)


def test_means_are_rounded_and_sorted():
    assert list(mean_values({"b": [1.0, 2.0], "a": [1 / 3]}, 3).items()) == [("a", 0.333), ("b", 1.5)]


def test_psnr_of_a_mean_squared_error():
    assert psnr_from_error(0.01) == pytest.approx(20)
    assert psnr_from_error(0.0) == 60
