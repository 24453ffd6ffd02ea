"""Folds: every original held out once, alone while there are few."""

import doctest

import pytest

import data.splits
from data.splits import HELD_OUT_AT_MOST, K_FOLDS, LEAVE_ONE_OUT_UP_TO, folds


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(data.splits).failed == 0


@pytest.mark.parametrize("n", [*range(2, 31), 96])
def test_every_original_is_held_out_exactly_once_and_never_trained_then(n: int) -> None:
    found = folds(["text"] * n)
    assert sorted(i for fold in found for i in fold.held_out) == list(range(n))
    for number, fold in enumerate(found):
        assert fold.index == number
        assert fold.train
        assert fold.held_out
        assert sorted(fold.train + fold.held_out) == list(range(n))


def test_up_to_twelve_originals_are_held_out_alone_and_more_in_groups_of_like_size() -> None:
    assert LEAVE_ONE_OUT_UP_TO == 12
    assert [len(fold.held_out) for fold in folds("x" * 12)] == [1] * 12
    sizes = [len(fold.held_out) for fold in folds("x" * 13)]
    assert len(sizes) == K_FOLDS
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("n", [97, 4000])
def test_of_very_many_a_part_is_held_out_none_of_it_twice_and_the_rest_is_always_trained(n: int) -> None:
    found = folds("x" * n)
    held_out = [i for fold in found for i in fold.held_out]
    assert len(held_out) == len(set(held_out)) == K_FOLDS * HELD_OUT_AT_MOST
    for fold in found:
        assert sorted(fold.train + fold.held_out) == list(range(n))


@pytest.mark.parametrize("n", [0, 1])
def test_one_text_alone_has_no_folds(n: int) -> None:
    assert folds(["text"] * n) == []


def test_the_seed_decides_the_groups_and_leaves_leave_one_out_alone() -> None:
    assert folds("x" * 40, seed=1) == folds("x" * 40, seed=1) != folds("x" * 40, seed=2)
    assert folds("x" * 12, seed=1) == folds("x" * 12, seed=2)
