"""Figures of a base: known shares of rows made by hand, exact bits of a model without an opinion, and the files of a whole run."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.brief import Brief
from data.stories import spread_over, write_stories
from inference.checkpoints import load
from tests.small import NOIR, bpe_tokenizer, byte_tokenizer, few_stories, llama_folder
from training.base import measure
from training.base.config import BaseConfig
from training.base.measure import RULES, bits_of, compare, evaluate, kept_of, table

WORD = ["rain", "fell", "on", "the", "roof"]
BRIEF = Brief(name="Nadia Benali", occupation="piano tuner", keywords=("key", "lamp"), length=40)
GOOD = (
    "Nadia Benali came in with a key. She was a piano tuner, and Nadia liked the lamp.\n\n"
    "Nadia sat down. Then Nadia rose again, and she left. It was late, and Nadia was tired. Nadia slept soon."
)
BAD = "Marta came in. Then Marta sat down. Marta saw Nadia. Marta rose, and Marta left. " * 4


def row(text: str, brief: Brief, ended: bool = True) -> dict[str, object]:
    return {"brief": brief.to_dict(), "ended": ended, "text": text}


# Shares


def test_shares_of_rows_made_by_hand_are_known() -> None:
    half = GOOD.replace("lamp", "door")
    found = kept_of([row(GOOD, BRIEF), row(half, BRIEF), row(BAD, BRIEF), row(BAD, BRIEF, ended=False)])
    assert found["stories"] == 4
    shares = {rule: found[rule]["share"] for rule in RULES if rule in found}
    assert shares == {
        "ended": 0.75, "name": 0.5, "constant": 0.5, "pronouns": 1.0, "occupation": 0.5, "keywords": 0.375, "length": 0.5,
    }  # fmt: skip
    assert {rule: found[rule]["n"] for rule in shares} == {
        rule: 8 if rule == "keywords" else 4 for rule in shares
    }
    assert found["repetition"] > 0.2


def test_a_rule_counts_the_rows_whose_brief_asks_for_it() -> None:
    rows = [row(GOOD, BRIEF), row(GOOD, Brief()), row(GOOD, Brief(place="a harbour"))]
    found = kept_of(rows)
    assert {rule: found[rule]["n"] for rule in RULES if rule in found} == {
        "ended": 3, "name": 1, "constant": 1, "pronouns": 1, "occupation": 1, "place": 1, "keywords": 1, "length": 1,
    } | {"keywords": 2}  # fmt: skip
    assert found["place"]["share"] == 0 and "meets" not in found


def test_the_interval_is_wilsons() -> None:
    rows = [row("It rained.", Brief(), ended=at < 7) for at in range(10)]
    found, z = kept_of(rows)["ended"], 1.959964
    middle, width = 0.7 + z**2 / 20, z * math.sqrt(0.7 * 0.3 / 10 + z**2 / 400)
    assert found["low"] == pytest.approx((middle - width) / (1 + z**2 / 10), abs=1e-4)
    assert found["high"] == pytest.approx((middle + width) / (1 + z**2 / 10), abs=1e-4)


@pytest.mark.parametrize(("words", "kept"), [(79, False), (80, True), (100, True), (120, True), (121, False)])
def test_a_length_is_kept_within_a_fifth(words: int, kept: bool) -> None:
    found = kept_of([row(" ".join(["word"] * words), Brief(length=100))])
    assert found["length"]["share"] == kept


def test_repetition_is_that_of_four_words_in_a_row() -> None:
    assert kept_of([row(" ".join(WORD), Brief())])["repetition"] == 0
    assert kept_of([row(" ".join(["no"] * 13), Brief())])["repetition"] == pytest.approx(0.9)


def test_stories_are_spread_evenly_and_always_the_same() -> None:
    stories = [replace(story, text=str(number)) for number in range(5) for story in few_stories()]
    found = spread_over(stories, 6)
    assert found == [stories[at] for at in (0, 5, 10, 15, 20, 25)] == spread_over(stories, 6)
    assert spread_over(stories, 30) == spread_over(stories, 99) == stories


# Bits per byte


@pytest.mark.parametrize("kind", ["bytes", "pairs"])
def test_a_model_without_an_opinion_costs_the_vocabularys_bits_a_token(kind: str, tmp_path: Path) -> None:
    stories = few_stories()
    texts = [story.text for story in stories]
    tokenizer = byte_tokenizer(bos="<bos>") if kind == "bytes" else bpe_tokenizer(texts)
    checkpoint = load(llama_folder(tmp_path / "llama", tokenizer), dtype="float32", device="cpu")
    with torch.no_grad():
        checkpoint.model.get_output_embeddings().weight.zero_()
    size = sum(len(text.encode("utf-8")) for text in texts)
    tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    # Behind beats each paragraph is encoded by itself, with the break behind it.
    pieces = [f"{part}\n\n" for story in stories for part in story.paragraphs[:-1]]
    pieces += [story.paragraphs[-1] for story in stories]
    parted = sum(len(tokenizer(piece, add_special_tokens=False)["input_ids"]) for piece in pieces)
    assert (tokens == parted == size) if kind == "bytes" else (tokens < size)
    found = bits_of(checkpoint, stories)
    per_byte = math.log2(len(tokenizer)) / size
    assert found == pytest.approx(
        {"bare": tokens * per_byte, "brief": tokens * per_byte, "beats": parted * per_byte}, rel=1e-6
    )


def test_bits_are_weighted_by_bytes(tmp_path: Path) -> None:
    checkpoint = load(llama_folder(tmp_path / "llama"), dtype="float32", device="cpu")
    stories = few_stories()[:3]
    sizes = [len(story.text.encode("utf-8")) for story in stories]
    alone = [bits_of(checkpoint, [story]) for story in stories]
    for name, found in bits_of(checkpoint, stories).items():
        mean = sum(one[name] * size for one, size in zip(alone, sizes, strict=True)) / sum(sizes)
        assert found == pytest.approx(mean)


# A whole evaluation


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> BaseConfig:
    file = tmp_path_factory.mktemp("stories") / "stories.jsonl.xz"
    write_stories(file, few_stories(test=3))
    return BaseConfig(stories=str(file), tokens=1)


def writer(folder: Path) -> Path:
    """A model folder of random weights, whose small context soon cuts what it tells."""
    return llama_folder(folder, byte_tokenizer(bos="<bos>"), context=384)


def test_it_writes_its_stories_and_figures_and_prints_a_table(config: BaseConfig, tmp_path: Path) -> None:
    base, out = writer(tmp_path / "llama"), tmp_path / "out"
    figures = evaluate(config, str(base), out, originals=str(NOIR), briefs=2)
    files = ["base-eval.json", "beats-given.jsonl", "briefs-like-the-originals.jsonl", "test-briefs.jsonl"]
    assert sorted(path.name for path in out.iterdir()) == files
    assert json.loads((out / "base-eval.json").read_text("utf-8")) == figures
    assert set(figures["bits_per_byte"]) == {"bare", "brief", "beats", "originals"}
    tests = [story for story in few_stories(test=3) if story.test]
    told = {
        name: [json.loads(line) for line in (out / name).read_text("utf-8").splitlines()]
        for name in files[1:]
    }
    assert [len(rows) for rows in told.values()] == [2, 2, 2]
    assert [row["beats"] for row in told["beats-given.jsonl"]] == [list(story.beats) for story in tests[:2]]
    assert [row["brief"]["name"] for row in told["test-briefs.jsonl"]] == [s.brief.name for s in tests[:2]]
    names = [row["brief"]["name"] for row in told["briefs-like-the-originals.jsonl"]]
    assert not {name.split()[0] for name in names} & {story.brief.name.split()[0] for story in few_stories()}
    for kind, name in (
        ("test briefs", "test-briefs.jsonl"),
        ("briefs like the originals", "briefs-like-the-originals.jsonl"),
        ("beats given", "beats-given.jsonl"),
    ):
        assert figures[kind] == kept_of(told[name])
    lines = table(figures).splitlines()
    assert lines[0] == f"{figures['base']}: share of 2 stories of each kind, one draw each, 95 % interval"
    assert [line.split()[0] for line in lines[2 : 2 + len(RULES)]] == list(RULES)
    assert lines[-2].startswith("4-grams repeated") and lines[-1].startswith("bits per byte: bare ")
    assert f"originals {figures['bits_per_byte']['originals']:.3f}" in lines[-1]
    assert len({len(line) for line in lines[1:-1]}) == 1  # columns below each other


@pytest.mark.slow
def test_the_same_base_gets_the_same_figures(config: BaseConfig, tmp_path: Path) -> None:
    base = writer(tmp_path / "llama")
    first, second = (
        evaluate(config, str(base), tmp_path / name, originals=str(NOIR), briefs=1) for name in "ab"
    )
    assert first == second


def test_a_file_without_stories_for_testing_is_refused(config: BaseConfig, tmp_path: Path) -> None:
    file = tmp_path / "stories.jsonl.xz"
    write_stories(file, few_stories(test=0))
    with pytest.raises(ValueError, match="has no stories for testing with beats; name files for testing"):
        evaluate(replace(config, stories=str(file)), "tiny", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_stories_of_one_source_are_measured_and_one_without_any_is_refused(
    config: BaseConfig, tmp_path: Path
) -> None:
    stories = few_stories(test=3)
    stories[4] = replace(stories[4], source="warm/a")
    file = tmp_path / "stories.jsonl.xz"
    write_stories(file, stories)
    config = replace(config, stories=str(file), test_source="warm")
    evaluate(config, str(writer(tmp_path / "llama")), tmp_path / "out", originals=str(NOIR), briefs=2)
    for name in ("test-briefs.jsonl", "beats-given.jsonl"):
        (told,) = (tmp_path / "out" / name).read_text("utf-8").splitlines()
        assert json.loads(told)["brief"]["name"] == stories[4].brief.name
    with pytest.raises(ValueError, match="has no stories of plain for testing with beats; name files for"):
        evaluate(replace(config, test_source="plain"), "tiny", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_no_briefs_are_refused_before_anything_is_loaded(config: BaseConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--briefs must be at least 1, found 0"):
        evaluate(config, "no such base", tmp_path / "out", briefs=0)


# A tuned model beside its base


def test_base_and_tuned_model_tell_the_same_briefs(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    figures = compare(str(tiny_run), out, briefs=3)
    assert json.loads((out / "paired.json").read_text("utf-8")) == figures
    told = {
        name: [json.loads(line) for line in (out / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("untuned", "tuned")
    }
    for name, rows in told.items():
        assert figures[name] == kept_of(rows) and figures[name]["stories"] == 3
    untuned, tuned = told.values()
    assert [row["brief"] for row in untuned] == [row["brief"] for row in tuned]
    assert [row["text"] for row in untuned] != [row["text"] for row in tuned]
    lines = table(figures).splitlines()
    assert lines[1].split() == ["must", "untuned", "tuned"]
    assert lines[-1].startswith("fell below the base's interval: ")


def test_what_fell_is_named(tiny_run: Path, tmp_path: Path, monkeypatch) -> None:
    kept = [kept_of([row(text, BRIEF)] * 9) for text in (GOOD, GOOD.replace("lamp", "door"))]
    monkeypatch.setattr(measure, "_told", lambda *_, **__: kept.pop(0))
    figures = compare(str(tiny_run), tmp_path / "out")
    assert figures["fallen"] == ["keywords"]
    assert table(figures).splitlines()[-1] == "fell below the base's interval: keywords"


def test_what_is_no_run_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a finished run"):
        compare(str(tmp_path / "none"), tmp_path / "out")
    with pytest.raises(ValueError, match="--briefs must be at least 1, found 0"):
        compare(str(tmp_path / "none"), tmp_path / "out", briefs=0)
