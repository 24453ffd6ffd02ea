"""Cleaning the corpus that style is learned from: what goes, what stays, and what is no story."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.clean import Cleaned, clean

STORY = (
    "The rain had stopped when Elara reached the door of the shop, and the street was full of light. She put the box on the "
    'counter and waited. The man behind it was old, and he looked at her hands before he looked at the box. "You have come a '
    'long way," he said. She had, but she did not say so. In the end he opened it, and Elara saw that he was afraid.'
)


@pytest.mark.parametrize(
    "around",
    [
        "# The Shop\n\n{}",
        "**The Shop**\n\n{}",
        "Title: The Shop\n\n{}\n\nThe End.",
        "Sure! Here is a short story about rain:\n\n{}\n\n---\n\n(Word count: 84)",
        "Chapter 1: The Shop\n\n{}\n\n***\n\nThis story explores the theme of fear.",
        "\ufeff{}\r\n\r\nThe moral of the story: do not wait.",
    ],
)
def test_what_stands_around_a_story_goes_and_the_story_stays(around: str) -> None:
    assert clean(around.format(STORY).lstrip("\ufeff")) == Cleaned(STORY, True)


def test_emphasis_goes_and_its_words_stay() -> None:
    assert clean(STORY.replace("afraid", "*afraid*").replace("old", "__old__")) == Cleaned(STORY, True)


def test_quotes_come_out_straight_and_other_marks_stay() -> None:
    found = clean(STORY.replace('"', "“") + " It was nobody’s — she said so… at the café.")
    assert isinstance(found, Cleaned)
    assert found.text.endswith("It was nobody's — she said so… at the café.")
    assert "“" not in found.text


def test_a_text_cut_off_in_a_sentence_is_known_to_have_no_end() -> None:
    found = clean(STORY + "\n\nThen the door opened and she")
    assert isinstance(found, Cleaned)
    assert not found.ended


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("Too few words here.", "too short"),
        (STORY + " As an AI I have no hands.", "boilerplate"),
        (
            "Der Regen hatte aufgehört als sie die Tür erreichte und die Straße war voller Licht. " * 8,
            "not English",
        ),
        ("\n".join(f"- {STORY[:90]} {i}" for i in range(9)), "a list"),
        ("\n\n".join([STORY] * 4), "repeats itself"),
    ],
)
def test_what_is_no_story_is_left_out_and_the_reason_given(raw: str, why: str) -> None:
    found = clean(raw)
    assert isinstance(found, str)
    assert why in found


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_cleaned_or_refused(raw: str) -> None:
    found = clean(raw)
    assert found if isinstance(found, str) else found.text
