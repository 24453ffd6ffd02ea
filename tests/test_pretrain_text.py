"""Corpus to pieces: what is cleaned away, what is kept whole, what is renamed, and where a text ends."""

import json
import lzma
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.brief import Brief, parse_vignettes
from data.names import name_counts
from training.pretrain.abridge import WORDS, _opens, abridged
from training.pretrain.clean import Cleaned, clean, curl
from training.pretrain.corpus import Text, build_texts, read_texts, thinned, write_texts
from training.pretrain.names import dominating, gender_of, recast
from training.pretrain.pieces import ENDING, capped_openings, pieces

ROOT = Path(__file__).parents[1]
STORY = (
    "The rain had stopped when Elara reached the door of the shop, and the street was full of light. She put the box on the "
    'counter and waited. The man behind it was old, and he looked at her hands before he looked at the box. "You have come a '
    'long way," he said. She had, but she did not say so. In the end he opened it, and Elara saw that he was afraid.'
)


def story(words: int, name: str = "Elara") -> str:
    """Paragraphs of about forty words, all different, that name somebody."""
    lines, n = [], 0
    while n < words:
        line = f"On day {len(lines)} of the year {name} went to the harbour, and {name} saw that the boat number {len(lines)} was gone. "
        line += "She stood on the wall for a while and then she walked home by the road that led up the hill."
        lines.append(line)
        n += len(line.split())
    return "\n\n".join(lines)


def text(body: str, **fields: object) -> Text:
    values = {"source": "gpt", "id": "a", "begins": True, "ends": True, "held_out": False, "brief": None}
    return Text(text=body, **{**values, **fields})  # type: ignore[arg-type]


# clean


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


def test_curled_quotes_open_and_close_where_they_should() -> None:
    straight = "\"It's late,\" she said. \"The boys' 'old' boat—\" He laughed."
    assert curl(straight) == "“It’s late,” she said. “The boys’ ‘old’ boat—” He laughed."


# names


def test_a_favoured_name_is_replaced_throughout_and_consistently() -> None:
    body = story(300)
    renamed = recast(body, {"Elara"}, random.Random(1), hero=False, surname=False)
    assert "Elara" not in renamed
    (name, count), *_ = name_counts(renamed).most_common()
    assert count == name_counts(body)["Elara"]
    assert gender_of(name, renamed) == "f"
    assert renamed == body.replace("Elara", name)


def test_a_surname_is_added_once_at_the_first_mention() -> None:
    renamed = recast(story(200), {"Elara"}, random.Random(2), hero=False, surname=True)
    full = re.findall(r"\b[A-ZÀ-Ý]\w+ [A-ZÀ-Ý][\w'-]+(?= went| saw)", renamed)
    assert len(full) == 1
    assert renamed.index(full[0]) < 100


def test_names_that_lead_too_many_stories_are_found() -> None:
    texts = [story(120, "Elara")] * 9 + [story(120, name) for name in ("Ines", "Marta", "Agnes")]
    assert dominating(texts, share=0.25) == {"Elara"}


def test_no_title_month_or_place_is_taken_for_a_name() -> None:
    assert not name_counts("He met the Captain in May, and Lady Grey was in Paris, and King Tom on Monday.").keys() & {
        "Captain", "May", "Lady", "Paris", "King", "Monday"
    }  # fmt: skip


# abridge


def test_an_abridged_story_opens_and_ends_as_the_long_one_and_leaves_whole_paragraphs_out() -> None:
    paragraphs = story(1400).split("\n\n")
    found = abridged(paragraphs, random.Random(0), 5)
    assert len(set(found)) == 5
    for short in found:
        kept = short.split("\n\n")
        places = [paragraphs.index(paragraph) for paragraph in kept]
        assert places == sorted(places) and places[0] == 0 and places[-1] == len(paragraphs) - 1
        assert WORDS[0] <= len(short.split()) <= WORDS[1]
    assert all(short.startswith("On day 1 ") for short in abridged(paragraphs, random.Random(0), 5, start=1))
    assert abridged(paragraphs, random.Random(0), 3) == abridged(paragraphs, random.Random(0), 3)


def test_nobody_is_known_after_a_gap_who_was_met_in_it() -> None:
    paragraphs = story(1400).split("\n\n")
    middle = len(paragraphs) // 2
    met = "One day Idris came down the hill, and Idris and Elara sat on the wall until the boats came home in the dark."
    later = "Years later Elara and Idris still talked of the boats, and of the wall, and Idris laughed at it."
    ended = abridged([*paragraphs[:middle], met, *paragraphs[middle:], later], random.Random(0), 200)
    assert len(ended) > 20 and all(met in short for short in ended)  # all have the ending, where he is known
    back = later.replace("Years later", "One morning")
    told = [*paragraphs[:8], met, *paragraphs[8:10], back, *paragraphs[10:]]
    found = abridged(told, random.Random(0), 5000)
    assert any(met in short and back in short for short in found) and any(met in short for short in found)
    assert all(met in short for short in found if back in short)


def test_nobody_is_known_who_was_met_before_the_beginning() -> None:
    paragraphs = story(1400).split("\n\n")
    said = [f"{paragraph} She told Idris of it." for paragraph in paragraphs[3:5]]
    told = ["Elara had a brother whom all knew as Idris.", *paragraphs[1:3], *said, *paragraphs[5:]]
    assert any("told Idris" in short for short in abridged(told, random.Random(0), 500))
    without = abridged(told, random.Random(0), 500, start=1)
    assert without and not any("told Idris" in short for short in without)


@pytest.mark.parametrize(
    ("paragraph", "opens"),
    [
        ("One evening the rain came back.", True),
        ("As the sun sank, the boats came home.", True),
        ("Years later the house was sold.", True),
        ("The old man thanked Elara.", True),
        ("The old man thanked her.", False),
        ("That meant a long walk.", False),
        ("One of them laughed.", False),
        ("On the other hand, it hurt.", False),
        ("He looked at Elara for a long time.", False),
        ("Her day began early.", False),
        ('"One day," said Elara.', False),
        ("", False),
    ],
)
def test_a_scene_opens_with_somebody_or_a_time_and_leans_on_nothing(paragraph: str, opens: bool) -> None:
    assert _opens(paragraph, {"Elara"}) is opens


def test_after_a_gap_nobody_is_speaking() -> None:
    paragraphs = story(1400).split("\n\n")
    said = [f'"Is it day {i}?" asked Elara. {paragraph}' for i, paragraph in enumerate(paragraphs)]
    assert abridged([*said[:-2], *paragraphs[-2:]], random.Random(0), 50)  # all in a row, up to the end
    assert not abridged(said, random.Random(0), 50)


def test_what_can_not_be_abridged_is_not() -> None:
    assert abridged([], random.Random(0)) == abridged(["It rained."] * 300, random.Random(0)) == []
    assert abridged(story(100).split("\n\n"), random.Random(0)) == []
    assert abridged(story(1400).split("\n\n"), random.Random(0), start=1000) == []


# pieces


def test_a_short_story_is_one_piece_with_its_end() -> None:
    for seed in range(9):
        (piece,) = pieces(text(STORY, id=str(seed)), set(), False, 0)
        assert (piece.bucket, piece.begins, piece.ends) == ("gpt/whole", True, True)


def test_a_long_story_gives_an_opening_without_end_and_an_ending_with_the_true_one() -> None:
    body = story(1400)
    found = {piece.bucket: piece for piece in pieces(text(body, source="x"), set(), False, 3)}
    plain = {bucket: re.sub("[“”]", '"', piece.text).replace("’", "'") for bucket, piece in found.items()}
    assert set(found) == {"x/opening", "x/ending", "x/passage", "x/abridged"}
    assert (found["x/opening"].begins, found["x/opening"].ends) == (True, False)
    assert (found["x/ending"].begins, found["x/ending"].ends) == (True, True)
    assert (found["x/passage"].begins, found["x/passage"].ends, found["x/passage"].header) == (
        False,
        False,
        "",
    )
    assert ENDING[0] <= len(plain["x/ending"].split()) <= ENDING[1]
    assert plain["x/opening"].startswith("On day 0")
    assert plain["x/ending"].split()[-4:] == body.split()[-4:]


def test_a_story_that_was_cut_off_gets_no_end_anywhere() -> None:
    found = pieces(text(story(1400), ends=False), set(), False, 0)
    assert {"gpt/opening", "gpt/passage"} == {piece.bucket for piece in found}
    assert not any(piece.ends for piece in found)


def test_an_ending_is_never_asked_for() -> None:
    found = [piece for i in range(40) for piece in pieces(text(story(1400), id=str(i)), set(), False, 0)]
    asked = Counter(piece.bucket for piece in found if piece.header)
    assert asked["gpt/abridged"] > 20 and asked["gpt/opening"] > 10
    assert not asked["gpt/ending"] and not asked["gpt/passage"]


def test_more_than_half_of_the_stories_have_a_brief_that_says_what_they_are() -> None:
    found = [pieces(text(STORY, id=str(i)), set(), False, 0)[0] for i in range(300)]
    with_brief = [piece for piece in found if piece.header]
    assert 150 <= len(with_brief) <= 210
    fields = Counter(key for piece in with_brief for key in Brief.parse(piece.header)[0].to_dict())
    assert fields["name"] == max(fields.values())
    for piece in with_brief:
        name = Brief.parse(piece.header)[0].name
        assert name is None or name in piece.text


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.2, 20, 65), (1.0, 185, 200)])
def test_how_many_have_a_brief_may_be_said(share: float, least: int, most: int) -> None:
    found = [pieces(text(STORY, id=str(i)), set(), False, 0, share)[0] for i in range(200)]
    assert least <= sum(bool(piece.header) for piece in found) <= most


def test_a_gold_brief_is_used_where_there_is_one() -> None:
    brief, body = parse_vignettes((ROOT / "data/vignettes/w1-01.txt").read_text("utf-8"))[0]
    found = [
        pieces(text(body, id=str(i), source="vignettes", brief=brief.to_dict()), {"Idris"}, False, 0)[0]
        for i in range(40)
    ]
    asked = [Brief.parse(piece.header)[0] for piece in found if piece.header]
    assert {b.name for b in asked if b.name} == {brief.name}
    assert {b.place for b in asked if b.place} == {brief.place}


def test_openings_over_their_share_are_capped_and_the_first_ones_stay() -> None:
    texts = [text(f"In the heart of {i}.", id=str(i)) for i in range(50)]
    texts += [text(f"{i} roads led there.", id=f"x{i}") for i in range(350)]
    assert capped_openings(texts) == {str(i) for i in range(6, 50)}
    assert "gpt/opening" not in {p.bucket for p in pieces(text(story(1400)), set(), True, 0)}


# corpus

SOURCES = {"slop-score", "standardebooks"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = [{"source": "slop-score", "text": story(150, name)} for name in ("Ines", "Ines", "Marta")]
    rows += [
        {
            "source": "slop-score",
            "text": story(150, "Vera").replace("harbour", "market").replace("boat", "cart"),
        }
    ]
    rows += [{"source": "slop-score", "text": STORY}, {"source": "slop-score", "text": "no"}]
    rows += [
        {
            "source": "standardebooks",
            "author": "A",
            "title": "T",
            "text": " ".join(f"w{i} the and of" for i in range(k, k + 60)),
        }
        for k in (0, 1000)
    ]
    with lzma.open(tmp_path / "stories.jsonl.xz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


def test_the_corpus_is_kept_once_and_nothing_forbidden_is_in_it(corpus: Path) -> None:
    report: Counter[tuple[str, str]] = Counter()
    kept = build_texts(corpus, ROOT / "data/vignettes", [STORY], report, SOURCES)
    assert report["slop-score", "near-duplicate"] >= 1
    assert report["slop-score", "too short"] == 1
    assert report["slop-score", "shares 8 words with a forbidden text"] == 1
    assert not any("counter and waited" in t.text for t in kept)
    assert sum(t.source == "vignettes" for t in kept) == report["vignettes", "kept"] == 550
    novel = [t for t in kept if t.source == "standardebooks"]
    assert len({t.held_out for t in novel}) == 1  # one title is never on both sides
    assert not any(t.begins or t.ends for t in novel)


def test_texts_are_read_as_they_were_written(corpus: Path, tmp_path: Path) -> None:
    kept = build_texts(corpus, ROOT / "data/vignettes", [], Counter(), SOURCES)
    write_texts(tmp_path / "a.xz", kept)
    assert list(read_texts(tmp_path / "a.xz")) == kept


def test_no_vignette_plays_two_roles_and_none_is_like_an_original() -> None:
    roles = {
        role: [
            body
            for file in sorted((ROOT / role).glob("*.txt"))
            for _, body in parse_vignettes(file.read_text("utf-8"))
        ]
        for role in ("data/vignettes", "data/contrast", "tests/vignettes")
    }
    assert [len(bodies) for bodies in roles.values()] == [550, 110, 110]
    bodies = [body for group in roles.values() for body in group]
    assert len(set(bodies)) == len(bodies)
    originals = " ".join(f.read_text("utf-8") for f in sorted((ROOT / "data/seeds").glob("*.txt")))
    words = re.findall(r"\w+", originals.lower())
    banned = {tuple(words[i : i + 8]) for i in range(len(words) - 7)}
    for body in bodies:
        own = re.findall(r"\w+", body.lower())
        assert banned.isdisjoint(tuple(own[i : i + 8]) for i in range(len(own) - 7))


def test_a_source_is_thinned_by_its_share_and_the_same_texts_stay() -> None:
    texts = [Text("a" if i % 2 else "b", f"{i:04}", "x", True, True, False) for i in range(2000)]
    half, third = thinned(texts, {"a": 0.5}), thinned(texts, {"a": 0.3})
    assert 0.44 < sum(t.source == "a" for t in half) / 1000 < 0.56
    assert sum(t.source == "b" for t in half) == 1000
    assert {t.id for t in third} < {t.id for t in half}
    assert thinned(half, {"a": 0.5}) == half and thinned(texts, {}) == texts
