"""How much of a text is copied from the originals: verbatim spans and their places, n-gram novelty, the
nearest original, repetition within the text. What it does not do: it finds verbatim copies only. One changed
word in eight cuts a span into pieces of seven, and a paraphrase is invisible. Nor does it say what length is
too long: that is read from what the originals share among themselves.

A word is a Unicode word token: NFC, casefolded, straight and curly apostrophes alike, punctuation and white
space ignored, so that a copy cannot hide behind capitals, quotation marks or line breaks. Of scripts without
spaces, Chinese characters and kana count one word each; Thai and its like are cut at white space only. Every
word keeps its character offsets in the text as it was given, however many code points its é takes.

Sources: the suffix automaton is Blumer et al. 1985, "The smallest automaton recognizing the subwords of a
text"; n-gram novelty is that of RAVEN, McCoy et al. 2023, "How much do language models copy from their
training data?"; repetition is 1 minus the distinct-n of Li et al. 2016, "A diversity-promoting objective
function for neural conversation models".

>>> index = CopyIndex(["She took a seat at the counter."], names=["amelie"])
>>> index.spans("Later he, too, took a SEAT at the bar.", min_words=4)
[CopiedSpan(start=15, end=33, words=5, source='amelie')]
"""

import heapq
import math
import re
import unicodedata
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import NamedTuple

__all__ = [
    "APOSTROPHES", "CopiedSpan", "CopyIndex", "Run", "Word", "copy_limit", "folded", "repetition", "words",
]  # fmt: skip

APOSTROPHES = "'\u2018\u2019\u02bc\uff07"
_INVISIBLE = "\u00ad\u200c\u200d\u2060\ufeff"  # soft hyphen, joiners, byte order mark: inside a word, nothing
_UNSPACED = "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Chinese
_FOLD = {ord(mark): "'" for mark in APOSTROPHES} | {ord(mark): None for mark in _INVISIBLE}


class Word(NamedTuple):
    """One word: its folded form, and where it stands in the text as given (characters, end exclusive)."""

    text: str
    start: int
    end: int


class Run(NamedTuple):
    """A copied run that a text ends with: where the index is in the originals, and how many words it has."""

    state: int
    words: int


@dataclass(frozen=True)
class CopiedSpan:
    """A run of words that stands in the same order in an original.

    `start` and `end` are character offsets into the text (end exclusive), from the first letter of the first
    word to the last letter of the last; `words` is its length in words; `source` is the name of an original
    that holds it, the first of several.
    """

    start: int
    end: int
    words: int
    source: str


@cache
def _pattern() -> re.Pattern[str]:
    # For `re` a combining mark is no part of a word: a decomposed é, and all of Hindi, would be cut in two.
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code))[0] == "M")
    letter = f"[^\\W_\u02bc{_UNSPACED}]"
    inner = f"[{APOSTROPHES}]?{letter}|[{marks}]|[{_INVISIBLE}]+(?={letter})"
    return re.compile(f"[{_UNSPACED}][{marks}]*|{letter}(?:{inner})*")


def folded(token: str) -> str:
    """``token`` as it is compared: without case, with one kind of apostrophe, composed."""
    if token.isascii():
        return token.lower()
    # Case folding can undo composition (İ), hence the second NFC.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", token.translate(_FOLD)).casefold())


def words(text: str) -> list[Word]:
    """All words of `text` in order.

    >>> words("L\u2019Été, d\u00e9j\u00e0!")
    [Word(text="l'été", start=0, end=5), Word(text='déjà', start=7, end=11)]
    """
    return [Word(folded(hit[0]), hit.start(), hit.end()) for hit in _pattern().finditer(text)]


@lru_cache(maxsize=8192)
def word_texts(text: str) -> tuple[str, ...]:
    """The words alone, kept: each original is indexed anew for every set of others that it is measured with."""
    return tuple(word.text for word in words(text))


def _ngrams(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    if n < 1:
        raise ValueError(f"n is the number of words in an n-gram: at least 1, not {n}.")
    return zip(*(tokens[i:] for i in range(n)), strict=False)


class _SuffixAutomaton:
    """The smallest automaton that accepts every run of the symbols fed to it.

    It has at most two states a symbol and is built in linear time, strictly for an alphabet of fixed size; on
    prose the transitions copied by a split add little.
    """

    def __init__(self) -> None:
        self._next: list[dict[str | int, int]] = [{}]
        self._link = [-1]
        self._length = [0]
        self._end = [-1]  # where the state's runs first end, as a position in everything fed so far
        self._last = 0

    def _state(self, next_: dict[str | int, int], link: int, length: int, end: int) -> int:
        self._next.append(next_)
        self._link.append(link)
        self._length.append(length)
        self._end.append(end)
        return len(self._next) - 1

    def feed(self, symbol: str | int) -> None:
        """Append one symbol: a word, or a document's number, which is in no text, to end that document."""
        length = self._length[self._last] + 1
        new = self._state({}, 0, length, length - 1)
        at = self._last
        while at != -1 and symbol not in self._next[at]:
            self._next[at][symbol] = new
            at = self._link[at]
        if at != -1:
            self._link[new] = self._target(at, symbol)
        self._last = new

    def _target(self, at: int, symbol: str | int) -> int:
        """The state of the longest run at `at` followed by `symbol`.

        Where that run has no state of its own yet, it is split off from the state of the longer runs.
        """
        old = self._next[at][symbol]
        if self._length[old] == self._length[at] + 1:
            return old
        split = self._state(dict(self._next[old]), self._link[old], self._length[at] + 1, self._end[old])
        self._link[old] = split
        while at != -1 and self._next[at].get(symbol) == old:
            self._next[at][symbol] = split
            at = self._link[at]
        return split

    def matches(self, tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Per token: how many tokens up to and with it were fed in this order, and where those first end."""
        state, length = 0, 0
        for token in tokens:
            state, length = self.step(state, length, token)
            yield length, self._end[state]

    def step(self, state: int, length: int, token: str) -> tuple[int, int]:
        """The state and length of the longest run that ends with ``token``, after one of ``length`` at ``state``."""
        while state and token not in self._next[state]:
            state = self._link[state]
            length = self._length[state]
        return (self._next[state][token], length + 1) if token in self._next[state] else (0, 0)

    def following(self, state: int, length: int, least: int) -> Iterator[str | int]:
        """The symbols that go on with the run of ``length`` at ``state``, or with an end of it of ``least`` or more."""
        while state and length >= least:
            yield from self._next[state]
            state = self._link[state]
            length = self._length[state]

    def longest(self, tokens: Sequence[str]) -> int:
        """How many tokens in a row, at most, were fed in this order."""
        return max((length for length, _ in self.matches(tokens)), default=0)


class CopyIndex:
    """The originals, indexed once, to be asked what of a text stands in them.

    Building is linear in the words of the originals, each question linear in the words of the text, but for
    sorting the spans found. No span runs from the end of one original into the next.
    """

    def __init__(self, texts: Sequence[str], names: Sequence[str] | None = None) -> None:
        """Index `texts` under `names`, by default "0", "1", ...

        ValueError for no text at all, or for another number of names than of texts.
        """
        if isinstance(texts, str) or not texts:
            raise ValueError("CopyIndex needs a list of at least one original: CopyIndex([text, ...]).")
        self.names = tuple(names) if names is not None else tuple(str(i) for i in range(len(texts)))
        if len(self.names) != len(texts):
            raise ValueError(f"one name an original: found {len(texts)} texts and {len(self.names)} names.")
        self._documents = [word_texts(text) for text in texts]
        self._ngrams: dict[int, list[set[tuple[str, ...]]]] = {}
        self._holders: dict[int, Counter[tuple[str, ...]]] = {}

    @cached_property
    def _automaton(self) -> _SuffixAutomaton:
        """Of all documents, each ended by its number; made for the first question about runs, since it is most of the work."""
        automaton = _SuffixAutomaton()
        for number, document in enumerate(self._documents):
            for word in document:
                automaton.feed(word)
            automaton.feed(number)
        return automaton

    @cached_property
    def _document_of(self) -> list[int]:
        """The document of each symbol that the automaton was fed."""
        return [number for number, document in enumerate(self._documents) for _ in range(len(document) + 1)]

    def start(self) -> Run:
        """The run of a text of which nothing is written yet."""
        return Run(0, 0)

    def advance(self, run: Run, word: str) -> Run:
        """The longest copied run that ends with ``word`` (folded), where ``run`` ended with the word before."""
        return Run(*self._automaton.step(*run, word))

    def following(self, run: Run, most: int) -> set[str]:
        """The words, folded, with which ``run`` or an end of it would become longer than ``most`` words."""
        return {word for word in self._automaton.following(*run, most) if isinstance(word, str)}

    def _maximal(self, tokens: Sequence[str]) -> list[tuple[int, int, int]]:
        """(first word, word after the last, original) of each copied run that can be extended to no side."""
        found: list[tuple[int, int, int]] = []
        ending = [*self._automaton.matches(tokens), (0, -1)]
        for i in range(len(tokens)):
            length, end = ending[i]
            if length and ending[i + 1][0] <= length:  # the next word does not continue it
                found.append((i + 1 - length, i + 1, self._document_of[end]))
        return found

    def _span(self, found: Sequence[Word], first: int, stop: int, document: int) -> CopiedSpan:
        return CopiedSpan(found[first].start, found[stop - 1].end, stop - first, self.names[document])

    def spans(self, text: str, min_words: int = 5) -> list[CopiedSpan]:
        """Copied spans of at least `min_words` words, sorted by start, none overlapping another.

        The longest is taken first (of equals the first), then the longest in what is left: where two copies
        overlap, the shorter gives way, and what remains of it counts if it is long enough. ValueError for
        `min_words` below 1.
        """
        if min_words < 1:
            raise ValueError(f"min_words is a number of words: at least 1, not {min_words}.")
        found = words(text)
        maximal = self._maximal([word.text for word in found])
        queue = [(start - stop, start, stop, document) for start, stop, document in maximal]
        heapq.heapify(queue)
        taken: list[tuple[int, int, int]] = []
        while queue:
            size, start, stop, document = heapq.heappop(queue)
            left, right = _uncovered(start, stop, taken)
            if right - left < min_words:
                continue
            if right - left == -size:
                insort(taken, (left, right, document))
            else:
                heapq.heappush(queue, (left - right, left, right, document))
        return [self._span(found, *run) for run in taken]

    def longest(self, text: str) -> CopiedSpan | None:
        """The longest copied span, of equals the first; None where no word of the text is in any original."""
        found = words(text)
        maximal = self._maximal([word.text for word in found])
        return self._span(found, *max(maximal, key=lambda run: run[1] - run[0])) if maximal else None

    def _document_ngrams(self, n: int) -> list[set[tuple[str, ...]]]:
        if n not in self._ngrams:
            self._ngrams[n] = [set(_ngrams(document, n)) for document in self._documents]
        return self._ngrams[n]

    def ngram_novelty(self, text: str, n: int = 4, *, equal: bool = False) -> float:
        """Share of the text's n-gram tokens that stand in none of the originals: 0 (a copy) to 1.

        Tokens: an n-gram that is there three times counts three times. 1 means no n words in a row are
        shared. With ``equal``, the mean of the shares against every choice of all originals but one, as
        each original can be measured against the others: an n-gram of one original alone is then new in
        one of these choices. NaN for a text of fewer than n words, which has no n-gram to judge;
        ValueError for n below 1.
        """
        holders = self._holder_counts(n)
        found = [holders[ngram] for ngram in _ngrams(word_texts(text), n)]
        new = sum(count == 0 for count in found)
        once = sum(count == 1 for count in found) / len(self.names) if equal and len(self.names) > 1 else 0
        return (new + once) / len(found) if found else math.nan

    def own_novelty(self, position: int, n: int = 4) -> float:
        """`ngram_novelty` of the original at ``position`` against the others; NaN where it has fewer than n words."""
        holders = self._holder_counts(n)
        found = [holders[ngram] for ngram in _ngrams(self._documents[position], n)]
        return sum(count == 1 for count in found) / len(found) if found else math.nan

    def copied_share(self, text: str, min_words: int = 8) -> float:
        """Share (0..1) of the text's words that lie in copied spans of ``min_words`` words and more."""
        size = len(word_texts(text))
        return sum(span.words for span in self.spans(text, min_words)) / size if size else 0.0

    def _holder_counts(self, n: int) -> Counter[tuple[str, ...]]:
        """In how many originals each n-gram stands."""
        if n not in self._holders:
            self._holders[n] = Counter(ngram for document in self._document_ngrams(n) for ngram in document)
        return self._holders[n]

    def shares(self, n: int) -> bool:
        """Whether any ``n`` words in a row stand in two of the originals."""
        return any(count > 1 for count in self._holder_counts(n).values())

    def nearest(self, text: str) -> str:
        """Name of the original that shares most different 4-grams with `text`.

        Of equals the one with the longer copied span, then the first; so a text that has nothing in common
        with any of them gets the first.
        """
        tokens = word_texts(text)
        types = set(_ngrams(tokens, 4))
        shared = [len(types & document) for document in self._document_ngrams(4)]
        tied = [i for i, count in enumerate(shared) if count == max(shared)]
        if len(tied) == 1:
            return self.names[tied[0]]
        if max(shared):
            return self.names[max(tied, key=lambda i: _automaton(self._documents[i]).longest(tokens))]
        for n in (3, 2, 1):  # then these are all of them, and an automaton each would take long
            types = set(_ngrams(tokens, n))
            for i, document in enumerate(self._document_ngrams(n)):
                if not types.isdisjoint(document):
                    return self.names[i]
        return self.names[0]


def _automaton(document: Sequence[str]) -> _SuffixAutomaton:
    automaton = _SuffixAutomaton()
    for word in document:
        automaton.feed(word)
    return automaton


def _uncovered(start: int, stop: int, taken: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """What the sorted, disjoint `taken` runs leave of start:stop.

    They reach into it from its ends only: one inside it would be shorter, and the longest is taken first.
    """
    before = bisect_right(taken, start, key=lambda run: run[0]) - 1
    if before >= 0:
        start = max(start, taken[before][1])
    after = bisect_right(taken, stop - 1, key=lambda run: run[0]) - 1
    if after >= 0 and after != before:
        stop = min(stop, taken[after][0])
    return start, stop


LONGEST_SPAN_ALONE = 7
"""Words in a row that may be copied from a single original: independent texts share no span of eight."""

LEAST_LIMIT = 5
"""Words in a row that are nobody's: short originals share less by chance, and "the end of the" is no copy."""

MOST_LIMIT = 12
"""Words in a row above which two originals are versions of one text, or have a refrain: that is no leave to copy."""


def copy_limit(texts: Sequence[str]) -> int:
    """Words in a row that a new text may have in common with one of the originals ``texts``.

    As many as these share among themselves: that far copying is their own habit. `LEAST_LIMIT` to `MOST_LIMIT`. Takes time linear
    in the words of all texts.
    """
    if len(texts) < 2:
        return LONGEST_SPAN_ALONE
    index = CopyIndex(texts)
    for words_shared in range(LEAST_LIMIT + 1, MOST_LIMIT + 1):
        if not index.shares(words_shared):
            return words_shared - 1
    return MOST_LIMIT


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's n-grams that stand in it before already: 0 to 1; 0 for a text of fewer than n words.

    >>> repetition("and so on and so on and", n=3)
    0.4
    """
    ngrams = list(_ngrams(word_texts(text), n))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
