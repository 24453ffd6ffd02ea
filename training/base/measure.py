"""What a base can do, in figures without selection: bits per byte of unseen texts, and stories told from unseen briefs and beats.

Plain string rules, each with a Wilson interval (Wilson 1927). Does not judge sense: the stories are written out to be read.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binomtest
from torch.nn import functional

from data import atomic
from data.brief import Brief
from data.dataset import IGNORE
from data.draw import draw_briefs
from data.originals import load_originals
from data.plots import with_finer_beats
from data.stories import Story, read_stories, spread_over, stories_for_testing
from inference.adherence import adherence
from inference.checkpoints import Checkpoint, load
from inference.decoding import DEFAULTS, Decoding
from inference.likelihood import perplexity
from inference.novelty import repetition
from inference.runs import Run
from inference.sampling import generate
from inference.telling import Telling, tell
from training.base.config import BaseConfig
from training.base.rows import Row, asked, bits_per_byte

BRIEFS = 64
"""Unseen briefs of each kind, and test stories that bits per byte are of."""

PAIRED = 32
"""Briefs that a base and its tuned model both tell."""

WITHIN = 0.2
"""A text has the asked length within this share."""

SEED = 20
"""Seed of every draw."""

RULES = ("ended", "name", "constant", "pronouns", "occupation", "place", "meets", "keywords", "length")
"""In the order in which they are printed."""

MUST = {
    "ended": 0.99,
    "name": 0.99,
    "constant": 0.99,
    "pronouns": 0.97,
    "occupation": 0.95,
    "place": 0.97,
    "meets": 0.95,
}
MUST |= {"length": 0.95, "keywords": 0.75}
"""Shares that a base is meant to reach; of the keywords 90 % where beats are given."""


def evaluate(
    config: BaseConfig, source: str, out: Path, *, originals: str = "data/seeds", briefs: int = BRIEFS
) -> dict[str, Any]:
    """Measure one base, write its figures and stories into ``out``, and return the figures.

    config: names the file of stories whose test part is used, and the one of finer beats. source: what `load` takes.
    out: a folder, made where it is missing. originals: texts in one style, for bits per byte and for briefs like theirs.
    briefs: unseen briefs of each kind, and test stories that bits per byte are of.
    """
    if briefs < 1:
        raise ValueError(f"--briefs must be at least 1, found {briefs}")
    checkpoint = load(source)
    stories = list(read_stories(Path(config.stories)))
    if config.plots is not None:
        stories = with_finer_beats(stories, Path(config.plots))
    tests = stories_for_testing(stories, config.test_source)
    if not tests:
        kind = f" of {config.test_source}" if config.test_source else ""
        raise ValueError(
            f"{config.stories} has no stories{kind} for testing with beats; name files for testing: "
            "python -m training base prepare CONFIG FOLDER --test last"
            + (", or --set test_source=null" if kind else "")
        )
    told_of, texts = spread_over(tests, briefs), [original.text for original in load_originals(originals)]
    alike = draw_briefs(texts, briefs, SEED)
    figures: dict[str, Any] = {
        "base": checkpoint.id,
        "bits_per_byte": bits_of(load(source, dtype="float32"), told_of),
    }
    figures["bits_per_byte"]["originals"] = perplexity(texts, source)["bits_per_byte"]
    for name, wanted in (
        ("test briefs", [asked(story) for story in told_of]),
        ("briefs like the originals", alike),
    ):
        figures[name] = _told(checkpoint, wanted, out / f"{name.replace(' ', '-')}.jsonl")
    decoding = Decoding.choose(checkpoint.model, None, None, None, 1.0)
    finer = spread_over([story for story in tests if story.finer], briefs)
    for name, plans in (
        ("beats given", [(story, story.beats) for story in told_of]),
        ("finer beats given", [(story, story.finer) for story in finer]),
    ):
        if plans:
            wanted = [replace(asked(story), beats=beats) for story, beats in plans]
            told = tell(checkpoint, wanted, Telling(decoding, seed=SEED))
            rows = [
                {"brief": asked(story).to_dict(), "beats": list(beats), "ended": one.ended, "text": one.text}
                for (story, beats), one in zip(plans, told, strict=True)
            ]
            atomic.write_jsonl(out / f"{name.replace(' ', '-')}.jsonl", rows)
            figures[name] = kept_of(rows)
    atomic.write_json(out / "base-eval.json", figures)
    return figures


def compare(source: str, out: Path, *, briefs: int = PAIRED) -> dict[str, Any]:
    """Measure what a tuning does to the briefs: the same ones told by the untuned base and by the tuned model, with one seed.

    source: folder of a finished run. out: a folder for the stories, made where it is missing. briefs: how many, drawn like those of
    the run's originals. Drawn with the run's own settings, nothing chosen, nothing guarded. Returns figures of both kinds, and in
    "fallen" the rules of which the tuned model keeps less than the lower end of the base's interval. Raises ValueError
    for what is not a run.
    """
    if briefs < 1:
        raise ValueError(f"--briefs must be at least 1, found {briefs}")
    run = Run.open(source)
    wanted = draw_briefs([original.text for original in run.originals], briefs, SEED)
    settings = {key: run.config[key] for key in DEFAULTS if key in run.config}
    tuned = load(run.path)
    settings["max_new_tokens"] = tuned.model.generation_config.max_new_tokens
    figures: dict[str, Any] = {"base": run.name}
    for name, checkpoint in (("untuned", load(run.base_source)), ("tuned", tuned)):
        figures[name] = _told(checkpoint, wanted, out / f"{name}.jsonl", **settings)
    before, after = figures["untuned"], figures["tuned"]
    figures["fallen"] = [
        rule
        for rule in RULES
        if rule in before and rule in after and after[rule]["share"] < before[rule]["low"]
    ]
    atomic.write_json(out / "paired.json", figures)
    return figures


def _told(checkpoint: Checkpoint, wanted: Sequence[Brief], file: Path, **settings: Any) -> dict[str, Any]:
    """What first draws for ``wanted`` keep of their briefs; they are written into ``file``."""
    samples = generate(
        checkpoint, brief=wanted, seed=SEED, batch_size=32, guard=False, plan="none", **settings
    )
    rows = [
        {"brief": sample.brief.to_dict(), "ended": sample.ended_by_eos, "text": sample.text}
        for sample in samples
    ]
    atomic.write_jsonl(file, rows)
    return kept_of(rows)


def kept_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The share of ``rows`` (brief, ended, text) that keep each rule, with its interval, and the 4-grams that repeat."""
    hits: dict[str, int] = {}
    asked_for: dict[str, int] = {}
    for row in rows:
        brief, text = Brief.from_dict(row["brief"]), row["text"]
        kept: dict[str, float | bool] = {"ended": row["ended"], **adherence(text, brief)}
        if brief.length:
            kept["length"] = abs(len(text.split()) - brief.length) <= WITHIN * brief.length
        for rule, value in kept.items():
            times = {"keywords": len(brief.keywords), "beats": len(brief.beats)}.get(rule, 1)
            asked_for[rule] = asked_for.get(rule, 0) + times
            hits[rule] = hits.get(rule, 0) + round(value * times)
    found: dict[str, Any] = {"stories": len(rows)}
    for rule in (rule for rule in RULES if rule in hits):
        low, high = binomtest(hits[rule], asked_for[rule]).proportion_ci(method="wilson")
        found[rule] = {
            "share": hits[rule] / asked_for[rule],
            "low": float(low),
            "high": float(high),
            "n": asked_for[rule],
        }
    found["repetition"] = sum(repetition(row["text"]) for row in rows) / len(rows)
    return found


def bits_of(checkpoint: Checkpoint, stories: Sequence[Story]) -> dict[str, float]:
    """Bits per byte of ``stories`` under a loaded model: bare, behind their brief, and told from their beats."""
    return bits_per_byte(stories, checkpoint.tokenizer, lambda row: _nats(checkpoint, row))


@torch.inference_mode()
def _nats(checkpoint: Checkpoint, row: Row) -> float:
    """Cost of the labels of ``row`` in nats."""
    ids, labels = row
    logits = checkpoint.model(input_ids=torch.tensor([ids], device=checkpoint.device)).logits[0, :-1].float()
    wanted = torch.tensor(labels[1:], device=logits.device)
    return float(functional.cross_entropy(logits, wanted, ignore_index=IGNORE, reduction="sum"))


def table(figures: dict[str, Any]) -> str:
    """The figures of `evaluate` or `compare` as lines."""
    kinds = [kind for kind, value in figures.items() if isinstance(value, dict) and "stories" in value]
    counts = {figures[kind]["stories"] for kind in kinds}
    many = str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    lines = [f"{figures['base']}: share of {many} stories of each kind, one draw each, 95 % interval"]
    lines.append(f"{'':12}{'must':>6}" + "".join(f"{kind:>28}" for kind in kinds))
    for rule in RULES:
        cells = [figures[kind].get(rule) for kind in kinds]
        must = f"{MUST[rule]:.0%}" if rule in MUST else ""
        lines.append(f"{rule:12}{must:>6}" + "".join(f"{_cell(cell):>28}" for cell in cells))
    repeated = "".join(f"{figures[kind]['repetition']:>28.1%}" for kind in kinds)
    lines.append(f"{'4-grams repeated':18}{repeated}")
    if bits := figures.get("bits_per_byte"):
        lines.append("bits per byte: " + ", ".join(f"{name} {value:.3f}" for name, value in bits.items()))
    if "fallen" in figures:
        lines.append(f"fell below the base's interval: {', '.join(figures['fallen']) or 'none'}")
    return "\n".join(lines)


def _cell(cell: dict[str, float] | None) -> str:
    return "" if cell is None else f"{cell['share']:.0%} ({cell['low']:.0%} to {cell['high']:.0%})"
