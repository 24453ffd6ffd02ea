"""Plots out of the bank: one that suits the brief, filled with it, none twice; and words in a row as a story of the bank has them."""

import random
from dataclasses import replace

import pytest

from data.brief import Brief
from data.draw import draw_briefs
from data.originals import load_originals
from data.stories import FOLDER, STORIES, Story, read_stories
from inference import bank
from inference.bank import LONGEST, bank_span, find_plot


@pytest.fixture(scope="module")
def briefs() -> list[Brief]:
    return draw_briefs([original.text for original in load_originals("data/seeds")], 6, 3)


def test_a_plot_keeps_what_the_brief_asks_for(briefs: list[Brief]) -> None:
    for number, brief in enumerate(briefs):
        found = find_plot(brief, random.Random(number))
        assert found is not None
        _, whole = found
        for field in ("name", "place", "length"):
            assert getattr(whole, field) == getattr(brief, field)
        text = " ".join(whole.beats)
        assert whole.name and whole.name.split()[0] in text
        assert whole.occupation and whole.occupation.split()[-1] in text.casefold()
        assert 4 <= len(whole.beats) <= 12


def test_what_was_asked_for_stays_and_what_was_only_drawn_may_give_way(briefs: list[Brief]) -> None:
    for number, brief in enumerate(briefs):
        found = find_plot(replace(brief, drawn=frozenset()), random.Random(number))
        assert found is not None
        for field in ("name", "occupation", "place", "meets", "length"):
            assert getattr(found[1], field) == getattr(brief, field)
    # A plot for anybody has no relative in it.
    aunt = replace(briefs[0], meets="her aunt, an old widow")
    assert find_plot(replace(aunt, drawn=frozenset()), random.Random(0)) is None
    loose = find_plot(aunt, random.Random(0))
    assert loose is not None and loose[1].meets != aunt.meets and loose[1].name == aunt.name


def test_the_same_brief_and_seed_give_the_same_plot_and_a_taken_one_is_not_given(briefs: list[Brief]) -> None:
    first = find_plot(briefs[0], random.Random(1))
    assert first is not None and first == find_plot(briefs[0], random.Random(1))
    taken: set[int] = set()
    for seed in range(6):
        found = find_plot(briefs[0], random.Random(seed), taken)
        assert found is not None and found[0] not in taken
        taken.add(found[0])
    numbers = {found[0] for seed in range(8) if (found := find_plot(briefs[0], random.Random(seed)))}
    assert len(numbers) > 2


def test_plots_of_the_length_that_is_asked_for_come_first(briefs: list[Brief]) -> None:
    for number, brief in enumerate(briefs):
        found = find_plot(brief, random.Random(number))
        assert found is not None and brief.length
        assert abs(bank.plots()[found[0]].length - brief.length) <= 0.1 * brief.length
    # Where none is as long, one that is nearly as long is taken.
    short = replace(briefs[0], length=150)
    found = find_plot(short, random.Random(0))
    assert found is not None and abs(bank.plots()[found[0]].length - 150) <= 0.2 * 150


def test_a_brief_that_no_plot_fits_gets_none() -> None:
    assert find_plot(Brief(name="Ada Moreau", length=5000), random.Random(0)) is None


def test_bank_span_counts_words_in_a_row_of_a_story() -> None:
    story = next(iter(read_stories(FOLDER / STORIES))).text
    said = story.replace("\n\n", " ").split()
    assert bank_span(story) > 100
    assert bank_span(" ".join(said[10 : 10 + LONGEST])) == 0
    assert bank_span(" ".join(said[10 : 11 + LONGEST])) == LONGEST + 1
    shouted = "Nobody had said: " + " ".join(said[20:32]).upper() + "! And then?"
    assert bank_span(shouted) == 12
    assert bank_span("") == bank_span("one two") == 0
    broken = " ".join([*said[10:17], "zebra", *said[18:25]])
    assert bank_span(broken) == 0


def test_a_cache_that_can_not_be_written_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(bank, "make", refuse)
    monkeypatch.setattr(
        bank,
        "read_stories",
        lambda path: [Story("one two three four five six seven eight nine ten", Brief())],
    )
    bank._known.cache_clear()
    try:
        assert bank_span("said one two three four five six seven eight nine") == 9
    finally:
        bank._known.cache_clear()
