"""What the style vote is learned from: authors are gathered under one name, and the same corpus gives the same files."""

import json
import lzma
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from inference.families import FAMILIES
from tests.small import ROOT
from training import style
from training.style import fit_style, read_excerpts

AUTHORS = ROOT / "tests" / "benchmarks" / "authors"


def texts_like(author: str, n: int) -> list[str]:
    """Sentences of the author's texts in new orders, in paragraphs of four."""
    rng = random.Random(author)
    known = " ".join(path.read_text("utf-8") for path in sorted((AUTHORS / author).glob("*.txt")))
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", known) if 3 < len(s.split()) < 70]
    made = []
    for _ in range(n):
        drawn = rng.choices(sentences, k=60)
        made.append("\n\n".join(" ".join(drawn[i : i + 4]) for i in range(0, 60, 4)))
    return made


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for i, author in enumerate("ACDEF"):
        for number, text in enumerate(texts_like(author, 16)):
            key = {"generator": f"maker/model-{i}"} if author in "AC" else {"author": f"Person {author * 4}"}
            if author == "F" and number % 2:
                key = {"author": "FFFF, Person (Middle)"}
            rows.append({"text": text, "title": f"{author}{number // 2}", **key})
    rows += [{"text": text, "author": "Too Few", "title": "x"} for text in texts_like("C", 3)]
    folder = tmp_path / "corpus"
    folder.mkdir()
    with lzma.open(folder / "all.jsonl.xz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def test_an_author_has_one_name_and_enough_excerpts(corpus: Path) -> None:
    found = read_excerpts(corpus)
    count = {name: sum(e.author == name for e in found) for name in {e.author for e in found}}
    assert set(count) == {
        *("model maker/model-0", "model maker/model-1", "Person DDDD", "Person EEEE", "FFFF, Person (Middle)")
    }
    assert all(n >= style.FEWEST for n in count.values())
    assert all(0.5 * style.WORDS < len(e.text.split()) < 1.4 * style.WORDS for e in found)


def test_what_is_learned_tells_strangers_apart_and_is_the_same_each_time(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "SIZES", {"char": 120, "masked": 80, "function": 60})
    monkeypatch.setattr(style, "DIMENSIONS", 6)
    figures = fit_style(corpus, tmp_path / "one")
    assert figures["authors"] == 5
    assert figures["auc"] > 0.8
    assert figures["slope"] > 0
    fit_style(corpus, tmp_path / "two")
    for name in ("weights.safetensors", "vocabulary.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    tensors = load_file(tmp_path / "one" / "weights.safetensors")
    vocabulary = json.loads((tmp_path / "one" / "vocabulary.json").read_text("utf-8"))["vocabulary"]
    for family in FAMILIES:
        assert tensors[f"{family}.background"].shape == (5 * style.PER_AUTHOR, 6)
        assert np.isfinite(tensors[f"{family}.matrix"]).all()
    assert [len(vocabulary[f]) for f in ("char", "masked", "function")] == [120, 80, 60]
    # No word of the texts but the common ones is in it.
    assert not any(re.search(r"umbrella|tram|rain", gram) for grams in vocabulary.values() for gram in grams)


def test_a_folder_without_a_corpus_is_met_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--corpus"):
        fit_style(tmp_path)
