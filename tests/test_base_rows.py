"""Rows that teach a base: the exact text of every form, what is learned of it, and the same order after any interruption."""

import random
import re
from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from data.brief import FIELDS, Brief
from data.dataset import IGNORE
from data.english import listed_gender
from data.stories import FOLDER, STORIES, Story, read_stories
from tests.small import bpe_tokenizer, byte_tokenizer, few_stories
from training.base import rows
from training.base.rows import (
    FORMS,
    Row,
    Rows,
    asked,
    build_row,
    known_gender,
    some_fields,
    with_other_names,
)

TOKENIZER = byte_tokenizer(bos="<bos>")
STORY = Story("One.\n\nTwo two.\n\nThree.", Brief(name="Nadia"), ("first", "second", "third"), "flowing/ann")
EVERY = {"story": 0.25, "plan": 0.25, "told": 0.25, "beat": 0.25}


def pieces(row: Row, tokenizer: Any = TOKENIZER) -> list[tuple[str, bool]]:
    """The row's text in pieces that are learned throughout or not at all."""
    ids, labels = row
    assert len(ids) == len(labels)
    assert all(label in (IGNORE, token) for token, label in zip(ids, labels, strict=True))
    found: list[tuple[list[int], bool]] = []
    for token, label in zip(ids, labels, strict=True):
        if not found or found[-1][1] != (label != IGNORE):
            found.append(([], label != IGNORE))
        found[-1][0].append(token)
    return [(tokenizer.decode(tokens), learned) for tokens, learned in found]


def made(stories: list[Story], forms: dict[str, float] | None = None, **options: Any) -> Rows:
    return Rows(stories, TOKENIZER, forms or EVERY, **{"renamed": 0.0, **options})


def front(row: Row) -> str:
    """What stands before the first learned token, without the opening token."""
    return pieces(row)[0][0].removeprefix("<bos>")


# Forms


def test_a_story_is_told_behind_its_brief() -> None:
    row = build_row("story", STORY, STORY.brief, TOKENIZER, random.Random(0))
    assert pieces(row) == [("<bos>name: Nadia\n---\n", False), ("One.\n\nTwo two.\n\nThree.<eos>", True)]
    bare = build_row("story", STORY, Brief(), TOKENIZER, random.Random(0))
    assert pieces(bare) == [("<bos>", False), ("One.\n\nTwo two.\n\nThree.<eos>", True)]


def test_a_plan_is_learned_behind_the_brief() -> None:
    assert pieces(build_row("plan", STORY, STORY.brief, TOKENIZER, random.Random(0))) == [
        ("<bos>name: Nadia\nbeats:\n", False),
        ("- first\n- second\n- third\n---\n<eos>", True),
    ]


def test_each_paragraph_is_told_behind_its_beat_which_is_not_learned() -> None:
    assert pieces(build_row("told", STORY, STORY.brief, TOKENIZER, random.Random(0))) == [
        ("<bos>name: Nadia\n---\n> first\n", False),
        ("One.\n\n", True),
        ("> second\n", False),
        ("Two two.\n\n", True),
        ("> third\n", False),
        ("Three.<eos>", True),
    ]


def test_finer_beats_come_in_their_share_of_the_rows_that_are_told() -> None:
    story = replace(STORY, finer=("First. It is so.", "Second.", "Third."))
    stream = made([story], {"told": 1.0}, finer=0.7)
    seen = sum("> First. It is so.\n" in front(stream.row(story, number)) for number in range(300))
    assert abs(seen / 300 - 0.7) < 0.08
    plans = made([story], {"plan": 1.0}, finer=1.0)
    assert all("- first\n" in pieces(plans.row(story, number))[1][0] for number in range(20))


def test_finer_beats_get_the_other_names_too() -> None:
    story = few_stories()[0]
    story = replace(story, finer=tuple(f"So it is: {beat}." for beat in story.beats))
    other = with_other_names(story, random.Random(1))
    assert other.beats != story.beats
    assert other.finer == tuple(f"So it is: {beat}." for beat in other.beats)


def test_the_beat_of_every_paragraph_is_asked_for() -> None:
    found = {
        tuple(pieces(build_row("beat", STORY, STORY.brief, TOKENIZER, random.Random(s)))) for s in range(30)
    }
    assert found == {
        ((f"<bos>paragraph:\n{paragraph}\nbeat:\n", False), (f"{beat}<eos>", True))
        for paragraph, beat in zip(STORY.paragraphs, STORY.beats, strict=True)
    }


def test_the_opening_token_is_the_end_where_there_is_no_other() -> None:
    tokenizer = byte_tokenizer()
    row = build_row("story", STORY, Brief(), tokenizer, random.Random(0))
    assert pieces(row, tokenizer) == [("<eos>", False), ("One.\n\nTwo two.\n\nThree.<eos>", True)]


@pytest.mark.parametrize("kind", ["bytes", "pairs"])
def test_for_testing_the_text_alone_is_scored_and_all_of_it(kind: str) -> None:
    stories = few_stories()
    tokenizer = TOKENIZER if kind == "bytes" else bpe_tokenizer([story.text for story in stories])
    for story in stories:
        found = rows.test_rows(story, tokenizer)
        assert list(found) == ["bare", "brief", "beats"]
        for ids, labels in found.values():
            assert len(ids) == len(labels) and ids[0] == tokenizer.bos_token_id
            assert tokenizer.decode([label for label in labels if label != IGNORE]) == story.text
        texts = {name: pieces(row, tokenizer) for name, row in found.items()}
        header = asked(story).header()
        assert texts["bare"] == [("<bos>", False), (story.text, True), ("<eos>", False)]
        assert texts["brief"] == [(f"<bos>{header}", False), (story.text, True), ("<eos>", False)]
        beats = [text for text, learned in texts["beats"] if not learned]
        assert beats == [
            f"<bos>{header}> {story.beats[0]}\n",
            *(f"> {beat}\n" for beat in story.beats[1:]),
        ]


# The order


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    def first(seed: int) -> list[Row]:
        return list(islice(made(few_stories(), seed=seed, renamed=0.7).after(0), 40))

    assert first(3) == first(3) != first(4)


@pytest.mark.parametrize("count", [1, 5, 6, 7, 23])
@pytest.mark.parametrize("often", [0.8, 2.5], ids=["a share", "several times"])
def test_after_so_many_the_same_rows_go_on(count: int, often: float) -> None:
    stream = made(few_stories(), renamed=0.7, sources={"flowing": often}, bare={"flowing": 0.3})
    whole = list(islice(stream.after(0), count + 15))
    assert list(islice(stream.after(count), 15)) == whole[count:]
    assert ([], []) in whole or count < 5


def test_each_pass_has_every_story_once_in_another_order() -> None:
    stories = few_stories()
    stream = made(stories, {"story": 1.0}).after(0)
    passes = [[pieces(next(stream))[1][0] for _ in stories] for _ in range(8)]
    assert all(sorted(one) == sorted(f"{s.text}<eos>" for s in stories) for one in passes)
    assert len({tuple(one) for one in passes}) > 4


def test_forms_come_in_their_shares_and_without_beats_there_is_one() -> None:
    (story,) = few_stories()[:1]
    forms = {"story": 0.3, "plan": 0.1, "told": 0.6, "beat": 0.0}
    stream = made([story, replace(story, text="No beats.", beats=())], forms)
    seen = Counter(form_of(stream.row(stream.stories[0], number)) for number in range(900))
    assert set(seen) == {"story", "plan", "told"}
    assert all(abs(seen[form] / 900 - share) < 0.05 for form, share in forms.items())
    assert {form_of(stream.row(stream.stories[1], number)) for number in range(50)} == {"story"}
    for form in FORMS:
        assert form_of(made([story], {form: 1.0}).row(story, 0)) == form


def form_of(row: Row) -> str:
    found, learned = front(row), [text for text, own in pieces(row) if own]
    if found.startswith("paragraph:\n"):
        return "beat"
    if found.endswith("beats:\n"):
        return "plan"
    return "told" if len(learned) > 1 else "story"


def test_every_subset_of_the_fields_is_asked_for() -> None:
    story = few_stories()[0]
    story = replace(story, brief=replace(story.brief, meets="an old friend"))
    whole, rng = asked(story), random.Random(0)
    seen = Counter(tuple(some_fields(whole, rng).to_dict()) for _ in range(6000))
    fields = FIELDS[:-1]  # a story's beats are not its brief's
    assert len(seen) == 2 ** len(fields)
    assert 0.6 < seen[fields] / 6000 < 0.7  # three of five, and now and then by chance
    stream, passes = made([story], {"story": 1.0}, bare={"": 0.12}), 2000
    fronts = [Brief.parse(front(stream.row(story, number)))[0] for number in range(passes)]
    given = whole.to_dict()
    assert all(given[key] == value for brief in fronts for key, value in brief.to_dict().items())
    assert abs(sum(not brief for brief in fronts) / passes - 0.12) < 0.025
    assert len({tuple(brief.to_dict()) for brief in fronts}) > 45


def test_lengths_are_asked_for_in_tens() -> None:
    for words, length in ((3, 10), (14, 10), (16, 20), (204, 200), (206, 210)):
        assert asked(Story(" ".join(["word"] * words), Brief())).length == length


def test_a_pass_has_a_share_of_the_sources_that_are_named_and_all_of_others() -> None:
    flowing, other = few_stories()[:2]
    other = replace(other, source="plain/bob")
    stream = made([flowing, other], {"story": 1.0}, sources={"plain": 0.25})
    assert all(stream.row(flowing, number)[0] for number in range(300))
    there = [bool(stream.row(other, number)[0]) for number in range(800)]
    assert 0.2 < sum(there) / 800 < 0.3
    none = made([flowing, other], {"story": 1.0}, sources={"plain": 0.0, "flowing": 1.0})
    assert [bool(none.row(story, n)[0]) for n in range(50) for story in (flowing, other)] == [
        True,
        False,
    ] * 50


def test_a_source_may_come_several_times_in_a_pass_with_another_row_each_time() -> None:
    flowing, warm = few_stories()[:2]
    warm = replace(warm, source="warm/bob")
    stream = made([flowing, warm], {"story": 1.0}, sources={"warm": 2.5}, renamed=1.0)
    assert [(story.source, turn) for story, turn in stream.turns] == [
        ("flowing/0", 0), ("warm/bob", 0), ("warm/bob", 1), ("warm/bob", 2),
    ]  # fmt: skip
    rows_of = {turn: [stream.row(warm, number, turn) for number in range(400)] for turn in range(3)}
    assert all(row[0] for turn in (0, 1) for row in rows_of[turn])
    assert 0.42 < sum(bool(ids) for ids, _ in rows_of[2]) / 400 < 0.58
    # Other names and another choice of the brief's fields: hardly two are the same.
    same = sum(rows_of[0][number] == rows_of[1][number] for number in range(400))
    assert same < 10
    whole = made([flowing, warm], sources={"warm": 3.0})
    assert Counter(story.source for story, _ in whole.turns) == {"flowing/0": 1, "warm/bob": 3}
    assert all(whole.row(warm, number, 2)[0] for number in range(50))


def test_a_pass_has_every_turn_once() -> None:
    stories = [
        replace(story, source=f"{kind}/a") for story, kind in zip(few_stories(), "aabbcc", strict=True)
    ]
    stream = made(stories, {"story": 1.0}, sources={"b": 2.0, "c": 0.0}, bare={"": 1.0})
    texts = [f"{story.text}<eos>" for story in stories]
    expected = Counter({texts[0]: 1, texts[1]: 1, texts[2]: 2, texts[3]: 2, "": 2})
    found = stream.after(0)
    for _ in range(4):
        one = [next(found) for _ in stream.turns]
        assert Counter(pieces(row)[1][0] if row[0] else "" for row in one) == expected


def test_a_source_has_its_own_share_of_rows_without_a_brief() -> None:
    kinds = ("warm/a", "plain/a", "flowing/a")
    stories = [replace(story, source=kind) for story, kind in zip(few_stories(), kinds, strict=False)]

    def shares(bare: dict[str, float] | None) -> list[float]:
        stream = made(stories, {"story": 1.0}, bare=bare)
        fronts = [[front(stream.row(story, number)) for number in range(2000)] for story in stories]
        return [sum(not text for text in found) / 2000 for found in fronts]

    # Now and then no field is asked for by chance: one of five rows leaves out each of the five at a half.
    chance = 0.2 * 0.5**5
    named = shares({"warm": 0.5, "plain": 0.0, "": 0.1})
    for found, share in zip(named, (0.5, 0.0, 0.1), strict=True):
        assert found == pytest.approx(share + (1 - share) * chance, abs=0.035)
    assert max(named[1], *shares(None)) < 0.02
    assert shares({"": 1.0}) == [1.0, 1.0, 1.0]


def test_a_row_longer_than_the_context_is_left_out_whole() -> None:
    stories = few_stories()
    whole = list(islice(made(stories).after(0), 60))
    longest = max(len(ids) for ids, _ in whole)
    assert list(islice(made(stories, context=longest).after(0), 60)) == whole
    shorter = list(islice(made(stories, context=longest - 1).after(0), 60))
    assert shorter == [row if len(row[0]) < longest else ([], []) for row in whole] != whole


# Names


def stands(word: str, text: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text))


def parts(story: Story) -> list[str]:
    return [story.text, story.brief.header(), "\n".join(story.beats)]


def test_people_get_other_names_in_text_brief_and_beats() -> None:
    text = (
        "Nadia Benali came into the café. Nadia’s fork hummed, and Monsieur Benali, her father, waved.\n\n"
        "“Odile,” said Nadia, “is this Benali’s piano?” Odile laughed. She had known Nadia for years."
    )
    brief = Brief(
        name="Nadia Benali", occupation="piano tuner", place="a café in Lyon", meets="Odile, a florist",
        keywords=("fork", "piano"),
    )  # fmt: skip
    story = Story(text, brief, ("Nadia Benali comes in", "Odile laughs at Nadia’s question"), "flowing/a")
    seen = set()
    for seed in range(20):
        other = with_other_names(story, random.Random(seed))
        given, surname = (other.brief.name or "").split()
        met = (other.brief.meets or "").partition(",")[0]
        assert not any(stands(name, part) for name in ("Nadia", "Benali", "Odile") for part in parts(other))
        assert listed_gender(given.casefold()) == listed_gender(met.casefold()) == "f"
        swap = {"Nadia": given, "Benali": surname, "Odile": met}
        expected = [re.sub("|".join(swap), lambda hit: swap[hit[0]], part) for part in parts(story)]  # noqa: B023
        assert parts(other) == expected
        assert (other.brief.occupation, other.brief.place) == (brief.occupation, brief.place)
        assert other.brief.keywords == brief.keywords and other.source == story.source
        seen.add(other.brief.name)
    assert len(seen) > 15


def test_a_given_name_that_no_list_knows_stays() -> None:
    assert listed_gender("zephrune") is None
    text = "Zephrune Moreau sat down. Zephrune was tired, and she said so to Colette. Colette nodded at Zephrune."
    brief = Brief(name="Zephrune Moreau", meets="Colette")
    story = Story(text, brief, ("Zephrune Moreau sits down",), "flowing/a")
    for seed in range(10):
        other = with_other_names(story, random.Random(seed))
        given, surname = (other.brief.name or "").split()
        assert given == "Zephrune" and surname != "Moreau"
        assert other.text.startswith(f"Zephrune {surname} sat down. Zephrune was tired")
        assert other.beats == (f"Zephrune {surname} sits down",)
        assert not any(stands("Colette", part) or stands("Moreau", part) for part in parts(other))


def test_without_people_a_story_stays_as_it_is() -> None:
    story = Story("It rained on the roofs.", Brief(keywords=("rain",)), ("it rains",), "flowing/a")
    assert with_other_names(story, random.Random(0)) is story


def test_committed_stories_stay_consistent_under_other_names() -> None:
    stories = list(read_stories(FOLDER / STORIES))[::37]
    renamed = 0
    for at, story in enumerate(stories):
        other = with_other_names(story, random.Random(at))
        assert len(other.paragraphs) == len(story.paragraphs) and len(other.beats) == len(story.beats)
        assert (
            other.brief.keywords == story.brief.keywords and other.brief.occupation == story.brief.occupation
        )
        given = (story.brief.name or "").partition(" ")[0]
        gender = known_gender(given)
        new = (other.brief.name or "").partition(" ")[0]
        if gender is None:
            assert new == given
            continue
        renamed += 1
        assert listed_gender(new.casefold()) == gender and new != given
        assert not any(stands(given, part) for part in parts(other)), given
        for before, after in zip(parts(story), parts(other), strict=True):
            assert stands(given, before) == stands(new, after)
    assert renamed >= 40
