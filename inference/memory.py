"""What a model knows by heart of a text: how much of it comes back, greedily, from its beginning.

The prefix probe of extraction studies (Carlini et al. 2023, "Quantifying memorization across neural language models"): the
first 32 tokens of an original are given, and the tokens that follow are compared with its own. Says nothing of copies
from its middle, nor of text that comes back by chance at temperature: `inference.novelty` measures what is drawn.
"""

from collections.abc import Sequence

import torch

from data.dataset import encode, special_ids
from inference.checkpoints import Checkpoint

PROBED = 32
"""Tokens that are given, and tokens that are waited for."""


@torch.inference_mode()
def recalled(texts: Sequence[str], checkpoint: Checkpoint) -> list[int]:
    """For each text, how many tokens in a row come back, 0 to `PROBED`, when its first `PROBED` are continued greedily.

    Of a text of fewer than twice as many tokens the first half is given. Nothing is drawn for it: greedy choices follow the
    text as long as each is the text's own next token, so one look at the text finds where they first differ.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    opening, _ = special_ids(tokenizer)
    found = []
    for text in texts:
        ids = encode(text, tokenizer)[: min(2 * PROBED, checkpoint.context - 1)]
        given = min(PROBED, len(ids) // 2)
        choices = model(input_ids=torch.tensor([[opening, *ids]], device=model.device)).logits[0].argmax(-1)
        pairs = zip(ids[given:], choices[given:-1].tolist(), strict=True)  # row t chooses the token after t
        found.append(next((i for i, (own, choice) in enumerate(pairs) if own != choice), len(ids) - given))
    return found
