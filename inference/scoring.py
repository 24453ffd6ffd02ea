"""`score`: how near new texts come to the originals, and how much of them is copied, on a scale with two ends.

Every figure stands beside the originals' own leave-one-out range (the band) and the mean of texts that are not in the
manner (contrast); `inference.scale` makes both. What copies is gated, since every similarity rewards copying. Does not
draw samples, and does not judge sense: a text without meaning can score well.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from data.originals import Original, normalise
from inference.novelty import CopyIndex
from inference.scale import Scale, mean, measure
from inference.scorecard import Scorecard, TextScore

LOOPING = 0.05
"""Share of repeated 4-grams above the originals' own most at which fluency begins to fall; it is 0 at five times that."""

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
      original's, averaged over every n-1 originals. ``nearest``: the original it shares most with.
    - ``repetition``: share (0..1) of its 4-grams that it has said before. ``words``: number of words.
    - with ``model`` (whatever `load` takes): ``bits_per_byte_tuned``, and ``bits_per_byte_base`` under ``base``, which a run
      knows by itself.

    ``parts`` (0..1): style and content, calibrated as (x - contrast) / (mean of the originals - contrast); structure, 1
    within the originals' range of length; the gates novelty and fluency. The verdict is the geometric mean of the first
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
    corpus = _perplexities(bodies, metrics, model, base)
    scored = tuple(_text_score(body, row, scale, copies) for body, row in zip(bodies, metrics, strict=True))
    parts = {name: mean([t.parts[name] for t in scored]) for name in scored[0].parts}
    notes = (
        []
        if len(originals) > 1
        else ["one reference alone: it has no range of its own, so the scale's upper end is 1"]
    )
    close = [
        name for name in ("style", "content") if any(_calibrated(scale, t, name) > CLOSE for t in metrics)
    ]
    if close:
        notes.append(
            f"suspiciously close: some texts are far nearer to the originals in {' and '.join(close)} than these are to each other"
        )
    verdict = mean([t.verdict for t in scored])
    return Scorecard(verdict, parts, scored, scale.band, scale.contrast, corpus, tuple(notes))


def _perplexities(
    bodies: Sequence[str], metrics: list[dict[str, Any]], model: Any, base: Any
) -> dict[str, float]:
    """Adds bits per byte to ``metrics`` and returns the corpus figures; nothing without a model."""
    if model is None and base is None:
        return {}
    from inference.checkpoints import load
    from inference.likelihood import perplexity

    corpus: dict[str, float] = {}
    tuned = None if model is None else load(model, dtype="float32")
    if base is None and tuned is not None and tuned.run is not None:
        base = tuned.run.base.path if not tuned.run.base.untrained else tuned.run.base.id
    for label, checkpoint in (
        ("tuned", tuned),
        ("base", None if base is None else load(base, dtype="float32")),
    ):
        if checkpoint is None:
            continue
        figures = perplexity(bodies, checkpoint)
        corpus[f"perplexity_{label}"] = figures["perplexity"]
        corpus[f"bits_per_byte_{label}"] = figures["bits_per_byte"]
        for row, value in zip(metrics, figures["texts"]["bits_per_byte"], strict=True):
            row[f"bits_per_byte_{label}"] = value
    return corpus


def _calibrated(scale: Scale, metrics: dict[str, Any], part: str) -> float:
    metric = {"style": "style", "content": "similarity"}[part]
    low, high = scale.contrast[metric], scale.ceiling(metric)
    # Originals no nearer to each other than to the contrast have no manner that this metric sees: say 1, don't divide.
    return (metrics[metric] - low) / (high - low) if high - low > 1e-3 else 1.0


def _text_score(text: str, metrics: dict[str, Any], scale: Scale, copies: CopyIndex) -> TextScore:
    words, span = metrics["words"], metrics["longest_copied_span"]
    short, long = min(scale.band["words"]), max(scale.band["words"])
    limit = max(scale.longest_span, 1)  # originals in different languages share no word at all
    own_novelty = min(scale.band.get("novelty_4gram", [1.0]))
    novelty = metrics["novelty_4gram"]
    excess = (metrics["repetition"] - max(scale.band["repetition"])) / LOOPING
    parts = {
        "style": _clip(_calibrated(scale, metrics, "style")),
        "content": _clip(_calibrated(scale, metrics, "content")),
        "structure": _clip(min(words / short, long / max(words, 1))),
        # From the originals' own longest shared span, falling to nothing at three times that; and the share of new
        # 4-grams, squared, against remixes of short pieces.
        "novelty": _clip(1 - (span - limit) / (2 * limit))
        * (1.0 if math.isnan(novelty) else _clip(novelty / max(own_novelty, 1e-9)) ** 2),
        "fluency": _clip(1 - (excess - 1) / 4),
    }
    manner = (parts["style"] * parts["content"] * parts["structure"]) ** (1 / 3)
    return TextScore(
        text, manner * parts["novelty"] * parts["fluency"], parts, metrics, tuple(copies.spans(text))
    )


def _clip(value: float) -> float:
    return min(1.0, max(0.0, float(value)))
