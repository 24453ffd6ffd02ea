"""What each setting of a tuning is worth: one factor at a time, over several small corpora, by texts that were held out.

Every variant is a run of `training.job` like any other, in a folder of its own, so an interrupted comparison goes on where it
was and each figure can be looked up. Compares; recommends nothing.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import atomic
from inference.plots import scatter
from inference.runs import Run
from inference.summary import mean_of, number, read_metrics
from training.choosing import Curve
from training.config import TrainConfig, build_config
from training.job import train

VARIANTS: dict[str, dict[str, Any]] = {
    "as configured": {},
    "names filled anew": {"refill_names": True},
    "briefs": {"briefs": 0.5},
    "names and briefs": {"refill_names": True, "briefs": 0.5},
    "replay 4": {"replay": 4},
    "goldfish 4": {"goldfish": 4},
    "NEFTune 5": {"neftune": 5.0},
    "dropout 0.1": {"dropout": 0.1},
    "weight decay 0.1": {"weight_decay": 0.1},
    "layer decay 0.8": {"layer_decay": 0.8},
    "rate 5e-5": {"learning_rate": 5e-5},
    "rate 3e-5": {"learning_rate": 3e-5},
    "LoRA 8": {"lora_rank": 8, "learning_rate": 1e-3},
    "LoRA 32": {"lora_rank": 32, "learning_rate": 1e-3},
}
"""Name to the settings that differ from the configuration's."""


@dataclass(frozen=True)
class Outcome:
    """One variant over all corpora. ``held_out`` and ``trained`` are bits per byte over the base's, at the steps that the other
    folds chose, one value a corpus; ``lowest`` the same at the curves' minimum; ``updates`` of the final models. Of reported
    runs also ``style`` against the unseen originals (0..1) and ``span``, the longest run of words copied, in words."""

    variant: str
    held_out: list[float]
    lowest: list[float]
    trained: list[float]
    updates: list[int]
    style: list[float | None]
    span: list[float | None]


def ablate(
    config: TrainConfig,
    corpora: Sequence[Path],
    variants: Mapping[str, Mapping[str, Any]] = VARIANTS,
    *,
    report: bool = False,
    progress: bool = False,
) -> list[Outcome]:
    """Train every variant on every corpus, under ``output_dir``/ablate/, and return what came out.

    ``report`` also draws samples, which gives style and spans and takes three times as long. Finished runs are not made again.
    """
    found = []
    for variant, settings in variants.items():
        runs = []
        for corpus in corpora:
            name = "".join(c if c.isalnum() else "-" for c in f"{variant} {corpus.name}").strip("-")
            folder = str(Path(config.output_dir) / "ablate")
            drawn = {} if report else {"samples_per_fold": 0, "samples_control": 0}
            values = {
                **config.to_dict(),
                **drawn,
                **settings,
                "name": name,
                "originals": str(corpus),
                "output_dir": folder,
            }
            runs.append(train(build_config(values), existing="refresh", report=report, progress=progress))
        found.append(_outcome(variant, [Run.open(run) for run in runs], report))
    atomic.write_text(Path(config.output_dir) / "ablate" / "table.md", table(found) + "\n")
    if report:
        points = {o.variant: (_mean(o.span), _mean(o.held_out)) for o in found}
        svg = scatter(points, "longest copied span, words", "held-out bits per byte over the base's")
        atomic.write_text(Path(config.output_dir) / "ablate" / "plot.svg", svg)
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, a row a variant: means over the corpora, and in how many the held-out texts got more probable."""
    lines = [
        "| variant | held out | lowest | corpora better | trained | updates | style, unseen | longest span |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        better = sum(value < 1 for value in o.held_out)
        lines.append(
            f"| {o.variant} | {_mean(o.held_out) - 1:+.2%} | {_mean(o.lowest) - 1:+.2%} | {better} of {len(o.held_out)} | "
            f"{_mean(o.trained) - 1:+.1%} | {_mean(o.updates):.1f} | {number(_mean(o.style))} | {number(_mean(o.span), 1)} |"
        )
    return "\n".join(lines)


def _outcome(variant: str, runs: Sequence[Run], report: bool) -> Outcome:
    curves = [[Curve.from_dict(_plain(fold)) for fold in run.held_out["folds"]] for run in runs]
    steps = [[fold["steps"] for fold in run.held_out["folds"]] for run in runs]
    metrics = [read_metrics(run.path) if report else None for run in runs]
    return Outcome(
        variant,
        held_out=[_ratio(of, at, "held_out") for of, at in zip(curves, steps, strict=True)],
        lowest=[
            _ratio(of, [run.held_out["minimum"]] * len(of), "held_out")
            for of, run in zip(curves, runs, strict=True)
        ],
        trained=[_ratio(of, at, "train") for of, at in zip(curves, steps, strict=True)],
        updates=[int(run.held_out["chosen_steps"]) for run in runs],
        style=[None if m is None else mean_of(m["cross_fitted"], "style_samples") for m in metrics],
        span=[None if m is None else m["samples"]["longest_copied_span"]["max"] for m in metrics],
    )


def _plain(fold: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fold[key] for key in ("index", "originals", "points")}


def _ratio(curves: Sequence[Curve], steps: Sequence[int], of: str) -> float:
    """Bits per byte at ``steps``, one a curve, over those of the base."""
    at = [{point.step: getattr(point, of) for point in curve.points} for curve in curves]
    return sum(c[step] for c, step in zip(at, steps, strict=True)) / sum(c[0] for c in at)


def _mean(values: Sequence[Any]) -> Any:
    given = [value for value in values if value is not None]
    return statistics.mean(given) if given else None
