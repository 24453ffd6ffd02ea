"""Trains the byte-level BPE tokenizer of the base: GPT-2's split pattern, and one token for each letter and mark of French.

The pattern is left as it is so that converters that know GPT-2's accept it. Every text survives the round trip, since every
byte is a token.
"""

import json
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END = "<|endoftext|>"

SINGLE = "éèêëàâçîïôûœÉ—–…“”‘’"
"""Characters of several bytes that are one token each, alone and after a space."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """A tokenizer of exactly ``vocabulary`` tokens, END being token 0."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary + 600,  # some of what is learned is replaced below
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(texts, trainer)
    forced = list(_forced())
    known = {END: 0} | {
        token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), start=1)
    }
    merges: list[tuple[str, str]] = []
    for left, right in [*forced, *_merges(learned)]:
        merged = left + right
        # Pieces of a character that is one token now would never be used.
        if (
            merged in known
            or left not in known
            or right not in known
            or (_broken(merged) and (left, right) not in forced)
        ):
            continue
        if len(known) == vocabulary:
            break
        known[merged] = len(known)
        merges.append((left, right))
    if len(known) < vocabulary:
        raise ValueError(
            f"the texts give {len(known)} tokens, fewer than {vocabulary}: choose a smaller vocabulary"
        )
    tokenizer = Tokenizer(models.BPE(vocab=known, merges=merges))
    tokenizer.add_special_tokens([END])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bytes_as_text(text: str) -> str:
    """What byte-level BPE makes of ``text``: one visible character a byte."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return "".join(piece for piece, _ in split)


def _forced() -> Iterator[tuple[str, str]]:
    space = _bytes_as_text(" ")
    for mark in SINGLE:
        seen = ""
        for byte in _bytes_as_text(mark):
            if seen:
                yield seen, byte
            seen += byte
    for mark in SINGLE:
        yield space, _bytes_as_text(mark)


def _broken(token: str) -> bool:
    """Whether a token holds part of a character only."""
    return "\ufffd" in str(decoders.ByteLevel().decode([token]))


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
