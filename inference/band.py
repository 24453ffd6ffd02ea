"""Which originals a range is of: all, or of many forty that are evenly spaced, since each is set against all others."""

from collections.abc import Sequence

BAND_OF = 40
"""Originals that a range is of at most."""


def banded(n: int) -> Sequence[int]:
    """Positions of those among ``n``."""
    return range(0, n, -(-n // BAND_OF)) if n else range(0)
