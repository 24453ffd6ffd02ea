"""Novelty: what a text copies from the originals, in words in a row, and how much of it is new.

Longest copied span: words in a row that are an original's. copied_8: share (0..1) of words in copied spans of 8 and more.
near_copied: share of words in windows of 20 that are an original's but for a word here and there. n-novelty (RAVEN) of 4, 5, 8:
n-grams that stand in no original / n-grams. repetition: 1 - different 4-grams / 4-grams, of the text itself. Words folded by case
and punctuation; a text of fewer than n words has no n-novelty (None): see `inference.novelty` and `inference.near`."""

from typing import Any

from inference.metrics import face
from inference.near import near_copied
from inference.novelty import CopyIndex, repetition

_CITATION = "McCoy et al. 2023, How much do language models copy from their training data? (RAVEN)."
_INPUTS = """predictions: list of str. originals: list of str.

Returns longest_copied_span (the most), novelty_4gram, _5gram and _8gram, copied_8, near_copied and repetition (means), and under
"texts" a dictionary of the same for each text."""


class Novelty(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        index = CopyIndex(originals)
        rows = []
        for text in predictions:
            novelties = {f"novelty_{n}gram": index.ngram_novelty(text, n) for n in (4, 5, 8)}
            span = index.longest(text)
            rows.append(
                {
                    "longest_copied_span": span.words if span else 0,
                    "copied_8": index.copied_share(text),
                    "near_copied": near_copied(text, originals),
                    "repetition": repetition(text),
                    **{key: value if value == value else None for key, value in novelties.items()},
                }
            )
        known = {key: [v for row in rows if (v := row[key]) is not None] for key in rows[0]}
        means = {key: sum(values) / len(values) if values else None for key, values in known.items()}
        return {**means, "longest_copied_span": max(known["longest_copied_span"]), "texts": rows}
