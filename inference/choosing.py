"""Chooses among candidates: gates that a text must pass, then its manner, then its difference from the texts chosen before it.

The gates ask for what a reader would not forgive: no end, a copy, a loop, somebody else's story, a he who is called she, broken words.
Style counts up to where the originals begin to be as near to each other; beyond it texts are as good as one another, and the one
least like the others is taken, since pressing a figure further buys nothing that it measures. Draws nothing; judges no sense.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from inference.band import banded
from inference.bank import LONGEST
from inference.novelty import repetition
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
    rated = _rated(groups, measures, strict)
    chosen: list[Sample] = []
    refused: list[Sample] = []
    vectors: list[np.ndarray] = []
    for group in rated:
        passed = [one for one in group if one.sample.remark is None]
        if not passed:
            reasons = "; ".join(f"{one.sample.index}: {one.sample.remark}" for one in group)
            what = "left out" if strict else "the nearest to passing is returned all the same"
            warnings.warn(f"none of {len(group)} candidates passed, {what} ({reasons})", stacklevel=4)
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


def _rated(groups: Sequence[Sequence[Sample]], measures: Measures, strict: bool) -> list[list[_Rated]]:
    """All candidates with their remarks. Only those are measured further that may still be chosen."""
    remarks = {id(one): refusal(one, measures.longest_span) for group in groups for one in group}
    candidates = [
        one
        for group in groups
        for one in group
        if one.text
        and (remarks[id(one)] is None or (not strict and all(remarks[id(other)] for other in group)))
    ]
    styles: dict[int, float] = {}
    vectors: dict[int, np.ndarray] = {}
    own: tuple[float, ...] = ()
    if measures.originals and candidates:
        from inference.imposters import style_votes
        from inference.scale import embedded

        texts, own = [one.text for one in candidates], _own_style(measures.originals)
        votes = style_votes(texts, measures.originals, equal=True)["style"]
        styles = {id(one): float(vote) for one, vote in zip(candidates, votes, strict=True)}
        vectors = {id(one): vector for one, vector in zip(candidates, embedded(texts), strict=True)}
        if measures.base is not None:
            fluencies = dict(zip(map(id, candidates), _fluencies(candidates, measures), strict=True))
            remarks |= {
                key: f"reads as broken: fluency {value:.2f}"
                for key, value in fluencies.items()
                if remarks[key] is None and value < BROKEN
            }
    band = {"style": (min(own), max(own))} if own else {}
    return [[_one(one, remarks, styles, vectors, band, measures) for one in group] for group in groups]


def _one(
    sample: Sample,
    remarks: Mapping[int, str | None],
    styles: Mapping[int, float],
    vectors: Mapping[int, np.ndarray],
    band: Mapping[str, tuple[float, float]],
    measures: Measures,
) -> _Rated:
    key, manner, scores = id(sample), -float(sample.scores["repetition"]), sample.scores
    if key in styles:
        scores = {**scores, "style": styles[key]}
        manner = min(styles[key], band["style"][0] if band else 1.0)
    copied = scores.get("longest_copied_span", 0)
    copies = measures.longest_span is not None and copied > measures.longest_span
    full = replace(sample, remark=remarks[key], scores=scores, band={**sample.band, **band})
    return _Rated(full, manner, vectors.get(key), copies)


@lru_cache(maxsize=4)
def _own_style(originals: tuple[str, ...]) -> tuple[float, ...]:
    """The votes of each original (`inference.band`) against the others; none where there is one alone."""
    from inference.imposters import style_votes

    others = {i: [*originals[:i], *originals[i + 1 :]] for i in banded(len(originals))}
    return tuple(float(style_votes([originals[i]], of)["style"][0]) for i, of in others.items() if of)


def _fluencies(samples: Sequence[Sample], measures: Measures) -> list[float]:
    """The part of that name (`inference.parts`) of each sample, by loops and by what the base finds improbable."""
    from inference.checkpoints import load
    from inference.likelihood import perplexity
    from inference.parts import fluency
    from inference.scoring import own_bits

    base = load(measures.base, dtype="float32")
    bits = perplexity([one.text for one in samples], base)["texts"]["bits_per_byte"]
    band = {
        "repetition": [repetition(text) for text in measures.originals],
        "bits_per_byte_base": own_bits(base, measures.originals),
    }
    rows = [{**one.scores, "bits_per_byte_base": value} for one, value in zip(samples, bits, strict=True)]
    return [fluency(row, band) for row in rows]


def _merit(one: _Rated, before: Sequence[np.ndarray]) -> tuple[bool, bool, bool, float]:
    """What the candidate with the most is chosen by; the first three matter only where none has passed."""
    near = 0.0 if one.vector is None else max((float(one.vector @ other) for other in before), default=0.0)
    return bool(one.sample.text), not one.copies, one.sample.ended_by_eos, one.manner - VARIETY * near


def refusal(sample: Sample, longest_span: int | None) -> str | None:
    """Why a candidate should not be shown, in words, as far as its own scores tell; None if nothing speaks against it.

    ``longest_span`` is how many words in a row may be an original's, None for any number.
    """
    copied = sample.scores.get("longest_copied_span", 0)
    if not sample.text:
        return "is empty"
    if not sample.ended_by_eos:
        return f"did not end within {sample.tokens} tokens"
    if longest_span is not None and copied > longest_span:
        return f"copies {copied} words in a row (at most {longest_span} are the originals' own habit)"
    if borrowed := sample.scores.get("bank_span", 0):
        return f"has {borrowed} words in a row of a story of the bank (at most {LONGEST} are allowed)"
    if sample.scores["repetition"] > LOOPING:
        return f"loops: {sample.scores['repetition']:.0%} of its 4-grams are repeated"
    if names := sample.scores.get("leaked_names"):
        return f"has the originals' {', '.join(names)}, whom nobody asked for"
    obeyed = sample.scores.get("obeyed", {})
    if not (obeyed.get("name", True) and obeyed.get("constant", True)):
        return f"is not about {sample.brief.name} throughout"
    if not obeyed.get("pronouns", True):
        return f"does not know whether {sample.brief.name} is he or she"
    return None


def kind_of(remark: str) -> str:
    """A remark without its figures and names, to count."""
    said = re.sub(r"is not about .* throughout", "is not about the one it was asked for throughout", remark)
    said = re.sub(r"whether .* is he or she", "whether its protagonist is he or she", said)
    said = re.split(r"[:(]|, whom", said)[0].strip()
    said = re.sub(r"the originals' .*", "a name of the originals", said)
    return re.sub(r"\d+", "so many", said)
