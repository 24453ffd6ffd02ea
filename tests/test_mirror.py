"""Stories told the other way round: everybody changes and stays who they are, and places and books stay as they are."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from data.brief import read_vignettes
from data.english import pronouns
from data.lists import words
from data.names import name_counts
from data.slots import gender_of
from training.pretrain.config import PretrainConfig
from training.pretrain.corpus import Text, write_texts
from training.pretrain.mirror import Mirror, around, can_mirror, mirrored, women_lead
from training.pretrain.names import is_given
from training.pretrain.prepare import prepare
from training.pretrain.tokens import read_buckets

ROOT = Path(__file__).parents[1]
STORY = (
    "In Zermatt there lived a young woman named Clara, with her mother and her two brothers. Clara kept her books in a box, and "
    "nobody asked her about them. One day she met Lukas at the well. He had lost his dog; he said that it was his. Clara told him "
    'that she had seen it. "Her name is Mina," he said to her. Mrs. Alder watched her go. "I miss you, Miss Clara," she said, '
    "for she kept her promises to herself. HER BOOKS were hers, and Clara went home to Zermatt.\n\nClara slept. Lukas had "
    "not believed her, and Lukas went to his uncle."
)


@pytest.fixture(scope="module")
def mirror() -> Mirror:
    return Mirror(body for _, body in read_vignettes(ROOT / "data/vignettes"))


def text(body: str, **fields: object) -> Text:
    values = {"source": "tales", "id": "a", "begins": True, "ends": True, "held_out": False, "brief": None}
    return Text(text=body, **{**values, **fields})  # type: ignore[arg-type]


def test_everybody_changes_and_stays_who_they_are(mirror: Mirror) -> None:
    told = mirror(STORY, random.Random(1))
    hero, other = (re.search(rf"{before} (\w+)", told)[1] for before in ("man named", "he met"))  # type: ignore[index]
    assert hero.casefold() in words("given_m") and other.casefold() in words("given_f")
    assert told == (
        f"In Zermatt there lived a young man named {hero}, with his father and his two sisters. {hero} kept his books in a box, and "
        f"nobody asked him about them. One day he met {other} at the well. She had lost her dog; she said that it was hers. {hero} "
        f'told her that he had seen it. "His name is {_after("name is", told)}," she said to him. Mr. Alder watched him go. "I miss '
        f'you, Mr {hero}," he said, for he kept his promises to himself. HIS BOOKS were his, and {hero} went home to Zermatt.\n\n'
        f"{hero} slept. {other} had not believed him, and {other} went to her aunt."
    )


def _after(before: str, told: str) -> str:
    found = re.search(rf"{before} (\w+)", told)
    assert found
    return found[1]


def test_who_was_a_woman_is_a_man_and_told_back_a_woman_again(mirror: Mirror) -> None:
    once = mirror(STORY, random.Random(1))
    women, men = pronouns(STORY)
    assert pronouns(once) == (men, women) and women_lead(STORY) and not women_lead(once)
    assert gender_of(_after("named", once), once) == "m"
    twice = mirror(once, random.Random(2))
    assert pronouns(twice) == (women, men)
    named = {name for told in (STORY, once, twice) for name in name_counts(told)}
    plain = [re.sub("|".join(named), "N", told) for told in (STORY, twice)]
    assert plain[1] == plain[0].replace("Miss N", "Mrs N")  # what a Mr was is not known


def test_what_her_becomes_is_right_in_texts_that_it_was_not_learned_from(mirror: Mirror) -> None:
    bodies = [body for _, body in read_vignettes(ROOT / "tests/vignettes")]
    hits = [(body, hit) for body in bodies for hit in re.finditer(r"\b(?:his(?= \w)|him)\b", body)]
    said = mirror.owns([around(body, *hit.span()) for body, hit in hits])
    right = [own == (hit[0] == "his") for own, (_, hit) in zip(said, hits, strict=True)]
    assert len(right) > 300 and sum(right) / len(right) > 0.96


def test_new_names_are_new_and_the_same_for_the_same_seed(mirror: Mirror) -> None:
    one, again, other = (mirror(STORY, random.Random(seed)) for seed in (1, 1, 2))
    assert one == again != other
    for told in (one, other):
        assert not {"Clara", "Lukas"} & set(re.findall(r"\w+", told))


def test_what_learns_from_no_pronoun_is_refused() -> None:
    with pytest.raises(ValueError, match="'his' and 'him'"):
        Mirror(["She said it to him.", "He came."])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "She said: you are a hero, and she will host you.",
            "He said: you are a hero, and he will host you.",
        ),
        ("The bride and the groom saw Mr King.", "The groom and the bride saw Mrs King."),
        ("The King spoke to Sir Alder and Lord Alder.", "The Queen spoke to Lady Alder and Lady Alder."),
        ("Lady Élise-Anne met a lady.", "Lord Élise-Anne met a gentleman."),
        ("It was his now. It was his and hers.", "It was hers now. It was hers and his."),
        ('His "own" book. He was his own man.', 'Her "own" book. She was her own woman.'),
        ("Her dad and her daddy miss her.", "His mom and his mommy miss him."),
        ("She saw Jean-Luc and Marie-Claire.", "He saw Jean-Luc and Marie-Claire."),
    ],
)
def test_words_change_where_they_mean_a_man_or_a_woman(mirror: Mirror, body: str, told: str) -> None:
    assert mirror(body, random.Random(1)) == told


def test_names_with_any_capital_are_redrawn(mirror: Mirror) -> None:
    told = mirror(
        "Her aunts, Élise and Małgorzata, came. Małgorzata said it to Élise. Małgorzata said it again.",
        random.Random(1),
    )
    first, second = re.findall(r"uncles, (\w+) and (\w+),", told)[0]
    assert (
        told
        == f"His uncles, {first} and {second}, came. {second} said it to {first}. {second} said it again."
    )
    assert {first.casefold(), second.casefold()} <= words("given_m")


@pytest.mark.parametrize("bound", ["a long gown", "his white beard", "she was pregnant", "Mother Nature"])
def test_a_story_bound_to_a_gender_stays_as_it_is(bound: str) -> None:
    assert can_mirror(STORY) and not can_mirror(f"{STORY} There was {bound}.")


def test_a_share_of_the_stories_about_women_is_told_of_men() -> None:
    tales = [text(STORY, id=f"{i:03}", held_out=i % 10 == 0) for i in range(100)]
    others = [
        text(STORY, id="b", source="letters"),
        text("He saw his dog, and it saw him. " * 9, id="c"),
        text(f"{STORY} She wore a gown.", id="d"),
        text(STORY, id="e", brief={"name": "Clara"}),
    ]
    told = mirrored([*tales, *others], {"tales": 0.5}, seed=3)
    assert mirrored(others, {"tales": 1.0}, seed=3) == others
    assert [t.id for t in told] == [t.id for t in (*tales, *others)] and told[100:] == others
    changed = [new for new, old in zip(told, tales, strict=False) if new != old]
    assert 30 < len(changed) < 60 and not any(new.held_out or women_lead(new.text) for new in changed)
    assert all(replace(new, text=STORY) in tales for new in changed)
    assert told == mirrored([*tales, *others], {"tales": 0.5}, seed=3)
    assert told != mirrored([*tales, *others], {"tales": 0.5}, seed=4)
    assert mirrored(tales, {"letters": 1.0}, seed=3) == tales


@pytest.mark.parametrize(
    ("name", "body", "given"),
    [
        ("Tamsel", "Tamsel said no. She had been in Tamsel for years.", False),
        ("Tamsel", "Tamsel said no. She had seen Tamsel.", True),
        ("Tamsel", "Tamsel said no. He looked at Tamsel. They sat near Tamsel, around Tamsel.", True),
        ("Estate", "The Estate had burned; nobody liked the estate.", False),
        ("Tamsel", "There was a Tamsel.", False),
        ("Clara", "He saw no harm in Clara. Clara said so.", True),
        ("Florence", "In spring she lived in Florence, and died in Florence.", False),
    ],
)
def test_a_place_is_not_taken_for_somebody(name: str, body: str, given: bool) -> None:
    assert is_given(name, body) is given


def test_prepared_data_are_mirrored_and_what_is_held_out_is_not(tmp_path: Path) -> None:
    tales = [text(f"Day {i}, and rain. {STORY}", id=f"{i:03}", held_out=i % 5 == 0) for i in range(40)]
    write_texts(tmp_path / "texts.jsonl.xz", tales)
    prepare(
        PretrainConfig(
            data=str(tmp_path), vocabulary=420, tokens=1, mix={"tales/whole": 1.0}, mirrored={"tales": 1.0}
        )
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer", local_files_only=True)

    def read(side: str) -> list[str]:
        bucket = read_buckets(tmp_path / side)["tales/whole"]
        rows = (bucket.row(i, 10_000) for i in range(len(bucket)))
        return [tokenizer.decode(ids[first:]) for ids, first in rows]

    train, held_out = read("train"), read("held_out")
    assert len(train) == 32 and not any(map(women_lead, train))
    assert len(held_out) == 8 and all(map(women_lead, held_out))
