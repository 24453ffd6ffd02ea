"""HTML pages from the templates beside this file: everything from texts and models is escaped, no page needs a network.

`score_page` shows a scorecard of any texts; the page of a run is `inference.report`'s.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2

from inference.compare import Comparison
from inference.draws import FINAL
from inference.runs import Run
from inference.sample import mark_spans
from inference.scorecard import EXPLAINED, Scorecard
from inference.summary import ended, leaking


def render(template: str, **content: Any) -> str:
    """The page that ``template`` makes of ``content``; a name that it misses is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["at"] = lambda value, digits: "" if value is None else f"{value:.{digits}f}"
    environment.filters["reach"] = _reach
    environment.filters["ended"] = lambda drawn: f"{ended(drawn)} of {drawn['n']}"
    environment.filters["leaking"] = leaking
    environment.filters["band"] = lambda values: f"{values[0]:.2f} to {values[1]:.2f}" if values else ""
    return environment.get_template(template).render(**content)


def _reach(values: Iterable[float]) -> str:
    found = list(values)
    return f"{min(found):.2f} to {max(found):.2f}"


def explained(card: Scorecard) -> list[tuple[str, str, str, str, str]]:
    """Rows (metric, mean of the texts, range of the originals, contrast, what it is) of the table of all metrics."""
    return [(*row, EXPLAINED.get(row[0], "")) for row in card.summary()]


def compare_page(comparison: Comparison, runs: Sequence[str | Path]) -> str:
    """``comparison`` as a page, with the first sample of each of ``runs``."""
    firsts = [
        next((row["text"] for row in Run.open(path).samples() if row["set"] == FINAL), "") for path in runs
    ]
    return render(
        "compare.html.j2", comparison=comparison, first=list(zip(comparison.names, firsts, strict=True))
    )


def score_page(card: Scorecard, title: str) -> str:
    """``card`` as a page of its own: the table with a line of explanation each, then the texts with what they copied marked."""
    return render(
        "score.html.j2",
        title=title,
        card=card,
        table=explained(card),
        texts=[(text, mark_spans(text.text, text.copied_spans)) for text in card.texts],
    )
