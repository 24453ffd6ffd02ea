"""Choosing: what a reader would not forgive is refused by name, and pressing the style figure buys nothing."""

import random
from dataclasses import replace

import pytest

from data.brief import Brief
from data.originals import load_originals
from inference.choosing import LOOPING, Measures, choose, kind_of, refusal
from inference.measured import measured
from inference.novelty import CopyIndex, copy_limit
from inference.sample import Sample
from inference.sampling import generate
from inference.stylometry import contrast_texts
from tests.small import SEEDS

TEXTS = tuple(original.text for original in load_originals(SEEDS))
COPIES = CopyIndex(["She took a seat at the counter and looked."], ["Amélie"])


def sample(
    text: str = "One two three four five six.",
    *,
    ended: bool = True,
    index: int = 0,
    brief: Brief | None = None,
) -> Sample:
    return measured(Sample(text, brief or Brief(), 0, index, ended, 9), COPIES)


@pytest.mark.parametrize(
    ("remark", "kind"),
    [
        ("copies 7 words in a row (at most 6 are the originals' own habit)", "copies so many words in a row"),
        ("did not end within 660 tokens", "did not end within so many tokens"),
        ("loops: 21% of its 4-grams are repeated", "loops"),
        ("has the originals' Ahmed, Colette, whom nobody asked for", "has a name of the originals"),
        ("is not about Ida (the elder): she throughout", "is not about the one it was asked for throughout"),
        ("reads as broken: fluency 0.40", "reads as broken"),
        ("is empty", "is empty"),
        (
            "does not know whether Ida (the elder): she is he or she",
            "does not know whether its protagonist is he or she",
        ),
    ],
)
def test_remarks_are_counted_without_their_figures_and_names(remark: str, kind: str) -> None:
    assert kind_of(remark) == kind


def indices(samples: list[Sample]) -> list[int]:
    return [one.index for one in samples]


def test_each_gate_says_why() -> None:
    copy = sample("Later she took a seat at the counter there.")
    assert copy.scores["longest_copied_span"] == 7
    assert refusal(copy, 7) is None
    assert refusal(copy, 6) == "copies 7 words in a row (at most 6 are the originals' own habit)"
    assert refusal(copy, None) is None
    assert refusal(sample(""), None) == "is empty"
    assert refusal(sample(ended=False), None) == "did not end within 9 tokens"
    loop = sample("and so it went " * 9)
    assert loop.scores["repetition"] > LOOPING
    assert "loops" in str(refusal(loop, None))
    leaked = replace(copy, scores={**copy.scores, "leaked_names": ["Colette"]})
    assert refusal(leaked, None) == "has the originals' Colette, whom nobody asked for"
    other = sample("Then Marta came. We saw that Marta was late.", brief=Brief(name="Ida Holm"))
    assert refusal(other, None) == "is not about Ida Holm throughout"
    own = sample("Then Ida came. So Ida left. Soon Ida wrote.", brief=Brief(name="Ida Holm"))
    assert refusal(own, None) is None
    she = sample(
        "Ida left his hat with his son. So Ida took his bag. Soon Ida wrote.", brief=Brief(name="Ida Holm")
    )
    assert refusal(she, None) == "does not know whether Ida Holm is he or she"


def test_without_originals_the_least_repetitive_of_those_that_pass_is_chosen() -> None:
    fresh, echo = sample(index=1), sample("a b c d e f g h i j k l m n o p a b c d", index=2)
    assert 0 < echo.scores["repetition"] < LOOPING
    chosen, refused = choose([[echo, fresh]], Measures())
    assert (indices(chosen), indices(refused)) == ([1], [2])
    assert refused[0].remark == "another candidate was nearer to the originals or less like the others"
    copy, unended = (
        sample("Later she took a seat at the counter there.", index=3),
        sample(ended=False, index=4),
    )
    assert indices(choose([[copy, echo]], Measures(longest_span=6))[0]) == [2]
    with pytest.warns(UserWarning, match="none of 2 candidates"):
        assert choose([[unended, copy]], Measures(longest_span=6)) == ([], [*choose_none([unended, copy])])
    with pytest.warns(UserWarning, match="all the same"):  # what is cut off is nearer to passing than a copy
        assert indices(choose([[copy, unended]], Measures(longest_span=6), strict=False)[0]) == [4]


def choose_none(group: list[Sample]) -> list[Sample]:
    return [replace(one, chosen=False, remark=refusal(one, 6)) for one in group]


def test_the_nearer_in_style_is_chosen_and_what_says_the_same_again_is_not() -> None:
    copies = CopyIndex(TEXTS)
    near = measured(Sample(TEXTS[0], Brief(), 0, 0, True, 9), copies)
    far = measured(Sample(contrast_texts()[3], Brief(), 0, 1, True, 9), copies)
    measures = Measures(TEXTS)
    (best,), _ = choose([[far, near]], measures)
    assert best.index == 0
    assert best.scores["style"] > 0.8
    low, high = best.band["style"]
    assert 0.5 < low < high <= 1
    # Both are in the band: the second text is the one that the first is not.
    other = measured(Sample(TEXTS[2], Brief(), 0, 2, True, 9), copies)
    chosen, _ = choose([[near], [replace(near, index=3), other]], measures)
    assert indices(chosen) == [0, 2]


def refused_as_broken(text: str) -> bool:
    """Whether ``text`` is refused where the base is asked, and passes where it is not."""
    candidate = measured(Sample(text, Brief(), 0, 0, True, 9), CopyIndex(TEXTS))
    assert choose([[candidate]], Measures(TEXTS, copy_limit(TEXTS)))[0]
    with pytest.warns(UserWarning, match="reads as broken"):
        chosen, (refused,) = choose([[candidate]], Measures(TEXTS, copy_limit(TEXTS), "stories"))
    return not chosen and not refused.chosen


def test_letters_in_any_order_are_refused_where_a_base_is_asked() -> None:
    letters = list(TEXTS[1])
    random.Random(0).shuffle(letters)
    assert refused_as_broken("".join(letters))


@pytest.mark.slow
@pytest.mark.usefixtures("real_base")
def test_the_base_of_this_project_tells_words_in_any_order_too() -> None:
    """It knows English, which the small one of the tests hardly does."""
    assert refused_as_broken(" ".join(sorted(TEXTS[1].split(), key=len)))


def test_a_run_gives_fewer_and_says_so_or_all_and_says_that() -> None:
    options = {"n": 3, "best_of": 2, "originals": TEXTS, "seed": 4, "max_new_tokens": 30}
    with pytest.warns(UserWarning, match="none of 2 candidates passed, left out"):
        few = generate("stories", **options)
    with pytest.warns(UserWarning, match="all the same"):
        all_three = generate("stories", strict=False, **options)
    assert len(few) < 3 == len(all_three)
    assert len(few) + len(few.refused) == 6 == len(all_three) + len(all_three.refused)
    assert any(one.remark for one in all_three)
