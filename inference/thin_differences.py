"""Models that adapters made of one base, run as one: the base's products are shared, and each row gets what its own model adds.

A merged adapter (Hu et al. 2021, arXiv 2106.09685) is a product of two narrow matrices on top of each weight. They are found again from the
weights alone. Drawing from several such models at once takes little longer than drawing from one (Sheng et al. 2023, arXiv
2311.03285, do so on cards). The sums are other ones than those of merged weights, so that now and then a rounding decides another word.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from inference.packed_weights import PackedLinear, pack, times

WIDEST = 64
"""Rank up to which a difference counts as thin."""

LEFT_OVER = 1e-3
"""Share of a difference, by its norm, that its narrow matrices may leave out."""

SMALLEST = 1e-4
"""Singular values below this share of the largest are rounding."""

Thin = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""By the name of a linear layer the narrow matrices (R, K) and (N, R), whose product is what a model adds to the base's weight."""


@torch.inference_mode()
def thin_difference(model: PreTrainedModel, base: PreTrainedModel) -> Thin | None:
    """Find what a model adds to a base, as narrow matrices.

    model, base: of one configuration, in float32 on a CPU: in a coarser format rounding would hide what is added. Returns None
    where other parameters than the weights of linear layers differ, or these by more than matrices of rank `WIDEST`. By a randomised
    range finder (Halko et al. 2011, arXiv 0909.4061).
    """
    linear = {f"{name}.weight": name for name, layer in base.named_modules() if isinstance(layer, nn.Linear)}
    before = dict(base.named_parameters())
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    after = dict(model.named_parameters())
    if set(after) != set(before):
        return None
    for name, weight in after.items():
        if weight.shape != before[name].shape or weight.dtype != before[name].dtype:
            return None
        if torch.equal(weight, before[name]):
            continue
        narrow = _narrow(weight - before[name]) if name in linear else None
        if narrow is None:
            return None
        found[linear[name]] = narrow
    return found


def _narrow(difference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(R, K) and (N, R) whose product is ``difference`` (N, K); None where they would have to be wide."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(difference.shape[1], min(WIDEST, *difference.shape), generator=generator)
    basis, _ = torch.linalg.qr(difference @ seen)  # (N, R)
    within = basis.T @ difference  # (R, K)
    if torch.linalg.norm(difference - basis @ within) > LEFT_OVER * torch.linalg.norm(difference):
        return None
    left, values, right = torch.linalg.svd(within, full_matrices=False)
    kept = int((values > SMALLEST * values[0]).sum())
    return right[:kept].contiguous(), (basis @ left[:, :kept]) * values[:kept]


class Tuned:
    """What the rows of a batch get on top of the base's products: nothing, or what one of several models adds.

    twin: of the base, with packed weights (`inference.packed_weights`); its layers are replaced. differences: of each model.
    """

    def __init__(self, twin: PreTrainedModel, differences: Sequence[Thin]) -> None:
        self._rows: Sequence[int] = ()
        self._dtype = twin.dtype
        self._masks: dict[Sequence[int], torch.Tensor] = {}
        names = {name for difference in differences for name in difference}
        for name, layer in list(twin.named_modules()):
            if name in names:
                assert isinstance(layer, PackedLinear), name
                parent, _, own = name.rpartition(".")
                setattr(
                    twin.get_submodule(parent), own, _Shared(layer, self, [d.get(name) for d in differences])
                )

    def begin(self, rows: Sequence[int]) -> None:
        """Say of each row of the next batch which model it is of: 0 for the base, 1 for the first of the ``differences``."""
        self._rows, self._masks = rows, {}

    def mask(self, ranks: Sequence[int]) -> torch.Tensor:
        """1 where a column of all models' narrow matrices together is of the row's own: (B, 1, sum of ``ranks``)."""
        if ranks not in self._masks:
            columns = [number for number, rank in enumerate(ranks, start=1) for _ in range(rank)]
            own = torch.tensor(self._rows)[:, None] == torch.tensor(columns)
            self._masks[ranks] = own.to(self._dtype)[:, None]
        return self._masks[ranks]


class _Shared(nn.Module):
    """A linear layer of the base, and what the models add to it."""

    def __init__(
        self, layer: PackedLinear, tuned: Tuned, narrow: Sequence[tuple[torch.Tensor, torch.Tensor] | None]
    ) -> None:
        super().__init__()
        self.layer, self._tuned = layer, tuned
        self._ranks = tuple(len(parts[0]) if parts else 0 for parts in narrow)
        downs, ups = zip(*filter(None, narrow), strict=True)
        dtype = layer.weight.dtype
        self._down, self._up = pack(torch.cat(downs).to(dtype)), pack(torch.cat(ups, dim=1).to(dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        own = times(x, self._down) * self._tuned.mask(self._ranks)
        return self.layer(x) + times(own, self._up)
