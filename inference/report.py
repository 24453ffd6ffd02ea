"""The second half of a run: samples, metrics.json, report.html, blind.html. One call writes them all.

Renders what `inference.figures` computed; the words around the figures are `inference.summary`'s.
"""

import math
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from data import atomic
from data.bases import DEFAULT
from inference import plots
from inference.choosing import kind_of
from inference.draws import CHOSEN, FINAL, draw_samples, write_blind
from inference.figures import figures
from inference.novelty import CopiedSpan
from inference.pages import explained, render
from inference.runs import Run
from inference.sample import mark_spans
from inference.scorecard import Scorecard, TextScore
from inference.summary import limits, memorising, teaching, verdict_sentences

PLOTTED = (
    (
        "style",
        "Style",
        "share of other authors' texts that a text is less like than like the originals, by features that know no topic; 0 to 1",
    ),
    (
        "stylometry",
        "Stylometry",
        "cosine of rhythm, punctuation, speech and word forms with the originals': what no topic can touch; −1 to 1",
    ),
    ("similarity", "Similarity", "cosine of sentence embeddings: what the text is about, not how; −1 to 1"),
    ("longest_copied_span", "Longest copied span", "words in a row taken from an original"),
    (
        "novelty_4gram_equal",
        "New 4-grams",
        "share of four-word runs that are in none of n-1 originals, averaged; 0 to 1",
    ),
    ("repetition", "Repetition", "share of its own four-word runs that a text repeats; 0 to 1"),
    ("words", "Length", "words"),
)
"""Metrics with a plot of their own: key, title, one line of explanation."""


def write_report(
    path: str | Path, *, redraw: bool = False, progress: bool = False, keep: bool = False
) -> dict[str, Any]:
    """Complete the run at ``path`` and return its metrics.

    Samples are drawn unless they lie there already (``redraw`` draws them again); metrics.json, report.html and the blind test
    are always written anew. Weights of fold models are removed once their samples are drawn, unless the run keeps them.
    """
    started = time.perf_counter()
    run = Run.open(path)
    rows = [] if redraw else run.samples()
    rows = rows or draw_samples(run, progress=progress)
    before = time.perf_counter()
    if progress:
        print("scoring", flush=True)
    metrics, final, floor, control = figures(run, rows)
    seconds = {
        "train": run.provenance["seconds"]["train"],
        "generate": round(sum(row["seconds"] for row in rows), 2),
        "score": round(time.perf_counter() - before, 2),
    }
    metrics["seconds"] = {**seconds, "total": round(sum(seconds.values()), 2)}
    page = render("report.html.j2", **_content(run, rows, metrics, final, floor, control))
    texts = [row["text"] for row in rows if row["set"] == FINAL]
    entries = write_blind(
        run.path, [original.text for original in run.originals], texts, int(run.config["seed"])
    )
    blind = render("blind.html.j2", name=run.name, entries=entries)
    atomic.write_text(run.path / "blind.html", blind)
    atomic.write_text(run.path / "report.html", page)
    atomic.write_json(run.path / "metrics.json", _jsonable(metrics))
    if not keep:
        tidy(run.path)
    if progress:
        print(f"reported in {time.perf_counter() - started:.0f} s")
    return metrics


def tidy(path: str | Path) -> None:
    """Remove the fold models and the control of a reported run, unless its configuration keeps them."""
    run = Run.open(path)
    if not run.config["keep_folds"]:
        for folder in (run.path / "folds", run.control_folder):
            shutil.rmtree(folder, ignore_errors=True)


def _content(
    run: Run,
    rows: list[dict[str, Any]],
    metrics: dict[str, Any],
    final: Scorecard,
    floor: Scorecard,
    control: Scorecard | None,
) -> dict[str, Any]:
    charts = []
    for key, title, explanation in PLOTTED:
        values = {
            name: [t.metrics[key] for t in card.texts if math.isfinite(t.metrics[key])]
            for name, card in (("base", floor), ("control", control), ("samples", final))
            if card
        }
        svg = plots.strip(title, values, final.band.get(key), final.contrast.get(key))
        charts.append({"title": title, "explanation": explanation, "svg": svg})
    raw = [row for row in rows if row["set"] == FINAL]
    vignettes = [
        _sheet(row, card if row["text"] else None) for row, card in zip(raw, final.texts, strict=True)
    ]
    candidates = [row for row in rows if row["set"] == CHOSEN]
    return {
        "run": run,
        "metrics": metrics,
        "sentences": verdict_sentences(metrics),
        "curves": plots.curves(run.held_out["folds"], metrics["chosen_steps"])
        if run.held_out["folds"]
        else "",
        "teaching": teaching(metrics["influence"], [original.name for original in run.originals])
        if metrics["influence"]
        else "",
        "memorising": memorising(metrics, run.held_out),
        "charts": charts,
        "table": explained(final),
        "card": final,
        "vignettes": vignettes,
        "chosen": [_sheet(row, None) for row in candidates if row["chosen"]],
        "refused": Counter(kind_of(row["remark"]) for row in candidates if not row["chosen"]).most_common(),
        "limits": limits(len(run.originals)),
        "notes": final.notes,
        "own_base": run.base.id == DEFAULT,
        "told_from_bank": bool(raw) and all(row.get("plan") == "bank" for row in raw),
    }


def _sheet(row: dict[str, Any], card: TextScore | None) -> dict[str, Any]:
    """What a page shows of one sample; ``card`` where it was scored."""
    spans = [CopiedSpan(**span) for span in row["copied_spans"]]
    return {
        "row": row,
        "marked": mark_spans(row["text"], spans),
        "score": card,
        "copied": sum(s.words for s in spans),
        "sources": sorted({s.source for s in spans}),
    }


def _jsonable(value: Any) -> Any:
    """NaN and infinity become null, which JSON has."""
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
