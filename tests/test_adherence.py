"""What of its brief a text keeps to: the vignettes that were written to briefs do, and other texts do not."""

import statistics
from collections import defaultdict

import pytest

from data.brief import Brief, read_vignettes
from data.stories import FOLDER, STORIES, read_stories
from inference.adherence import adherence
from tests.small import ROOT

TEXT = (
    "Nadia Benali tuned pianos. In the café by the Canal Saint-Martin an old clarinettist sat with two keys. "
    "Nadia heard the rain. He nodded. Then Nadia tuned his piano, and the tuner in her was glad."
)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("name", "Nadia Benali", True),
        ("name", "Clara Holm", False),
        ("occupation", "piano tuner", True),
        ("occupation", "organ builder", False),
        ("place", "a café by the Canal Saint-Martin", True),
        ("place", "a café near the Louvre", False),
        ("place", "a café", True),
        ("place", "a harbour", False),
        ("place", "The harbour", False),
        ("place", "a café in Rue Lepic", False),
        ("meets", "Nad, a cook", False),
        ("name", "Dr. Nadia Benali-Voss", True),
        ("keywords", ("1945",), 0.0),
        ("meets", "an old clarinettist", True),
        ("meets", "an old clarinettist in a grey coat", True),
        ("meets", "Renzo, a driver", False),
        ("keywords", ("rain", "key"), 1.0),
        ("keywords", ("rain", "thermos flask"), 0.5),
        ("length", 40, True),
        ("length", 20, False),
    ],
)
def test_each_field_by_itself(field: str, value: object, kept: bool | float) -> None:
    assert adherence(TEXT, Brief.from_dict({field: value}))[field] == kept


def test_a_name_in_a_beat_is_asked_for() -> None:
    text = "Nadia came in. " * 3 + "Then Gustavo nodded to Gustavo. " * 3
    assert not adherence(text, Brief(name="Nadia"))["name"]
    for beat in ("Gustavo nods", "Nadia sees Gustavo's dog"):
        found = adherence(text, Brief(name="Nadia", beats=["Nadia comes in", beat]))
        assert found["name"]


def test_who_is_in_every_third_and_nobody_else_more_often_is_constant() -> None:
    brief = Brief(name="Ines Moreau")
    constant = "Then Ines Moreau came. She saw that Ines was there and so was the dog. " * 3
    assert adherence(constant, brief) == {"name": True, "constant": True}
    other = (
        "We saw Ines there, and Ines saw us. " * 2
        + "Then we met Marta, and so did Marta, and again Marta. " * 3
    )
    assert adherence(other, brief) == {"name": False, "constant": False}
    twice = constant + "In the evening, Ines Moreau and Ines went home."
    assert adherence(twice, brief) == {"name": True, "constant": False}
    once = constant + "In the evening we waved to Ines and Ines smiled. Then Ines Moreau left."
    assert adherence(once, brief)["constant"] is True
    here = (
        "In Pigalle it rained. It rains in Pigalle, as Nadia Benali knew; it is Pigalle. "
        + "So Nadia left. But Nadia came. " * 4
    )
    assert adherence(here, Brief(name="Nadia Benali", place="a bar in Pigalle"))["constant"] is True
    assert adherence("He came in 1945.", Brief(keywords=("1945",)))["keywords"] == 1
    asked = Brief(name="Ines Moreau", meets="Marta, a cook")
    assert adherence(other, asked)["name"] is True  # she was asked for too
    assert adherence("", asked) == {"name": False, "constant": False, "meets": False}
    assert adherence(TEXT, Brief()) == {}


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("Gunnar Ekdahl", "Gunnar took his hat to his mother. Gunnar's hat was his.", True),
        ("Gunnar Ekdahl", "Gunnar took her hat to her mother. “No,” said Gunnar. Her mother left.", False),
        ("Gunnar Ekdahl", "Across from Gunnar, a woman laughed. Behind Gunnar, a girl sat.", True),
        ("Gunnar Ekdahl", "Gunnar watched the waitress, and she put her cup on her tray.", True),
        ("Gunnar Ekdahl", "Gunnar’s mother put her bag down and took her hat off her head.", True),
        ("Gunnar Ekdahl", "Lina took Gunnar to her house, showed her garden, and fed her cat.", True),
        ("Gunnar Ekdahl", "That night a woman called Gunnar and said nothing.", True),
        ("Gunnar Ekdahl", "‘Good day, Gunnar,’ she said, and gave her hand, her hat.", True),
        ("Gunnar Ekdahl", "So Gunnar slept.\n\nShe was up.\n\nSo Gunnar ate.\n\nShe was out.\n\nSo Gunnar left.\n\nShe was in.", True),
        ("Gunnar Ekdahl", "Gunnar took her hat. Mrs Ekdahl kept her hat and her cup to herself.", True),
        ("Gunnar", "Gunnar took her hat to her mother, and she kept it.", False),
        ("Clara Moreau", "Clara took his hat to his mother, and he kept it.", False),
        ("Clara Moreau", "She took his hat. Clara took her hat to her mother, and he kept his, his, his.", True),
        ("Gunnar Ekdahl", "Then Gunnar saw Marta. As Gunnar and Marta went to her mother, she had her hat and herself to mind.", True),
        ("Gunnar Ekdahl", "Her hat was hers, and she kept her cup to herself, Gunnar knew.", True),
        ("Gunnar Ekdahl", "“Come, Gunnar,” she said, and put her cup on her tray.", True),
        ("Gunnar Ekdahl", "Gunnar watched the woman, and she put her cup on her tray.", True),
        ("Gunnar Ekdahl", "Gunnar watched a mother, and she put her cup on her tray.", True),
        ("Gunnar Ekdahl", "Gunnar watched Mrs Ekdahl as she took her hat off her head.", True),
        ("Gunnar Ekdahl", "When Gunnar met Marie-Claire, she gave him her hand, and she and her dog left her house.", True),
        ("Gunnar Ekdahl", "We knew Małgorzata. When Gunnar greeted Małgorzata, she gave him her hand, and she and her dog left.", True),
        ("Gunnar Ekdahl", "(So said Gunnar.) She took her hat and her cup.", True),
        ("Gunnar Ekdahl", "Gunnar slept. She woke. Gunnar ate. She left. So Gunnar came. Her hat was wet.", False),
        ("Gunnar Ekdahl", "Marta slept. She woke. Marta ate. She left. So Marta came. Her hat was wet. Gunnar!", True),
        ("Gunnar Ekdahl", "There lived a young woman named Gunnar Ekdahl.", False),
        ("Gunnar Ekdahl", "Gunnar Ekdahl was a tall, quiet woman.", False),
        ("Clara Moreau", "Clara, a boy of ten, slept.", False),
        ("Clara Moreau", "Clara was a man's daughter, a man’s daughter. There lived a girl called Clara.", True),
        ("Gunnar Ekdahl", "", True),
    ],
)  # fmt: skip
def test_he_who_is_called_she_is_told_from_the_pronouns_behind_his_name(
    name: str, text: str, right: bool
) -> None:
    assert adherence(text, Brief(name=name))["pronouns"] is right


@pytest.mark.parametrize("name", ["Xqzt", "Robin Ekdahl", "Mrs Martin", "Mrs Edward Bell", "Thibault"])
def test_of_a_name_that_is_nobodys_or_both_or_a_surname_nothing_is_said_about_pronouns(name: str) -> None:
    text = " ".join(f"{part} took her hat to her mother, and she kept it." for part in name.split())
    assert "pronouns" not in adherence(text, Brief(name=name))


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("Ada thanked him.", False),
        ("Ada Voss gently thanked him and left.", False),
        ("Ada left because he was tired.", True),
        ("Ada took his coat and left.", True),  # a possessive may well be the name's own
        ("Ada said he loved him.", True),
        ("Karl watched her with sympathy.", False),
        ("Karl asked her.", False),
        ("Karl took her coat and left.", True),
    ],
)
def test_the_object_of_a_names_own_verb_is_somebody_else(sentence: str, wrong: bool) -> None:
    name = f"{sentence.split()[0]} Voss"
    assert adherence(" ".join([sentence] * 3), Brief(name=name))["pronouns"] is not wrong


def test_vignettes_keep_to_their_own_briefs_and_not_to_anothers() -> None:
    known = [
        pair for folder in ("tests/vignettes", "data/contrast") for pair in read_vignettes(ROOT / folder)
    ]
    own, others = defaultdict(list), defaultdict(list)
    for story in read_stories(FOLDER / STORIES):
        if story.test:
            own["pronouns"] += [
                kept for key, kept in adherence(story.text, story.brief).items() if key == "pronouns"
            ]
    for i, (brief, text) in enumerate(known):
        for field, kept in adherence(text, brief).items():
            own[field].append(kept)
        for field, kept in adherence(known[i - 7][1], brief).items():
            others[field].append(kept)
    least = {
        "name": 0.85,
        "constant": 0.9,
        "occupation": 0.3,
        "place": 0.45,
        "meets": 0.9,
        "keywords": 0.98,
        "pronouns": 0.98,  # two people in each story, and their pronouns stand side by side
    }
    for field, share in least.items():
        assert statistics.mean(own[field]) > share, field
        # A text without the name has no pronouns behind it.
        assert field == "pronouns" or statistics.mean(others[field]) < 0.1, field


def test_a_beat_is_kept_where_its_own_paragraph_says_it() -> None:
    brief = Brief(
        beats=["Ada opens the old piano", "she finds a yellow letter", "Tom reads the letter aloud"]
    )
    text = "Ada opened the lid of the old piano.\n\nIt was raining.\n\nTom read it. The letter was read aloud by Tom."
    assert adherence(text, brief) == {"beats": pytest.approx(2 / 3)}
    assert adherence("Ada opened the old piano.", brief) == {"beats": pytest.approx(1 / 3)}
    assert adherence("", brief) == {"beats": 0}
    moved = "\n\n".join(text.split("\n\n")[::-1])
    assert adherence(moved, brief) == {"beats": 0}
