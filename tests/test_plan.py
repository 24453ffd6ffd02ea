"""What each update sees: every original once an epoch, whatever is asked for beside, and the same again for the same seed."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data.bases import resolve
from data.brief import Brief
from data.dataset import IGNORE, special_ids
from data.detect import people
from data.originals import Original, ignored, load_originals
from data.stories import FOLDER, STORIES, read_stories
from tests.small import NOIR, SEEDS
from training.config import build_config
from training.plan import GOLDFISH_CONTEXT, Plan, goldfish, some_fields

TOKENIZER = resolve("tiny").tokenizer()
OPENING, END = special_ids(TOKENIZER)
ORIGINALS = load_originals(SEEDS)


BARE = {"refill_names": False, "briefs": 0.0}


def plan(originals: list[Original] = ORIGINALS, context: int = 1024, **settings: Any) -> Plan:
    return Plan(originals, TOKENIZER, context, build_config({**BARE, **settings}))


def texts(made: Plan, updates: int, document: int | None = None) -> list[str]:
    """The rows as they read, without opening and end."""
    return [
        TOKENIZER.decode([i for i in row["input_ids"] if i not in (OPENING, END)])
        for row in made.rows(updates)
        if document is None or row["document"] == document
    ]


@pytest.mark.parametrize(("batch_size", "own"), [(4, 4), (3, 3), (8, 4)])
def test_every_original_is_seen_once_an_epoch_in_a_new_order(batch_size: int, own: int) -> None:
    made = plan(batch_size=batch_size)
    assert made.per_update == own
    documents = made.rows(12)["document"]
    assert len(documents) == 12 * own
    epochs = [documents[i : i + 4] for i in range(0, len(documents) - 3, 4)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_a_longer_tuning_begins_with_the_rows_of_a_shorter_one() -> None:
    made = plan(replay=2, briefs=0.5, refill_names=True, goldfish=4)
    assert made.rows(3).to_list() == made.rows(7).to_list()[: 3 * made.per_update]
    assert (
        made.rows(3).to_list() == plan(replay=2, briefs=0.5, refill_names=True, goldfish=4).rows(3).to_list()
    )
    assert (
        made.rows(3).to_list()
        != plan(replay=2, briefs=0.5, refill_names=True, goldfish=4, seed=1).rows(3).to_list()
    )


def test_without_switches_the_rows_are_the_originals_and_nothing_else() -> None:
    assert Counter(texts(plan(), 3)) == Counter({original.text: 3 for original in ORIGINALS})
    for row in plan().rows(1):
        assert row["labels"] == [IGNORE, *row["input_ids"][1:]]


def test_no_name_of_an_original_is_ever_shown() -> None:
    names = {word for original in ORIGINALS for name in people(original.text) for word in name.split()}
    assert len(names) > 8
    shown = texts(plan(refill_names=True, briefs=1.0), 6)
    assert not [
        (name, text[:80]) for text in shown for name in names if name in text.replace(",", " ").split()
    ]
    of_first = texts(plan(refill_names=True), 6, document=0)
    assert len(set(of_first)) == 6
    assert {len(text.split()) for text in of_first} == {ORIGINALS[0].words}


def test_a_scene_is_filled_anew_with_the_names_and_its_brief_goes_along() -> None:
    bare, filled = (
        texts(plan(briefs=1.0), 6),
        texts(plan(refill_names=True, refill_scenes=True, briefs=1.0), 6),
    )
    assert any("Rivoli" in text for text in bare)
    assert not any("Rivoli" in text for text in filled)
    shown = [Brief.parse(text) for text in filled]
    for brief, text in shown:
        if brief.occupation:
            assert brief.occupation.split()[-1] in text
    assert len({text.partition("Rue de ")[2].split()[0] for _, text in shown if "Rue de " in text}) > 2


def test_briefs_come_as_often_as_asked_for_and_carry_no_loss() -> None:
    rows = plan(briefs=0.5).rows(40)
    headed = [row for row in rows if "---" in TOKENIZER.decode(row["input_ids"])]
    assert 0.3 < len(headed) / len(rows) < 0.6
    for row in headed:
        labels = [i for i in row["labels"] if i != IGNORE]
        assert TOKENIZER.decode(labels[:-1]) == ORIGINALS[row["document"]].text and labels[-1] == END
    assert len({TOKENIZER.decode(row["input_ids"]).partition("---")[0] for row in headed}) > 12


def test_the_brief_beside_a_text_is_the_one_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "rain.txt").write_text("It rained all day, and nobody came.", "utf-8")
    (tmp_path / "rain.yaml").write_text("place: a quay in Ostend\nkeywords: [rain]\n", "utf-8")
    (tmp_path / "notes.yaml").write_text("a: b", "utf-8")
    (original,) = load_originals(tmp_path)
    assert original.brief == Brief(place="a quay in Ostend", keywords=("rain",))
    assert ignored(tmp_path) == ["notes.yaml"]
    shown = "".join(texts(plan([original], briefs=1.0), 12))
    assert "place: a quay in Ostend" in shown and "length" not in shown
    row = tmp_path / "rows.jsonl"
    row.write_text(json.dumps({"text": "It rained.", "brief": {"name": "Ida"}}), "utf-8")
    assert load_originals(row)[0].brief == Brief(name="Ida")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("place: [", "rain.yaml is not YAML"),
        ("plaice: x", "the brief of rain: .*plaice"),
        ("- a", "the brief of rain: a brief is a mapping"),
    ],
)
def test_a_brief_that_can_not_be_read_is_named(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "rain.txt").write_text("It rained all day.", "utf-8")
    (tmp_path / "rain.yaml").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=said):
        load_originals(tmp_path)


def test_stories_for_training_stand_beside_the_originals_none_twice_and_some_with_their_beats() -> None:
    made = plan(replay=6)
    assert made.per_update == 10
    replayed = texts(made, 30, document=-1)
    assert len(replayed) == 180 and len(set(replayed)) == 180
    with_beats = [text for text in replayed if "\n> " in text]
    assert 50 < len(with_beats) < 130
    assert all("\n---\n" in text for text in replayed)  # behind a brief, each of them
    tests = [story.text for story in read_stories(FOLDER / STORIES) if story.test]
    assert len(tests) > 300 and not [text for text in replayed if any(test[-120:] in text for test in tests)]


def test_a_replayed_story_has_labels_for_what_the_base_was_taught_alone() -> None:
    rows = [row for row in plan(replay=6).rows(5) if row["document"] == -1]
    for row in rows:
        learned = TOKENIZER.decode([label for label in row["labels"] if label != IGNORE])
        assert row["labels"][-1] == END and "> " not in learned
        assert "beats:" not in TOKENIZER.decode(row["input_ids"])


def test_one_label_in_so_many_is_left_out_always_the_same_after_the_same_words() -> None:
    rng = random.Random(0)
    ids = [rng.randrange(6000) for _ in range(4000)]
    block = goldfish({"input_ids": ids, "labels": list(ids)}, 4)
    left = [i for i, label in enumerate(block["labels"]) if label == IGNORE]
    assert 0.22 < len(left) / len(ids) < 0.28
    assert min(left) >= GOLDFISH_CONTEXT and block["labels"][-1] == ids[-1]
    # The same words elsewhere: what is left out moves with them.
    moved = goldfish({"input_ids": ids[:50] + ids, "labels": ids[:50] + list(ids)}, 4)["labels"]
    assert [i for i, label in enumerate(moved) if label == IGNORE and i >= 50 + GOLDFISH_CONTEXT] == [
        i + 50 for i in left if i >= GOLDFISH_CONTEXT
    ]
    assert goldfish({"input_ids": ids, "labels": list(ids)}, 0)["labels"] == ids


@pytest.mark.parametrize(("processes", "rows"), [(1, 4), (2, 4), (3, 6)])
def test_an_update_comes_out_even_among_processes_and_none_is_seen_twice(
    processes: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = plan().rows(3).to_list()
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    made = plan()
    assert made.per_update == rows
    found = made.rows(3).to_list()
    assert len(found) == 3 * rows
    assert [row for row in found if row["document"] >= 0] == alone
    for row in found:
        if row["document"] < 0:
            assert row["labels"] == [IGNORE]


def test_a_long_original_is_windows_and_none_of_its_tokens_is_lost() -> None:
    originals = load_originals(NOIR)
    made = plan(originals, context=100, batch_size=2)
    rows = made.rows(200)
    once = sum(len(TOKENIZER(o.text, add_special_tokens=False)["input_ids"]) + 1 for o in originals)
    blocks = len(plan(originals, context=100, batch_size=10**5).rows(1))
    labels = [sum(label != IGNORE for label in row["labels"]) for row in rows]
    assert sum(labels[:blocks]) == once and sum(labels[blocks : 2 * blocks]) == once


def test_any_subset_of_a_brief_is_shown_and_nothing_else() -> None:
    brief = Brief(
        name="Ida Voss", occupation="baker", place="a quay", meets="a man", keywords=("rain",), length=380
    )
    found = [some_fields(brief, random.Random(seed)).to_dict() for seed in range(300)]
    assert all(value == brief.to_dict()[key] for fields in found for key, value in fields.items())
    assert {len(fields) for fields in found} == set(range(1, 7))


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_every_text_stands_behind_its_brief_in_turn(share: float) -> None:
    made = plan(briefs=share, batch_size=4)
    rows = made.rows(12)
    for document in range(4):
        behind = [row["labels"][1] == IGNORE for row in rows if row["document"] == document]
        assert len(behind) == 12
        assert sum(behind) == 12 * share
        assert all(sum(behind[i : i + 4]) == 4 * share for i in range(9))


def test_a_surname_that_the_story_leaves_out_is_not_shown_in_its_brief() -> None:
    text = "Ada sat by the window of the bakery. Ada smiled, and she said nothing. Then Ada left."
    original = Original("a", text, brief=Brief(name="Ada Moreau", keywords=("Moreau", "window")))
    made = plan([original], briefs=1.0, refill_names=True, batch_size=1)
    shown = " ".join(TOKENIZER.decode(row["input_ids"]) for row in made.rows(12))
    assert "Moreau" not in shown and "Ada" not in shown
    assert "name:" in shown and "window" in shown


BEATS = {
    original.sha256: tuple(
        f"{at}: {part.split('.')[0][:40]}" for at, part in enumerate(original.text.split("\n\n"))
    )
    for original in ORIGINALS
}


def test_every_other_text_behind_its_brief_has_its_beats_and_they_carry_no_loss() -> None:
    settings = build_config({"refill_names": True, "briefs": 1.0, "beats": 0.5})
    made = Plan(ORIGINALS, TOKENIZER, 2048, settings, BEATS)
    rows = made.rows(4).to_list()
    told = [row for row in rows if "> " in TOKENIZER.decode(row["input_ids"])]
    assert len(told) == 8
    assert Counter(row["document"] for row in told) == Counter({0: 2, 1: 2, 2: 2, 3: 2})
    for row in told:
        original = ORIGINALS[row["document"]]
        learned = TOKENIZER.decode([label for label in row["labels"] if label not in (IGNORE, END)])
        assert "> " not in learned and learned.count("\n\n") == original.text.count("\n\n")
        assert len(learned.split()) == original.words
        assert row["labels"][-1] == END
    names = {word for original in ORIGINALS for name in people(original.text) for word in name.split()}
    assert not [name for row in told for name in names if f" {name} " in TOKENIZER.decode(row["input_ids"])]
    none = Plan(
        ORIGINALS, TOKENIZER, 1024, build_config({"refill_names": True, "briefs": 1.0, "beats": 0.0}), BEATS
    )
    assert "> " not in "".join(TOKENIZER.decode(row["input_ids"]) for row in none.rows(4).to_list())


def test_a_text_whose_beats_leave_it_no_room_is_shown_without_them() -> None:
    settings = build_config({"refill_names": False, "briefs": 1.0, "beats": 1.0})
    made = Plan(ORIGINALS, TOKENIZER, 600, settings, BEATS)
    rows = made.rows(1).to_list()
    assert all(len(row["input_ids"]) <= 600 for row in rows)
    assert "> " not in "".join(TOKENIZER.decode(row["input_ids"]) for row in rows)
