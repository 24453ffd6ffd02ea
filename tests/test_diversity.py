"""Variety, structure and near copies: figures against what can be worked out by hand."""

import itertools
import math

import numpy as np
import pytest

from data.originals import load_originals
from inference.diversity import diversity, ending, expected_nearest, opening, vendi
from inference.near import near_copied
from inference.remembered import Remembered
from inference.structure import structure
from tests.small import SEEDS

BODIES = [original.text for original in load_originals(SEEDS)]


def test_vendi_counts_what_is_different() -> None:
    assert vendi(np.eye(4)) == pytest.approx(4)
    assert vendi(np.tile([[1.0, 0.0]], (4, 1))) == pytest.approx(1)
    assert vendi(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])) == pytest.approx(2)


def test_diversity_is_compared_at_equal_number() -> None:
    texts = [
        f"Name{i} came in here. It was late in the {word}." for i, word in enumerate("day year week".split())
    ]
    found = diversity(np.eye(3), [*texts], ["Ada", "Ada", ""], 3)
    assert found == pytest.approx({"vendi": 3, "names": 2 / 3, "openings": 1, "endings": 1})
    fewer = diversity(np.eye(3), texts, ["Ada", "Ada", "Bo"], 2)
    assert fewer["vendi"] == pytest.approx(2)
    assert fewer["names"] == pytest.approx(
        5 / 6, abs=0.05
    )  # one of three pairs shares a name: mean of .5, 1 and 1
    assert opening("“Rain,” she said, and left.") == "rain she said"
    assert ending("Then the lamp went out.") == "the lamp went out"


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9])
def test_the_expected_nearest_is_the_mean_over_all_draws(n: int) -> None:
    values = np.array([0.1, 0.9, 0.4, 0.35, 0.7])
    draws = [max(draw) for draw in itertools.combinations(values, min(n, 5))]
    assert expected_nearest(values, n) == pytest.approx(sum(draws) / len(draws))


def test_a_copy_with_every_eighth_word_changed_is_near_and_an_independent_text_is_not() -> None:
    edited = " ".join("copper" if i % 8 == 7 else word for i, word in enumerate(BODIES[0].split()))
    assert near_copied(edited, BODIES) > 0.95
    assert near_copied(BODIES[0], BODIES) == 1
    for i, body in enumerate(BODIES):
        assert near_copied(body, BODIES[:i] + BODIES[i + 1 :]) < 0.1
    half = f"{BODIES[1][:1000]} {edited[:1000]}"
    assert 0.3 < near_copied(half, BODIES[:1]) < 0.7
    assert near_copied("Too short.", BODIES) == 0


def test_structure_of_an_original_and_of_what_is_none() -> None:
    found = structure(BODIES[0])
    assert found["words"] == len(BODIES[0].split())
    assert found["paragraphs"] == len(BODIES[0].split("\n\n"))
    assert found["constant"] == found["closed"] == 1
    assert found["protagonist"].split()[0] in BODIES[0].split()[0]
    assert structure(BODIES[0][: len(BODIES[0]) // 2 - 3])["closed"] == 0
    spoken = structure('"Come in," she said.\n\n"No."')
    assert spoken["paragraphs"] == 2
    assert spoken["dialogue"] == pytest.approx(3 / 5)
    assert spoken["protagonist"] == ""
    empty = structure("")
    assert (empty["words"], empty["paragraphs"], empty["closed"]) == (0, 0, 0)


def test_what_is_remembered_is_computed_once() -> None:
    asked: list[str] = []

    def compute(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([[len(text), math.pi] for text in texts])

    remembered = Remembered(compute, at_most=3)  # type: ignore[arg-type]
    assert remembered(["a", "bb", "a"])[:, 0].tolist() == [1, 2, 1]
    assert remembered(["bb", "ccc"])[:, 0].tolist() == [2, 3]
    assert asked == ["a", "bb", "ccc"]
    assert remembered(["dddd", "a"])[:, 0].tolist() == [4, 1]  # over the limit: begun anew
