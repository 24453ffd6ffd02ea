"""What the base says of each paragraph of a text, and what the text costs behind it."""

import math

import pytest
import torch

from data.brief import MAX_BEATS, Brief
from data.dataset import IGNORE, encode, told_block
from data.originals import Original
from inference.checkpoints import load
from training import beats as made
from training.beats import beats_of, told_bits

TEXT = Original("one", "Ada came in out of the rain.\n\nShe sat down by the window.\n\nThen she went home.")
VERSE = Original("verse", "A line\nand one more.\n\nThe end.")
LONG = Original("long", "\n\n".join(["Ada smiled."] * (MAX_BEATS + 1)))


def test_each_paragraph_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def lines(base: object, paragraphs: list[str], seed: int) -> list[str]:
        seen.extend(paragraphs)
        return [f"about {len(paragraph)}" if "window" not in paragraph else "" for paragraph in paragraphs]

    monkeypatch.setattr(made, "write_beats", lines)
    other = Original("two", "Tom came in.\n\nTom went home.")
    base = load("stories", dtype="float32", device="cpu")
    found = beats_of(base, [VERSE, TEXT, LONG, other], 0)
    assert seen == [*TEXT.text.split("\n\n"), *other.text.split("\n\n")]
    assert found == {other.sha256: ["about 12", "about 14"]}  # of the first one line is missing


def test_told_bits_are_those_of_the_paragraphs_alone() -> None:
    checkpoint = load("stories", dtype="float32", device="cpu")
    lines = ["Ada comes in", "she sits down", "she goes home"]
    block = told_block(TEXT.text, checkpoint.tokenizer, Brief(beats=lines))
    learned = [label for label in block["labels"] if label != IGNORE]
    assert learned == [
        *encode("Ada came in out of the rain.\n\n", checkpoint.tokenizer),
        *encode("She sat down by the window.\n\n", checkpoint.tokenizer),
        *encode("Then she went home.", checkpoint.tokenizer),
        checkpoint.tokenizer.eos_token_id,
    ]
    with torch.inference_mode():
        logs = checkpoint.model(input_ids=torch.tensor([block["input_ids"]])).logits[0].log_softmax(-1)
    nats = -sum(
        float(logs[at - 1, label]) for at, label in enumerate(block["labels"][:-1]) if label != IGNORE
    )
    found = told_bits(checkpoint.model, checkpoint.tokenizer, 1024, [TEXT, VERSE], {TEXT.sha256: lines})
    assert found == pytest.approx(nats / math.log(2) / len(TEXT.text.encode()), rel=1e-4)


def test_nothing_is_measured_of_what_has_no_beats_or_no_room() -> None:
    checkpoint = load("stories", dtype="float32", device="cpu")
    assert told_bits(checkpoint.model, checkpoint.tokenizer, 1024, [TEXT], {}) is None
    lines = {TEXT.sha256: ("a", "b", "c")}
    assert told_bits(checkpoint.model, checkpoint.tokenizer, 20, [TEXT], lines) is None
