"""Keeps a name of the brief from being begun twice: "Ab Abigail".

A name at the beginning of a line is other tokens than behind a space, and a small model, having drawn the first of those, now and
then goes on as if a space were there. While drawing, a space and the same name are refused behind the beginning of a name,
unless that beginning is a word of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from data.brief import Brief
from data.dataset import encode
from data.lists import words as list_words
from inference.novelty import words

MOST = 16
"""Tokens of a row that are remembered, more than a name has."""


class WholeNames(LogitsProcessor):
    """Refuses to begin a name anew behind its own beginning; each row has the names of its brief.

    tokenizer: of the model. briefs: one a row; its capitalised words are the names.
    """

    def __init__(self, tokenizer: Any, briefs: Sequence[Brief]) -> None:
        self._rows = [[_Name(name, tokenizer) for name in sorted(capitalised(brief))] for brief in briefs]
        self._last: list[list[int]] = [[] for _ in briefs]  # the newest token is all that some callers show

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self._rows = [self._rows[row] for row in rows]
        self._last = [self._last[row] for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V) with what would begin a begun name anew out of reach. To be called once a step."""
        for last, token in zip(self._last, input_ids[:, -1].tolist(), strict=True):
            last[:] = [*last[1 - MOST :], token]
        refused = [
            (row, token)
            for row, (names, last) in enumerate(zip(self._rows, self._last, strict=True))
            for name in names
            if name.is_begun(last)
            for token in name.again
        ]
        if not refused:
            return scores
        scores = scores.clone()  # type: ignore[assignment]
        rows, tokens = zip(*refused, strict=True)
        scores[list(rows), list(tokens)] = -torch.inf
        return scores


class _Name:
    """The tokens of a name without a space before it, and those that begin it behind one."""

    def __init__(self, name: str, tokenizer: Any) -> None:
        self.ids = encode(name, tokenizer)
        # What is a word of its own is no sign of a name: "And" of "Andrea".
        pieces = [tokenizer.decode(self.ids[:count]).strip() for count in range(1, len(self.ids))]
        self.counts = [count for count, piece in enumerate(pieces, start=1) if not _is_word(piece)]
        begun = [ids for end in range(2, len(name)) if len(ids := encode(f" {name[:end]}", tokenizer)) == 1]
        first = {ids[0] for ids in [encode(f" {name}", tokenizer), *begun]}
        # Not a space alone, where that is a token: any word may follow it.
        self.again = sorted(token for token in first if tokenizer.decode([token]).strip())

    def is_begun(self, last: list[int]) -> bool:
        """Whether the ``last`` tokens end with some of the name's, but not all of them."""
        return any(last[-count:] == self.ids[:count] for count in self.counts)


def _is_word(piece: str) -> bool:
    return piece.casefold() in ("a", "i") or (
        len(piece) > 1 and piece.casefold() in list_words("common_words")
    )


def capitalised(brief: Brief) -> set[str]:
    """The capitalised words of ``brief``: names of people and places, which a text is to have."""
    said = " ".join(map(str, brief.to_dict().values()))
    return {said[word.start : word.end] for word in words(said) if said[word.start].isupper()}
