"""Draws a run's samples: of the final model, of the untuned base for the floor, and of each fold's model.

Writes samples.jsonl, every draw in it, none selected. Does not score; `inference.figures` does.
"""

import time
from pathlib import Path
from typing import Any

from data import atomic
from data.brief import Brief
from data.draw import draw_briefs
from inference.checkpoints import load
from inference.novelty import CopyIndex, shared_spans
from inference.runs import Run
from inference.sampling import Sample, Source, generate, measured, refusal

FINAL, BASE = "final", "base"
"""The sets of samples that every run has; those of fold i are called `fold_set(i)`."""


def fold_set(index: int) -> str:
    """Name of the set drawn from fold ``index``'s model."""
    return f"fold-{index}"


def draw_samples(run: Run, *, progress: bool = False) -> list[dict[str, Any]]:
    """Draw all sets of ``run``, write samples.jsonl and return its rows.

    Final model and base get the same briefs and the same randomness, so their difference is the tuning's. A row is
    `Sample.to_dict` plus ``set``, ``chosen`` (all are), ``remark`` (what speaks against showing it, or None) and
    ``seconds``. Of fold models whose weights are gone, the rows drawn before are kept.
    """
    config = run.config
    texts = [original.text for original in run.originals]
    copies = CopyIndex(texts, [original.name for original in run.originals])
    limit = max(shared_spans(texts), default=None)
    seed = int(config["seed"])
    briefs = draw_briefs(texts, int(config["samples"]), seed)
    sampling: dict[str, Any] = {key: float(config[key]) for key in ("temperature", "top_p", "min_p")}
    most = load(run.path).model.generation_config.max_new_tokens

    def draw(name: str, source: Source, wanted: list[Brief], set_seed: int) -> list[dict[str, Any]]:
        if progress:
            print(f"sampling {len(wanted)} texts: {name}", flush=True)
        started = time.perf_counter()
        samples = generate(
            source, brief=wanted, seed=set_seed, max_new_tokens=most, progress=progress, **sampling
        )
        seconds = round((time.perf_counter() - started) / len(samples), 3)
        return [_row(name, measured(sample, copies), limit, seconds) for sample in samples]

    rows = draw(FINAL, run.path, briefs, seed) + draw(BASE, run.base_source, briefs, seed)
    per_fold, earlier = int(config["samples_per_fold"]), run.samples()
    for fold in run.held_out["folds"] if per_fold else []:
        folder = run.fold_folder(fold["index"]) / "model"
        if folder.exists():
            # Seeds apart from the final model's; no brief is drawn from the original that the fold never saw.
            seen = [o.text for o in run.originals if o.name not in fold["originals"]]
            fold_seed = (seed + 1 + fold["index"]) % 2**32
            rows += draw(fold_set(fold["index"]), folder, draw_briefs(seen, per_fold, fold_seed), fold_seed)
        else:
            rows += [row for row in earlier if row["set"] == fold_set(fold["index"])]
    atomic.write_jsonl(run.path / "samples.jsonl", rows)
    return rows


def _row(name: str, sample: Sample, limit: int | None, seconds: float) -> dict[str, Any]:
    return {
        "set": name,
        "chosen": True,
        "remark": refusal(sample, limit),
        **sample.to_dict(),
        "seconds": seconds,
    }


def write_blind(path: Path, originals: list[str], samples: list[str], seed: int) -> list[tuple[int, str]]:
    """Originals and samples in an order that ``seed`` decides, and ``blind-key.json`` beside, which says what is what.

    Returns (number on the page, text).
    """
    import random

    entries = [("original", text) for text in originals] + [("sample", text) for text in samples]
    random.Random(f"blind:{seed}").shuffle(entries)
    atomic.write_json(path / "blind-key.json", {str(i): kind for i, (kind, _) in enumerate(entries, start=1)})
    return [(i, text) for i, (_, text) in enumerate(entries, start=1)]
