"""Chooses among candidates: gates that a text must pass, then its manner, then its difference from the texts chosen before it.

The gates ask for what a reader would not forgive: no end, a copy, a loop, somebody else's story, broken words. Style counts up to
where the originals begin to be as near to each other; beyond it texts are as good as one another, and the one least like the
others is taken, since pressing a figure further buys nothing that it measures. Draws nothing; judges no sense.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference.sample import Sample

LOOPING = 0.15
"""Share of repeated 4-grams above which a candidate counts as looping; the four originals lie under 0.03."""

BROKEN = 0.5
"""The part fluency (`inference.parts`) under which a text counts as broken."""

VARIETY = 0.5
"""What nearness in content to a text chosen before costs, in units of style."""


@dataclass(frozen=True)
class Measures:
    """What choosing needs to know of the originals' kind: their texts, the longest run that may be one of theirs (None for any), and
    the model that tells broken text (None for none)."""

    originals: tuple[str, ...] = ()
    longest_span: int | None = None
    base: Any = None


def choose(
    groups: Sequence[Sequence[Sample]], measures: Measures, *, strict: bool = True
) -> tuple[list[Sample], list[Sample]]:
    """One of each group of candidates where one passes, and all others with what spoke against them.

    Where none of a group passes there is a warning, and nothing of it is chosen; with ``strict`` False the one that comes nearest to
    passing is, and keeps its remark.
    """
    rated = _rated(groups, measures)
    chosen: list[Sample] = []
    refused: list[Sample] = []
    vectors: list[np.ndarray] = []
    for group in rated:
        passed = [one for one in group if one.sample.remark is None]
        if not passed:
            reasons = "; ".join(f"{one.sample.index}: {one.sample.remark}" for one in group)
            what = "left out" if strict else "the nearest to passing is returned all the same"
            warnings.warn(f"none of {len(group)} candidates passed, {what} ({reasons})", stacklevel=3)
        best = max(passed or ([] if strict else group), key=lambda one: _merit(one, vectors), default=None)
        for one in group:
            if one is best:
                chosen.append(one.sample)
                vectors += [] if one.vector is None else [one.vector]
            else:
                remark = (
                    one.sample.remark
                    or "another candidate was nearer to the originals or less like the others"
                )
                refused.append(replace(one.sample, chosen=False, remark=remark))
    return chosen, refused


@dataclass(frozen=True)
class _Rated:
    """A candidate with its remark, how near it is to the originals' manner as far as that counts, and its content's vector."""

    sample: Sample
    manner: float
    vector: np.ndarray | None
    copies: bool


def _rated(groups: Sequence[Sequence[Sample]], measures: Measures) -> list[list[_Rated]]:
    """All candidates, measured at once."""
    flat = [sample for group in groups for sample in group]
    written = [sample for sample in flat if sample.text]
    scored: dict[int, Any] = {}
    vectors: dict[int, np.ndarray] = {}
    enough = 0.0
    band: dict[str, tuple[float, float]] = {}
    if measures.originals and written:
        from inference.scale import embedded
        from inference.scoring import score

        card = score(written, measures.originals, base=measures.base)
        scored = {id(sample): text for sample, text in zip(written, card.texts, strict=True)}
        vectors = dict(zip(map(id, written), embedded([sample.text for sample in written]), strict=True))
        if own := card.band.get("style"):
            enough, band = min(own), {"style": (min(own), max(own))}
    found = []
    for sample in flat:
        text, vector = scored.get(id(sample)), vectors.get(id(sample))
        remark = refusal(sample, measures.longest_span, text.parts["fluency"] if text else None)
        manner = -sample.scores["repetition"]
        if text:
            sample = replace(
                sample, scores={**sample.scores, "style": text.metrics["style"]}, band={**sample.band, **band}
            )
            manner = min(text.metrics["style"], enough or 1.0)
        copied = sample.scores.get("longest_copied_span", 0)
        copies = measures.longest_span is not None and copied > measures.longest_span
        found.append(_Rated(replace(sample, remark=remark), manner, vector, copies))
    rows = iter(found)
    return [[next(rows) for _ in group] for group in groups]


def _merit(one: _Rated, before: Sequence[np.ndarray]) -> tuple[bool, bool, bool, float]:
    """What the candidate with the most is chosen by; the first three matter only where none has passed."""
    near = 0.0 if one.vector is None else max((float(one.vector @ other) for other in before), default=0.0)
    return bool(one.sample.text), not one.copies, one.sample.ended_by_eos, one.manner - VARIETY * near


def refusal(sample: Sample, longest_span: int | None, fluency: float | None = None) -> str | None:
    """Why a candidate should not be shown, in words; None if nothing speaks against it.

    ``longest_span`` is how many words in a row may be an original's, None for any number; ``fluency`` the part of that name,
    None where no base was asked.
    """
    copied = sample.scores.get("longest_copied_span", 0)
    if not sample.text:
        return "is empty"
    if not sample.ended_by_eos:
        return f"did not end within {sample.tokens} tokens"
    if longest_span is not None and copied > longest_span:
        return f"copies {copied} words in a row (at most {longest_span} are the originals' own habit)"
    if sample.scores["repetition"] > LOOPING:
        return f"loops: {sample.scores['repetition']:.0%} of its 4-grams are repeated"
    if names := sample.scores.get("leaked_names"):
        return f"has the originals' {', '.join(names)}, whom nobody asked for"
    obeyed = sample.scores.get("obeyed", {})
    if not (obeyed.get("name", True) and obeyed.get("constant", True)):
        return f"is not about {sample.brief.name} throughout"
    if fluency is not None and fluency < BROKEN:
        return f"reads as broken: fluency {fluency:.2f}"
    return None
