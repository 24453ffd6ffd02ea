"""The choice among drawn paragraphs: what each rule is for, and that it decides."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from data.brief import Brief
from inference.adherence import said_share
from inference.paragraphs import chooser, swapped_acts, traits
from inference.telling import Paragraph
from tests.small import ROOT

BRIEF = Brief(
    name="Ada Moreau",
    meets="Tom, an old baker",
    length=60,
    beats=[
        "Ada comes into the café out of the rain",
        "Tom, an old baker, sits by the window with a loaf",
        "Ada asks Tom what he is thinking of",
        "he gives her half of his loaf",
    ],
)
BEFORE = (
    "Ada Moreau came into the café out of the rain and shook the water from her coat.",
    "By the window sat Tom, an old baker, with a loaf of dark bread before him on the table.",
)
GOOD = "Ada sat down beside Tom. “What are you thinking of?” she asked the old baker with a smile."


def drawn(*texts: str, whole: Sequence[bool] = ()) -> list[Paragraph]:
    ends = whole or [True] * len(texts)
    return [Paragraph(text, end, -1.0) for text, end in zip(texts, ends, strict=True)]


@pytest.mark.parametrize(
    ("bad", "trait"),
    [
        ("The street was empty, and the lamps were going out one by one along the wall.", "said"),
        ("The price of copper rose in the spring, and many ships came back with empty holds.", "near"),
        (BEFORE[1], "again"),
        (
            "Ada asked Tom. By the window sat Tom, an old baker, with a loaf of dark bread before him.",
            "repeated",
        ),
        ("Ada sat down, and then Marguerite asked Tom what he was thinking of with a smile.", "strangers"),
        ("Ada sat down beside Tom. “What are you thinking of? she asked the old baker with a smile.", "open"),
        ("Ada asked.", "length"),
        (
            "Ada took off his hat. He smiled, and he sat down beside him. Ada asked what he himself was thinking.",
            "contrary",
        ),
        ("Tom sat there. “What are you thinking of?” Tom asked with a smile, and looked at Ada.", "swapped"),
    ],
)
def test_each_trait_speaks_against_what_it_is_for(bad: str, trait: str) -> None:
    good, worse = traits(BRIEF, BEFORE, drawn(GOOD, bad))
    assert (worse[trait] < good[trait]) if trait in ("said", "near") else (worse[trait] > good[trait])
    choose = chooser()
    assert choose(BRIEF, BEFORE, drawn(GOOD, bad)) == 0
    assert choose(BRIEF, BEFORE, drawn(bad, GOOD)) == 1


def test_what_is_cut_copied_or_empty_comes_last() -> None:
    other = GOOD.replace("with a smile", "in a low voice")
    assert chooser()(BRIEF, BEFORE, drawn(GOOD, other, whole=(False, True))) == 1
    assert chooser(lambda text: "smile" in text)(BRIEF, BEFORE, drawn(GOOD, other)) == 1
    assert chooser()(BRIEF, BEFORE, drawn("", "Ada said nothing at all.")) == 1
    assert chooser()(BRIEF, BEFORE, drawn("", "")) == 0


def test_a_copy_is_seen_across_the_border_of_two_paragraphs() -> None:
    seen: list[str] = []
    chooser(lambda text: bool(seen.append(text)))(BRIEF, BEFORE, drawn(GOOD, "Ada asked Tom."))
    assert all(text.startswith("By the window sat Tom") for text in seen)


def test_the_first_of_equals_is_taken() -> None:
    assert chooser()(BRIEF, BEFORE, drawn(GOOD, GOOD, GOOD)) == 0


def test_a_beat_without_the_protagonist_says_who_is_he() -> None:
    brief = replace(BRIEF, beats=["a cook lays down his pen", "Ada looks at him"])
    his, hers = (
        "The cook laid down his pen and wiped his hands.",
        "The cook laid down her pen and wiped her hands.",
    )
    found = traits(brief, (), drawn(his, hers))
    assert [row["contrary"] for row in found] == [0, 1]
    quoted = "The cook laid down his pen. “She took her hat,” he said."
    assert traits(brief, (), drawn(quoted))[0]["contrary"] == 0


def test_the_first_paragraph_has_nothing_before_it() -> None:
    (found,) = traits(BRIEF, (), drawn("Ada Moreau came into the café out of the rain."))
    assert found["again"] == found["repeated"] == found["strangers"] == found["contrary"] == 0
    assert found["said"] == 0.75  # "comes" and "came" are two words


@pytest.mark.parametrize(
    ("beat", "paragraph", "share"),
    [
        ("Ada paints boats", "Ada was painting a boat.", 1.0),
        ("Ada paints boats", "Ada was tired.", 1 / 3),
        ("he and she", "Nothing.", 1.0),
        ("l’été à Paris", "Paris en l'été", 1.0),
    ],
)
def test_said_share(beat: str, paragraph: str, share: float) -> None:
    assert said_share(beat, paragraph) == pytest.approx(share)


@pytest.mark.parametrize(
    ("beat", "text", "swapped"),
    [
        ("Tom says that he lost it. Ada nods.", "“I lost it,” Tom said, and Ada nodded.", 0),
        ("Tom says that he lost it. Ada nods.", "Ada explained that she had lost it. Tom nodded.", 2),
        ("Tom asks, and Ada answers.", "“Where?” said Tom. “Here,” Ada replied.", 0),
        ("Ada gives Tom the key.", "Tom gave her the key.", 1),
        ("She gives him the key.", "Tom gave her the key.", 0),
    ],
)
def test_an_act_of_the_other_one_is_counted(beat: str, text: str, swapped: int) -> None:
    assert swapped_acts(BRIEF, beat, text) == swapped
    assert swapped_acts(Brief(name="Ada"), beat, text) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chosen-by", "unseen"])
def test_readers_prefer_what_is_chosen(name: str) -> None:
    """Of four paragraphs that blind readers rated; see tests/candidates/README.md. The weights were chosen by the first file alone."""
    choose = chooser()
    chosen, mean, best = [], [], []
    for line in (ROOT / "tests" / "candidates" / f"{name}.jsonl").read_text("utf-8").splitlines():
        story = json.loads(line)
        brief = Brief.from_dict(story["brief"])
        for at, candidates in enumerate(story["sets"]):
            ratings = [sum(one["ratings"]) / len(one["ratings"]) for one in candidates]
            there = [Paragraph(one["text"], one["whole"], one["likely"]) for one in candidates]
            chosen.append(ratings[choose(brief, story["paragraphs"][:at], there)])
            mean.append(sum(ratings) / len(ratings))
            best.append(max(ratings))
    chance, most, found = (sum(values) / len(values) for values in (mean, best, chosen))
    print(
        f"\none at random {chance:.2f}, chosen {found:.2f}, the best {most:.2f} of 10; {len(chosen)} choices"
    )
    assert found > chance + (most - chance) / 2
