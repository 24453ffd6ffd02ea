"""One drawn text and what is known of it, as a value, as JSON, and as a page to be read. Measures nothing."""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data.brief import Brief
from inference.novelty import CopiedSpan

SHOWN = {
    "words": "words",
    "style": "style",
    "longest_copied_span": "longest copied run",
    "novelty_4gram": "new 4-grams",
    "repetition": "repeated 4-grams",
}
"""Figures that a page has a bar of, where they were measured and the originals' range is known."""


@dataclass(frozen=True)
class Sample:
    """One generated text and what is known of it.

    ``seed`` and ``index`` reproduce it; ``tokens`` counts the drawn ones; ``scores`` has words, repetition (0..1) and obeyed (what of
    the brief it keeps to, `inference.adherence`), and from a run also longest_copied_span (words), novelty_4gram (0..1), nearest (an
    original's name) and leaked_names (of the originals' people, unasked for); with the guard refused_runs, how often it kept a run
    from going on; where it was chosen among several, style (0..1) too. ``copied_spans`` are those of five words and more.
    ``plan`` says whose the brief's beats are: "given" by the user, of a plot of the "bank", by the base ("model"), or "none".
    ``remark`` says what speaks against showing it, ``chosen`` whether it was not left aside for another or for that. ``band`` has
    the originals' own least and most of some of the scores.
    """

    text: str
    brief: Brief
    seed: int
    index: int
    ended_by_eos: bool
    tokens: int
    scores: dict[str, Any] = field(default_factory=dict)
    copied_spans: tuple[CopiedSpan, ...] = ()
    chosen: bool = True
    remark: str | None = None
    plan: str = "none"
    band: Mapping[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "text": self.text,
            "brief": self.brief.to_dict(),
            "seed": self.seed,
            "index": self.index,
            "ended_by_eos": self.ended_by_eos,
            "tokens": self.tokens,
            "scores": self.scores,
            "copied_spans": [vars(span) for span in self.copied_spans],
            "chosen": self.chosen,
            "remark": self.remark,
            "plan": self.plan,
        }

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return page([self])


class Samples(list[Sample]):
    """The samples that `generate` returns, in order; ``refused`` are the candidates that it left aside, with their remarks."""

    def __init__(self, samples: Iterable[Sample] = (), refused: Sequence[Sample] = ()) -> None:
        super().__init__(samples)
        self.refused = tuple(refused)

    @property
    def candidates(self) -> list[Sample]:
        """All that were drawn, chosen or not, in the order of drawing."""
        return sorted([*self, *self.refused], key=lambda sample: sample.index)

    def __str__(self) -> str:
        return "\n\n* * *\n\n".join(sample.text for sample in self)

    def _repr_html_(self) -> str:
        return page(self)


def page(samples: Iterable[Sample]) -> str:
    """``samples`` as sheets of HTML with their briefs, texts and bars; everything that comes from a text or a user is escaped, and
    the colours are its own, so that it reads on any background."""
    return "".join(
        '<article style="max-width:34em;margin:1em 0;padding:1.6em 2.4em;background:#fdfaf3;color:#222;'
        'border:1px solid #ddd5c2;font:1.05em/1.55 Georgia,serif">'
        f'<p style="{_SMALL};text-align:center;margin:0 0 1.4em">{_brief(sample)}</p>{_beats(sample)}'
        f'<div style="white-space:pre-wrap;hyphens:auto">{mark_spans(sample.text, sample.copied_spans)}</div>'
        f'<div style="margin-top:1.4em;border-top:1px solid #ddd5c2;padding-top:.8em">{_facts(sample)}</div></article>'
        for sample in samples
    )


def mark_spans(text: str, spans: Sequence[CopiedSpan]) -> str:
    """``text`` as HTML, escaped, with each copied span in a ``<mark>`` that names its original."""
    pieces, position = [], 0
    for span in spans:
        pieces.append(html.escape(text[position : span.start]))
        title = html.escape(f"{span.words} words in a row as in {span.source}", quote=True)
        pieces.append(f'<mark title="{title}">{html.escape(text[span.start : span.end])}</mark>')
        position = span.end
    return "".join(pieces) + html.escape(text[position:])


_SMALL = "font:.75em/1.5 sans-serif;color:#6b6455"


def _brief(sample: Sample) -> str:
    """The brief's fields without its beats. A field that the text does not keep to is struck through."""
    obeyed = sample.scores.get("obeyed", {})
    said = []
    for key, value in sample.brief.to_dict().items():
        if key == "beats":
            continue
        shown = html.escape(
            ", ".join(value)
            if isinstance(value, list)
            else f"{value} words"
            if key == "length"
            else str(value)
        )
        kept = obeyed.get(key, True) == 1  # of keywords a share
        title = html.escape(f"{key}: {'kept to' if kept else 'not in the text in these words'}", quote=True)
        said.append(f'<span title="{title}">{shown if kept else f"<s>{shown}</s>"}</span>')
    return " · ".join(said)


def _beats(sample: Sample) -> str:
    """The brief's beats as a list that opens on demand; "" without beats."""
    rows = "".join(f"<li>{html.escape(beat)}</li>" for beat in sample.brief.beats)
    style = f'style="{_SMALL};margin:0 0 1.4em"'
    return f"<details {style}><summary>beats</summary><ol>{rows}</ol></details>" if rows else ""


def _facts(sample: Sample) -> str:
    rows = "".join(
        _bar(label, float(sample.scores[key]), *sample.band[key])
        for key, label in SHOWN.items()
        if isinstance(sample.scores.get(key), int | float) and key in sample.band
    )
    bars = f'<table style="border-collapse:collapse;{_SMALL}">{rows}</table>' if rows else ""
    notes = [] if sample.ended_by_eos else [f"cut off at {sample.tokens} tokens"]
    if not rows and "words" in sample.scores:
        notes.append(f"{sample.scores['words']} words")
    notes += [sample.remark] if sample.remark else []
    if names := sample.scores.get("leaked_names"):
        notes.append(f"names of the originals: {', '.join(names)}")
    if refused := sample.scores.get("refused_runs"):
        notes.append(f"kept {refused} times from going on as an original does")
    notes.append(f"seed {sample.seed}, sample {sample.index}")
    return f'{bars}<p style="{_SMALL};margin:.6em 0 0">{html.escape("; ".join(notes))}</p>'


def _bar(label: str, value: float, low: float, high: float) -> str:
    """One figure on a line from 0: the originals' range shaded, the text's own place a mark."""
    whole = max(value, high, 1e-9) * 1.08
    at, start, width = (f"{100 * part / whole:.1f}%" for part in (value, low, max(high - low, 0.012 * whole)))
    cell = 'style="border:0;padding:.1em .8em .1em 0;text-align:left;background:none"'
    inside = low <= value <= high
    number = f"{value:.0f}" if value == int(value) else f"{value:.2f}"
    span = (
        f"{low:.0f} to {high:.0f}"
        if float(low).is_integer() and float(high).is_integer()
        else f"{low:.2f} to {high:.2f}"
    )
    return (
        f"<tr style='background:none'><td {cell}>{label}</td><td {cell}>"
        '<div style="position:relative;width:12em;height:.7em;background:#efe8d8">'
        f'<div style="position:absolute;left:{start};width:{width};height:100%;background:#cfc3a3"></div>'
        f'<div style="position:absolute;left:{at};width:3px;height:100%;background:{"#3d6b3d" if inside else "#a33"}"></div></div>'
        f"</td><td {cell}>{number}</td><td {cell}>originals {span}</td></tr>"
    )
