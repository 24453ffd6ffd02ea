"""`score`: how near new texts come to the originals, and how much of them is copied, on a scale with two ends.

Every figure stands beside the originals' own leave-one-out range (the band) and the mean of texts that are not in the
manner (contrast); `inference.scale` makes both. What copies is gated, since every similarity rewards copying. Does not
draw samples, and does not judge sense: a text without meaning can score well.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from data.originals import Original, normalise
from inference.checkpoints import Checkpoint, load
from inference.diversity import diversity, expected_nearest
from inference.imposters import probability
from inference.likelihood import perplexity
from inference.memory import recalled
from inference.novelty import CopyIndex
from inference.scale import BAND_OF, Scale, embedded, mean, measure
from inference.scorecard import Scorecard, TextScore

LOOPING = 0.05
"""Share of repeated 4-grams above the originals' own most at which fluency begins to fall; it is 0 at five times that."""

BROKEN = 1.25
"""Bits per byte under the base, as a multiple of the originals' most, at which fluency begins to fall. Shuffled words of the
default originals cost over twice the originals."""

CLOSE = 1.5
"""Calibrated style or content above which a text is called suspiciously close."""

NEAR = 0.5
"""Share of words in near copies, above the originals' own most, at which nothing of novelty is left."""

DRAWS = 2000
"""Of the bootstrap."""


def score(
    texts: Iterable[Any], references: Sequence[Original | str], model: Any = None, *, base: Any = None
) -> Scorecard:
    """Score ``texts`` (strings, or anything with a ``text``) against the originals ``references``.

    Each text's ``metrics``:

    - ``style``: vote (0..1) of `inference.imposters`: the share of other authors' texts that it is less like than it is like
      the originals; ``style_char``, ``style_masked``, ``style_function``, ``style_stylometry``: the same by family of
      features. ``stylometry``: cosine (-1..1) of stylometric features, z-scored on the contrast texts: the figure that topic
      can't touch at all. ``same_hand`` (0..1, with two originals or more): calibrated probability that they are of one hand.
      ``burrows_delta`` (lower is nearer), ``cosine_delta`` (-1..1): for comparison alone.
    - ``similarity``: mean cosine (-1..1) of sentence embeddings: what the text is about.
    - ``longest_copied_span``: words in a row that are any original's. ``copied_8``: share (0..1) of its words in copied spans of
      8 and more; ``near_copied``: in passages that are an original's but for a word here and there. ``novelty_4gram``,
      ``_5gram``, ``_8gram``: share (0..1) of n-grams that are no original's; ``novelty_4gram_equal``: the same against every
      n-1 originals, averaged, which is how the originals are measured and what the part novelty takes. ``nearest``: the
      original it shares most with.
    - ``repetition``: share (0..1) of its 4-grams that it has said before. ``words``, ``paragraphs``, ``dialogue``,
      ``protagonist``, ``constant``, ``closed``: see `inference.structure`.
    - with ``model`` (whatever `load` takes): ``bits_per_byte_tuned``; with ``base``, which a run knows by itself:
      ``bits_per_byte_base``; with both ``bits_per_byte_gain``, base less tuned: no measure of style (LAB.md).

    ``corpus`` has for both models perplexity, bits per byte and nats per word (``nll_per_word``) over all texts, and
    ``recalled``: of the originals, the most tokens that come back (0..32) when the first 32 are continued greedily.

    ``parts`` (0..1): style and content, calibrated as (x - contrast) / (mean of the originals - contrast); structure, by what
    the originals are like; diversity, 1 for a text that is as unlike the others scored with it as originals are, at equal
    number; the gates novelty and fluency (loops; with a base also text that it finds far less probable than the originals,
    which is broken: no judge of sense). The verdict is the geometric mean of the first four times both gates. A `Sample`'s own
    word on whether it came to an end is taken, else its last mark. Raises ValueError when there is nothing to score or
    nothing to score against.
    """
    if isinstance(texts, str):
        raise ValueError("texts must be a list of texts, found one string: put it in brackets")
    if isinstance(references, str):
        raise ValueError("references must be a list of originals, found one string: put it in brackets")
    given = list(texts)
    bodies = [normalise(t if isinstance(t, str) else t.text) for t in given]
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
    metrics = measure(bodies, [o.text for o in originals], copies)
    for text, row in zip(given, metrics, strict=True):
        row["closed"] = float(getattr(text, "ended_by_eos", row["closed"]))
        if "style" in scale.band:
            row["same_hand"] = float(probability(row["style"], scale.ceiling("style")))
    base_model, tuned_model = _models(model, base)
    corpus: dict[str, float] = {}
    probed = scale.originals[:: -(-len(originals) // BAND_OF)]
    band = dict(scale.band)
    for label, checkpoint in (("base", base_model), ("tuned", tuned_model)):
        if checkpoint is not None:
            corpus |= _add_likelihood(metrics, bodies, checkpoint, label)
            corpus[f"recalled_{label}"] = max(recalled(probed, checkpoint))
    if base_model is not None and tuned_model is not None:
        for row in metrics:
            row["bits_per_byte_gain"] = row["bits_per_byte_base"] - row["bits_per_byte_tuned"]
    if base_model is not None:
        band["bits_per_byte_base"] = _own_bits(base_model, scale.originals)
    distinct = _distinctness(bodies, metrics, scale)
    scored = tuple(
        _text_score(body, row, scale, band, copies, own)
        for body, row, own in zip(bodies, metrics, distinct, strict=True)
    )
    parts = {name: mean([t.parts[name] for t in scored]) for name in scored[0].parts}
    verdicts = [t.verdict for t in scored]
    return Scorecard(
        verdict=mean(verdicts),
        parts=parts,
        texts=scored,
        band=band,
        contrast=scale.contrast,
        corpus=corpus,
        interval=_interval(verdicts),
        diversity=_diversity(bodies, metrics, scale),
        notes=_notes(scale, metrics),
    )


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % of the means of texts drawn again from these: how much the choice of samples matters, and nothing else does."""
    if len(values) < 2:
        return None
    rng = np.random.default_rng(0)
    means = rng.choice(np.array(values), (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _diversity(
    bodies: Sequence[str], metrics: Sequence[dict[str, Any]], scale: Scale
) -> dict[str, dict[str, float]]:
    """Figures of `inference.diversity` of texts and originals, at as many as there are of both."""
    n = min(len(bodies), len(scale.originals))
    if n < 2:
        return {}
    names = [str(row["protagonist"]) for row in metrics]
    return {
        "texts": diversity(embedded(bodies), bodies, names, n),
        "originals": diversity(embedded(scale.originals), scale.originals, scale.protagonists, n),
    }


def _distinctness(bodies: Sequence[str], metrics: Sequence[dict[str, Any]], scale: Scale) -> list[float]:
    """How unlike the others each text is, where the originals are 1: nearest other in content, name of the protagonist.

    Never under 1 / (n + 1) for n others: so much of the variety a text is whose every other is the same.
    """
    if min(len(bodies), len(scale.originals)) < 2:
        return [1.0] * len(bodies)
    n = min(len(scale.originals), len(bodies)) - 1
    near = _nearest(embedded(bodies), n)
    own = mean(_nearest(embedded(scale.originals), n))
    reused = _reuse([str(row["protagonist"]) for row in metrics])
    own_reused = mean(_reuse(scale.protagonists))
    found = [
        _clip((1 - a) / max(1 - own, 1e-9)) * _clip((1 - b) / (1 - own_reused) if own_reused < 1 else 1.0)
        for a, b in zip(near, reused, strict=True)
    ]
    return [max(value, 1 / (n + 1)) for value in found]


def _nearest(vectors: np.ndarray, n: int) -> list[float]:
    cosines = vectors @ vectors.T
    return [expected_nearest(np.delete(cosines[i], i), n) for i in range(len(vectors))]


def _reuse(names: Sequence[str]) -> list[float]:
    """For each, the share of the others that have the same first name."""
    first = [name.split()[0] if name else "" for name in names]
    return [(first.count(name) - 1) / (len(first) - 1) if name else 0.0 for name in first]


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


_OWN_BITS: WeakKeyDictionary[Checkpoint, dict[tuple[str, ...], list[float]]] = WeakKeyDictionary()


def _own_bits(base: Checkpoint, originals: tuple[str, ...]) -> list[float]:
    """Bits per byte of each original, remembered as long as ``base`` is in use: every call with it asks for them."""
    known = _OWN_BITS.setdefault(base, {})
    if originals not in known:
        known[originals] = perplexity(originals, base)["texts"]["bits_per_byte"]
    return known[originals]


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
    return {f"{key}_{label}": figures[key] for key in ("perplexity", "bits_per_byte", "nll_per_word")}


def _calibrated(scale: Scale, metrics: dict[str, Any], part: str) -> float:
    metric = {"style": "style", "content": "similarity"}[part]
    low, high = scale.contrast[metric], scale.ceiling(metric)
    # Originals no nearer to each other than to the contrast have no manner that this metric sees: say 1, don't divide.
    return (metrics[metric] - low) / (high - low) if high - low > 1e-3 else 1.0


def _text_score(
    text: str,
    metrics: dict[str, Any],
    scale: Scale,
    band: dict[str, list[float]],
    copies: CopyIndex,
    distinct: float,
) -> TextScore:
    parts = {
        "style": _clip(_calibrated(scale, metrics, "style")),
        "content": _clip(_calibrated(scale, metrics, "content")),
        "structure": _structure(metrics, band),
        "diversity": distinct,
        "novelty": _novelty(metrics, scale, band),
        "fluency": _fluency(metrics, band),
    }
    manner = (parts["style"] * parts["content"] * parts["structure"] * parts["diversity"]) ** (1 / 4)
    verdict = manner * parts["novelty"] * parts["fluency"]
    return TextScore(text, verdict, parts, metrics, tuple(copies.spans(text)))


def _structure(metrics: dict[str, Any], band: dict[str, list[float]]) -> float:
    """Length, 1 within the originals' range and else the ratio to its nearer end, times the geometric mean of four:
    paragraphs, the same way; share of speech, 1 within the range and 0 at half a text from it; a protagonist throughout and
    an end, each 1 or, if the text lacks what the originals have, less by half of their share that has it."""
    length, paragraphs = (
        _clip(min(metrics[key] / max(min(band[key]), 1e-9), max(band[key]) / max(metrics[key], 1e-9)))
        for key in ("words", "paragraphs")
    )
    speech = band["dialogue"]
    spoken = _clip(1 - 2 * max(min(speech) - metrics["dialogue"], metrics["dialogue"] - max(speech)))
    kept = [1 - mean(band[key]) * (1 - metrics[key]) / 2 for key in ("constant", "closed")]
    return length * float(math.prod([paragraphs, spoken, *kept]) ** (1 / 4))


def _novelty(metrics: dict[str, Any], scale: Scale, band: dict[str, list[float]]) -> float:
    """From the originals' own longest shared span, falling to nothing at three times that; times what is left by near
    copies; times the share of new 4-grams against the originals' own, squared, for remixes of short pieces."""
    limit = scale.copy_limit
    span = _clip(1 - (metrics["longest_copied_span"] - limit) / (2 * limit))
    span *= _clip(1 - (metrics["near_copied"] - max(band.get("near_copied", [0.0]))) / NEAR)
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
