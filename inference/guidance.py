"""Holds a text to its brief: what the brief makes more probable than it were without one counts twice, or as often as is asked.

Classifier-free guidance (Sanchez et al. 2023, arXiv 2306.17806): each text is run a second time without its brief, and the
difference of the two is added once more. Among the tokens alone that the brief itself leaves probable (the cut of contrastive
decoding, Li et al. 2022, arXiv 2210.15097), since a small model's differences are noise elsewhere. Loads and runs no model:
a batch has its rows twice (`inference.drawing`).
"""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from inference.rows import Processor, RowProcessor


class Guided(LogitsProcessor):
    """Draws for a batch whose first half of rows has briefs and whose second half the same texts without.

    ``warpers`` (guard, temperature, cuts) work on the rows with briefs; then log p + (scale - 1) (log p - log p without the brief)
    is what ``noise`` is added to. ``scale`` is 1 or more, 1 for no guidance; ``temperature`` that of the warpers.
    """

    def __init__(
        self, scale: float, temperature: float, warpers: Sequence[Processor], noise: Sequence[Processor]
    ) -> None:
        self.scale, self.temperature, self.warpers, self.noise = scale, temperature, warpers, noise
        self._texts = 0

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone: both of a text, since both end together."""
        own = [row for row in rows if row < self._texts]
        for processor in (*self.warpers, *self.noise):
            if isinstance(processor, RowProcessor):
                processor.keep(own)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (2B, V) to what text i draws from, the same in rows i and B + i."""
        texts = self._texts = len(scores) // 2
        ids, found = input_ids[:texts], scores[:texts]
        for warper in self.warpers:
            found = warper(ids, found)  # type: ignore[arg-type]
        # Normalised or not: what is the same for all tokens of a row changes nothing. -inf stays -inf.
        found = self.scale * found - (self.scale - 1) * scores[texts:] / self.temperature
        for noise in self.noise:
            found = noise(ids, found)  # type: ignore[arg-type]
        return torch.cat([found, found])  # type: ignore[return-value]
