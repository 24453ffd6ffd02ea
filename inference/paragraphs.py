"""Chooses among drawn paragraphs: one that says what its beat says, and nothing that was said before, of nobody from nowhere.

Plain rules and sentence embeddings; no language model judges but by how likely its own words were to it. Draws nothing
(`inference.telling`); does not rate a whole text (`inference.choosing`).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from data.brief import Brief
from data.english import pronouns
from data.stories import PARAGRAPHS
from inference.adherence import adherence, content_words, said_share
from inference.novelty import words
from inference.similarity import embed
from inference.telling import SENTENCE_END, Choose, Paragraph, words_of_paragraph

_NAME = re.compile(r"(?<=[a-z,;] )[A-ZÀ-Þ][\w’'\-]+")
_QUOTED = re.compile(r"“[^”]*”|\"[^\"]*\"")

WEIGHTS = {
    "said": 1.0,
    "near": 1.0,
    "likely": 0.5,
    "beyond": -1.0,
    "again": -1.0,
    "repeated": -4.0,
    "strangers": -1.0,
    "open": -1.0,
    "cut": -1.0,
    "length": -0.5,
    "contrary": -1.0,
    "copied": -4.0,
}
"""What each of `traits` counts."""


def chooser(copied: Callable[[str], bool] = lambda text: False) -> Choose:
    """Make what chooses a paragraph: the one with the most of `WEIGHTS`, the first of equals.

    copied: whether a text has more of somebody else's than it may.
    """

    def choose(brief: Brief, before: Sequence[str], drawn: Sequence[Paragraph]) -> int:
        if not any(one.text for one in drawn):
            return 0
        rated = traits(brief, before, drawn)
        merits = [
            sum(WEIGHTS[name] * value for name, value in row.items())
            + WEIGHTS["copied"] * copied(PARAGRAPHS.join([*before[-1:], one.text]))
            - 100 * (not one.text)
            for row, one in zip(rated, drawn, strict=True)
        ]
        return int(np.argmax(merits))

    return choose


def traits(brief: Brief, before: Sequence[str], drawn: Sequence[Paragraph]) -> list[dict[str, float]]:
    """What is known of each of ``drawn``, which tell the beat behind ``before``.

    said: share of the beat's content words in it. near: cosine of the two. beyond: share of its own content words that neither
    beat nor text has: with each of them a small model may say what can't be. likely: mean log probability of its tokens. again: its largest
    cosine with a paragraph before, beyond that of their beats. repeated: share of its 4-grams that stand in the text already. strangers:
    names that neither brief nor text has. open: a quotation that is not closed, or no end of a sentence. cut: it did not
    end by itself. length: how far it is from its share of the words, as a factor's logarithm. contrary: he is called she.
    """
    beats, at = brief.beats, len(before)
    vectors = np.stack(
        [_vector(text) for text in [*(one.text or "-" for one in drawn), *before, *beats[: at + 1]]]
    )
    own, told, lines = vectors[: len(drawn)], vectors[len(drawn) : len(drawn) + at], vectors[-at - 1 :]
    text, asked = "\n\n".join(before), brief.header()
    known = {word.text for word in words(f"{asked}\n{text}")}
    grams = _grams(text)
    there = content_words(f"{asked}\n{text}")
    share = words_of_paragraph(brief, at)
    alike = lines[:-1] @ lines[-1] if at else np.zeros(0)
    found = []
    for one, vector in zip(drawn, own, strict=True):
        new, said = _grams(one.text), content_words(one.text)
        found.append(
            {
                "said": said_share(beats[at], one.text),
                "near": float(vector @ lines[-1]),
                "likely": one.likely,
                "beyond": len(said - there) / max(1, len(said)),
                "again": max(0.0, float((told @ vector - np.maximum(alike, 0.3)).max())) if at else 0.0,
                "repeated": 1 - len(set(new) - set(grams)) / len(new) if new else 0.0,
                "strangers": min(2.0, sum(name.casefold() not in known for name in set(_names(one.text)))),
                "open": float(_is_open(one.text)),
                "cut": float(not one.whole),
                "length": abs(float(np.log(max(1, len(one.text.split())) / share))),
                "contrary": float(
                    _contrary(brief, [*before, one.text]) or _swapped(brief, beats[at], one.text)
                ),
            }
        )
    return found


@lru_cache(maxsize=4096)
def _vector(text: str) -> np.ndarray:
    """The sentence embedding (384,) of a text, by itself: beside others it would be rounded otherwise."""
    found: np.ndarray = embed([text])[0]
    return found


def _grams(text: str) -> list[tuple[str, ...]]:
    said = [word.text for word in words(text)]
    return list(zip(*(said[start:] for start in range(4)), strict=False))


def _names(text: str) -> list[str]:
    return [re.sub(r"['’]s\Z", "", name) for name in _NAME.findall(text)]


def _is_open(text: str) -> bool:
    return text.count('"') % 2 == 1 or text.count("“") != text.count("”") or not SENTENCE_END.search(text)


def _contrary(brief: Brief, paragraphs: Sequence[str]) -> bool:
    """Whether the text so far calls the protagonist what the name says is another."""
    return not adherence("\n\n".join(paragraphs), Brief(name=brief.name, meets=brief.meets)).get(
        "pronouns", True
    )


def _swapped(brief: Brief, beat: str, text: str) -> bool:
    """Whether a beat without the protagonist has the pronouns of one gender, and the paragraph those of the other."""
    first = (brief.name or "").split()[:1]
    if any(name in beat or name in text for name in first):
        return False
    (her, him), (she, he) = pronouns(beat), pronouns(_QUOTED.sub("", text))
    return (bool(him) and not her and she > he) or (bool(her) and not him and he > she)
