"""Warnings about beats: what is wrong is named by its number, and what is right is left alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.beats import check_beats
from data.brief import Brief
from data.stories import FOLDER, STORIES, read_stories

PLOT = (
    "Nadia, a piano tuner, comes into the café with her case",
    "the owner asks her to listen to the old piano, and he waits",
    "Nadia mends the piano",
    "he thanks her, and she goes out into the rain",
)


def about_language(*beats: str) -> list[str]:
    return [said for said in check_beats(Brief(beats=beats)) if "English" in said]


def test_a_brief_without_beats_has_no_warnings():
    assert check_beats(Brief(name="Nadia Benali", length=10_000)) == []


def test_beats_that_fit_have_no_warnings():
    assert check_beats(Brief(name="Nadia Benali", meets="the owner", length=300, beats=PLOT)) == []


def test_the_bases_own_beats_have_no_warnings():
    stories = [s for s in read_stories(FOLDER / STORIES) if s.beats][::8]
    assert len(stories) > 200
    for story in stories:
        brief = replace(story.brief, beats=story.beats, length=len(story.text.split()))
        assert check_beats(brief) == []
        assert check_beats(Brief(name=story.brief.name, beats=story.beats)) == []


@given(
    st.text(st.characters(codec="utf-8"), max_size=20), st.lists(st.text(max_size=40), min_size=1, max_size=4)
)
def test_any_brief_can_be_checked(name, beats):
    try:
        brief = Brief(name=name, beats=beats, length=90)
    except ValueError:
        return
    assert all(said.strip() == said for said in check_beats(brief))


# Language


@pytest.mark.parametrize(
    "beat",
    [
        "Elle entre dans le café et pose son étui",
        "Il pleut sur Paris",
        "Nadia répare le piano du café",
        "Sie betritt das Café und stellt ihren Koffer ab",
        "Die Frau gibt ihm einen Schlüssel",
        "Er geht hinaus in den Regen",
        "Ella entra en el café y deja su estuche",
        "Los dos se despiden bajo la lluvia",
        "Lei entra nel caffè e posa la custodia",
        "Ze komt het café binnen en zet haar koffer neer",
        "Hon går in på kaféet och sätter sig vid fönstret",
        "Nadia kahveye girer ve kutusunu masaya koyar",
        "Надя входит в кафе",
        "ナディアはカフェに入る",
    ],
)
def test_a_beat_in_another_language_is_named(beat):
    (said,) = about_language("Nadia comes in", beat)
    assert said == f"beat 2 does not read as English, found {beat!r}; type it in English"


@pytest.mark.parametrize(
    "beat",
    [
        "Nadia mends the piano",
        "Nadia tunes pianos",
        "rain",
        "Nadia orders pain au chocolat",
        "Nadia drinks café au lait by the window",
        "Miguel de la Cruz tunes pianos",
        "Omar van der Berg comes in",
        "Tomoko Brandt meets Jean-Luc in the Rue de la Paix",
        "Nadia sings “La vie en rose et la mer” and laughs",
        "they dance the pas de deux",
        "Nadia hums, clattering cups, steaming milk, smiling shyly",
        "Chef burns soup, panics, blames apprentice, apologises",
        "Nadia can't sleep; it's late",
        "...",
        "12",
    ],
)
def test_an_english_beat_is_left_alone(beat):
    assert about_language(beat) == []


def test_every_beat_that_is_not_english_has_its_own_warning():
    said = about_language("Il pleut sur Paris", "it rains", "Es regnet auf die Stadt und das Meer")
    assert [one.split(" does")[0] for one in said] == ["beat 1", "beat 3"]


# The protagonist


def test_a_name_that_no_beat_has_is_named():
    beats = ["she comes into the café", "she mends the piano"]
    assert check_beats(Brief(name="Nadia Benali", beats=beats)) == [
        "no beat names Nadia Benali; type the name in one beat at least"
    ]


@pytest.mark.parametrize(
    ("name", "beat"),
    [
        ("Nadia Benali", "it is Nadia's piano"),
        ("Nadia Benali", "nadia waits"),
        ("Nadia Benali", "Mrs Benali waits"),
        ("Mrs Benali", "Benali waits"),
        ("Nadia Benali", "I wait in the rain"),  # the protagonist tells
        ("Seán O’Brien", "O'Brien waits"),
        (None, "she waits"),
    ],
)
def test_a_name_that_a_beat_has_is_left_alone(name, beat):
    assert check_beats(Brief(name=name, beats=[beat])) == []


@pytest.mark.parametrize(
    ("name", "beats", "number", "pronoun"),
    [
        ("Nadia Benali", ["Nadia comes in", "he sits down"], 2, "he"),
        ("Nadia Benali", ["Nadia Benali, a piano tuner, opens his case"], 1, "he"),
        ("Nadia Benali", ["it rains", "Nadia pours himself a tea", "a man comes in"], 2, "he"),
        ("Gustavo Paredes", ["Gustavo comes in", "she sits down"], 2, "she"),
        ("Gustavo Paredes", ["Gustavo, a painter, unfolds her easel"], 1, "she"),
    ],
)
def test_the_other_genders_pronoun_is_named(name, beats, number, pronoun):
    (said,) = check_beats(Brief(name=name, beats=beats))
    assert said.startswith(f"beat {number} calls {name} '{pronoun}', and the name is listed for ")


@pytest.mark.parametrize(
    ("name", "beats"),
    [
        ("Nadia Benali", ["Nadia comes in", "she sits down", "he sits down"]),
        ("Nadia Benali", ["Nadia meets a sailor", "he sits down"]),
        ("Nadia Benali", ["Nadia meets Gustavo", "he sits down"]),
        ("Nadia Benali", ["Nadia opens the door", "Maribel comes in", "he sits down"]),
        ("Nadia Benali", ["Nadia waits for him"]),
        ("Gustavo Paredes", ["Gustavo waits for her", "he meets her again"]),
        ("Robin Voss", ["Robin comes in", "she sits down", "he sits down"]),  # of either gender
        ("Qwertz Voss", ["Qwertz comes in", "she sits down"]),  # not listed
        ("Mr Nadia", ["Nadia comes in", "he sits down"]),  # a surname
    ],
)
def test_a_pronoun_that_may_be_right_is_left_alone(name, beats):
    assert check_beats(Brief(name=name, beats=beats)) == []


def test_whoever_is_met_may_have_the_other_pronoun():
    beats = ["Nadia finds the diver in the harbour", "he sits down"]
    assert check_beats(Brief(name="Nadia Benali", meets="a diver", beats=beats)) == []


# The length


@pytest.mark.parametrize(
    ("count", "length", "said"),
    [
        (2, 380, "380 words take 3 to 20 beats, found 2; type as many or another length"),
        (14, 200, "200 words take 2 to 13 beats, found 14; type as many or another length"),
        (2, 15, "15 words take 1 beat, found 2; type as many or another length"),
        (19, 3000, "3000 words take 20 beats, found 19; type as many or another length"),
        (20, 3001, "20 beats take at most 3000 words, found length 3001; type length=3000"),
        (3, 9000, "20 beats take at most 3000 words, found length 9000; type length=3000"),
    ],
)
def test_too_few_or_too_many_beats_for_the_length_are_named(count, length, said):
    assert check_beats(Brief(length=length, beats=["it rains"] * count)) == [said]


@pytest.mark.parametrize(
    ("count", "length"), [(1, 5), (1, 150), (2, 300), (10, 150), (20, 300), (20, 3000), (9, None)]
)
def test_a_fitting_number_of_beats_is_left_alone(count, length):
    assert check_beats(Brief(length=length, beats=["it rains"] * count)) == []
