"""What of its brief a text keeps to, by plain string rules: no model judges, so what is said in other words counts as not said.

Measures; does not choose (`inference.choosing`) and does not look for what the brief did not ask for (`inference.leaks`).
"""

import re
from functools import cache

from data.brief import Brief
from data.english import given_names, grammar, listed_gender, person_nouns, pronouns, singular
from data.lists import words
from data.names import CAPITAL, name_counts
from data.stories import PARAGRAPHS
from inference.novelty import words as novelty_words
from inference.stylometry import FUNCTION_WORDS

LENGTH_TOLERANCE = 0.25
"""A text is as long as asked for within this share."""

HALF = 0.5
"""Share of a beat's words in its paragraph from which the beat is told."""

CLEAR = 3
"""Pronouns of the other gender that are a mistake, and no unhappy sentence."""

_FUNCTION = frozenset(FUNCTION_WORDS)
_WORD = re.compile(r"[^\W_][\w'’\-]*")
_SENTENCE = re.compile(r"(?<=[.!?])[\"”'’»)]*\s+")
_DOUBLE = re.compile(rf"\b[{CAPITAL}]\w+-[{CAPITAL}]\w+")
_OBJECT = re.compile(
    r"^(?:\s+(?!(?:he|she|they|who|that|nobody)\b)\w+){1,3}\s+(?:him|her(?=\s+(?:a|an|and|as|at|back|for|from|how|if|in|into|of|on|that|the|to|what|whether|why|with)\b|"
    r"[^\s\w]|\s*$))(?!\w)"
)
"""Behind a name: at most three words with its verb, and the verb's object. "Her" before any other word may be a possessive, as in "Ada took
her coat"."""

_QUOTE = re.compile(r"[\"“”«»]|‘|,’")
_OPENS = re.compile(r"(?:She|Her|He|His)\b")
_MEN = ("man", "boy", "lad", "gentleman")
_KIND = rf"({'|'.join(_MEN)}|woman|girl|lass|lady)\b(?!['’])"
_SMALL = frozenset("a an the of in on at by near from for with and his her their my our named called".split())


def adherence(text: str, brief: Brief) -> dict[str, bool | float]:
    """For each field that ``brief`` gives whether ``text`` keeps to it, of keywords and beats the share (0..1) that it has.

    name: its first word or its last stands there twice, and no other name more often that the brief does not give. occupation:
    all of its words, in singular or plural. place, meets: their names, or where none is in them, their nouns (the last word
    before "in", "of" and the like). length: within a quarter. With a name also constant: that name is there from the first third
    on, leads in every third, and is nobody else's ("Ada and Ada"). With one whose given name the lists know as a woman's or a man's
    alone also pronouns: not `CLEAR` more that say the other of its bearer than its own. beats: of which share the paragraph in its
    place has `HALF` of the words that mean something, or more.
    """
    found: dict[str, bool | float] = {}
    said = {singular(word.casefold()) for word in _WORD.findall(text)}
    if brief.name:
        header = brief.header()
        asked = {*_WORD.findall(header), *_WORD.findall(re.sub(r"['’]s\b", "", header))}
        found["name"] = _mentions(text, brief.name) >= max(2, *_others(text, asked), 0)
        thirds = [text[i * len(text) // 3 : (i + 1) * len(text) // 3] for i in range(3)]
        found["constant"] = (
            bool(_mentions(thirds[0], brief.name))
            and not _doubled(text, brief.name)
            and all(
                count <= max(_mentions(third, brief.name), 1)
                for third in thirds
                for count in _others(third, asked)
            )
        )
        if gender := _gender(brief.name):
            her, him = _told(text, brief.name, brief.meets or "")
            own, other = (her, him) if gender == "f" else (him, her)
            found["pronouns"] = other < own + CLEAR
    if brief.occupation:
        found["occupation"] = _all_said(brief.occupation, said)
    for field in ("place", "meets"):
        if phrase := getattr(brief, field):
            named = [word for word in _WORD.findall(phrase) if word[0].isupper() and not _generic(word)]
            found[field] = any(_stands(name, text) for name in named) if named else _noun(phrase) in said
    if brief.keywords:
        found["keywords"] = sum(_all_said(word, said) for word in brief.keywords) / len(brief.keywords)
    if brief.beats:
        parts = [*text.split(PARAGRAPHS), *[""] * len(brief.beats)]
        said_of = [said_share(beat, part) >= HALF for beat, part in zip(brief.beats, parts, strict=False)]
        found["beats"] = sum(said_of) / len(said_of)
    if brief.length:
        found["length"] = abs(len(text.split()) - brief.length) <= LENGTH_TOLERANCE * brief.length
    return found


def _mentions(text: str, name: str) -> int:
    """How often a person's first name or surname stands in ``text``, at the beginning of a sentence too; that which does so more."""
    return max(_stands(part, text) for part in _parts(name))


def _parts(name: str) -> tuple[str, str]:
    """The first and the last word of a name, without a title."""
    parts = [part for part in name.split() if part.casefold().strip(".") not in words("honorifics")] or [name]
    return parts[0], parts[-1]


def _gender(name: str) -> str | None:
    """ "f" or "m" where the lists have the given name of ``name`` under one of the two. None where both bear it, behind a title,
    which most often stands before a surname, and for a single name that may be one."""
    first, last = (part.casefold() for part in _parts(name))
    titled = first != name.split()[0].casefold()
    if titled or first in words("given_either") or (first == last and first in words("surnames")):
        return None
    return listed_gender(first)


def _told(text: str, name: str, met: str) -> tuple[int, int]:
    """How often ``text`` says of the bearer of ``name`` that she is a woman, and how often a man.

    Counted are pronouns behind the given name, up to a quotation mark, in sentences of nobody else (nobody who is ``met`` either),
    and the one that opens the sentence after such a one. The object of the name's own verb ("Ada thanked him") is somebody else and
    not counted (principle B, Chomsky 1981). "A woman named Ada" and "Ada was a tall woman" count `CLEAR` times.
    """
    own, first = set(name.split()), re.escape(_parts(name)[0])
    others = {*name_counts(text), *(word for word in _WORD.findall(met) if word[0].isupper())} - own
    named = re.compile(rf"(?<!\w){first}(?!\w)")  # a surname may be the wife's
    behind = []
    for paragraph in text.split("\n"):
        just_named = False
        for sentence in _SENTENCE.split(paragraph):
            hit, opens = named.search(sentence), _OPENS.match(sentence)
            if opens and just_named:
                behind.append(opens[0])
            just_named = bool(hit) and not _somebody_else(sentence, own, others)
            if hit and just_named:
                behind.append(_OBJECT.sub("", _QUOTE.split(sentence[hit.end() :])[0]))
    her, him = pronouns("\n".join(behind))
    men = [next(filter(None, hit.groups())) in _MEN for hit in re.finditer(_kinds(first), text)]
    return her + CLEAR * men.count(False), him + CLEAR * men.count(True)


def _kinds(first: str) -> str:
    """The pattern of "a woman named Ada", "Ada was a tall woman" and "Ada, a woman of forty" for a given name, escaped."""
    is_a = rf"an? (?:\w+,? ){{0,3}}{_KIND}"
    return (
        rf"\b{_KIND},? named {first}\b"
        rf"|\b{first}(?: \w+)?(?: was| is) {is_a}"
        rf"|(?:\A|[.!?\n][\"”]?\s*){first}(?: \w+)?, {is_a}"
    )


@cache
def _strangers() -> frozenset[str]:
    """Nouns for people who are nobody's family."""
    return person_nouns() - words("person_words", "family")


@cache
def _names_and_titles() -> frozenset[str]:
    return given_names() | words("honorifics")


def _somebody_else(sentence: str, own: set[str], others: set[str]) -> bool:
    """Whether a sentence has another person than the one called ``own``: one of ``others``, a given name, "the waitress", a mother who
    is not "his" or who opens it ("Gunnar's mother"), "Mrs Ek", "Jean-Luc"."""
    said = re.findall(r"\w+", sentence)
    low = [word.casefold() for word in said]
    family = words("person_words", "family")
    return (
        not others.isdisjoint(said)
        or not _strangers().isdisjoint(low)
        or any(
            word in family and (before not in ("his", "her", "s") or at < 4)
            for at, (before, word) in enumerate(zip(["", *low], low, strict=False))
        )
        or any(
            word[0].isupper() and word not in own and word.casefold() in _names_and_titles() for word in said
        )
        or any(part not in own for part in _DOUBLE.findall(sentence))
    )


def _stands(word: str, text: str) -> int:
    """How often ``word`` stands in ``text`` by itself; typewriter's apostrophes are like printer's."""
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)".replace("’", "'"), text.replace("’", "'")))


def _generic(word: str) -> bool:
    """Whether a capitalised word of a place or a person names neither: "The", "Rue", "Mrs"."""
    low = word.casefold().strip(".")
    return low in _SMALL or low in grammar("streets") or low in words("honorifics")


def _doubled(text: str, name: str) -> bool:
    """Whether two people of that name are together in ``text``."""
    first, last = map(re.escape, _parts(name))
    person = rf"{first}(?: {last})?" if first != last else first
    # At the beginning of a clause: in "She waved to Ida and Ida smiled" there is one.
    return bool(re.search(rf"(?:^|[.,;:!?\n])[\s\"“]*{person} and {person}\b", text))


def _others(text: str, asked: set[str]) -> list[int]:
    """How often each name stands in ``text`` that was not asked for."""
    return [count for name, count in name_counts(text).items() if name not in asked]


def _all_said(phrase: str, said: set[str]) -> bool:
    """Whether all words of ``phrase`` that mean something are in ``said``."""
    every = {singular(word.casefold()) for word in _WORD.findall(phrase)}
    wanted = every - _SMALL or every
    return bool(wanted) and wanted <= said


def _noun(phrase: str) -> str:
    """What a phrase without a name is about: "an old man in a hat" -> "man"."""
    before: list[str] = []
    for word in _WORD.findall(phrase.casefold()):
        if word in _SMALL and before:
            break
        if word not in _SMALL:
            before.append(word)
    return singular(before[-1]) if before else ""


def said_share(beat: str, paragraph: str) -> float:
    """Measure how much of a beat a paragraph says: the share (0..1) of its content words; 1 for a beat without any."""
    wanted = content_words(beat)
    return len(wanted & content_words(paragraph)) / len(wanted) if wanted else 1.0


def content_words(text: str) -> set[str]:
    """Return the stems of the words of ``text`` that mean something."""
    said = {singular(word.text.removesuffix("'s")) for word in novelty_words(text)}
    return {_stem(word) for word in said - _FUNCTION if len(word) > 1}


def _stem(word: str) -> str:
    for end in ("ing", "ed", "es", "ly", "e", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word
