"""The report's plots as inline SVG: no script, no font files, colours that follow the page's light or dark mode.

Draws what it is given; computes nothing.
"""

import html
import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window, whatever the machine is set to
from matplotlib import pyplot as plt

_INK = "#010203"
"""A colour that nothing else has; it becomes the page's own text colour."""

TUNED, GREY, ACCENT = "#b4552d", "#8a8f98", "#2d6cb4"

_SETTINGS: dict[str, Any] = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": GREY,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "flaneur",
    "figure.constrained_layout.use": True,
}


def _style() -> AbstractContextManager[Any]:
    context: AbstractContextManager[Any] = matplotlib.rc_context(_SETTINGS)  # type: ignore[arg-type]  # keys are literals
    return context


def curves(folds: Sequence[dict[str, Any]], chosen: int) -> str:
    """Bits per byte over updates, one panel a fold: training texts and held-out ones, the base's level, the steps used.

    ``folds`` as in folds.json; ``chosen`` is the final model's number of steps.
    """
    columns = min(len(folds), 4)
    highest = max(max(point["train"], point["held_out"]) for fold in folds for point in fold["points"])
    rows = -(-len(folds) // columns)
    with _style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(2.6 * columns + 0.6, 2.3 * rows), sharex=True, sharey=True, squeeze=False
        )
        for axis in axes.flat[len(folds) :]:
            axis.set_axis_off()
        for axis, fold in zip(axes.flat, folds, strict=False):
            steps = [point["step"] for point in fold["points"]]
            axis.plot(steps, [p["train"] for p in fold["points"]], color=GREY, label="trained texts")
            axis.plot(steps, [p["held_out"] for p in fold["points"]], color=TUNED, label="held-out text")
            axis.axhline(
                fold["points"][0]["held_out"],
                color=TUNED,
                linewidth=0.8,
                linestyle=":",
                label="held-out, base",
            )
            axis.axvline(fold["steps"], color=ACCENT, linewidth=1, label="steps used")
            axis.set_title(", ".join(fold["originals"])[:28], fontsize=8, parse_math=False)
            axis.set_ylim(0, 1.08 * highest)
        figure.supxlabel(f"updates (final model: {chosen})", fontsize=9)
        figure.supylabel("bits per byte", fontsize=9)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
        return _svg(figure, "Training and held-out curves of every fold")


def strip(
    label: str,
    sets: Mapping[str, Sequence[float]],
    band: Sequence[float] | None,
    contrast: float | None,
) -> str:
    """One metric of each of ``sets`` on a line of its own, the samples' last and below; the originals' band shaded, contrast
    dashed."""
    with _style():
        figure, axis = plt.subplots(figsize=(6.4, 0.55 + 0.3 * len(sets)))
        if band:
            axis.axvspan(min(band), max(band), color=ACCENT, alpha=0.18, linewidth=0)
            axis.plot(band, [(len(sets) - 1) / 2] * len(band), "|", color=ACCENT, markersize=22)
        if contrast is not None:
            axis.axvline(contrast, color=GREY, linestyle="--", linewidth=1)
        names = list(sets)[::-1]
        for row, name in enumerate(names):
            axis.plot(
                sets[name],
                [row] * len(sets[name]),
                "o",
                color=GREY if row else TUNED,
                alpha=0.8,
                markersize=6,
            )
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(-0.6, len(names) - 0.4)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        return _svg(figure, label)


def scatter(points: Mapping[str, tuple[float, float]], across: str, up: str) -> str:
    """Each of ``points`` with its name beside it; ``across`` and ``up`` label the axes."""
    with _style():
        figure, axis = plt.subplots(figsize=(6.4, 4.2))
        for name, (x, y) in points.items():
            axis.plot([x], [y], "o", color=TUNED, alpha=0.8, markersize=6)
            axis.annotate(
                name, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=8, parse_math=False
            )
        axis.set_xlabel(across)
        axis.set_ylabel(up)
        return _svg(figure, f"{up} against {across}")


def _svg(figure: Any, title: str) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The letters are drawn by the page's font; matplotlib's own, which may lack some, only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": title}
        )
    plt.close(figure)
    svg = buffer.getvalue()
    # Without the XML prologue, which has no place inside HTML.
    return (
        svg[svg.index("<svg") :]
        .replace(_INK, "currentColor")
        .replace("<svg ", f'<svg role="img" aria-label="{html.escape(title, quote=True)}" ', 1)
    )
