"""Reads a text as words: where each stands, whether it opens a sentence, whether it is said in quotation marks.

Also tells of the text as a whole whether it is English and whether a narrator says "I". Finds nobody and
nothing in it: `data.names` and the modules that build on it do.

    read("“Come in,” said Ada's aunt.").words[3]
    -> Word(text="Ada", low="ada", start=16, gap=" ", opens=False, quoted=False, own=True)
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from data.english import grammar

__all__ = ["SPEAKER", "WORD", "Page", "Word", "read"]

LONGEST = 400_000
"""Characters of a text that are read."""
WORD = re.compile(r"[^\W\d_]+(?:['\-‐‑][^\W\d_]+)*")
"""A word, with its apostrophes and hyphens, in a text whose apostrophes are straight."""
SPEAKER = re.compile(r"(?m)^[A-ZÀ-Þ][A-ZÀ-Þ'-]+(?= \(|[.:] )")
"""The speaker of a line in a script."""

_OPENING = re.compile(r"[.!?…:\n(\[\"“”«»*#•|]|(?:^|\s)'|^\s*[-–—]")
_QUOTE = re.compile(r"[\"“”«»]|\n[ \t]*\n")
_WRAPPED = re.compile(r"(?m)^([^\n]{55,})\n(?=\S)")


class Word(NamedTuple):
    """One word of a page, without an 's at its end (`own` says that there was one)."""

    text: str
    low: str  # case-folded
    start: int
    gap: str  # what stands between the word before and this one
    opens: bool  # begins a sentence, a line or a line of speech
    quoted: bool
    own: bool

    @property
    def end(self) -> int:
        """The offset right after the word, before an 's."""
        return self.start + len(self.text)

    @property
    def short(self) -> bool:
        """Whether a full stop after it ends no sentence: "Mr", an initial."""
        return len(self.text) == 1 or self.low in grammar("short")


@dataclass(frozen=True)
class Page:
    """A text as words, with what is true of it as a whole. Words and both texts have the same offsets."""

    text: str
    told: str  # the text with everything in quotation marks blanked
    words: list[Word]
    plain: Counter[str]  # how often each word is written in lower case
    english: bool
    first_person: bool

    def low(self, index: int) -> str:
        """The word at an index in lower case, with its 's; "" outside the page."""
        if not 0 <= index < len(self.words):
            return ""
        return self.words[index].low + ("'s" if self.words[index].own else "")

    def gap(self, index: int) -> str:
        """What stands before the word at an index; "" outside the page."""
        return self.words[index].gap if 0 <= index < len(self.words) else ""

    def determiner(self, index: int) -> int:
        """Index of the determiner of the noun at an index, at most four words between; -1 without one."""
        for start in range(index - 1, max(-1, index - 6), -1):
            low = self.low(start)
            if self.gap(start + 1) not in (" ", ", "):
                return -1
            if low in grammar("determiners"):
                return start
            if self.words[start].own or (low in grammar("stops") and low not in ("and", "but")):
                return -1
        return -1


def read(text: str) -> Page:
    """Cut a text into words. Hard-wrapped lines are joined; the lines of verse are not."""
    text = unicodedata.normalize("NFC", text[:LONGEST]).replace("\r\n", "\n").replace("\r", "\n")
    text = _WRAPPED.sub(r"\1 ", text.replace("’", "'").replace("‘", "'"))
    quoted = _quoted(text)
    found: list[Word] = []
    end = 0
    for match in WORD.finditer(text):
        start, gap = match.start(), text[end : match.start()]
        own = len(match[0]) > 2 and match[0][-2:] in ("'s", "'S")
        written = match[0][:-2] if own else match[0]
        opens = not found or (not (gap == ". " and found[-1].short) and bool(_OPENING.search(gap)))
        found.append(Word(written, written.casefold(), start, gap, opens, quoted[start] == 1, own))
        end = match.end()
    outside = [word.low for word in found if not word.quoted]
    selves = sum(low in grammar("self") for low in outside)
    return Page(
        text=text,
        told="".join(" " if inside else mark for mark, inside in zip(text, quoted, strict=True)),
        words=found,
        plain=Counter(word.low for word in found if word.text[0].islower()),
        english=sum(word.low in grammar("english") for word in found) >= 0.18 * max(1, len(found)),
        # Narrators who say "I" say it in one word of 12 to 40; an author's aside or a script is no narrator.
        first_person=selves >= 3 and selves * 43 >= len(outside) and len(SPEAKER.findall(text)) < 6,
    )


def _quoted(text: str) -> bytearray:
    """1 for every character inside double quotation marks. A blank line ends an unclosed quotation."""
    inside = bytearray(len(text))
    opened = -1
    for match in _QUOTE.finditer(text):
        if opened >= 0:
            inside[opened : match.start()] = b"\x01" * (match.start() - opened)
        opened = match.end() if match[0] in "“«" or (match[0] == '"' and opened < 0) else -1
    return inside
