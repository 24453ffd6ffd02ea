"""Turns originals into token blocks for a causal language model: one document a block, its end trained.

A document longer than the context becomes overlapping windows in which every token is a label exactly once. Labels
are masked by position, never by token id, so the real end of text is trained whatever the padding token is. Does not
pad, shuffle or pack: documents never share a block.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.brief import Brief
from data.originals import Original
from data.splits import Fold
from data.stories import PARAGRAPHS, told_header, told_pieces

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

Block = dict[str, list[int]]
"""``input_ids`` and ``labels`` of a piece of a document, of equal length."""

IGNORE = -100
"""The label that PyTorch's cross entropy leaves out."""


@dataclass(frozen=True)
class Window:
    """Tokens ``start`` (included) to ``end`` (excluded) of a document; those from ``first`` on are predicted here."""

    start: int
    end: int
    first: int


def windows(n_tokens: int, context: int) -> Iterator[Window]:
    """Overlapping windows of at most ``context`` tokens; each token but the very first is predicted exactly once.

    Windows after the first begin half a context before the tokens they predict, so every token has that much before
    it.

    >>> [(w.start, w.end, w.first) for w in windows(10, 4)]
    [(0, 4, 1), (2, 6, 4), (4, 8, 6), (6, 10, 8)]
    """
    if context < 2:
        raise ValueError(f"the context must be at least 2 tokens, found {context}")
    first, start = 1, 0
    while first < n_tokens:
        end = min(start + context, n_tokens)
        yield Window(start, end, first)
        first, start = end, end - context // 2


def special_ids(tokenizer: Any) -> tuple[int, int]:
    """The token that opens a document (BOS, else the end-of-text token) and the one that ends it.

    Raises ValueError for a tokenizer without an end-of-text token: what it writes would never end.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ValueError(
            "the base's tokenizer has no end-of-text token, so its samples could never end. "
            "Choose another base, or add one: tokenizer.add_special_tokens({'eos_token': '<|endoftext|>'})"
        )
    return (end if tokenizer.bos_token_id is None else tokenizer.bos_token_id), end


def encode(text: str, tokenizer: Any) -> list[int]:
    """Token ids of ``text`` alone: nothing is added in front or behind, whatever the tokenizer is set to.

    What is written like a special token ("<|endoftext|>") is text: else it would end a document in its middle.
    """
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)[
        "input_ids"
    ]
    return ids


def blocks(text: str, tokenizer: Any, context: int, brief: Brief | None = None) -> list[Block]:
    """The token blocks of one document: ``input_ids`` and ``labels``, each of length up to ``context``.

    The document is opening token, brief (if any), text, end token. The opening token and the brief carry no loss.
    """
    opening, end = special_ids(tokenizer)
    header = encode(brief.header(), tokenizer) if brief else []
    ids = [opening, *header, *encode(text, tokenizer), end]
    found = []
    for window in windows(len(ids), context):
        first = max(window.first, 1 + len(header))
        labels = [token if position >= first else IGNORE for position, token in enumerate(ids[: window.end])]
        found.append({"input_ids": ids[window.start : window.end], "labels": labels[window.start :]})
    return [block for block in found if any(label != IGNORE for label in block["labels"])]


def fits_beats(text: str, beats: Sequence[str]) -> bool:
    """Whether ``beats`` can stand before the paragraphs of ``text``: one each, and no paragraph has a line break."""
    return (
        bool(beats) and text.count(PARAGRAPHS) + 1 == len(beats) and "\n" not in text.replace(PARAGRAPHS, "")
    )


def told_block(text: str, tokenizer: Any, brief: Brief) -> Block:
    """The one block of a text told from beats: behind the brief, each paragraph after the line of its beat, as a story is told.

    text: as many paragraphs as the brief has beats, between blank lines. brief: with beats. Brief and beats carry no loss.
    """
    pieces = [(told_header(brief), False), *told_pieces(brief.beats, text.split(PARAGRAPHS))]
    ids, labels = labelled(pieces, tokenizer)
    return {"input_ids": ids, "labels": labels}


def labelled(pieces: Iterable[tuple[str, bool]], tokenizer: Any) -> tuple[list[int], list[int]]:
    """Token ids and labels of a document that is put together from ``pieces``, each encoded by itself.

    pieces: texts, and whether their tokens carry loss. The opening token comes first and carries none, the end token comes last.
    """
    opening, end = special_ids(tokenizer)
    ids, labels = [opening], [IGNORE]
    for piece, learned in pieces:
        tokens = encode(piece, tokenizer)
        ids += tokens
        labels += tokens if learned else [IGNORE] * len(tokens)
    return [*ids, end], [*labels, end]


def build_dataset(
    originals: Sequence[Original],
    tokenizer: Any,
    *,
    context: int,
    fold: Fold | None = None,
    briefs: Sequence[Brief | None] | None = None,
) -> "DatasetDict":
    """The training set as a ``datasets.DatasetDict``.

    ``train`` holds the fold's training originals (all of them without a fold), ``held_out`` the rest, if there is a
    fold. A row is one block: ``input_ids`` and ``labels`` (lists of at most ``context`` ints) and ``document``, the
    position of its original. ``briefs``, one for each original, are put before the texts of ``train``; the held-out
    ones stay bare, since held-out figures are unconditional.
    """
    from datasets import DatasetDict

    if briefs is not None and len(briefs) != len(originals):
        raise ValueError(
            f"there must be one brief (or None) for each of {len(originals)} originals, found {len(briefs)}"
        )

    def split(positions: Sequence[int], with_briefs: bool) -> "Dataset":
        rows = [
            {**block, "document": position}
            for position in positions
            for block in blocks(
                originals[position].text,
                tokenizer,
                context,
                briefs[position] if briefs and with_briefs else None,
            )
        ]
        return to_dataset(rows)

    if fold is None:
        return DatasetDict(train=split(range(len(originals)), True))
    return DatasetDict(train=split(fold.train, True), held_out=split(fold.held_out, False))


def to_dataset(rows: Sequence[dict[str, Any]]) -> "Dataset":
    """``rows`` (input_ids, labels, document) as a ``datasets.Dataset``."""
    from datasets import Dataset, Features, Value
    from datasets import Sequence as ListOf

    features = Features(
        {"input_ids": ListOf(Value("int32")), "labels": ListOf(Value("int64")), "document": Value("int32")}
    )
    return Dataset.from_list(list(rows), features=features)
