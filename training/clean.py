"""Cleans one text of a story corpus, and says what is none of our stories.

Removes what language models and web pages put around a story: markdown, headings, remarks to the reader. Rules only, one text
at a time. Finds no duplicates; does not choose among sources.
"""

import re
import unicodedata
from dataclasses import dataclass

FEWEST_WORDS = 60
"""A shorter text is a fragment."""

_STRAIGHT = str.maketrans(
    {
        "“": '"',
        "”": '"',
        "„": '"',
        "«": '"',
        "»": '"',
        "‘": "'",
        "’": "'",
        "‛": "'",
        "\u00a0": " ",
        "\u200b": None,
    }
)
_RULE = re.compile(r"(?m)^[ \t]*(?:[-*_=~#•⁂][ \t]*){3,}$|^[ \t]*[⁂§][ \t]*$")
_HEADING = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t].*|<[^>\n]{1,80}>[ \t]*)$")
_BOLD_LINE = re.compile(r"(?m)^[ \t]*(\*\*|__)(?=\S)[^\n]{1,120}\1:?[ \t]*$")
_TITLE_LINE = re.compile(
    r"(?i)[ \t]*(?:title|chapter|part|prologue|epilogue|act|scene|story|fable|the end|fin|end)\b[^.!?\n]{0,80}[.:]?[ \t]*"
)
_EMPHASIS = re.compile(r"(\*{1,3}|(?<![^\W_])_{1,3})(?=\S)(.+?)(?<=\S)\1(?![^\W_])", re.DOTALL)
_LINK = re.compile(r"\[([^\]\n]{1,200})\]\([^)\n]{1,300}\)")
_META_FIRST = re.compile(
    r"(?i)(?:(?:sure|certainly|of course|absolutely|okay|ok|great|as requested|let me|i(?:'ll| will| have|'ve|'d))\b.{0,80}"
    r"\b(?:story|fable|tale|version)\b|here(?:'s| is| are) (?:a|an|the|your|my)\b.{0,80}\b(?:story|fable|tale|version|chapter)\b|"
    r"below is\b|this is (?:a|the|my) (?:short )?(?:story|fable|tale)\b|\(?[≈~]?[\d,]+ words\b)"
)
_META_LAST = re.compile(
    r"(?i)(?:\(?word count|\[?\(?(?:approximately |about |~)?[\d,]+ words|\(?the end\b|the moral\b|moral:|\[end|\(?to be "
    r"continued|i hope (?:you|this)|let me know|would you like|note:|author's note|this (?:story|fable|tale|chapter) (?:is|was|"
    r"has|teaches|shows|explores|highlights|serves|illustrates|demonstrates)|feel free|end of (?:story|chapter|part)|"
    r"(?:in|through) this (?:story|fable|tale))"
)
_NEVER = re.compile(
    r"(?i)\bas an ai\b|language model|i'm sorry, but|i cannot (?:fulfil|assist|write)|```|https?://|</?(?:think|div|p|br)\b|"
    r"\bproject gutenberg\b|\bcopyright\b|all rights reserved|\bthe user (?:wants|asked|has)\b"
)
_LISTED = re.compile(r"[ \t]*(?:[-*•][ \t]|\d{1,2}[.)][ \t]|[A-Z][A-Za-z ]{1,24}:[ \t])")
_ENDS = re.compile(r"[.!?…][\"')\]]*\Z")
_FUNCTION_WORDS = frozenset(
    "the and a of to in was his her he she it that with had as for on at but they you i from by is".split()
)


@dataclass(frozen=True)
class Cleaned:
    """A usable text. ``ended`` is whether its last sentence is whole: else it was cut off and has no true end."""

    text: str
    ended: bool


def clean(raw: str) -> "Cleaned | str":
    """The story in ``raw``, or in one phrase why there is none. Quotes and apostrophes come out straight."""
    text = unicodedata.normalize("NFC", raw).replace("\r\n", "\n").replace("\r", "\n").translate(_STRAIGHT)
    if _NEVER.search(text):
        return "not a story: boilerplate or talk about itself"
    for pattern in (_RULE, _HEADING, _BOLD_LINE):
        text = pattern.sub("\n", text)
    text = _LINK.sub(r"\1", text)
    text = _EMPHASIS.sub(r"\2", text)
    paragraphs = [" ".join(line.split()) for line in text.split("\n")]
    paragraphs = [p for p in paragraphs if p and not _TITLE_LINE.fullmatch(p)]
    while paragraphs and (_META_FIRST.match(paragraphs[0]) or _is_title(paragraphs[0])):
        paragraphs.pop(0)
    while paragraphs and _META_LAST.match(paragraphs[-1].lstrip("*_\"' ")):
        paragraphs.pop()
    if any("*" in p or "_" in p or "#" in p or "|" in p for p in paragraphs):
        paragraphs = [re.sub(r"[*_#|]+", "", p).strip() for p in paragraphs]
        paragraphs = [p for p in paragraphs if p]
    text = "\n\n".join(paragraphs)
    reason = _unfit(text, paragraphs)
    return reason or Cleaned(text, bool(_ENDS.search(text)))


def _is_title(paragraph: str) -> bool:
    """Whether a first paragraph is a heading: short, without the end of a sentence."""
    return (
        len(paragraph.split()) <= 10
        and not _ENDS.search(paragraph)
        and not paragraph.endswith((",", ":", ";", "-"))
    )


def _unfit(text: str, paragraphs: list[str]) -> str | None:
    words = text.split()
    if len(words) < FEWEST_WORDS:
        return "too short"
    letters = [mark for mark in text if mark.isalpha()]
    if sum("LATIN" in unicodedata.name(mark, "") for mark in set(letters)) < 0.9 * len(set(letters)):
        return "not English: other scripts"
    share = sum(word.strip("\"'.,!?;:()-").lower() in _FUNCTION_WORDS for word in words) / len(words)
    if share < 0.2:
        return "not English, or a list"
    if sum(bool(_LISTED.match(p)) for p in paragraphs) > 0.2 * len(paragraphs):
        return "not a story: a list or a script"
    if len({p for p in paragraphs if len(p) > 40}) < 0.9 * sum(len(p) > 40 for p in paragraphs):
        return "repeats itself"
    return None
