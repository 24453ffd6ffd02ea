"""The rule that chooses the steps, on curves made by hand: what it takes, and what it must not look at."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.choosing import Choice, Curve, Point, choose_steps, last_not_above_base, mean_curve


def curve(index: int, *held_out: float, every: int = 2) -> Curve:
    points = tuple(Point(every * i, 1.0 - 0.1 * i, value) for i, value in enumerate(held_out))
    return Curve(index, (f"text-{index}",), points)


def test_the_last_step_that_costs_nothing_is_taken_and_not_the_minimum() -> None:
    choice = choose_steps([curve(0, 2.0, 1.5, 1.9, 2.2), curve(1, 3.0, 2.9, 2.8, 3.1)])
    assert choice == Choice(steps=4, minimum=2, cross_fitted=(4, 4), open_ended=False)


def test_the_base_itself_is_a_candidate() -> None:
    choice = choose_steps([curve(0, 2.0, 2.1, 2.2), curve(1, 2.0, 2.3, 2.1)])
    assert choice == Choice(steps=0, minimum=0, cross_fitted=(0, 0), open_ended=False)


def test_a_curve_that_never_rises_above_the_base_is_open_ended() -> None:
    choice = choose_steps([curve(0, 2.0, 1.9, 1.8), curve(1, 2.0, 1.7, 1.9)])
    assert choice.open_ended
    assert choice.steps == 4


def test_open_ended_is_about_the_mean_and_not_about_any_fold() -> None:
    rising, falling = curve(0, 2.0, 2.0, 2.1), curve(1, 2.0, 1.9, 1.8)
    assert choose_steps([rising, falling]).open_ended
    assert not choose_steps([rising, rising]).open_ended


def test_a_step_as_good_as_the_base_costs_nothing() -> None:
    assert last_not_above_base([(0, 1.0), (2, 1.0), (4, 1.0 + 1e-9)]) == 2


def test_of_equal_minima_the_earlier_is_reported() -> None:
    assert choose_steps([curve(0, 2.0, 1.5, 1.5, 1.7)]).minimum == 2


def test_a_curve_that_comes_back_under_the_base_counts_at_its_last_return() -> None:
    assert last_not_above_base([(0, 1.0), (2, 1.2), (4, 0.9), (6, 1.1)]) == 4


def test_the_steps_of_a_fold_come_from_the_other_folds_alone() -> None:
    short, long, longer = (
        curve(0, 2.0, 2.5, 2.5, 2.5),
        curve(1, 2.0, 1.9, 2.1, 2.1),
        curve(2, 2.0, 1.8, 1.8, 2.1),
    )
    # Fold 0 by the mean of 1 and 2: 2.0, 1.85, 1.95, 2.1. Fold 1 by 0 and 2: 2.0, 2.15, ... Fold 2 by 0 and 1: 2.0, 2.2, ...
    assert choose_steps([short, long, longer]).cross_fitted == (4, 0, 0)


values = st.lists(st.floats(0.5, 5.0), min_size=4, max_size=4)


@given(st.lists(values, min_size=2, max_size=5), st.data())
def test_nothing_that_happens_to_a_fold_changes_its_own_steps(
    rows: list[list[float]], data: st.DataObject
) -> None:
    curves = [curve(i, *row) for i, row in enumerate(rows)]
    fold = data.draw(st.integers(0, len(curves) - 1))
    changed = [*curves]
    changed[fold] = curve(fold, *data.draw(values))
    assert choose_steps(changed).cross_fitted[fold] == choose_steps(curves).cross_fitted[fold]


@given(st.lists(values, min_size=1, max_size=5))
def test_what_is_chosen_was_measured_and_is_not_above_the_base(rows: list[list[float]]) -> None:
    curves = [curve(i, *row) for i, row in enumerate(rows)]
    choice, mean = choose_steps(curves), dict(mean_curve(curves))
    assert mean[choice.steps] <= mean[0]
    assert all(value > mean[0] for step, value in mean.items() if step > choice.steps)
    assert mean[choice.minimum] == min(mean.values())
    assert len(choice.cross_fitted) == len(curves)
    assert set(choice.cross_fitted) <= set(mean)


def test_folds_with_the_same_curve_are_still_different_folds() -> None:
    twins = [curve(0, 2.0, 1.9, 2.1), replace(curve(0, 2.0, 1.9, 2.1))]
    assert choose_steps(twins).cross_fitted == (2, 2)


def test_a_single_curve_stands_in_for_the_others() -> None:
    assert choose_steps([curve(0, 2.0, 1.9, 2.1)]).cross_fitted == (2,)


def test_only_steps_that_all_curves_have_are_compared() -> None:
    fine, coarse = curve(0, 2.0, 1.9, 1.8, 1.7, every=1), curve(1, 3.0, 2.5, every=2)
    assert mean_curve([fine, coarse]) == [(0, 2.5), (2, pytest.approx(2.15))]


def test_a_curve_survives_json() -> None:
    one = replace(curve(3, 2.0, 1.0 / 3.0), originals=("été", "b"))
    assert Curve.from_dict(json.loads(json.dumps(one.to_dict()))) == one
