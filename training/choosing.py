"""How many steps: as many as make unseen originals most probable.

The mean of the held-out curves falls while the style is learned, and rises when the texts are learned by heart. The rule takes its
lowest point, the earliest of several. Cross-fitted: the steps for one fold come from the other folds' curves, so that what is
reported there was not chosen there. Works on numbers alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One look at a fold's model: updates done, and bits per byte of as many trained texts as held-out ones, and of these."""

    step: int
    train: float
    held_out: float


@dataclass(frozen=True)
class Curve:
    """All looks at one fold, from step 0 (the base) on; ``originals`` names the held-out ones."""

    index: int
    originals: tuple[str, ...]
    points: tuple[Point, ...]

    def held_out(self, step: int) -> float:
        """Held-out bits per byte after ``step`` updates."""
        return next(point.held_out for point in self.points if point.step == step)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Curve":
        """The inverse of `to_dict`."""
        return cls(
            values["index"], tuple(values["originals"]), tuple(Point(**point) for point in values["points"])
        )


@dataclass(frozen=True)
class Choice:
    """``steps`` for the refit, by all curves; ``cross_fitted``, one step a fold, each by the other folds' curves; ``open_ended``: the mean
    curve still fell at its end."""

    steps: int
    cross_fitted: tuple[int, ...]
    open_ended: bool


def mean_curve(curves: Sequence[Curve]) -> list[tuple[int, float]]:
    """(step, mean held-out bits per byte over folds), at the steps that all curves share."""
    steps = [point.step for point in curves[0].points if all(point.step in _steps(c) for c in curves)]
    return [(step, sum(curve.held_out(step) for curve in curves) / len(curves)) for step in steps]


def lowest(curve: Sequence[tuple[int, float]]) -> int:
    """The step with the lowest value; the first of several.

    >>> lowest([(0, 1.00), (2, 0.98), (4, 0.98), (6, 1.01)])
    2
    """
    return min(curve, key=lambda point: (point[1], point[0]))[0]


def choose_steps(curves: Sequence[Curve]) -> Choice:
    """Apply the rule to all folds, and to all but each. With a single curve its own stands in for the others."""
    mean = mean_curve(curves)
    others = [[c for c in curves if c is not curve] or list(curves) for curve in curves]
    steps = lowest(mean)
    return Choice(
        steps=steps,
        cross_fitted=tuple(lowest(mean_curve(rest)) for rest in others),
        open_ended=steps == mean[-1][0],
    )


def _steps(curve: Curve) -> set[int]:
    return {point.step for point in curve.points}
