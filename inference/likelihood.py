"""How probable a model finds a text: perplexity, and bits per byte, which compares models of any tokenizer.

bits per byte = -log2 p(text) / UTF-8 bytes of the text in NFC; perplexity = exp(nats / tokens). Texts stand alone: no
brief, the first token conditioned on BOS (else on the end-of-text token), windows overlapping by half a context so that
each token is scored once, the end token left out and reported apart, since a base gains by merely learning to end. Corpus figures are
weighted by tokens or bytes, never means of texts. Does not judge style or sense.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from data.bases import DEFAULT
from data.brief import Brief
from data.dataset import encode, special_ids, windows
from data.originals import normalise
from inference.checkpoints import Checkpoint, load

LOGITS_AT_ONCE = 2**26
"""Most logits (rows x tokens x vocabulary) of one forward pass: 256 MiB in float32, whatever the vocabulary."""


def perplexity(
    texts: Sequence[str],
    model: "str | Path | Checkpoint | PreTrainedModel" = DEFAULT,
    *,
    batch_size: int = 8,
    briefs: Sequence[Brief] | None = None,
) -> dict[str, Any]:
    """Perplexity of ``texts`` under ``model`` (whatever `load` takes), computed in float32, or in
    the type of a model that is loaded already.

    Returns ``perplexity`` (1 to infinity, the geometric mean over all tokens), ``bits_per_byte``, ``nll`` (nats per
    token), ``nll_per_word`` (words between white space), ``tokens`` and ``bytes`` of the corpus, ``end_nll`` (nats of the
    end token, mean over texts), and under ``texts`` the same keys as lists, one value a text. ``batch_size`` (rows at
    once) changes speed alone. With ``briefs``, one for each text, a text stands behind its brief, which costs nothing itself.

    A model that finds all V tokens equally likely has perplexity V. Raises ValueError for no or an empty text.
    """
    if isinstance(texts, str):
        raise ValueError("texts must be a list of strings, found one string: put it in brackets")
    texts = [normalise(text) for text in texts]
    if not texts or not all(texts):
        raise ValueError(f"there is nothing to score in text {texts.index('') if texts else 0}: it is empty")
    if briefs is not None and len(briefs) != len(texts):
        raise ValueError(f"there must be a brief for each of {len(texts)} texts, found {len(briefs)}")
    training = isinstance(model, PreTrainedModel) and model.training
    checkpoint = load(model, dtype="float32")
    if training:
        checkpoint.model.train()  # a live model in training, which `load` turned to evaluation
    nlls = token_nll(texts, checkpoint.model, checkpoint.tokenizer, checkpoint.context, batch_size, briefs)
    return summarise(texts, nlls)


def summarise(texts: Sequence[str], nlls: Sequence[torch.Tensor]) -> dict[str, Any]:
    """The figures that `perplexity` returns, from each text's token nlls (nats; the end token's comes last)."""
    tokens = [len(nll) - 1 for nll in nlls]
    n_bytes = [len(text.encode("utf-8")) for text in texts]
    total = [float(nll[:-1].double().sum()) for nll in nlls]
    end = [float(nll[-1]) for nll in nlls]

    words = [len(text.split()) for text in texts]

    def figures(nats: float, n_tokens: int, n_words: int, size: int, end_nll: float) -> dict[str, float]:
        mean = nats / n_tokens
        return {
            "perplexity": math.exp(mean) if mean < 700 else math.inf,
            "bits_per_byte": nats / math.log(2) / size,
            "nll": mean,
            "nll_per_word": nats / n_words,
            "tokens": n_tokens,
            "bytes": size,
            "end_nll": end_nll,
        }

    each = [figures(*row) for row in zip(total, tokens, words, n_bytes, end, strict=True)]
    corpus: dict[str, Any] = figures(sum(total), sum(tokens), sum(words), sum(n_bytes), sum(end) / len(end))
    corpus["texts"] = {key: [row[key] for row in each] for key in each[0]}
    return corpus


@torch.inference_mode()
def token_nll(
    texts: Sequence[str],
    model: PreTrainedModel,
    tokenizer: Any,
    context: int,
    batch_size: int = 8,
    briefs: Sequence[Brief] | None = None,
) -> list[torch.Tensor]:
    """Nats of every token of every text under a live model: for each text a float32 tensor (tokens + 1,), on the CPU.

    The last value is the end token's; tokens of the ``briefs`` before the texts have none. The model's mode is left as it was
    found; dropout is off meanwhile.
    """
    opening, end = special_ids(tokenizer)
    headers = [encode(brief.header(), tokenizer) for brief in briefs or [Brief()] * len(texts)]
    documents = [
        [opening, *header, *encode(text, tokenizer), end] for header, text in zip(headers, texts, strict=True)
    ]
    result = [torch.zeros(len(ids) - 1) for ids in documents]
    jobs = [(i, window) for i, ids in enumerate(documents) for window in windows(len(ids), context)]
    jobs.sort(key=lambda job: job[1].end - job[1].start)  # rows of like length share a batch: little padding
    training = model.training
    model.eval()
    while jobs:
        longest = jobs[-1][1].end - jobs[-1][1].start
        rows = max(
            1, min(batch_size, LOGITS_AT_ONCE // (longest * model.config.get_text_config().vocab_size))
        )
        batch, jobs = jobs[-rows:], jobs[:-rows]
        # (B, T), padded on the right, where a causal model never looks: no mask, and attention takes its fast path.
        ids = torch.full((len(batch), longest), end)
        for row, (i, window) in enumerate(batch):
            ids[row, : window.end - window.start] = torch.tensor(documents[i][window.start : window.end])
        logits = model(input_ids=ids.to(model.device)).logits  # (B, T, V)
        nll = cross_entropy(
            logits[:, :-1].transpose(1, 2).float(), ids[:, 1:].to(model.device), reduction="none"
        ).cpu()
        for row, (i, window) in enumerate(batch):
            # Position p of the window is predicted by the logits at p - 1.
            first, last = window.first - window.start - 1, window.end - window.start - 1
            result[i][window.first - 1 : window.end - 1] = nll[row, first:last]
    model.train(training)
    return [nll[len(header) :] for nll, header in zip(result, headers, strict=True)]
