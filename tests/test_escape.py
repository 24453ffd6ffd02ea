"""Whatever a text, a name or a brief contains, a page has the tags and attributes that it has for harmless ones."""

from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.brief import Brief
from data.originals import load_originals
from inference.compare import Comparison
from inference.novelty import CopiedSpan
from inference.pages import render, score_page
from inference.sample import Sample
from inference.scorecard import Scorecard
from inference.scoring import score
from tests.small import NOIR

HARMLESS = "She took a seat."

HOSTILE = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//x.example/y.js></sCrIpT>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "</title></style></textarea></script><svg/onload=alert(4)>",
    "<a href=javascript:alert(5)>rain</a>",
    "<!--", "-->", "]]><b>", "<![CDATA[<b>]]>",
    "&lt;script&gt;", "&#60;b&#62;", "&", "{{ 7 * 7 }}{% raw %}", "${7*7}",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x9b",
    "\u2028\u2029\ufeff\u202e\u2066<b>",
    "<b\x0c/onclick\x0b=alert(6)>",
]  # fmt: skip


class _Tags(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def sample(text: str) -> str:
    span = CopiedSpan(0, len(text), 4, text)
    try:
        brief = Brief(name=text, place=text, keywords=(text, text), beats=(text,))
    except ValueError:  # a brief has no line breaks and no control characters
        brief = Brief()
    if len(brief.to_dict()) < 4:  # white space alone is no field
        brief = Brief(name=HARMLESS, place=HARMLESS, keywords=(HARMLESS, HARMLESS), beats=(HARMLESS,))
    scores = {"words": 9, "leaked_names": [text], "obeyed": {"name": False}}
    return Sample(
        text, brief, 0, 0, True, 9, scores, (span,), remark=text, band={"words": (1.0, 20.0)}
    )._repr_html_()


def scores(text: str) -> str:
    card = _card()
    one = replace(
        card.texts[0],
        text=text,
        metrics={**card.texts[0].metrics, "nearest": text},
        copied_spans=(CopiedSpan(0, len(text), 4, text),),
    )
    return score_page(replace(card, texts=(one,), notes=(text,)), text)


@cache
def _card() -> Scorecard:
    return score([HARMLESS], load_originals(NOIR))


def comparison(text: str) -> str:
    return render(
        "compare.html.j2", comparison=Comparison([text], [("base", [text])], [text]), first=[(text, text)]
    )


@pytest.mark.parametrize("page", [sample, scores, comparison])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_becomes_markup(page, hostile: str) -> None:
    expected, found = _Tags(page(HARMLESS)), _Tags(page(hostile))
    assert found.found == expected.found
    assert hostile.strip() in "".join(found.words)  # and is there to be read, as it is


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_no_text_at_all_becomes_markup_in_a_sample(text: str) -> None:
    assert _Tags(sample(text)).found == _Tags(sample(HARMLESS)).found
