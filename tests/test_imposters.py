"""The style vote: masked text knows no topic, votes are reproducible, and authors are told apart whatever they write about."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import families
from inference.delta import deltas
from inference.imposters import WEIGHTS, probability, style_votes
from inference.masking import KEPT, function_words, masked
from inference.stylometry import contrast_texts
from tests.small import ROOT

AUTHORS = ROOT / "tests" / "benchmarks" / "authors"


def read(author: str, *numbers: int) -> list[str]:
    return [(AUTHORS / author / f"{number:02}.txt").read_text("utf-8").strip() for number in numbers]


def test_masking_takes_the_subject_and_leaves_the_manner() -> None:
    text = "The old clockmaker, in Lisbon since 1998, sighed: “Not today.”\n\nRain—nothing else."
    assert masked(text) == 'the w wer , in N since # , wed : " not today . " ¶ N — nothing w .'
    other = text.replace("clockmaker", "beekeeper").replace("Lisbon", "Bergen").replace("Rain", "Snow")
    assert masked(other) == masked(text)
    assert function_words(text) == "the in since not today nothing"
    assert masked("") == masked(" \n ") == ""
    assert masked("one\ntwo\n\nthree") == "one / two ¶ w"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_what_is_masked_holds_no_word_but_kept_ones(text: str) -> None:
    for token in masked(text).split():
        if len(token) > 1 and token.isalpha() and token[0] not in "wN":
            assert token in KEPT or token.split("'")[0] in KEPT


def test_authors_are_told_apart_on_other_prompts_and_on_the_same() -> None:
    for author, other in (("A", "B"), ("B", "C"), ("C", "A")):
        references = read(author, 1, 2, 3, 4)
        own = style_votes(read(author, 5, 6, 7), references)["style"]
        same_prompts = style_votes(read(other, 1, 2, 3), references)["style"]
        assert own.min() > 0.85
        assert own.min() > same_prompts.max()


def test_votes_are_shares_and_their_sum_is_weighted() -> None:
    found = style_votes([contrast_texts()[0], read("A", 1)[0]], read("A", 2, 3))
    assert set(found) == {"style", *families.FAMILIES} == {"style", *WEIGHTS}
    for values in found.values():
        assert values.shape == (2,)
        assert ((values >= 0) & (values <= 1)).all()
    mean = sum(WEIGHTS[f] * found[f] for f in WEIGHTS) / sum(WEIGHTS.values())
    assert found["style"] == pytest.approx(mean)


def test_a_text_has_the_same_vote_whatever_stands_beside_it() -> None:
    texts, references = [*read("B", 1, 2), contrast_texts()[3]], read("C", 1, 2, 3)
    together = style_votes(texts, references)["style"]
    assert together == pytest.approx([style_votes([text], references)["style"][0] for text in texts])
    assert style_votes(texts[::-1], references[::-1])["style"][::-1] == pytest.approx(together)


def test_equal_scoring_is_the_mean_over_every_choice_but_one() -> None:
    text, references = contrast_texts()[5:6], read("A", 1, 2, 3)
    subsets = [references[:i] + references[i + 1 :] for i in range(3)]
    wanted = np.mean([style_votes(text, subset)["style"][0] for subset in subsets])
    assert style_votes(text, references, equal=True)["style"][0] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "text", ["", "\u200b", "...", "Rain", "彼女はカフェに座った。", "x" * 30_000, "\x00\x1b[31m"]
)
def test_no_text_breaks_the_vote(text: str) -> None:
    votes = style_votes([text], read("A", 1, 2))
    assert all(np.isfinite(values).all() for values in votes.values())
    if not any(c.isalnum() for c in text):
        assert votes["style"][0] == 0


def test_wrong_arguments_are_met_with_what_was_expected() -> None:
    for texts, references in (("a", ["b"]), (["a"], "b"), (["a"], [])):
        with pytest.raises(ValueError, match="a list of texts and a list of at least one reference"):
            style_votes(texts, references)


def test_the_probability_rises_with_the_vote_and_is_even_a_little_under_the_references_own() -> None:
    votes = np.linspace(0, 1, 11)
    chances = probability(votes, 0.9)
    assert (np.diff(chances) > 0).all()
    assert chances[0] < 0.01
    assert 0.5 < probability(np.array([0.9]), 0.9)[0] < 0.9


def test_what_was_learned_is_complete_and_small() -> None:
    assert sum(path.stat().st_size for path in families.FOLDER.iterdir()) < 2**20
    for family, space in families.projections().items():
        features, dimensions = space.matrix.shape
        assert space.mean.shape == space.sd.shape == space.centre.shape == (features,), family
        assert space.background.shape[1] == dimensions
        assert (space.sd > 0).all()
        assert np.isfinite(space.background).all()
    for family, grams in families.learned()["vocabulary"].items():
        assert len(set(grams)) == len(grams) == families.projections()[family].matrix.shape[0]


def test_a_missing_file_says_how_to_get_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="get it back from git"):
        families.projections.__wrapped__()


def test_deltas_are_nought_and_one_for_the_reference_itself() -> None:
    text = read("A", 1)[0]
    burrows, cosine = deltas([text, contrast_texts()[0]], [text])
    assert burrows[0] == pytest.approx(0)
    assert cosine[0] == pytest.approx(1)
    assert burrows[1] > 0.3
    assert cosine[1] < 0.5


def test_shuffled_words_change_what_is_read_of_their_order_alone() -> None:
    text = read("C", 1)[0]
    words = text.split()
    random.Random(0).shuffle(words)
    votes = style_votes([text, " ".join(words)], read("C", 2, 3, 4))
    assert votes["function"][0] == pytest.approx(votes["function"][1], abs=1e-9)
    assert votes["masked"][1] < votes["masked"][0]
