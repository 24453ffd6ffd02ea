"""Keeps a name of the brief from being begun twice: "Ab Abigail".

A name at the beginning of a line is other tokens than behind a space, and a small model, having drawn the first of those, now and
then goes on as if a space were there. While drawing, a space and the same name are refused behind the beginning of a name.
Nothing else is changed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from data.brief import Brief
from data.dataset import encode
from inference.novelty import words


class WholeNames(LogitsProcessor):
    """Refuses to begin a name anew behind its own beginning; each row has the names of its brief.

    tokenizer: of the model. briefs: one a row; its capitalised words are the names.
    """

    def __init__(self, tokenizer: Any, briefs: Sequence[Brief]) -> None:
        self._rows = [[_Name(name, tokenizer) for name in sorted(capitalised(brief))] for brief in briefs]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self._rows = [self._rows[row] for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V) with what would begin a begun name anew out of reach."""
        refused = [
            (row, token)
            for row, names in enumerate(self._rows)
            for name in names
            if name.is_begun(input_ids[row, -name.most :].tolist() if name.most else [])
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
        self.most = len(self.ids) - 1
        begun = [ids for end in range(2, len(name)) if len(ids := encode(f" {name[:end]}", tokenizer)) == 1]
        self.again = sorted({ids[0] for ids in [encode(f" {name}", tokenizer), *begun]})

    def is_begun(self, last: list[int]) -> bool:
        """Whether the ``last`` tokens end with some of the name's, but not all of them."""
        return any(last[-count:] == self.ids[:count] for count in range(1, self.most + 1))


def capitalised(brief: Brief) -> set[str]:
    """The capitalised words of ``brief``: names of people and places, which a text is to have."""
    said = " ".join(map(str, brief.to_dict().values()))
    return {said[word.start : word.end] for word in words(said) if said[word.start].isupper()}
