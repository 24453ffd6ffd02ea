"""The scorecard: what `inference.scoring.score` returns, and how it shows itself. Computes no figure."""

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.novelty import CopiedSpan

if TYPE_CHECKING:
    import pandas


EXPLAINED = {
    "style": "share of other authors' texts that it is less like than like the originals, by features that know no topic; 0 to 1",
    "style_char": "the same vote by character 3- to 5-grams of the text without its content words",
    "style_masked": "the same by runs of one to three words, content words masked",
    "style_function": "the same by function words",
    "style_stylometry": "the same by rhythm, layout, punctuation and word forms",
    "stylometry": "cosine of rhythm, layout, punctuation and word forms with the originals'; -1 to 1",
    "same_hand": "probability that text and originals are of one hand, as often so as not; 0 to 1",
    "burrows_delta": "Burrows's Delta, for comparison; lower is nearer",
    "cosine_delta": "cosine delta, for comparison; -1 to 1",
    "similarity": "cosine of sentence embeddings: what it is about; inside the originals' range is the aim",
    "longest_copied_span": "words in a row as in an original",
    "copied_8": "share of its words in copied spans of eight words and more",
    "near_copied": "share of its words in passages that are an original's but for a word here and there",
    "novelty_4gram": "share of runs of four words that are in no original",
    "novelty_4gram_equal": "the same against all originals but one, averaged: as the originals are measured",
    "novelty_5gram": "share of runs of five words that are in no original",
    "novelty_8gram": "share of runs of eight words that are in no original",
    "repetition": "share of its runs of four words that it has said before",
    "words": "length",
    "paragraphs": "number of paragraphs",
    "dialogue": "share of words in quotation marks",
    "constant": "1 where the protagonist's first name stands in the first and the last third",
    "closed": "1 where it comes to an end",
    "bits_per_byte_base": "how improbable the untuned base finds it; high is broken text",
    "bits_per_byte_tuned": "how improbable the tuned model finds it",
    "bits_per_byte_gain": "what tuning took off: it rewards what was trained on, and is no measure of style",
}
"""Each metric in a line, for a reader who knows none of them."""


@dataclass(frozen=True)
class TextScore:
    """One text's figures. ``verdict`` and ``parts`` are 0..1, ``metrics`` in their own units (see `score`)."""

    text: str
    verdict: float
    parts: dict[str, float]
    metrics: dict[str, Any]
    copied_spans: tuple[CopiedSpan, ...] = ()


@dataclass(frozen=True, repr=False)
class Scorecard:
    """What `score` returns.

    ``verdict`` 0..1 is the mean of the texts' verdicts and ``parts`` the means of theirs; ``band`` gives for a metric the
    originals' own leave-one-out values, ``contrast`` the mean of texts not in the manner, ``corpus`` perplexities over all
    texts, ``interval`` 95 % of the verdicts of texts drawn again from these, ``diversity`` the figures of `inference.diversity` of
    texts and originals at equal number, ``notes`` what a reader must know.
    """

    verdict: float
    parts: dict[str, float]
    texts: tuple[TextScore, ...]
    band: dict[str, list[float]]
    contrast: dict[str, float]
    corpus: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    diversity: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: what can't be measured is None, never NaN."""
        return {
            "verdict": self.verdict,
            "parts": self.parts,
            "texts": [
                {
                    "text": t.text,
                    "verdict": t.verdict,
                    "parts": t.parts,
                    "metrics": {key: _finite(value) for key, value in t.metrics.items()},
                    "copied_spans": [vars(span) for span in t.copied_spans],
                }
                for t in self.texts
            ],
            "band": self.band,
            "contrast": self.contrast,
            "corpus": {key: _finite(value) for key, value in self.corpus.items()},
            "interval": self.interval and list(self.interval),
            "diversity": self.diversity,
            "notes": list(self.notes),
        }

    def to_frame(self) -> "pandas.DataFrame":
        """One row a text: its metrics, its parts as ``part_...``, and its verdict."""
        import pandas

        return pandas.DataFrame(
            [
                {**t.metrics, **{f"part_{k}": v for k, v in t.parts.items()}, "verdict": t.verdict}
                for t in self.texts
            ]
        )

    def summary(self) -> list[tuple[str, str, str, str]]:
        """Rows (metric, mean of the texts, range of the originals, contrast) for a table."""
        rows = []
        for metric in next(t.metrics for t in self.texts if t.text):
            values = [t.metrics[metric] for t in self.texts]
            numbers = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
            if not numbers:
                continue
            band = self.band.get(metric, [])
            own = f"{_short(min(band))} to {_short(max(band))}" if band else "-"
            contrast = _short(self.contrast[metric]) if metric in self.contrast else "-"
            rows.append((metric, _short(sum(numbers) / len(numbers)), own, contrast))
        return rows

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={value:.2f}" for name, value in self.parts.items())
        return f"Scorecard(verdict={self.verdict:.2f}, {parts}, texts={len(self.texts)})"

    def sentences(self) -> list[str]:
        """What came out, in two plain sentences: how near the texts are, and what they copy and lack."""
        near = self._mean("style")
        band, contrast = self.band.get("style"), self.contrast["style"]
        among = (
            f"the originals are {min(band):.2f} to {max(band):.2f} to each other"
            if band
            else "one original has no range"
        )
        count = f"{len(self.texts)} texts have" if len(self.texts) > 1 else "The text has"
        spans = [t.metrics["longest_copied_span"] for t in self.texts if t.text]
        shared = self.band.get("longest_copied_span")
        own = f" (the originals share up to {max(shared):.0f})" if shared else ""
        weakest = min(self.parts, key=self.parts.__getitem__)
        return [
            f"{count} style {near:.2f}, where {among} and texts not in the manner {contrast:.2f}: verdict {self.verdict:.2f} of 1.",
            f"The longest run of words taken from an original is {max(spans)}{own}, and the weakest part is {weakest}, "
            f"{self.parts[weakest]:.2f}.",
        ]

    def overall(self) -> list[tuple[str, str]]:
        """(what, figure) of all texts together: interval, perplexities, variety."""
        rows = []
        if self.interval:
            rows.append(
                (
                    "verdict, 95 % of such means of texts drawn again from these",
                    "{:.2f} to {:.2f}".format(*self.interval),
                )
            )
        rows += [(key.replace("_", " "), _short(value)) for key, value in self.corpus.items()]
        for key, value in self.diversity.get("texts", {}).items():
            name = "different texts (Vendi score)" if key == "vendi" else f"share of distinct {key}"
            rows.append((name, f"{value:.2f} (originals {self.diversity['originals'][key]:.2f})"))
        return rows

    def _mean(self, metric: str) -> float:
        values = [t.metrics[metric] for t in self.texts if t.text]
        return float(sum(values) / len(values))

    def __str__(self) -> str:
        lines = [f"{'':<24}{'texts':>10}{'originals':>20}{'contrast':>10}"]
        lines += [
            f"{metric:<24}{mean:>10}{own:>20}{contrast:>10}" for metric, mean, own, contrast in self.summary()
        ]
        lines += [f"{what}: {figure}" for what, figure in self.overall()]
        parts = ", ".join(f"{name} {value:.2f}" for name, value in self.parts.items())
        return "\n".join([*lines, f"verdict {self.verdict:.2f} ({parts})", *self.notes])

    def _repr_html_(self) -> str:
        def table(rows: list[tuple[str, ...]]) -> str:
            cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
            return "".join(f"<tr>{row}</tr>" for row in cells)

        parts = ", ".join(f"{name} {value:.2f}" for name, value in self.parts.items())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<p><b>verdict {self.verdict:.2f}</b> ({html.escape(parts)})</p><p>{html.escape(' '.join(self.sentences()))}</p>"
            f"<table><tr><th>metric</th><th>{len(self.texts)} texts</th><th>originals</th><th>contrast</th></tr>"
            f"{table([*self.summary()])}</table><table>{table([*self.overall()])}</table>{notes}"
        )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3f}"
