"""Fluent nonsense: how the scorer sees what a small model wrote that knew words and their order and no sense (tests/nonsense)."""

import json
from statistics import mean
from typing import Any

import pytest

from data.originals import load_originals
from inference.scoring import score
from tests.small import ROOT, SEEDS

ORIGINALS = load_originals(SEEDS)
EIGHT = 8


def nonsense() -> list[dict[str, Any]]:
    """Eight of the samples, at equal distances, as rows that `score` takes."""
    lines = (ROOT / "tests" / "nonsense" / "12m.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 64
    return [{"text": row["text"], "ended_by_eos": row["ended"]} for row in rows[:: len(rows) // EIGHT]]


def test_nonsense_is_not_in_the_manner_of_the_originals() -> None:
    """Without a base the scorer judges manner alone."""
    card = score(nonsense(), ORIGINALS)
    held_out = [score([o], [other for other in ORIGINALS if other is not o]).verdict for o in ORIGINALS]
    assert card.verdict < min(held_out) - 0.1
    assert card.parts["novelty"] > 0.9  # it is no copy


@pytest.mark.slow
@pytest.mark.usefixtures("real_base")
def test_what_the_base_makes_of_nonsense() -> None:
    """It prints how dear the nonsense is beside the originals, and what fluency makes of that."""
    card = score(nonsense(), ORIGINALS, base="stories")
    own = card.band["bits_per_byte_base"]
    found = [(t.metrics["bits_per_byte_base"], t.parts["fluency"], t.verdict) for t in card.texts]
    print(f"\noriginals: bits per byte {', '.join(f'{bits:.3f}' for bits in own)}")
    for bits, fluency, verdict in found:
        print(f"nonsense: bits per byte {bits:.3f}, fluency {fluency:.2f}, verdict {verdict:.2f}")
    assert all(0.4 < bits < 1.2 for bits in own)  # English prose under a model that knows English
    # Nonsense has no meaning, but its words are common and in order: shuffled words would cost twice as much.
    assert all(bits < 2 * max(own) for bits, _, _ in found)
    assert min(bits for bits, _, _ in found) > max(own)
    # Fluency lets it pass and the verdict is high: neither judges sense (LAB.md, 2026-11-30).
    assert mean(verdict for _, _, verdict in found) < 0.8
