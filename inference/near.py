"""Near-verbatim copies: passages of an original with a word changed here and there, which exact spans miss.

Windows of 20 words are aligned with the originals (rapidfuzz: share of words that an edit by insertions and deletions
leaves). Finds edited copies, not paraphrases.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from rapidfuzz import fuzz

from inference.novelty import word_texts

WINDOW, STRIDE = 20, 5
"""Words of a window, and between the starts of two."""

NEAR = 70.0
"""Least alignment (0..100) of a near copy. Every eighth word changed leaves about 87; independent texts of one genre stay under 60."""


@lru_cache(maxsize=2)
def _prepared(references: tuple[str, ...]) -> list[tuple[tuple[str, ...], set[tuple[str, str]]]]:
    """The words of each, and the pairs of neighbours."""
    originals = [word_texts(reference) for reference in references]
    return [(original, set(pairwise(original))) for original in originals]


def near_copied(text: str, references: Sequence[str]) -> float:
    """Share (0..1) of the words of ``text`` that lie in windows near to a passage of a reference; 0 for under 20 words."""
    own = word_texts(text)
    if len(own) < WINDOW:
        return 0.0
    originals = _prepared(tuple(references))
    covered = [False] * len(own)
    for start in [*range(0, len(own) - WINDOW, STRIDE), len(own) - WINDOW]:
        window = own[start : start + WINDOW]
        bigrams = set(pairwise(window))
        for original, known in originals:
            # Nothing near has fewer than three pairs of words in common: most originals need no alignment.
            if len(bigrams & known) >= 3 and fuzz.partial_ratio(window, original) >= NEAR:
                covered[start : start + WINDOW] = [True] * WINDOW
                break
    return sum(covered) / len(own)
