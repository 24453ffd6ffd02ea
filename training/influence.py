"""What each original alone teaches about each other: which texts belong together, and which stands apart.

The base is tuned for a few updates on one original and the others are measured, in turn. That is the effect of adding a text to
none, a cheaper stand-in for what leaving it out of all would do, which needs a tuning for every pair of texts. Measures with
what it is given; chooses nothing.
"""

from collections.abc import Callable, Sequence

UPDATES = 2
"""Of each tuning on one text: few, since what is wanted is the direction, and a single text is soon learned by heart."""

MOST = 12
"""Originals above which it is left out: the time goes with the square of their number."""

Measure = Callable[[int | None], Sequence[float]]
"""Bits per byte of all originals under the base tuned on the original at a position; None: under the base itself."""


def influence(n: int, measure: Measure) -> list[list[float]]:
    """Row i: by which share original i alone changes the bits per byte of each of ``n`` originals; below 0 it helps.

    On the diagonal stands what it does for itself, which is memory.
    """
    base = measure(None)
    return [[tuned / before - 1 for tuned, before in zip(measure(i), base, strict=True)] for i in range(n)]
