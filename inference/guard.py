"""Refuses, while a text is drawn, the word that would make a copied run longer than it may be.

A run is a series of words that stands in an original in the same order, whatever its case and punctuation; `inference.novelty`
measures the same. The words that could go on with a run at its limit are taken from what can be drawn, whichever pieces they are
made of; everything else stays as probable as it was. Knows nothing of meaning: what is said otherwise is not seen.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from transformers import LogitsProcessor

from data.dataset import encode
from inference.novelty import APOSTROPHES, CopyIndex, Run, folded, words

UNFINISHED = "\ufffd"
"""What a tokenizer shows for a character of which it has not all bytes yet."""


@dataclass
class _Row:
    """What one row has said: the ``run`` that its last whole word ends, and the tokens since, with the word that they begin."""

    free: frozenset[str]
    run: Run
    tail: list[int]
    counted: int = 0
    """Words of the tail that the run has."""
    begun: str = ""
    within: frozenset[str] = frozenset()
    """Words that the begun one may not become."""
    after: frozenset[str] = frozenset()
    """Words that may not be the next."""
    times: int = 0
    ended: bool = False


class CopyGuard(LogitsProcessor):
    """For a batch whose texts begin with ``opening``: no copied run of any row exceeds ``most`` words.

    ``free`` are words that are never refused, a collection for each row: the names of its brief, a user's own. A run that the
    opening exceeds already is not gone on with. Raises ValueError for ``most`` below 1.
    """

    def __init__(
        self, copies: CopyIndex, tokenizer: Any, most: int, free: Sequence[Collection[str]], opening: str = ""
    ) -> None:
        if most < 1:
            raise ValueError(f"a copied run may have 1 word or more, found {most}; guard=False sets no limit")
        self.copies, self.most, self.pieces = copies, most, _pieces(tokenizer)
        start = encode(opening, tokenizer)
        self.rows = [_Row(frozenset(map(folded, own)), copies.start(), list(start)) for own in free]
        self.all = self.rows
        self.begun = False
        for row in self.rows:
            self._advance(row)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self.rows = [self.rows[i] for i in rows]

    @property
    def times(self) -> list[int]:
        """For each row there ever was, how often a run was at its limit and a word that goes on with it was refused."""
        return [row.times for row in self.all]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V) with -inf where a token would complete a refused word."""
        if self.begun:  # at first these are the prompt's, which was counted already
            for row, token in zip(self.rows, input_ids[:, -1].tolist(), strict=True):
                row.ended = row.ended or token in self.pieces.special
                if not row.ended:
                    row.tail.append(token)
                    self._advance(row)
        self.begun = True
        banned = [(i, token) for i, row in enumerate(self.rows) for token in self._banned(row)]
        if not banned:
            return scores
        where = torch.tensor(banned, device=scores.device)
        scores = scores.clone()  # type: ignore[assignment]
        scores[where[:, 0], where[:, 1]] = -torch.inf
        return scores

    def _advance(self, row: _Row) -> None:
        """Let the run go on by the words that the tail has completed, and forget what lies behind them."""
        text = self.pieces.text(row.tail)
        if text.endswith(UNFINISHED):
            return
        found = words(text)
        growing = bool(found) and not text[found[-1].end :].strip(APOSTROPHES)
        whole = found[:-1] if growing else found
        for word in whole[row.counted :]:
            row.run = self.copies.advance(row.run, word.text)
        row.counted = len(whole)
        row.begun = folded(text[found[-1].start :]) if growing else ""
        row.within = row.after = self._refused(row.run, row)
        if growing:
            # A token that begins with a space ends this word and begins the next in one.
            row.after = self._refused(self.copies.advance(row.run, found[-1].text), row)
        last = self.pieces.text(row.tail[-1:])
        if not growing:
            row.tail, row.counted = [], 0
        elif len(row.tail) > 1 and text.endswith(last) and found[-1].start >= len(text) - len(last):
            row.tail, row.counted = row.tail[-1:], len(words(last)) - 1

    def _refused(self, run: Run, row: _Row) -> frozenset[str]:
        return frozenset(self.copies.following(run, self.most)) - row.free

    def _banned(self, row: _Row) -> list[int]:
        """Tokens that would complete a refused word."""
        if row.ended or not (row.within or row.after):
            return []
        row.times += bool(row.after)
        found = [token for word in row.after for token in self.pieces.spaced.get(word, ())]
        # What of a word is still to come, all of it where none is begun.
        rest = [word[len(row.begun) :] for word in row.within if word.startswith(row.begun)]
        return found + [token for end in rest for token in self.pieces.completing(end)]


class _Pieces:
    """What each token of a vocabulary adds to a text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.special = frozenset(tokenizer.all_special_ids)
        # Behind a letter, since some tokenizers drop a space at the start of what they decode.
        self.anchor = encode("a", tokenizer)
        self.before = len(tokenizer.decode(self.anchor))
        self.known: dict[int, str] = {}
        self.single: dict[str, list[int]] = {}

    def text(self, tokens: Sequence[int]) -> str:
        """What ``tokens`` add."""
        for token in tokens:
            if token not in self.known:
                self.known[token] = self._decoded([token])
        joined = "".join(self.known[token] for token in tokens)
        return self._decoded(tokens) if UNFINISHED in joined else joined

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode([*self.anchor, *tokens], skip_special_tokens=False)[self.before :])

    def completing(self, end: str) -> list[int]:
        """Tokens that add ``end`` (folded) to a word; of a single character also the first part, where a case of it is no token."""
        if len(end) != 1:
            return self.bare.get(end, [])
        if end not in self.single:
            written = (encode(f"a{form}", self.tokenizer)[len(self.anchor) :] for form in {end, end.upper()})
            self.single[end] = list({*self.bare.get(end, []), *(tokens[0] for tokens in written if tokens)})
        return self.single[end]

    @property
    def spaced(self) -> dict[str, list[int]]:
        """Tokens that begin a new word, behind a space or a mark, by that word, folded."""
        return self._by_first_word[0]

    @property
    def bare(self) -> dict[str, list[int]]:
        """Tokens that go on with a word, or begin one behind what is no word, by what they add to it, folded."""
        return self._by_first_word[1]

    @cached_property
    def _by_first_word(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        spaced: dict[str, list[int]] = {}
        bare: dict[str, list[int]] = {}
        for token in range(len(self.tokenizer)):
            piece = "" if token in self.special else self.text([token])
            for first in words(piece)[:1]:
                if piece[: first.start].strip(APOSTROPHES):
                    spaced.setdefault(first.text, []).append(token)
                else:
                    bare.setdefault(folded(piece[: first.end]), []).append(token)
        return spaced, bare


@lru_cache(maxsize=4)
def _pieces(tokenizer: Any) -> _Pieces:
    return _Pieces(tokenizer)
