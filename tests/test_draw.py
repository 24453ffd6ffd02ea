"""Drawn briefs: of the originals' kind, with nothing of theirs but the kind, and the same for the same seed."""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.brief import Brief
from data.detect import detect_brief
from data.draw import complete_briefs, draw_briefs
from data.lists import words
from data.originals import load_originals

ROOT = Path(__file__).resolve().parents[1]
PARIS = [path.read_text(encoding="utf-8") for path in sorted(ROOT.joinpath("data/seeds").glob("*.txt"))]
NOIR = [
    "I keep an office over a pawnshop in Harbor City. I'm a private detective, when the rent allows "
    "it. On Tuesday an old man walked in. The man sat down, and I poured two fingers of rye. I told "
    "the man my rates. I took the case.",
    "The rain had been falling on Harbor City for a week. I was an insurance investigator then, and "
    "I hated the docks. I met an old sailor in a bar on Pier Street. The sailor knew my name. I "
    "bought him a drink.",
    "I woke in an alley with a bird singing. My gun was gone. I had been a cop for twelve years and "
    "a drunk for three. A young woman stood over me with an umbrella. I asked the woman for a "
    "cigarette.",
]
SHANTIES = [
    "Oh, the wind was free from the western sea,\n"
    "Haul away, boys, haul away!\n"
    "And the mate he swore at the likes of me,\n"
    "Haul away for the morning!",
    "Come all you hands who have hauled on a line,\n"
    "Way, hey, and the anchor's free,\n"
    "The rum is low but the weather is fine,\n"
    "Way, hey, and away to sea!",
    "The whale she blew on the larboard bow,\n"
    "Row, me bullies, row!\n"
    "We followed her then and we follow her now,\n"
    "Row, me bullies, row!",
]
FIELDS = ("occupation", "place", "meets")


def folded(text):
    plain = unicodedata.normalize("NFKD", text)
    return re.findall(r"[^\W\d_]+", "".join(c for c in plain if not unicodedata.combining(c)).casefold())


def grams(text, n=4):
    found = folded(text)
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


def test_paris_briefs_are_full_and_of_the_kind():
    for brief in draw_briefs(PARIS, 24, seed=7):
        assert len((brief.name or "").split()) >= 2
        assert brief.occupation
        assert "café" in (brief.place or "")
        assert brief.meets
        assert brief.keywords == ()
        assert brief.length in (370, 380, 390, 400, 410)


def test_occupations_are_relatives_and_places_are_recombined():
    briefs = draw_briefs(PARIS, 40, seed=3)
    occupations = {brief.occupation for brief in briefs}
    places = {brief.place for brief in briefs}
    assert len(occupations) > 8
    assert occupations & {"painter", "illustrator", "sculptor", "poet", "novelist", "writer", "reporter"}
    assert any("Montmartre" in place for place in places)
    assert len(places) > 8


@pytest.mark.parametrize("originals", [PARIS, NOIR, SHANTIES], ids=["paris", "noir", "shanties"])
@pytest.mark.parametrize("seed", [0, 7, 12345])
def test_nothing_is_copied(originals, seed):
    taken = {word for text in originals for word in folded(text)}
    phrases = set().union(*(grams(text) for text in originals))
    for brief in draw_briefs(originals, 40, seed):
        assert taken.isdisjoint(folded(brief.name or ""))
        if brief.meets and brief.meets[0].isupper():
            assert taken.isdisjoint(folded(brief.meets.partition(",")[0]))
        for field in FIELDS:
            assert phrases.isdisjoint(grams(getattr(brief, field) or "")), brief


def test_no_given_name_twice():
    briefs = draw_briefs(PARIS, 300, seed=1)
    given = [brief.name.split()[0] for brief in briefs]
    assert len(set(given)) == 300
    met = [brief.meets.partition(",")[0] for brief in briefs[:100] if brief.meets[0].isupper()]
    assert set(met).isdisjoint(given[:100])


def test_what_is_given_stays_and_the_rest_is_what_would_have_been_drawn():
    drawn = draw_briefs(PARIS, 6, seed=5)
    taken = drawn[3].name.split()[0]
    given = [
        Brief(name="Nadia Benali"),
        Brief(),
        Brief(place="a harbour café", length=200),
        Brief(),
        Brief(name=f"{taken} Voss"),
    ]
    found = complete_briefs([*given, Brief(meets=f"{drawn[5].name.split()[0]}, a cook")], PARIS, seed=5)
    assert found[0] == Brief.from_dict(
        {**drawn[0].to_dict(), "name": "Nadia Benali", "occupation": found[0].occupation}
    )
    assert found[1] == drawn[1]
    assert found[2] == Brief.from_dict({**drawn[2].to_dict(), "place": "a harbour café", "length": 200})
    assert found[4].name == f"{taken} Voss"
    heroes = [brief.name.split()[0] for brief in found]
    assert len({*heroes, drawn[5].name.split()[0]}) == 7  # nobody else is called as a given one is
    assert complete_briefs([Brief()] * 6, PARIS, seed=5) == drawn
    met = next(b.meets for b in draw_briefs(PARIS, 40, seed=5) if b.meets[0].isupper()).partition(",")[0]
    others = complete_briefs([*[Brief()] * 39, Brief(name=f"{met} Voss")], PARIS, seed=5)
    assert not [b for b in others if b.meets.startswith(f"{met},")]


def test_beats_are_never_drawn_and_a_brief_with_beats_stays_as_it_is():
    drawn = draw_briefs(PARIS, 4, seed=5)
    assert not any(brief.beats for brief in drawn)
    plot = Brief(beats=[f"{drawn[1].name.split()[0]} comes in", "it rains"])
    found = complete_briefs([plot, *[Brief()] * 3], PARIS, seed=5)
    assert found[0] == plot
    assert (
        found[1].name.split()[0] != drawn[1].name.split()[0]
    )  # nobody else is called as somebody in the beats
    assert found[2:] == drawn[2:]


def test_an_occupation_is_one_that_the_given_name_may_have():
    maids = ["Ada Moreau, a barmaid, sat in a café in Lyon. Ada smiled. Ada left."] * 2
    for name, fitting in (("Colette Rey", True), ("Marcel Rey", False)):
        found = {b.occupation for b in complete_briefs([Brief(name=name)] * 40, maids, seed=1)}
        assert fitting == any(work and work.endswith("maid") for work in found), found


def test_who_is_met_has_a_name_of_the_sex_that_the_noun_says() -> None:
    met = ["Klara, an old widow", "Karl, her son", "Anna, a young lady", "Paul, a gentleman"]
    texts = [PARIS[0], *(Brief(meets=one, place="a café").header() + PARIS[0] for one in met)]
    told = [brief.meets for brief in draw_briefs(texts, 200, 7) if brief.meets and ", " in brief.meets]
    nouns = {one.split()[-1] for one in told}
    assert len(told) > 50 and {"widow", "gentleman"} & nouns
    women, men = set(words("given_f")) - set(words("given_m")), set(words("given_m")) - set(words("given_f"))
    for one in told:
        first, noun = one.split(",")[0].casefold(), one.split()[-1]
        if noun in words("person_gender", "f"):
            assert first not in men, one
        if noun in words("person_gender", "m"):
            assert first not in women, one


def test_names_are_of_both_genders_and_many_places():
    given = [brief.name.split()[0].casefold() for brief in draw_briefs(PARIS, 200, seed=2)]
    assert 50 < sum(name in words("given_f") for name in given) < 150
    assert len({name[0] for name in given}) > 15


def test_an_original_keeps_its_names_to_itself_whatever_they_are():
    owned = sorted(words("given_f") | words("given_m"))[:900]
    text = PARIS[0] + " " + " ".join(owned)
    drawn = {word for brief in draw_briefs([text, *PARIS[1:]], 60, 0) for word in folded(brief.name)}
    assert drawn.isdisjoint(folded(text))


def test_the_same_for_the_same_and_a_prefix_of_more():
    eight = draw_briefs(PARIS, 8, seed=5)
    assert draw_briefs(PARIS, 8, seed=5) == eight
    assert draw_briefs(PARIS, 4, seed=5) == eight[:4]
    assert draw_briefs(PARIS[::-1], 8, seed=5) == eight
    assert draw_briefs(PARIS, 8, seed=6) != eight
    assert draw_briefs(PARIS, 0, seed=5) == []


def test_the_same_in_another_process():
    code = f"from data.draw import draw_briefs; print(draw_briefs({NOIR!r}, 5, 11))"
    shown = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": number},
        ).stdout.strip()
        for number in ("1", "2")
    }
    assert shown == {str(draw_briefs(NOIR, 5, 11))}


def test_noir_gets_noir_and_no_names():
    briefs = draw_briefs(NOIR, 20, seed=4)
    assert {brief.name for brief in briefs} == {None}
    assert all(brief.occupation for brief in briefs)
    assert {"private detective", "private investigator", "detective", "cop"} & {b.occupation for b in briefs}
    assert {"café"}.isdisjoint(word for b in briefs for word in (b.place or "").split())
    assert any("Harbor City" in (b.place or "") for b in briefs)


def test_shanties_get_nobody():
    for brief in draw_briefs(SHANTIES, 20, seed=4):
        assert (brief.name, brief.occupation, brief.meets) == (None, None, None)
        assert brief.length == 30


def test_a_field_that_few_have_is_given_to_few():
    text = "The rain fell on the roof, and it was cold, and it was late, and nobody came to see it."
    named = "Ada Bell was a baker. Ada was glad that it was late, and Ada saw the rain on the roof of it."
    briefs = draw_briefs([named, *(f"{text} {'and so it was ' * i}" for i in range(4))], 100, seed=0)
    assert detect_brief(named).occupation == "baker"
    assert 5 <= sum(brief.name is not None for brief in briefs) <= 40
    assert 5 <= sum(brief.occupation is not None for brief in briefs) <= 40


def test_protagonists_with_one_name_get_one():
    tales = [
        f"Then {name} went to the well, and {name} said that it was deep." for name in ("Ana", "Ivan", "Olga")
    ]
    assert all(" " not in brief.name for brief in draw_briefs(tales, 20, seed=1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=120), min_size=1, max_size=4), st.integers())
def test_any_texts_give_briefs(originals, seed):
    briefs = draw_briefs(originals, 3, seed)
    assert len(briefs) == 3
    assert all(brief.length for brief in briefs)


@pytest.mark.parametrize(("originals", "n"), [([], 1), ("a text", 1), (["a text"], -1)])
def test_bad_arguments(originals, n):
    with pytest.raises(ValueError, match=r"drawn from texts|0 or more"):
        draw_briefs(originals, n, 0)


def test_a_brief_knows_which_of_its_fields_nobody_asked_for() -> None:
    texts = [original.text for original in load_originals("data/seeds")]
    (drawn,) = draw_briefs(texts, 1, 0)
    assert drawn.drawn == set(drawn.to_dict()) > {"name", "occupation"}
    (again,) = complete_briefs([drawn], texts, 5)
    assert again == drawn and again.drawn == drawn.drawn
    (own,) = complete_briefs([Brief(name="Ada Moreau")], texts, 0)
    assert "name" not in own.drawn and "occupation" in own.drawn
    assert own.header() == Brief.from_dict(own.to_dict()).header()
