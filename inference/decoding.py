"""Draws tokens so that sample i depends on (seed, i) alone and not on the rows beside it.

The warpers are transformers' own; what is ours is where the randomness comes from: each row has a generator of its own
and takes the best of its warped scores plus Gumbel noise (Gumbel 1954; Maddison et al. 2014), which is exact
sampling. So `model.generate` runs greedily, its global random state untouched.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

SMALL = 30_000_000
"""Parameters below which a step of sampling on a CPU is too short to be shared out: waking the other threads costs what
they save, and letting them spin costs threefold as soon as anything else runs (LAB.md)."""

DEFAULTS = {"temperature": 0.8, "top_p": 1.0, "min_p": 0.1, "guidance": 2.0}
"""Used where neither the caller nor the model's generation config says otherwise."""


@dataclass(frozen=True)
class Decoding:
    """How tokens are drawn: temperature (0 is greedy, above 1 flattens), top_p and min_p (0..1; Nguyen et al. 2024), and how often
    a brief counts (`inference.guidance`; 1: once)."""

    temperature: float
    top_p: float
    min_p: float
    guidance: float = 1.0

    @classmethod
    def choose(
        cls,
        model: PreTrainedModel,
        temperature: float | None,
        top_p: float | None,
        min_p: float | None,
        guidance: float | None = None,
    ) -> "Decoding":
        """What the caller gave, else what the model's generation config says, else `DEFAULTS`; checked."""
        given = {"temperature": temperature, "top_p": top_p, "min_p": min_p, "guidance": guidance}
        for key, default in DEFAULTS.items():
            if given[key] is None:
                stated = getattr(model.generation_config, key, None)
                given[key] = default if stated is None else stated
        ranges = {
            "temperature": (0.0, 10.0),
            "top_p": (0.0, 1.0),
            "min_p": (0.0, 1.0),
            "guidance": (1.0, 10.0),
        }
        problems = [
            f"{key} must be between {low:g} and {high:g}, found {given[key]}"
            for key, (low, high) in ranges.items()
            if not low <= float(given[key]) <= high  # type: ignore[arg-type]
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**{key: float(value) for key, value in given.items()})  # type: ignore[arg-type]

    def warpers(self) -> list[LogitsProcessor]:
        """What changes scores (B, V) before anything is drawn; of a greedy draw the cuts, which matter to a guided one."""
        found: list[LogitsProcessor] = []
        if self.temperature not in (0, 1):
            found.append(TemperatureLogitsWarper(self.temperature))
        if self.top_p < 1:
            found.append(TopPLogitsWarper(self.top_p))
        if self.min_p > 0:
            found.append(MinPLogitsWarper(self.min_p))
        return found

    def noise(self, seed: int, indices: Sequence[int] | Sequence[str]) -> "list[RowNoise]":
        """What draws, for a batch whose rows are the samples ``indices`` of ``seed``; nothing where that is greedy."""
        return [RowNoise(seed, indices)] if self.temperature else []


@contextmanager
def few_threads(model: PreTrainedModel) -> Iterator[None]:
    """One thread meanwhile for a `SMALL` model on a CPU."""
    before = torch.get_num_threads()
    if model.device.type == "cpu" and model.num_parameters() < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def row_seed(seed: int, index: int | str) -> int:
    """A 63-bit seed for sample ``index``, or a part of one; neighbouring seeds and indices give unrelated ones."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:8], "big") >> 1


class RowNoise(LogitsProcessor):
    """Adds Gumbel noise to each row from the row's own generator; the best score is then a fair draw.

    Drawn on the CPU whatever the model's device, so the noise is the same wherever the cuts leave the same tokens.
    """

    def __init__(self, seed: int, indices: Sequence[int] | Sequence[str]) -> None:
        self.generators = [np.random.default_rng(row_seed(seed, index)) for index in indices]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows alone."""
        self.generators = [self.generators[i] for i in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """``scores`` (B, V) plus noise; -inf stays -inf, and noise is drawn for the others alone."""
        noisy = scores.to("cpu", torch.float32, copy=True)
        for row, generator in zip(noisy, self.generators, strict=True):
            (within,) = (row > -torch.inf).nonzero(as_tuple=True)
            # By NumPy, four times as fast as torch; in float64, where a 0 comes once in 2**53 draws.
            drawn = generator.standard_exponential(len(within))
            row[within] -= torch.from_numpy(drawn).float().log_()
        return noisy.to(scores.device)  # type: ignore[return-value]
