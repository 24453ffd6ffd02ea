"""`score`: how near new texts come to the originals, and how much of them is copied, on a scale with two ends.

Every figure stands beside the originals' own leave-one-out range (the band) and the mean of texts that are not in the
manner (contrast); `inference.scale` makes both. What copies is gated, since every similarity rewards copying. Does not
draw samples, and does not judge sense: a text without meaning can score well.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from data.originals import Original, normalise
from inference.checkpoints import Checkpoint, load
from inference.likelihood import perplexity
from inference.novelty import CopyIndex
from inference.scale import Scale, mean, measure
from inference.scorecard import Scorecard, TextScore

LOOPING = 0.05
"""Share of repeated 4-grams above the originals' own most at which fluency begins to fall; it is 0 at five times that."""

BROKEN = 1.25
"""Bits per byte under the base, as a multiple of the originals' most, at which fluency begins to fall. Shuffled words of the
default originals cost over twice the originals."""

CLOSE = 1.5
"""Calibrated style or content above which a text is called suspiciously close."""


def score(
    texts: Iterable[Any], references: Sequence[Original | str], model: Any = None, *, base: Any = None
) -> Scorecard:
    """Score ``texts`` (strings, or anything with a ``text``) against the originals ``references``.

    Each text's ``metrics``:

    - ``style``, ``stylometry``: cosine (-1..1) of topic-free stylometric features, z-scored on the contrast texts. One
      figure under two names; ``style`` is the one to read.
    - ``similarity``: mean cosine (-1..1) of sentence embeddings: what the text is about.
    - ``longest_copied_span``: words in a row that are any original's. ``novelty_4gram``: share (0..1) of 4-grams that are no
      original's. ``novelty_4gram_equal``: the same against every n-1 originals, averaged, which is how the originals are
      measured and what the part novelty takes. ``nearest``: the original it shares most with.
    - ``repetition``: share (0..1) of its 4-grams that it has said before. ``words``: number of words.
    - with ``model`` (whatever `load` takes): ``bits_per_byte_tuned``; with ``base``, which a run knows by itself:
      ``bits_per_byte_base``.

    ``parts`` (0..1): style and content, calibrated as (x - contrast) / (mean of the originals - contrast); structure, 1
    within the originals' range of length; the gates novelty and fluency (loops; with a base also text that it finds far
    less probable than the originals, which is broken: no judge of sense). The verdict is the geometric mean of the first
    three times both gates. Raises ValueError when there is nothing to score or nothing to score against.
    """
    if isinstance(texts, str):
        raise ValueError("texts must be a list of texts, found one string: put it in brackets")
    if isinstance(references, str):
        raise ValueError("references must be a list of originals, found one string: put it in brackets")
    bodies = [normalise(t if isinstance(t, str) else t.text) for t in texts]
    originals = [
        r if isinstance(r, Original) else Original(f"reference {i + 1}", normalise(r))
        for i, r in enumerate(references)
    ]
    if not bodies or not originals:
        raise ValueError(
            f"score needs at least one text and one reference, found {len(bodies)} and {len(originals)}"
        )
    if not all(bodies):
        raise ValueError(f"text {bodies.index('') + 1} is empty: there is nothing to score")
    if not all(original.text for original in originals):
        raise ValueError("a reference is empty: remove it")
    scale = Scale.of([o.text for o in originals])
    copies = CopyIndex([o.text for o in originals], [o.name for o in originals])
    metrics = measure(bodies, scale, copies)
    base_model, tuned_model = _models(model, base)
    corpus: dict[str, float] = {}
    band = dict(scale.band)
    for label, checkpoint in (("base", base_model), ("tuned", tuned_model)):
        if checkpoint is not None:
            corpus |= _add_likelihood(metrics, bodies, checkpoint, label)
    if base_model is not None:
        band["bits_per_byte_base"] = perplexity(scale.originals, base_model)["texts"]["bits_per_byte"]
    scored = tuple(
        _text_score(body, row, scale, band, copies) for body, row in zip(bodies, metrics, strict=True)
    )
    parts = {name: mean([t.parts[name] for t in scored]) for name in scored[0].parts}
    verdict = mean([t.verdict for t in scored])
    return Scorecard(verdict, parts, scored, band, scale.contrast, corpus, _notes(scale, metrics))


def _notes(scale: Scale, metrics: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    notes = []
    if len(scale.originals) == 1:
        notes.append("one reference alone: it has no range of its own, so the scale's upper end is 1")
    close = [
        part for part in ("style", "content") if any(_calibrated(scale, m, part) > CLOSE for m in metrics)
    ]
    if close:
        notes.append(
            f"suspiciously close: some texts are far nearer to the originals in {' and '.join(close)} than these "
            "are to each other"
        )
    return tuple(notes)


def _models(model: Any, base: Any) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Base and tuned model in float32; a run names its own base. Nothing is loaded that was not asked for."""
    tuned = None if model is None else load(model, dtype="float32")
    if base is None and tuned is not None and tuned.run is not None:
        base = tuned.run.base_source
    return None if base is None else load(base, dtype="float32"), tuned


def _add_likelihood(
    metrics: Sequence[dict[str, Any]], bodies: Sequence[str], checkpoint: Checkpoint, label: str
) -> dict[str, float]:
    """Adds each text's bits per byte to its ``metrics`` and returns the corpus figures."""
    figures = perplexity(bodies, checkpoint)
    for row, value in zip(metrics, figures["texts"]["bits_per_byte"], strict=True):
        row[f"bits_per_byte_{label}"] = value
    return {f"{key}_{label}": figures[key] for key in ("perplexity", "bits_per_byte")}


def _calibrated(scale: Scale, metrics: dict[str, Any], part: str) -> float:
    metric = {"style": "style", "content": "similarity"}[part]
    low, high = scale.contrast[metric], scale.ceiling(metric)
    # Originals no nearer to each other than to the contrast have no manner that this metric sees: say 1, don't divide.
    return (metrics[metric] - low) / (high - low) if high - low > 1e-3 else 1.0


def _text_score(
    text: str, metrics: dict[str, Any], scale: Scale, band: dict[str, list[float]], copies: CopyIndex
) -> TextScore:
    words = metrics["words"]
    parts = {
        "style": _clip(_calibrated(scale, metrics, "style")),
        "content": _clip(_calibrated(scale, metrics, "content")),
        "structure": _clip(min(words / min(band["words"]), max(band["words"]) / max(words, 1))),
        "novelty": _novelty(metrics, scale, band),
        "fluency": _fluency(metrics, band),
    }
    manner = (parts["style"] * parts["content"] * parts["structure"]) ** (1 / 3)
    verdict = manner * parts["novelty"] * parts["fluency"]
    return TextScore(text, verdict, parts, metrics, tuple(copies.spans(text)))


def _novelty(metrics: dict[str, Any], scale: Scale, band: dict[str, list[float]]) -> float:
    """From the originals' own longest shared span, falling to nothing at three times that; times the share of new
    4-grams against the originals' own, squared, for remixes of short pieces."""
    limit = scale.copy_limit
    span = _clip(1 - (metrics["longest_copied_span"] - limit) / (2 * limit))
    if math.isnan(metrics["novelty_4gram_equal"]):
        return span
    own = max(min(band.get("novelty_4gram_equal", [1.0])), 1e-9)
    return float(span * _clip(metrics["novelty_4gram_equal"] / own) ** 2)


def _fluency(metrics: dict[str, Any], band: dict[str, list[float]]) -> float:
    """Falls with loops; and, where the base was asked, with bits per byte from `BROKEN` times the originals' most on,
    to nothing at twice that."""
    excess = (metrics["repetition"] - max(band["repetition"])) / LOOPING
    fluency = _clip(1 - (excess - 1) / 4)
    if "bits_per_byte_base" in metrics:
        ratio = metrics["bits_per_byte_base"] / max(band["bits_per_byte_base"])
        fluency *= _clip(2 - ratio / BROKEN)
    return fluency


def _clip(value: float) -> float:
    return min(1.0, max(0.0, float(value)))
