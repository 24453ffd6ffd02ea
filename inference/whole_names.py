"""Keeps a name of the brief from being begun twice, "Ab Abigail", and from being left in its middle, "Glen" for "Glenn".

A name at the beginning of a line is other tokens than behind a space, and a small model, having drawn the first of those, now and
then goes on as if a space were there, or ends too soon. While drawing, a space and the same name are refused behind the beginning of a
name, and so is whatever would end the word there, unless that beginning is a word of its own.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from transformers import LogitsProcessor

from data.brief import Brief
from data.dataset import encode
from data.lists import words as list_words
from data.names import proper_words
from inference.novelty import words

MOST = 16
"""Tokens of a row that are remembered, more than a name has."""

_LAST_WORD = re.compile(r"(?<![\w'’\-])[^\W\d_]{2,}\Z")


class WholeNames(LogitsProcessor):
    """Refuses to begin a name anew behind its own beginning; each row has the names of its brief.

    tokenizer: of the model. briefs: one a row; its capitalised words are the names.
    """

    def __init__(self, tokenizer: Any, briefs: Sequence[Brief]) -> None:
        self._rows = [[_Name(name, tokenizer) for name in sorted(capitalised(brief))] for brief in briefs]
        self._tokenizer = tokenizer
        self._last: list[list[int]] = [[] for _ in briefs]  # the newest token is all that some callers show

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self._rows = [self._rows[row] for row in rows]
        self._last = [self._last[row] for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V) with what would begin a begun name anew out of reach. To be called once a step."""
        for last, token in zip(self._last, input_ids[:, -1].tolist(), strict=True):
            last[:] = [*last[1 - MOST :], token]
        refused: list[tuple[int, torch.Tensor]] = []
        for row, (names, last) in enumerate(zip(self._rows, self._last, strict=True)):
            refused += [(row, name.again) for name in names if name.is_begun(last)]
            if self._in_the_middle(names, last):
                refused.append((row, _ending(self._tokenizer)))
        if not refused:
            return scores
        scores = scores.clone()  # type: ignore[assignment]
        for row, tokens in refused:
            scores[row].index_fill_(0, tokens.to(scores.device), -torch.inf)
        return scores

    def _in_the_middle(self, names: Sequence["_Name"], last: Sequence[int]) -> bool:
        """Whether the ``last`` tokens end with some letters of a name, but not all of them, that are no word and no name."""
        word = _LAST_WORD.search(self._tokenizer.decode(list(last)))
        if word is None or any(word[0] == name.text for name in names):
            return False
        begun = any(name.text.startswith(word[0]) for name in names)
        return begun and not _is_word(word[0])


@lru_cache(maxsize=2)
def _ending(tokenizer: Any) -> torch.Tensor:
    """The tokens (N,) that end a word: those that do not go on with a letter or an apostrophe."""
    return torch.tensor(
        [
            token
            for token in range(len(tokenizer))
            if not re.match(r"[^\W\d_]|['’\-\ufffd]", tokenizer.decode([token]))
        ],
        dtype=torch.long,
    )


class _Name:
    """The tokens of a name without a space before it, and those that begin it behind one."""

    def __init__(self, name: str, tokenizer: Any) -> None:
        self.text, self.ids = name, encode(name, tokenizer)
        # What is a word of its own is no sign of a name: "And" of "Andrea".
        pieces = [tokenizer.decode(self.ids[:count]).strip() for count in range(1, len(self.ids))]
        self.counts = [count for count, piece in enumerate(pieces, start=1) if not _is_word(piece)]
        begun = [ids for end in range(2, len(name)) if len(ids := encode(f" {name[:end]}", tokenizer)) == 1]
        first = {ids[0] for ids in [encode(f" {name}", tokenizer), *begun]}
        # Not a space alone, where that is a token: any word may follow it.
        self.again = torch.tensor(
            sorted(token for token in first if tokenizer.decode([token]).strip()), dtype=torch.long
        )

    def is_begun(self, last: list[int]) -> bool:
        """Whether the ``last`` tokens end with some of the name's, but not all of them."""
        return any(last[-count:] == self.ids[:count] for count in self.counts)


def _is_word(piece: str) -> bool:
    return piece.casefold() in ("a", "i") or (
        len(piece) > 1 and piece.casefold() in list_words("common_words")
    )


def capitalised(brief: Brief) -> set[str]:
    """Return the capitalised words of ``brief``: names of people and places, which a text is to have.

    An ordinary word of a beat is no name: "The", "She". Nor is one that only begins sentences, unless it is a listed name.
    """
    fields = brief.to_dict()
    plot = "\n".join(fields.pop("beats", ()))
    return proper_words(plot) | _capitalised(" ".join(map(str, fields.values())))


def _capitalised(said: str) -> set[str]:
    return {said[word.start : word.end] for word in words(said) if said[word.start].isupper()}
