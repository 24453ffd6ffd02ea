"""Beats of texts that have none: what the base says of each paragraph, so that a tuning can show them as stories are told.

Asks the base (`inference.plans.write_beats`); trains nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from data.brief import MAX_BEATS, Brief
from data.dataset import IGNORE, fits_beats, told_block
from data.originals import Original
from data.stories import PARAGRAPHS
from inference.checkpoints import Checkpoint
from inference.plans import write_beats

AT_MOST = 64
"""Texts for which the base writes beats; each takes some seconds on a CPU."""


def beats_of(base: Checkpoint, texts: Sequence[Original], seed: int) -> dict[str, list[str]]:
    """Let a base write one line for each paragraph of each text.

    base: taught by `training.base`. texts: any. seed: of the draws. Returns the lines by the hash of each text; a text of more
    than `MAX_BEATS` paragraphs, with line breaks inside one, or with one that no line was written for, is left out.
    """
    fitting = {
        text.sha256: text.text.split(PARAGRAPHS)
        for text in texts
        if text.text.count(PARAGRAPHS) < MAX_BEATS and fits_beats(text.text, text.text.split(PARAGRAPHS))
    }
    lines = iter(write_beats(base, [part for parts in fitting.values() for part in parts], seed))
    found = {key: [next(lines) for _ in parts] for key, parts in fitting.items()}
    return {key: beats for key, beats in found.items() if all(beats)}


@torch.inference_mode()
def told_bits(
    model: PreTrainedModel,
    tokenizer: Any,
    context: int,
    texts: Sequence[Original],
    beats: Mapping[str, Sequence[str]],
) -> float | None:
    """Measure bits per byte of texts, each paragraph behind its beat; the beats cost nothing.

    model, tokenizer, context: the model and the tokens that it sees at once. texts: measured are those that ``beats`` has, by hash,
    and that fit into the context. None where there is none.
    """
    nats = size = 0.0
    for text in texts:
        if lines := beats.get(text.sha256):
            block = told_block(text.text, tokenizer, Brief(beats=lines))
            if len(block["input_ids"]) > context:
                continue
            logits = model(input_ids=torch.tensor([block["input_ids"]], device=model.device)).logits[0, :-1]
            labels = torch.tensor([*block["labels"][1:-1], IGNORE], device=model.device)  # the end is no byte
            nats += float(
                functional.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="sum")
            )
            size += len(text.text.encode("utf-8"))
    return nats / math.log(2) / size if size else None
