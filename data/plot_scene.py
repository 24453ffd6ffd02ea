"""Puts a place and keywords into the beats of a plot.

Changes the words that say where a plot is, its first mention to the whole new place, and adds keywords as plain clauses: "; there is
a red umbrella". Raises `Refused` where the words around would not go with it. Knows nothing of people (`data.plot_fill` does).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from data.english import grammar, indefinite, singular
from data.lists import words
from data.plot_words import ALIKE
from data.plots import INSIDE, PREPOSITIONS, Plot, kind_of_place, stems

__all__ = ["NP", "Edit", "Refused", "apply", "article", "has_words", "put_keywords", "put_place", "without"]

NP = (
    r"(?!(?:an?|the|and|or|but|nor|his|her|their|my|our|its|is|are|was|has|that|who|which|says|asks|it|he|she|they|so|as|than|because|"
    r"until|while|when|if|"
    + "|".join(sorted(PREPOSITIONS - {"that", "which", "who"}))
    + r")\b)[^\W\d_][\w'’\-]*"
)
"""A word inside a noun phrase, behind its article."""

_BEFORE = re.compile(r"(?:^|(?<=[\s(]))([Aa])n? $")
_ON = frozenset(
    "bridge footbridge pier quay jetty bench balcony rooftop terrace beach ferry boat ship deck barge steamer riverboat train tram bus "
    "island hill stage platform steps staircase stairs promenade embankment street road avenue farm hillside square plaza wharf dock "
    "riverbank waterfront seafront shore coast landing houseboat roadside".split()
)
_BY = frozenset("river canal lake sea pond ocean fountain riverside stream".split())
_AT = frozenset("stop stall kiosk crossroads crossing bookstall bookstalls lock airport".split())
_INDOORS = frozenset(
    "window door table chair counter corner lamp candle wall floor ceiling stair inside outside stove hearth roof room upstairs enter "
    "shelf curtain bell fir sofa".split()
)
_OUTDOORS = frozenset(
    "rain snow wind sky sun sunset sunris star moon tre grass leav leaf pigeon bird river sea boat bench street cloud fog mist gull path "
    "wav water bridg lak garden branch sail umbrella".split()
)
_SEA = frozenset("sea harbour harbor tid pier gull port ship shor beach lighthous coast".split())
_RIVER = frozenset("river canal boat barg quay ferry swan lak bridg".split())
_WILD = frozenset(
    "hill valley mountain ski field meadow sheep village island desert orchard vineyard forest peak slop cliff pastur".split()
)
_REPORTED = re.compile(
    r"\b(?:says?|tells?|told|remember\w*|dream\w*|asks?|recalls?|misses|speaks?|admits?|explains?|describes?|once|was|were|had|used)\b"
)
_COAST = re.compile(
    r"\b(?:waves (?:break|roll|crash|lap|murmur|beat|rise)|the waves|sails|horizon|(?:the|a) bay|whales?|tide|tides|seashells?)\b"
)
_TRAINS = re.compile(
    r"\b(?:trains|trains? (?:comes|whistles|rolls|passes|arrives|hums|stands|leaves|rattles))\b"
)
_RAIL = frozenset("platform railway timetabl".split())
_GENERIC = {
    "pont": "bridge", "jardin": "garden", "jardins": "gardens", "parc": "park", "gare": "station", "quai": "quay", "rue": "street",
    "place": "square", "musée": "museum",
}  # fmt: skip
_AT_A_NAME = frozenset("in on at into onto to across through along enters crosses reaches visits".split())
_REACHING = frozenset("enters enter leaves visits reaches finds past".split())
_PATH = {"in": "into", "on": "onto", "at": "to", "by": "to"}
_DETERMINERS = "[Tt]he|[Aa]n?|[Tt]his|[Tt]hat|[Hh]is|[Hh]er|[Tt]heir|[Mm]y|[Oo]ur"
_BEHIND = "and|but|as|because|when|while|until|after|since|so|just|every|one|during|alone|late|early"
_MASS = frozenset(
    "rain snow fog mist wind sunlight sunshine moonlight starlight thunder lightning frost ice smoke dust sand mud music bread coffee tea "
    "wine beer milk honey salt sugar flour soup cheese chocolate butter jam laughter silence applause noise ink wool lace silver gold "
    "silk paper paint chalk charcoal soap water fire grass hay ivy lavender jasmine thyme mint gingerbread darkness light warmth steam "
    "lamplight candlelight drizzle saffron cinnamon marzipan rice".split()
)
_WEATHER = frozenset(
    "rain snow fog mist wind sunshine moonlight starlight thunder lightning frost drizzle".split()
)
_UNIQUE = {
    "sun": "the sun shines",
    "moon": "the moon shines",
    "sunrise": "it is sunrise",
    "sunset": "it is sunset",
}
_TIMES = frozenset(
    "winter spring summer autumn night evening morning afternoon dawn dusk midnight noon christmas".split()
)
_TOPICS = frozenset(
    "love hope home war peace jazz time death life money work chess football childhood youth courage luck grief joy sorrow art poetry "
    "philosophy history travel exile memory trust truth faith fear pride jealousy beauty freedom homesickness marriage age "
    "regret fate science mathematics politics religion cooking fishing sailing dancing painting photography family".split()
)
_ABSTRACT = ("ness", "ship", "ity", "tion", "ment", "ance", "ence", "dom", "hood", "ism", "ure")


_NOUNS = stems(words("places")) - {"lift", "wood", "field", "port", "city", "tow", "yard", "mine", "mill"}
"""Nouns of places, of which a beat must have none in passing where a plot moves to another kind of place."""


class Refused(Exception):
    """Why a plot cannot be filled, as a plain sentence."""


@dataclass(frozen=True)
class Edit:
    """New words for the characters of a beat from `start` to `end`. `article`: "a" or "an" before them may change."""

    start: int
    end: int
    new: str
    article: bool = False


def article(phrase: str) -> str:
    """ "a" or "an", as it stands before a phrase."""
    return indefinite(f"{phrase} one").partition(" ")[0]


def apply(beat: str, edits: Sequence[Edit], capital: bool) -> str:
    """Make a beat's edits. capital: the beat begins with a capital. Raises `Refused` where two edits meet."""
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < at:
            raise Refused("two changes would meet in one beat")
        before, new = beat[at : edit.start], edit.new
        if edit.article and new:
            before = _BEFORE.sub(rf"\g<1>{article(new)[1:]} ", before)
        pieces += [before, new]
        at = edit.end
    told = "".join(pieces) + beat[at:]
    return told[:1].upper() + told[1:] if capital else told


def has_words(phrase: str, beats: Sequence[str]) -> bool:
    """Whether one beat has all words of a phrase, in singular or plural."""
    wanted = {singular(word) for word in _words(phrase)}
    return any(wanted <= {singular(word) for word in _words(beat)} for beat in beats)


def put_place(plot: Plot, place: str, hero_is: str) -> list[list[Edit]]:
    """Find the edits of each beat that move a plot to a place. Raises `Refused` with the reason.

    hero_is: opens a clause that says where the protagonist is, "she is". "": the beats must have words for the place.
    """
    return _Move(plot, place, hero_is).edits()


@cache
def prep_of(noun: str) -> str:
    """The preposition by which somebody is at a kind of place. Raises `Refused` for a kind that is not known."""
    for preposition, nouns in (("on", _ON), ("by", _BY), ("at", _AT)):
        if noun in nouns:
            return preposition
    if noun in {phrase.split()[-1] for phrase in words("places")} or kind_of_place(noun)[1] - {noun}:
        return "in"
    raise Refused(f"it is not known whether one is in or on a {noun}")


class _Move:
    """One plot's move to another place."""

    def __init__(self, plot: Plot, place: str, hero_is: str) -> None:
        self.plot, self.place, self.hero_is = plot, place, hero_is
        self.old = plot.brief.place or ""
        self.noun, self.classes = kind_of_place(self.old)
        if not self.noun:
            raise Refused("the plot has no place")
        said = [word for word in place.split() if word not in ("a", "an", "the")]
        if not said:
            raise Refused("the place has no noun")
        known = all(word.casefold() in words("cities") | words("towns") for word in said if word[0].isupper())
        self.relative = said[0] in PREPOSITIONS  # "by the Seine"
        self.area = self.relative or (said[0][0].isupper() and place.split()[0] != "the" and known)
        self.new_noun, self.new_classes = kind_of_place(place)
        self.later = "" if self.area else _GENERIC.get(self.new_noun, self.new_noun)
        core = [word for word in self.old.split() if word not in ("a", "an", "the")]
        self.named = bool(core) and core[0][0].isupper()
        self.proper = {word.strip(",") for word in self.old.split() if word[0].isupper()}

    def edits(self) -> list[list[Edit]]:
        mentions = [self._mentions(beat) for beat in self.plot.beats]
        self._check_words(
            without(beat, [(start, end) for start, end, _ in spans])
            for beat, spans in zip(self.plot.beats, mentions, strict=True)
        )
        found: list[list[Edit]] = [[] for _ in self.plot.beats]
        placed = False
        for at, beat in enumerate(self.plot.beats):
            for start, end, head in mentions[at]:
                if not placed:
                    found[at].append(self._first(beat, start, end, head))
                    placed = True
                elif edit := self._again(beat, start, end, head):
                    found[at].append(edit)
        if not placed:
            found[0].append(self._added(self.plot.beats[0]))
        return found

    def _added(self, beat: str) -> Edit:
        """A clause that says where the protagonist is, at the end of a beat."""
        if stems(self.plot.beats) & _OUTDOORS - {"rain", "snow", "sun", "umbrella", "boat", "sail"}:
            raise Refused("the beats do not say where they are")
        if not self.hero_is or self.area or not self._same_kind() or beat[-1:] in '?!"”':
            raise Refused("the beats do not say where they are")
        end = len(beat) - beat.endswith(".")
        return Edit(end, end, f"; {self.hero_is} {prep_of(self.later)} {self.place}")

    def _check_words(self, beats: Iterable[str]) -> None:
        """Refuse where the beats have words that go with the old place alone."""
        told = list(beats)
        here = stems(told)
        new = stems([self.place])
        if not self.area:
            own = self.classes | stems([self.noun])
            for word, classes in () if self._same_kind() else self.plot.scene:
                if (
                    word in here
                    and classes.isdisjoint(self.new_classes)
                    and word not in new
                    and word not in own
                ):
                    raise Refused(f"{word!r} goes with a {self.noun} and not with a {self.new_noun}")
            if not self._same_kind():
                if not self._near_kind():
                    raise Refused(f"a {self.noun} is not like a {self.new_noun}")
                if other := {noun for noun in here if noun in _NOUNS} - new - own:
                    raise Refused(f"{min(other)!r} goes with a {self.noun} and not with a {self.new_noun}")
                inside, new_inside = (not INSIDE.isdisjoint(c) for c in (self.classes, self.new_classes))
                telling = (_INDOORS if inside else _OUTDOORS) & here
                if inside != new_inside and telling:
                    raise Refused(f"{min(telling)!r} goes with a {self.noun} and not with a {self.new_noun}")
        here = stems(beat for beat in told if not _REPORTED.search(beat))
        if re.search(r"\b(?:station|Gare|train)\b", self.old) and (hit := _TRAINS.search(" ".join(told))):
            raise Refused(f"{hit[0]!r} goes with a station")
        if far := here & (_WILD | _RAIL) - new:
            raise Refused(f"{min(far)!r} is not near the new place")
        river = re.search(r"\b(?:by|along|over|beside|on) the [A-ZÀ-Ý]", self.place)
        wet = here & ((set() if new & _SEA else _SEA) | (set() if river or new & (_SEA | _RIVER) else _RIVER))
        if not new & _SEA and (hit := _COAST.search(" ".join(told))):
            raise Refused(f"{hit[0]!r} is not near the new place")
        if wet:
            raise Refused(f"{min(wet)!r} is not near the new place")

    def _near_kind(self) -> bool:
        """Whether the two kinds of place are near enough for a plot to move from one to the other."""
        groups = [{f"kind {kind}" for kind in kinds.split()} for kinds in ALIKE]
        return any(group & self.classes and group & self.new_classes for group in groups)

    def _same_kind(self) -> bool:
        return (
            any(name.startswith("kind ") for name in self.classes & self.new_classes)
            or self.classes == self.new_classes
        )

    def _mentions(self, beat: str) -> list[tuple[int, int, str]]:
        """Where a beat says the place: start, end and the noun that says it, or "" for a name alone."""
        generic = _GENERIC.get(self.noun, self.noun)
        names = "|".join(map(re.escape, sorted(self.proper, key=len, reverse=True))) or "(?!)"
        particles = "(?:(?:de|du|des|la|le|l'|d'|of|the) ){0,3}"
        name = rf"(?:{names})(?: {particles}(?:{names}))*(?![\w\-])"
        tails = re.compile(rf"(?: (?:{'|'.join(sorted(PREPOSITIONS))}) (?:the |la |le )?{name})*")
        found: list[tuple[int, int, str]] = []
        core = [word for word in _core(self.old) if word[0].islower()]
        alike = [word for word in core if kind_of_place(word)[1] & self.classes - {self.noun}]
        nouns = "|".join(map(re.escape, dict.fromkeys((generic, *alike))))
        for pattern in (
            rf"(?P<noun>(?:{nouns})(?: (?:{nouns}|terrace))*)(?![\w\-])",
            rf"(?P<noun>)(?:[Tt]he )?{name}",
        ):
            for hit in re.finditer(rf"(?<![\w\-'’]){pattern}", beat):
                start, head = hit.start(), hit["noun"].rpartition(" ")[2]
                if any(first <= start < last for first, last, _ in found):
                    continue
                if head and (walk := re.search(rf"\b(?:{_DETERMINERS}) (?:{NP} ){{0,3}}$", beat[:start])):
                    start = walk.start()
                stop = tail.end() if (tail := tails.match(beat, hit.end())) else hit.end()
                for phrase in _tails(self.old):
                    if beat.startswith(f" {phrase}", hit.end()):
                        stop = max(stop, hit.end() + 1 + len(phrase))
                found.append((start, stop, head))
        return sorted(found)

    def _first(self, beat: str, start: int, end: int, head: str) -> Edit:
        said = beat[start:end]
        if beat[end : end + 2] in ("'s", "’s"):
            raise Refused(f"{said!r} is said as an owner")
        if (
            head
            and re.match(r" (?!is|as|has)[a-z]+s? ?", beat[end:])
            and not re.match(rf" (?:{'|'.join(sorted(PREPOSITIONS))}|{_BEHIND})\b", beat[end:])
        ):
            raise Refused(f"it is not clear where {said!r} ends")
        if self.area:
            return self._relocated(beat, start, end, head)
        if re.search(
            r"\b(?:climbs?|descends?|rows?|sails?|steers?)\b|\b(?:up|down) (?:to|into|onto) $", beat[:start]
        ):
            raise Refused("one does not get to the new place like that")
        if not head and not self.named:
            raise Refused(f"{said!r} is a part of the place")
        determined = re.match(rf"(?:{_DETERMINERS}) ", said)
        if not determined and said[:1].islower():
            raise Refused(f"{said!r} has no article")
        return self._with_preposition(beat, start, end, head)

    def _relocated(self, beat: str, start: int, end: int, head: str) -> Edit:
        """The same kind of place elsewhere: "a café on the Place des Vosges" -> "a café in Lyon"."""
        where = self.place if self.relative else f"in {self.place}"
        kept = re.match(rf"an? (?:{NP} )*{re.escape(head)}", beat[start:end], re.IGNORECASE) if head else None
        if (
            not kept
            or not self.old.startswith(("a ", "an "))
            or any(w[0].isupper() for w in kept[0].split()[1:])
        ):
            raise Refused("the plot's place is a certain one, and cannot be elsewhere")
        return Edit(start + kept.end(), end, f" {where}")

    def _with_preposition(self, beat: str, start: int, end: int, head: str) -> Edit:
        before = re.search(r"(?:^|\s)(\w+) $", beat[:start])
        preposition = before[1].casefold() if before else ""
        if not head and preposition not in _AT_A_NAME:
            raise Refused(f"{preposition!r} may not go with the new place")
        old, new = prep_of(_GENERIC.get(self.noun, self.noun)), prep_of(self.later)
        if self._same_kind() and old == new:
            if preposition in PREPOSITIONS | _REACHING:
                return Edit(start, end, self.place)
            raise Refused(f"{preposition!r} may not go with the new place")
        if preposition in ("in", "on", "at", "by", "inside"):
            swapped = new
        elif preposition in ("into", "onto", "to"):
            swapped = _PATH[new]
        else:
            raise Refused(f"{preposition!r} may not go with the new place")
        assert before
        return Edit(before.start(1), end, f"{swapped} {self.place}")

    def _again(self, beat: str, start: int, end: int, head: str) -> Edit | None:
        said = beat[start:end]
        if not head:
            raise Refused(f"the beats say {said!r} again")
        if re.match(r"(?:an?|this) ", said, re.IGNORECASE):
            raise Refused(f"the beats have another {head}")
        names = any(word[0].isupper() for word in said.split()[1:])
        if self.area:
            at = said.rfind(head) + len(head)
            return Edit(start + at, end, "") if at < len(said) else None
        if self.later == head and not names:
            return None
        determiner = said.split()[0] if " " in said else ""
        if determiner.casefold() not in ("the", "his", "her", "their", "my", "our", "that"):
            raise Refused(f"{said!r} has no article")
        if prep_of(_GENERIC.get(self.noun, self.noun)) != prep_of(self.later):
            raise Refused(f"the beats say {said!r} again, which goes with other prepositions")
        return Edit(start, end, f"{determiner} {self.later}")


def _core(place: str) -> list[str]:
    """The words of a place with its noun: "a café terrace on the quay" -> ["café", "terrace"]."""
    said = [word for word in place.split() if word.casefold() not in ("a", "an", "the")]
    end = next((at for at, word in enumerate(said) if at and word in PREPOSITIONS), len(said))
    return said[:end]


def without(beat: str, spans: Sequence[tuple[int, int]]) -> str:
    """A beat without the words of some spans."""
    for start, end in reversed(spans):
        beat = beat[:start] + beat[end:]
    return beat


def put_keywords(
    beats: Sequence[str], keywords: Sequence[str], still: int, talk: int, they: str, inside: bool
) -> tuple[str, ...]:
    """Add to the beats the keywords that they lack.

    still, talk: the beats that take things and topics. they: who talks, "they" or "we". inside: whether the place has walls.
    Raises `Refused` for words it cannot place.
    """
    things: list[str] = []
    topics: list[str] = []
    clauses: list[str] = []
    for keyword in keywords:
        if has_words(keyword, beats):
            continue
        low = keyword.casefold()
        head = low.split()[-1]
        several = head.endswith("s") and singular(head) != head
        listed = {head, singular(head)} & words("things")
        if low in _UNIQUE:
            clauses.append(_UNIQUE[low])
        elif head in _TIMES:
            if not _TIMES.isdisjoint(word for beat in beats for word in _words(beat)):
                raise Refused(f"the beats have another time than {keyword!r}")
            clauses.append(f"it is {keyword}")
        elif head in _WEATHER and inside:
            clauses.append(f"outside there is {keyword}")
        elif re.match(r"(?:an?|the|his|her) ", low):
            topics.append(keyword)
        elif head in _MASS:
            things.append(keyword)
        elif head in _TOPICS or head.endswith(_ABSTRACT) or keyword[0].isupper():
            topics.append(keyword)
        elif listed:
            things.append(keyword if several else f"{article(low)} {keyword}")
        else:
            the = head in grammar("uncounted") | {"sky", "world"}
            topics.append(keyword if several else f"{'the' if the else article(low)} {keyword}")
    if things:
        things.sort(key=lambda thing: not thing.startswith(("a ", "an ")))
        one = things[0].startswith(("a ", "an ")) or things[0].casefold().split()[-1] in _MASS
        clauses.append(f"there {'is' if one else 'are'} {_listed(things)}")
    found = list(beats)
    if clauses:
        found[still] = _append(found[still], "; ".join(clauses))
    if topics:
        found[talk] = _append(found[talk], f"{they} talk about {_listed(topics)}")
    return tuple(found)


def _append(beat: str, clause: str) -> str:
    stop = "." if beat.endswith(".") else ""
    if beat[-1:] in '?!"”':
        raise Refused("the beat that would take a keyword ends with a mark")
    return f"{beat.removesuffix('.')}; {clause}{stop}"


def _listed(phrases: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))


def _tails(place: str) -> list[str]:
    """What follows the noun of a place, whole and from the left: "in the Rue Lepic, in Paris" -> [that, "in the Rue Lepic"]."""
    said = place.split()
    starts = [at for at, word in enumerate(said) if at and word in PREPOSITIONS]
    return (
        [" ".join(said[starts[0] : end]).rstrip(",") for end in (*starts[1:], len(said))][::-1]
        if starts
        else []
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())
