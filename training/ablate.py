"""What each setting of a tuning is worth: one factor at a time, over several small corpora, by texts that were held out.

Every variant is a run of `training.job` like any other, in a folder of its own, so an interrupted comparison goes on where it
was and each figure can be looked up. Compares; recommends nothing.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import cpu_count
from tqdm import tqdm

from data import atomic
from data.bases import resolve
from data.brief import parse_vignettes
from data.originals import Original, load_originals
from inference.checkpoints import SMALL_FILES, best_device
from inference.draws import draw_samples, fold_set
from inference.imposters import style_votes
from inference.novelty import copy_limit
from inference.plots import scatter
from inference.report import tidy
from inference.runs import Run
from inference.summary import number
from inference.workers import side_by_side
from training.choosing import Curve
from training.config import TrainConfig, build_config
from training.job import train

PLAIN: dict[str, Any] = {"lora_rank": 0, "refill_names": False, "briefs": 0.0, "learning_rate": 1e-4}
"""What the variants differ from: no help of any kind."""

BOTH: dict[str, Any] = {**PLAIN, "refill_names": True, "briefs": 0.5}

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "names filled anew": {**PLAIN, "refill_names": True},
    "names and scenes": {**PLAIN, "refill_names": True, "refill_scenes": True},
    "briefs": {**PLAIN, "briefs": 0.5},
    "replay 2": {**PLAIN, "replay": 2},
    "goldfish 4": {**PLAIN, "goldfish": 4},
    "NEFTune 5": {**PLAIN, "neftune": 5.0},
    "dropout 0.1": {**PLAIN, "dropout": 0.1},
    "weight decay 10": {**PLAIN, "weight_decay": 10.0},
    "layer decay 0.8": {**PLAIN, "layer_decay": 0.8},
    "rate 3e-5": {**PLAIN, "learning_rate": 3e-5},
    "WiSE-FT 0.5": {**PLAIN, "interpolation": 0.5},
    "LoRA 8": {**PLAIN, "lora_rank": 8, "lora_alpha": 16.0, "learning_rate": 1e-3},
    "LoRA 32": {**PLAIN, "lora_rank": 32, "lora_alpha": 16.0, "learning_rate": 1e-3},
    "names and briefs": BOTH,
    "names, briefs, rate 3e-5": {**BOTH, "learning_rate": 3e-5},
    "names, briefs, replay 2": {**BOTH, "replay": 2},
    "names, briefs, layer decay 0.8": {**BOTH, "layer_decay": 0.8},
}
"""Name to the settings that differ from the configuration's."""


@dataclass(frozen=True)
class Outcome:
    """One variant over all corpora, one value a corpus. ``held_out`` and ``trained`` are bits per byte over the base's, at the
    steps that the other folds chose; ``lowest`` the same at the curves' minimum; ``updates`` of the final models. Of the samples
    of each fold's model ``style`` against the originals it never saw (0..1), ``span``, the longest run of words copied from any
    original, ``over``, how many words that is above the originals' own longest shared run, and ``ended``, the share with an end;
    None where none were drawn."""

    variant: str
    held_out: list[float]
    lowest: list[float]
    trained: list[float]
    updates: list[int]
    style: list[float | None]
    span: list[int | None]
    over: list[int | None]
    ended: list[float | None]


def ablate(
    config: TrainConfig,
    corpora: Sequence[Path],
    variants: Mapping[str, Mapping[str, Any]] = VARIANTS,
    *,
    texts: int | None = None,
    progress: bool = False,
) -> list[Outcome]:
    """Train every variant on every corpus, under ``output_dir``/ablate/, and return what came out.

    A corpus is whatever `data.load_originals` reads, or a file of vignettes behind their briefs; its first ``texts`` are used.
    Finished runs are not made again. Runs of a small model on a CPU go side by side, a core for each.
    """
    if not config.hold_out:
        raise ValueError("hold_out: false leaves nothing to compare variants by; set hold_out: true")
    if texts is not None and texts < 2:
        raise ValueError(f"--texts must be 2 or more, so that one can be held out; found {texts}")
    stems = [corpus.stem for corpus in corpora]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ValueError(f"two corpora are called {', '.join(twice)}, and so would their runs be: rename one")
    folder = Path(config.output_dir) / "ablate"
    folder.mkdir(parents=True, exist_ok=True)
    sources = [_few(corpus, folder, texts) for corpus in corpora]
    jobs = [
        build_config(
            {
                **config.to_dict(),
                "samples_control": 0,
                **settings,
                "name": "".join(c if c.isalnum() else "-" for c in f"{variant} {source.stem}").strip("-"),
                "originals": str(source),
                "output_dir": str(folder),
            }
        )
        for variant, settings in variants.items()
        for source in sources
    ]
    small = resolve(config.base, config.base_revision).weight_bytes() < SMALL_FILES and best_device() == "cpu"
    made = side_by_side(_run, [(job,) for job in jobs], min(len(jobs), cpu_count()) if small else 1)
    runs = list(tqdm(made, total=len(jobs), desc="runs", unit="run", disable=not progress))
    found = [
        _outcome(variant, [Run.open(run) for run in runs[i * len(sources) : (i + 1) * len(sources)]])
        for i, variant in enumerate(variants)
    ]
    atomic.write_text(folder / "table.md", table(found) + "\n")
    points = {o.variant: (_mean(o.span), _mean(o.held_out)) for o in found if _mean(o.span) is not None}
    if points:
        svg = scatter(points, "longest copied span, words", "held-out bits per byte over the base's")
        atomic.write_text(folder / "plot.svg", svg)
    return found


def _few(corpus: Path, folder: Path, texts: int | None) -> Path:
    """A file of the first ``texts`` of a corpus, in ``folder``."""
    if corpus.is_file() and corpus.read_text("utf-8").startswith("==="):
        found = [
            Original(f"{corpus.stem} {number}", text, brief=brief)
            for number, (brief, text) in enumerate(parse_vignettes(corpus.read_text("utf-8")), start=1)
        ]
    else:
        found = load_originals(corpus)
    if len(found) < 2:
        raise ValueError(f"{corpus} has one text; give two or more, so that one can be held out")
    target = folder / f"{corpus.stem}.jsonl"
    atomic.write_jsonl(
        target,
        [
            {"name": o.name, "text": o.text} | ({"brief": o.brief.to_dict()} if o.brief else {})
            for o in found[:texts]
        ],
    )
    return target


def _run(config: TrainConfig) -> Path:
    """The run of ``config``, with samples of its folds' models."""
    path = train(config, existing="refresh")
    run = Run.open(path)
    if config.samples_per_fold and not run.samples():
        draw_samples(run, folds_only=True)
        tidy(path)
    return path


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, a row a variant: means over the corpora, and in how many the held-out texts got more probable."""
    lines = [
        "| variant | held out | lowest | corpora better | trained | updates | style, unseen | ended | longest span | over the originals' |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        better = sum(value < 1 for value in o.held_out)
        ended, over = _mean(o.ended), [value > 0 for value in o.over if value is not None]
        lines.append(
            f"| {o.variant} | {_mean(o.held_out) - 1:+.2%} | {_mean(o.lowest) - 1:+.2%} | {better} of {len(o.held_out)} | "
            f"{_mean(o.trained) - 1:+.1%} | {_mean(o.updates):.1f} | {number(_mean(o.style))} | "
            f"{'-' if ended is None else f'{ended:.0%}'} | {number(_mean(o.span), 1)} | "
            f"{f'{sum(over)} of {len(over)}' if over else '-'} |"
        )
    return "\n".join(lines)


def _outcome(variant: str, runs: Sequence[Run]) -> Outcome:
    curves = [[Curve.from_dict(_plain(fold)) for fold in run.held_out["folds"]] for run in runs]
    steps = [[fold["steps"] for fold in run.held_out["folds"]] for run in runs]
    spans = [_span(run) for run in runs]
    return Outcome(
        variant,
        held_out=[_ratio(of, at, "held_out") for of, at in zip(curves, steps, strict=True)],
        lowest=[
            _ratio(of, [run.held_out["minimum"]] * len(of), "held_out")
            for of, run in zip(curves, runs, strict=True)
        ],
        trained=[_ratio(of, at, "train") for of, at in zip(curves, steps, strict=True)],
        updates=[int(run.held_out["chosen_steps"]) for run in runs],
        style=[_style(run) for run in runs],
        span=[span for span, _ in spans],
        over=[None if span is None else span - limit for span, limit in spans],
        ended=[
            statistics.mean(row["ended_by_eos"] for row in run.samples()) if run.samples() else None
            for run in runs
        ],
    )


def _style(run: Run) -> float | None:
    """Mean style of the samples of each fold's model against what it never saw."""
    found: list[float] = []
    for fold in run.held_out["folds"]:
        texts = [
            row["text"] for row in run.samples() if row["set"] == fold_set(fold["index"]) and row["text"]
        ]
        unseen = [o.text for o in run.originals if o.name in fold["originals"]]
        found += [float(vote) for vote in style_votes(texts, unseen)["style"]] if texts else []
    return _mean(found)


def _span(run: Run) -> tuple[int | None, int]:
    """The longest span that any sample copies from an original, and how long one may be, in words."""
    longest = max((row["scores"]["longest_copied_span"] for row in run.samples()), default=None)
    return longest, copy_limit([original.text for original in run.originals])


def _plain(fold: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fold[key] for key in ("index", "originals", "points")}


def _ratio(curves: Sequence[Curve], steps: Sequence[int], of: str) -> float:
    """Bits per byte at ``steps``, one a curve, over those of the base."""
    at = [{point.step: getattr(point, of) for point in curve.points} for curve in curves]
    return sum(c[step] for c, step in zip(at, steps, strict=True)) / sum(c[0] for c in at)


def _mean(values: Sequence[Any]) -> Any:
    given = [value for value in values if value is not None]
    return statistics.mean(given) if given else None
