"""`score`: how near new texts come to the originals, and how much of them is copied, on a scale with two ends.

Every figure stands beside the originals' own leave-one-out range (the band) and the mean of texts that are not in the
manner (contrast); `inference.scale` makes both. What copies is gated, since every similarity rewards copying. Does not
draw samples, and does not judge sense: a text without meaning can score well.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from data.originals import Original, normalise
from inference.band import banded
from inference.checkpoints import Checkpoint, load
from inference.diversity import diversity
from inference.imposters import probability
from inference.likelihood import perplexity
from inference.memory import recalled
from inference.novelty import MOST_LIMIT, CopyIndex
from inference.parts import PARTS, SPREAD, content, distinctness, ends, parts_of, verdict_of
from inference.scale import Scale, embedded, mean, measure
from inference.scorecard import Scorecard, TextScore

CLOSE = 1.5
"""Calibrated content above which a text is called suspiciously close."""

DRAWS = 2000
"""Of the bootstrap."""


def score(
    texts: Iterable[Any], references: Sequence[Original | str], model: Any = None, *, base: Any = None
) -> Scorecard:
    """Score ``texts`` (strings, a column of a dataset, or anything with a ``text``) against the originals ``references``.

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

    ``parts`` (0..1): style, calibrated as (x - contrast) / (mean of the originals - contrast); content, the same up to the
    lower end of the originals' range, since inside it is the aim; structure, by what the originals are like; diversity, where
    several texts are scored, 1 for one that is as unlike the others as originals are, at equal number; the gates novelty and
    fluency (loops; with a base also text that it finds far less probable than the originals, which is broken: no judge of
    sense). The verdict of a text is the geometric mean of the first four times both gates, that of the card the mean of its
    texts'. The word of a `Sample`, or of a row of samples.jsonl, on whether it came to an end is taken, else its last mark. An
    empty text among others has verdict 0. Raises ValueError when there is nothing to score or nothing to score against.
    """
    if isinstance(texts, str):
        raise ValueError("texts must be a list of texts, found one string: put it in brackets")
    if isinstance(references, str):
        raise ValueError("references must be a list of originals, found one string: put it in brackets")
    given = [_Given.of(text, i) for i, text in enumerate(texts, start=1)]
    originals = [
        r if isinstance(r, Original) else Original(f"reference {i + 1}", normalise(r))
        for i, r in enumerate(references)
    ]
    if not given or not originals:
        raise ValueError(
            f"score needs at least one text and one reference, found {len(given)} and {len(originals)}"
        )
    written = [one for one in given if one.text]
    bodies = [one.text for one in written]
    if not bodies:
        raise ValueError(f"text 1 of {len(given)} is empty, and so are all: there is nothing to score")
    if not all(original.text for original in originals):
        raise ValueError("a reference is empty: remove it")
    scale = Scale.of([o.text for o in originals])
    copies = CopyIndex([o.text for o in originals], [o.name for o in originals])
    metrics = measure(bodies, [o.text for o in originals], copies)
    for one, row in zip(written, metrics, strict=True):
        row["closed"] = float(row["closed"] if one.ended is None else one.ended)
        if "style" in scale.band:
            row["same_hand"] = float(probability(row["style"], scale.ceiling("style")))
    base_model, tuned_model = _models(model, base)
    corpus: dict[str, float] = {}
    band = dict(scale.band)
    for label, checkpoint in (("base", base_model), ("tuned", tuned_model)):
        if checkpoint is not None:
            corpus |= _add_likelihood(metrics, bodies, checkpoint, label)
            corpus[f"recalled_{label}"] = max(known_by_heart(checkpoint, scale.originals))
    if base_model is not None and tuned_model is not None:
        for row in metrics:
            row["bits_per_byte_gain"] = row["bits_per_byte_base"] - row["bits_per_byte_tuned"]
        corpus["bits_per_byte_gain"] = corpus["bits_per_byte_base"] - corpus["bits_per_byte_tuned"]
    if base_model is not None:
        band["bits_per_byte_base"] = own_bits(base_model, scale.originals)
    distinct = distinctness(bodies, metrics, scale)
    found = iter(
        [
            _text_score(body, parts_of(row, scale, band, own), row, copies)
            for body, row, own in zip(bodies, metrics, distinct, strict=True)
        ]
    )
    blank = _blank(metrics[0], len(bodies) < 2)
    scored = tuple(next(found) if one.text else blank for one in given)
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
        notes=_notes(scale, metrics, len(given) - len(bodies)),
    )


@dataclass(frozen=True)
class _Given:
    """What was handed in: a text, normalised, and what is known of its end."""

    text: str
    ended: bool | None = None

    @classmethod
    def of(cls, value: Any, position: int) -> "_Given":
        row = value if isinstance(value, Mapping) else {}
        text = value if isinstance(value, str) else row.get("text", getattr(value, "text", None))
        if not isinstance(text, str):
            raise ValueError(
                f"text {position} is no text: found {type(value).__name__}. Give strings, samples, or rows with a text"
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text {position} has half of a character at {error.start}: {error.reason}"
            ) from None
        return cls(normalise(text), row.get("ended_by_eos", getattr(value, "ended_by_eos", None)))


def _blank(metrics: Mapping[str, Any], alone: bool) -> TextScore:
    """What an empty text gets: no figure, and nothing of any part."""
    nothing = {key: "" if isinstance(value, str) else math.nan for key, value in metrics.items()}
    return TextScore("", 0.0, {part: 0.0 for part in PARTS if part != "diversity" or not alone}, nothing)


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
    n = min(len(bodies), len(scale.some))
    if n < 2:
        return {}
    names = [str(row["protagonist"]) for row in metrics]
    return {
        "texts": diversity(embedded(bodies), bodies, names, n),
        "originals": diversity(embedded(scale.some), scale.some, scale.protagonists, n),
    }


def _notes(scale: Scale, metrics: Sequence[dict[str, Any]], empty: int) -> tuple[str, ...]:
    notes = []
    if empty:
        notes.append(
            f"{empty} of the texts {'is' if empty == 1 else 'are'} empty: verdict 0, and no other figure"
        )
    if len(scale.originals) == 1:
        notes.append("one reference alone: it has no range of its own, so the scale's upper end is 1")
    shared = max(scale.band.get("longest_copied_span", [0]))
    if shared > MOST_LIMIT:
        notes.append(
            f"two references share {shared:.0f} words in a row: versions of one text, or a refrain. Samples may copy "
            f"{MOST_LIMIT} at most"
        )
    for part in ("style", "content"):
        low, high = ends(scale, part)
        if high - low <= SPREAD:
            notes.append(
                f"the references are no nearer to each other in {part} than other texts are to them: that part counts as 1"
            )
    close = sum(
        content(scale, m, scale.ceiling("similarity")) > CLOSE
        or (m["style"] > max(scale.band.get("style", [1.0])) and m["longest_copied_span"] > scale.copy_limit)
        for m in metrics
    )
    if close:
        notes.append(
            f"suspiciously close: {close} of the texts {'is' if close == 1 else 'are'} far nearer to the originals than these "
            "are to each other, in content or by copying"
        )
    return tuple(notes)


_KEPT: WeakKeyDictionary[Checkpoint, dict[tuple[str, tuple[str, ...]], list[Any]]] = WeakKeyDictionary()


def _kept(
    checkpoint: Checkpoint, figure: str, texts: tuple[str, ...], compute: Callable[[], list[Any]]
) -> list[Any]:
    """What a model makes of the originals, remembered as long as it is in use: every call with it asks for that."""
    known = _KEPT.setdefault(checkpoint, {})
    if (figure, texts) not in known:
        known[figure, texts] = compute()
    return known[figure, texts]


def own_bits(base: Checkpoint, originals: tuple[str, ...]) -> list[float]:
    """Bits per byte of each original, of forty evenly spaced where there are more."""
    some = tuple(originals[i] for i in banded(len(originals)))
    return _kept(base, "bits", some, lambda: perplexity(some, base)["texts"]["bits_per_byte"])


def known_by_heart(checkpoint: Checkpoint, originals: tuple[str, ...]) -> list[int]:
    """`inference.memory.recalled` of the originals, of forty evenly spaced where there are more."""
    probed = tuple(originals[i] for i in banded(len(originals)))
    return _kept(checkpoint, "recalled", probed, lambda: recalled(probed, checkpoint))


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


def _text_score(text: str, parts: dict[str, float], metrics: dict[str, Any], copies: CopyIndex) -> TextScore:
    return TextScore(text, verdict_of(parts), parts, metrics, tuple(copies.spans(text)))
