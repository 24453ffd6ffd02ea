"""HTML pages from the templates beside this file: everything from texts and models is escaped, no page needs a network.

`score_page` shows a scorecard of any texts; the page of a run is `inference.report`'s.
"""

from pathlib import Path
from typing import Any

import jinja2

from inference.sampling import mark_spans
from inference.scorecard import EXPLAINED, Scorecard


def render(template: str, **content: Any) -> str:
    """The page that ``template`` makes of ``content``; a name that it misses is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["band"] = lambda values: f"{values[0]:.2f} to {values[1]:.2f}" if values else ""
    return environment.get_template(template).render(**content)


def score_page(card: Scorecard, title: str) -> str:
    """``card`` as a page of its own: the table with a line of explanation each, then the texts with what they copied marked."""
    return render(
        "score.html.j2",
        title=title,
        card=card,
        rows=[(*row, EXPLAINED.get(row[0], "")) for row in card.summary()],
        texts=[(text, mark_spans(text.text, text.copied_spans)) for text in card.texts],
    )
