"""Chooses among drawn paragraphs: one that says what its beat says, and nothing that was said before, of nobody from nowhere.

Plain rules and sentence embeddings; no language model judges but by how likely its own words were to it. Draws nothing
(`inference.telling`); does not rate a whole text (`inference.choosing`).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from data.brief import Brief
from data.descriptions import name_forms, person
from data.english import pronouns
from data.lists import groups
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
    "likely": 1.5,
    "beyond": -0.5,
    "again": -1.0,
    "repeated": -4.0,
    "strangers": -1.0,
    "open": -1.0,
    "cut": -1.0,
    "length": -0.5,
    "contrary": -1.0,
    "swapped": -1.5,
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
    swapped: acts of the beat that the other one does.
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
                    _contrary(brief, [*before, one.text]) or _other_gender(brief, beats[at], one.text)
                ),
                "swapped": float(min(2, swapped_acts(brief, beats[at], one.text))),
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


def swapped_acts(brief: Brief, beat: str, text: str) -> int:
    """Count the acts of a beat that its paragraph lets the other one of the two people do.

    brief: names the two. An act counts where a name or noun stands before its verb or behind "said", and no pronoun.
    """
    asked, told = _acts(brief, beat), _acts(brief, text)
    return sum((1 - who, act) in asked and (who, act) not in asked for who, act in told)


def _acts(brief: Brief, text: str) -> set[tuple[int, str]]:
    """Who does what: 0 is the protagonist, 1 the person met."""
    met = person(brief.meets) if brief.meets else None
    if not brief.name or met is None:
        return set()
    names = [name_forms(brief.name)[1], name_forms(met.name)[1] if met.name else met.head]
    found = set()
    for who, name in enumerate(map(re.escape, names)):
        for hit in re.finditer(
            rf"\b{name},? (?:\w+ly )?([a-z]+)|\b(said|asked) (?:the (?:\w+ )?)?{name}\b", text
        ):
            found.add((who, _stem(hit[1] or hit[2])))
    return found


@lru_cache(maxsize=1)
def _stems() -> dict[str, str]:
    return {form: stem for stem, forms in groups("verbs").items() for form in (stem, *forms)}


def _stem(verb: str) -> str:
    """A verb without its ending: "nods", "nodded" -> "nod"; verbs of speech are all "say"."""
    if verb in _stems():
        return _stems()[verb]
    bare = re.sub(r"(?:es|ed|s|d|e)\Z", "", verb)
    return bare[:-1] if len(bare) > 3 and bare[-1] == bare[-2] else bare


def _other_gender(brief: Brief, beat: str, text: str) -> bool:
    """Whether a beat without the protagonist has the pronouns of one gender, and the paragraph those of the other."""
    first = (brief.name or "").split()[:1]
    if any(name in beat or name in text for name in first):
        return False
    (her, him), (she, he) = pronouns(beat), pronouns(_QUOTED.sub("", text))
    return (bool(him) and not her and she > he) or (bool(her) and not him and he > she)
