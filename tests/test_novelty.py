"""Copied spans, n-gram novelty, nearest original, repetition: known values, invariances, a naive double."""

import doctest
import math
import random
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inference.novelty
from inference.novelty import LEAST_LIMIT, MOST_LIMIT, CopiedSpan, CopyIndex, copy_limit, repetition, words

ORIGINALS = [path.read_text("utf-8") for path in sorted(Path(__file__).parents[1].glob("data/seeds/*.txt"))]
CAFE = "She ordered a café au lait and settled into the worn wooden stool."
SEA = "Der alte Mann – er hieß Ängström – sah aufs Meer hinaus."


def cut(text: str, spans: Sequence[CopiedSpan]) -> list[str]:
    return [text[span.start : span.end] for span in spans]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(inference.novelty).failed == 0


def test_a_span_and_its_offsets_computed_by_hand() -> None:
    text = "No: she ordered a café au lait, then left."
    assert CopyIndex([CAFE]).spans(text) == [CopiedSpan(start=4, end=30, words=6, source="0")]
    assert text[4:30] == "she ordered a café au lait"


def test_offsets_point_into_the_text_as_given_whatever_its_marks() -> None:
    text = "\u201cDéjà vu,\u201d he said \u2013 SHE ORDERED A\n\nCAFÉ AU LAIT\u2026"
    for form in ("NFC", "NFD"):
        given = unicodedata.normalize(form, text)
        assert cut(given, CopyIndex([CAFE]).spans(given)) == [
            unicodedata.normalize(form, "SHE ORDERED A\n\nCAFÉ AU LAIT")
        ]


@pytest.mark.parametrize(
    "disguised",
    [
        CAFE.upper(),
        unicodedata.normalize("NFD", CAFE),
        CAFE.replace(" ", "\n\n"),
        "\u201c" + CAFE.replace(" ", " \u2014 ") + "\u201d",
        CAFE.replace("wooden", "woo\u00adden"),
        f"_{CAFE}_",
    ],
)
def test_case_composition_layout_and_punctuation_hide_no_copy(disguised: str) -> None:
    index = CopyIndex([CAFE])
    longest = index.longest(disguised)
    assert longest is not None
    assert longest.words == 13
    assert index.ngram_novelty(disguised) == 0


def test_words_keep_apostrophes_and_marks_and_part_at_hyphens() -> None:
    text = "Don\u2019t \u2018well-known\u2019 l\u2019eau rock 'n' roll, Straße 7"
    assert [word.text for word in words(text)] == "don't well known l'eau rock n roll strasse 7".split()
    assert [word.text for word in words("नमस्ते दुनिया")] == ["नमस्ते", "दुनिया"]
    assert [word.text for word in words("我喝茶")] == ["我", "喝", "茶"]
    assert words(" \n—\u2026!?\x00") == []


def test_a_verbatim_copy_is_one_span_from_first_to_last_word_and_not_novel() -> None:
    index = CopyIndex(ORIGINALS, names=["a", "b", "c", "d"])
    for name, text in zip("abcd", ORIGINALS, strict=True):
        (span,) = index.spans(text)
        found = words(text)
        assert (span.start, span.end, span.words) == (found[0].start, found[-1].end, len(found))
        assert span.source == name == index.nearest(text)
        assert index.ngram_novelty(text) == 0
        assert index.longest(text) == span


def test_a_text_that_shares_nothing() -> None:
    index = CopyIndex([CAFE, SEA])
    text = "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich"
    assert index.spans(text, min_words=1) == []
    assert index.longest(text) is None
    assert index.ngram_novelty(text) == 1


def test_novelty_counts_ngram_tokens() -> None:
    index = CopyIndex(["a b c d e"])
    assert index.ngram_novelty("a b c d e f") == pytest.approx(1 / 3)  # abcd, bcde, cdef
    assert index.ngram_novelty("a b c d a b c d") == pytest.approx(3 / 5)  # abcd twice
    assert index.ngram_novelty("a z b", n=1) == pytest.approx(1 / 3)


@pytest.mark.parametrize("text", ["", "...", "three words only"])
def test_novelty_of_a_text_too_short_to_judge_is_nan(text: str) -> None:
    assert math.isnan(CopyIndex([CAFE]).ngram_novelty(text))


def test_what_an_original_has_of_its_own_is_its_novelty_against_the_others() -> None:
    texts = ["a b c d e f g", "b c d e q r", "x a b c d e f", "a b"]
    index = CopyIndex(texts)
    for i, text in enumerate(texts[:3]):
        others = CopyIndex([*texts[:i], *texts[i + 1 :]])
        assert index.own_novelty(i) == others.ngram_novelty(text)
    assert math.isnan(index.own_novelty(3))


def test_no_span_crosses_from_one_original_into_the_next() -> None:
    index = CopyIndex(["one two three", "four five six"])
    assert [span.words for span in index.spans("one two three four five six", min_words=1)] == [3, 3]
    assert index.ngram_novelty("two three four five") == 1


def test_of_overlapping_copies_the_longer_is_whole_and_the_other_keeps_its_rest() -> None:
    index = CopyIndex(["a b c d e f g", "e f g h i j k l"], names=["first", "second"])
    text = "a b c d e f g h i j k l"
    spans = index.spans(text, min_words=4)
    assert [(span.words, span.source) for span in spans] == [(4, "first"), (8, "second")]
    assert index.spans(text, min_words=5) == spans[1:]


def test_the_nearest_original_shares_most_4grams_then_the_longest_span_then_comes_first() -> None:
    index = CopyIndex(["a b c d x e f g h", "a b c d y", "p q r s"], names=["many", "one", "other"])
    assert index.nearest("a b c d. e f g h") == "many"
    assert index.nearest("Q r s t") == "other"  # no 4-gram of any; three words of the last
    assert index.nearest("") == "many"


def test_identical_and_empty_originals_are_taken_as_they_are() -> None:
    index = CopyIndex([CAFE, CAFE, ""], names=["x", "y", "z"])
    assert [span.source for span in index.spans(CAFE)] == ["x"]
    assert CopyIndex([""]).longest(CAFE) is None


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="at least one original"):
        CopyIndex([])
    with pytest.raises(ValueError, match="list of at least one"):
        CopyIndex("one string")
    with pytest.raises(ValueError, match="found 1 texts and 2 names"):
        CopyIndex(["a"], names=["x", "y"])
    with pytest.raises(ValueError, match="not 0"):
        CopyIndex(["a"]).spans("a", min_words=0)
    with pytest.raises(ValueError, match="not 0"):
        CopyIndex(["a"]).ngram_novelty("a", n=0)


def test_the_bands_of_the_four_originals() -> None:
    for i, text in enumerate(ORIGINALS):
        assert 0.97 < CopyIndex(ORIGINALS[:i] + ORIGINALS[i + 1 :]).ngram_novelty(text) < 0.99
        assert repetition(text) < 0.03


def test_repetition_by_hand() -> None:
    assert repetition("row row row your boat row row row your boat") == pytest.approx(2 / 7)
    assert repetition("la " * 100, n=1) == pytest.approx(0.99)
    assert repetition("Never twice. The same, NEVER!", n=2) == 0
    assert repetition("") == repetition("a b c") == 0


# The same questions answered slowly.


def holds(original: Sequence[str], run: Sequence[str]) -> bool:
    return any(list(original[i : i + len(run)]) == list(run) for i in range(len(original) - len(run) + 1))


def naive_spans(text: Sequence[str], originals: Sequence[Sequence[str]], least: int) -> list[tuple[int, int]]:
    """(first word, words) of the longest copied run, then of the longest run in what is left uncovered."""
    covered: set[int] = set()
    found = []
    for length in range(len(text), least - 1, -1):
        for i in range(len(text) - length + 1):
            copied = any(holds(original, text[i : i + length]) for original in originals)
            if copied and covered.isdisjoint(range(i, i + length)):
                covered.update(range(i, i + length))
                found.append((i, length))
    return sorted(found)


@pytest.mark.parametrize("letters", ["ab", "abc", "abcdefgh"])
def test_random_texts_agree_with_the_naive_answers(letters: str) -> None:
    random_ = random.Random(letters)
    for _ in range(150):
        originals = [random_.choices(letters, k=random_.randrange(25)) for _ in range(random_.randint(1, 4))]
        text = random_.choices(letters + "z", k=random_.randrange(30))
        index = CopyIndex([" ".join(original) for original in originals])
        for least in (1, 3, 5):
            spans = index.spans(" ".join(text), min_words=least)
            # Words of one letter: word i starts at character 2 i.
            assert [(span.start // 2, span.words) for span in spans] == naive_spans(text, originals, least)
            for span in spans:
                assert span.end == span.start + 2 * span.words - 1
                run = text[span.start // 2 : span.start // 2 + span.words]
                assert holds(originals[int(span.source)], run)
        naive = naive_spans(text, originals, 1)
        longest = index.longest(" ".join(text))
        assert (longest.words if longest else 0) == max((length for _, length in naive), default=0)
        ngrams = [text[i : i + 4] for i in range(len(text) - 3)]
        if ngrams:
            new = [not any(holds(original, ngram) for original in originals) for ngram in ngrams]
            assert index.ngram_novelty(" ".join(text)) == pytest.approx(sum(new) / len(new))


def test_fifty_thousand_words_take_about_a_second() -> None:
    random_ = random.Random(0)
    prose = [f"w{int(random_.paretovariate(0.7)) % 5000}" for _ in range(50_000)]
    starts = random_.choices(range(49_900), k=1_600)
    patchwork = " ".join(word for i in starts for word in prose[i : i + random_.randint(3, 60)])
    for original, text in ((" ".join(prose), patchwork), ("the cat " * 25_000, "the cat sat " * 17_000)):
        started = time.perf_counter()
        index = CopyIndex([original])
        index.spans(text)
        index.ngram_novelty(text)
        index.nearest(text)
        repetition(text)
        assert time.perf_counter() - started < 10  # measured 0.7; the rest is for a busy machine


def test_the_limit_of_copying_is_the_originals_habit_and_never_a_common_phrase() -> None:
    assert copy_limit(ORIGINALS) == 6
    assert copy_limit([CAFE]) == 7
    assert copy_limit(["one two three", "four five six"]) == 5
    assert copy_limit([CAFE, f"{CAFE} Again."]) == 12  # two versions of one text
    assert copy_limit([CAFE, "A seat at the counter of", f"So {' '.join(CAFE.split()[:9])} away."]) == 9


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=24).map(" ".join), min_size=2, max_size=4))
def test_the_limit_is_the_longest_span_that_any_two_texts_share(texts: list[str]) -> None:
    spans = [
        longest.words
        if (longest := CopyIndex([t for j, t in enumerate(texts) if j != i]).longest(text))
        else 0
        for i, text in enumerate(texts)
    ]
    assert copy_limit(texts) == min(max(LEAST_LIMIT, *spans), MOST_LIMIT)
