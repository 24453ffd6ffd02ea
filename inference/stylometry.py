"""Stylometric features that know no topic, and a style figure made of them: rhythm of sentences and
paragraphs, dialogue, punctuation, pronouns, suffixes, function words, how sentences open and end. What it
does not do: it reads no content word, so the right subject earns nothing and a copy goes unnoticed. Nor does
it parse: sentences, finite verbs, participles and names are found by rules of thumb for English prose. Of
texts in another language every figure is finite and comparable, but the word lists count nothing.

Features are standardised on texts that are not in the style (the contrast set), so that a feature counts by
how far the originals leave what is usual. Style is the cosine between the z-vector of a text and the mean
z-vector of its references: whether a text leaves the usual in their direction, not how far it goes.

Sources: function words and standardisation, Burrows 2002, "Delta"; the cosine of z-vectors, Smith & Aldridge
2011 and Evert et al. 2017, "Understanding and explaining Delta measures for authorship attribution"; lexical
variety by MATTR, Covington & McFall 2010, "Cutting the Gordian knot: the moving-average type-token ratio".
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import chain
from pathlib import Path

import numpy as np

from data.brief import read_vignettes
from inference.novelty import words

__all__ = ["FEATURES", "FUNCTION_WORDS", "Stylometry", "contrast", "contrast_texts", "cosine", "features"]

_MEASURES = (
    # Lengths in words.
    "sentence_mean", "sentence_sd", "sentence_q1", "sentence_q3", "paragraph_mean",
    # Standard deviation / mean of paragraph lengths; share of words in quotation marks; letters a word; share
    # of words of 8 letters and more; moving-average type-token ratio over 50 words.
    "paragraph_variation", "dialogue", "word_letters", "long_words", "mattr_50",
)  # fmt: skip
_PER_100_WORDS = (
    "paragraph_count",
    "comma", "semicolon", "colon", "dash", "question", "exclamation", "ellipsis", "parenthesis",
    "first_person", "second_person", "third_person", "articles", "prepositions", "coordinators",
    "subordinators", "past_auxiliaries", "present_auxiliaries", "modals", "negation", "contractions",
    "similes", "ed_words", "ing_words", "ly_words", "capitalised",
)  # fmt: skip
_SHARES_OF_SENTENCES = (
    # short: up to 6 words; long: 25 and more.
    "sentence_short", "sentence_long", "participial_tails", "fragments",
    "opens_pronoun", "opens_coordinator", "opens_ing", "opens_adverbial", "opens_name",
)  # fmt: skip

FEATURES: tuple[str, ...] = _MEASURES + _PER_100_WORDS + _SHARES_OF_SENTENCES
"""Names of the features, in the order of every vector here."""

Z_LIMIT = 4.0
"""z is clipped to this on both sides: one feature (forty semicolons) must not outvote all the others."""

CONTRAST = Path(__file__).parents[1] / "data" / "contrast"
"""Where the contrast set lies."""


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIRST = _set("i me my mine myself we us our ours ourselves")
_SECOND = _set("you your yours yourself yourselves")
_THIRD = _set("he him his himself she her hers herself they them their theirs themselves it its itself")
_PERSONAL = _FIRST | _SECOND | _THIRD
_SUBJECTS = _set("i we you he she it they who there that this")
_ARTICLES = _set("the a an")
_PREPOSITIONS = _set(
    "of in to for with on at by from into over under about after before between through against among "
    "along across behind beside beyond during inside near off onto out outside past toward towards up "
    "upon within without down around above below"
)
_COORDINATORS = _set("and but or nor yet so")
_SUBORDINATORS = _set(
    "as because if though although while when whenever where whereas since until unless whether that "
    "which who whom whose"
)
_PAST = _set("was were had did")
_PRESENT = _set("am is are has have does do 'm 're 've 's")
_MODALS = _set("can could may might must shall should will would ought cannot ca wo sha 'll 'd")
_NEGATION = _set("not no never nothing nobody none neither nor nowhere cannot n't")
_CLITICS = ("n't", "'s", "'re", "'ve", "'ll", "'d", "'m")
# Elsewhere 's is a genitive.
_BEFORE_S = _PERSONAL | _set("that this there here what who where how let everything nothing everyone nobody")
_ADVERBS = _set(
    "then now just soon later once still again perhaps maybe here there today tomorrow yesterday always "
    "never often sometimes already instead meanwhile however outside upstairs downstairs one every "
    "despite"
)
_ADVERBIAL = _PREPOSITIONS | (_SUBORDINATORS - _set("that which who whom whose")) | _ADVERBS
_VERBS = _PAST | _PRESENT | _MODALS
FUNCTION_WORDS = (
    _PERSONAL | _ARTICLES | _PREPOSITIONS | _COORDINATORS | _SUBORDINATORS | _VERBS | _NEGATION | _ADVERBS
)
_IRREGULAR_PASTS = _set(
    "said went came saw took got gave made knew thought told found felt left kept held stood sat heard "
    "let began ran brought wrote met lost spoke rose fell drew grew threw knelt bent led paid put set "
    "shook slept spent won wore became broke caught chose drank drove ate forgot hung hid laid lay meant "
    "read rang rode sang sent shut smelt sold stuck swung taught understood woke turned"
)
_FINITE = _VERBS | _IRREGULAR_PASTS
_NOT_ED = _set("hundred naked sacred wicked rugged beloved embed")
_NOT_ING = _set(
    "nothing something anything everything morning evening during thing things bring spring string "
    "ceiling wedding sling swing cling fling sting wring sibling darling shilling duckling"
)
_NOT_LY = _set(
    "only early family reply supply apply assembly belly jelly lily july italy ugly silly curly woolly bully"
)

_TINY = 1e-9  # an sd below this is rounding
_BLANK_LINES = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"(?<![.!?…؟।])[.!?…؟।]+[\"'”’»)\]]*\s+|[。！？]+[」』”]*")
_OPENING_MARKS = re.compile(r"[\"'“‘«(\[—–\s-]*(.)")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Mme|Mlle|Prof|Rev|Capt|Col|Lt|Gen|Sgt|Jr|Sr|[A-HJ-Z])\Z")
_DOUBLE_QUOTED = re.compile(r"„[^“”]*[“”]|[“\"«][^”\"»]*(?:[”\"»]|$)|「[^」]*」")
# A single quotation mark may be an apostrophe: speech starts outside a word and ends after punctuation.
_SINGLE_QUOTED = re.compile(r"(?<!\w)['‘](?=\S)[^\n]{1,2000}?[,.!?…—–-]['’](?!\w)")
_DASH_SPEECH = re.compile(r"\s*[—–―-]+\s*\w")
_PUNCTUATION = {
    "comma": re.compile(r"[,，、](?!\d)"),
    "semicolon": re.compile(r"[;；]"),
    "colon": re.compile(r"[:：](?!\d)"),
    "dash": re.compile(r"—|(?<!\d)–|--+|(?<=\s)-(?=\s)"),
    "question": re.compile(r"[?？؟]"),
    "exclamation": re.compile(r"[!！]"),
    "ellipsis": re.compile(r"…|\.\.\.+"),
    "parenthesis": re.compile(r"[(（]"),
}
_SIMILE = re.compile(r"\blike (?:a|an|the|some)\b|\bas (?:if|though)\b|\bas \w+ as a\b", re.IGNORECASE)
# ", smiling softly", "– capturing the light", ", her eyes scanning the room".
_TAIL = re.compile(
    r"[,—–-]\s*(?:and\s+|\w+ly\s+)?(?:(?:his|her|their|its|my|the|a)\s+(?:\w+\s+){1,2})?(\w{2,}ing)\b",
    re.IGNORECASE,
)


class _Sentence:
    """A sentence: as it stands, its folded words, and for each whether it has a capital."""

    def __init__(self, raw: str) -> None:
        found = words(raw)
        self.raw = raw
        self.tokens = [word.text for word in found]
        self.capital = [raw[word.start].isupper() for word in found]


class _Text:
    """A text cut into paragraphs, sentences and words; sentences without a word are left out."""

    def __init__(self, text: str) -> None:
        self.raw = text
        self.paragraphs = [part for part in _paragraphs(text) if words(part)]
        cut = chain.from_iterable(map(_sentences, self.paragraphs))
        self.sentences = [sentence for sentence in map(_Sentence, cut) if sentence.tokens]
        self.tokens = [token for sentence in self.sentences for token in sentence.tokens]

    @cached_property
    def parts(self) -> Counter[str]:
        """How often each word occurs, contractions taken apart: didn't is did and n't."""
        return Counter(chain.from_iterable(map(_parts, self.tokens)))

    @cached_property
    def names(self) -> frozenset[str]:
        """Words that occur twice or more, always with a capital, and are no function words."""
        total = Counter(self.tokens)
        pairs = chain.from_iterable(zip(s.tokens, s.capital, strict=True) for s in self.sentences)
        capital = Counter(token for token, is_capital in pairs if is_capital)
        often = {token for token, count in capital.items() if count >= 2 and count == total[token]}
        return frozenset(token for token in often if not _function(token))

    def per_100(self, count: float) -> float:
        return 100 * count / len(self.tokens)

    def share(self, sentences: Iterable[bool]) -> float:
        return sum(sentences) / len(self.sentences)


def _paragraphs(text: str) -> list[str]:
    """Blank lines part paragraphs; in a text without any, line ends do."""
    parts = _BLANK_LINES.split(text.strip())
    return parts if len(parts) > 1 else text.splitlines()


def _sentences(paragraph: str) -> list[str]:
    """Cut after . ! ? or …, but not before a small letter ("Who?" he said) nor after Mr. or an initial."""
    found, start = [], 0
    for mark in _SENTENCE_END.finditer(paragraph):
        follows = _OPENING_MARKS.match(paragraph, mark.end())
        goes_on = follows is not None and follows[1].islower()
        before = max(start, mark.start() - 6)  # holds the longest abbreviation
        abbreviated = mark[0].rstrip() == "." and _ABBREVIATION.search(paragraph, before, mark.start())
        if not goes_on and not abbreviated:
            found.append(paragraph[start : mark.end()])
            start = mark.end()
    return [*found, paragraph[start:]]


def _parts(token: str) -> tuple[str, ...]:
    for clitic in _CLITICS if "'" in token else ():
        host = token.removesuffix(clitic)
        if host != token:
            return (host,) if clitic == "'s" and host not in _BEFORE_S else (host, clitic)
    return (token,)


def _function(token: str) -> bool:
    return _parts(token)[0] in FUNCTION_WORDS


def _ed(token: str) -> bool:
    return len(token) > 4 and token.endswith("ed") and not token.endswith("eed") and token not in _NOT_ED


def _ing(token: str) -> bool:
    return len(token) > 4 and token.endswith("ing") and token not in _NOT_ING


def _ly(token: str) -> bool:
    return len(token) > 4 and token.endswith("ly") and token not in _NOT_LY


def _rhythm(text: _Text) -> dict[str, float]:
    lengths = np.array([len(sentence.tokens) for sentence in text.sentences])
    q1, q3 = np.quantile(lengths, [0.25, 0.75])
    return {
        "sentence_mean": lengths.mean(),
        "sentence_sd": lengths.std(),
        "sentence_q1": q1,
        "sentence_q3": q3,
        "sentence_short": (lengths <= 6).mean(),
        "sentence_long": (lengths >= 25).mean(),
    }


def _layout(text: _Text) -> dict[str, float]:
    lengths = np.array([len(words(paragraph)) for paragraph in text.paragraphs])
    return {
        "paragraph_mean": lengths.mean(),
        "paragraph_count": text.per_100(len(lengths)),
        "paragraph_variation": lengths.std() / lengths.mean(),
        "dialogue": sum(map(_spoken, text.paragraphs)) / len(text.tokens),
    }


def _spoken(paragraph: str) -> int:
    """Words in quotation marks of any kind; all words of a paragraph that opens with a dash and has none."""
    for quoted in (_DOUBLE_QUOTED, _SINGLE_QUOTED):
        found = quoted.findall(paragraph)
        if found:
            return sum(len(words(speech)) for speech in found)
    return len(words(paragraph)) if _DASH_SPEECH.match(paragraph) else 0


def _punctuation(text: _Text) -> dict[str, float]:
    return {name: text.per_100(len(mark.findall(text.raw))) for name, mark in _PUNCTUATION.items()}


def _function_words(text: _Text) -> dict[str, float]:
    def rate(group: Collection[str]) -> float:
        return text.per_100(sum(text.parts[part] for part in group))

    return {
        "first_person": rate(_FIRST),
        "second_person": rate(_SECOND),
        "third_person": rate(_THIRD),
        "articles": rate(_ARTICLES),
        "prepositions": rate(_PREPOSITIONS),
        "coordinators": rate(_COORDINATORS),
        "subordinators": rate(_SUBORDINATORS),
        "past_auxiliaries": rate(_PAST),
        "present_auxiliaries": rate(_PRESENT),
        "modals": rate(_MODALS),
        "negation": rate(_NEGATION),
        "contractions": rate(_CLITICS),
        "similes": text.per_100(len(_SIMILE.findall(text.raw))),
    }


def _forms(text: _Text) -> dict[str, float]:
    inner = ((s.tokens[i], s.capital[i]) for s in text.sentences for i in range(1, len(s.tokens)))
    return {
        "ed_words": text.per_100(sum(map(_ed, text.tokens))),
        "ing_words": text.per_100(sum(map(_ing, text.tokens))),
        "ly_words": text.per_100(sum(map(_ly, text.tokens))),
        "word_letters": sum(map(len, text.tokens)) / len(text.tokens),
        "long_words": sum(len(token) >= 8 for token in text.tokens) / len(text.tokens),
        "mattr_50": _mattr(text.tokens, 50),
        "capitalised": text.per_100(sum(capital and not _function(token) for token, capital in inner)),
    }


def _mattr(tokens: Sequence[str], window: int) -> float:
    """Mean share of different words in every run of `window` words; of all words where there are fewer."""
    window = min(window, len(tokens))
    inside = Counter(tokens[:window])
    total = types = len(inside)
    for gone, come in zip(tokens, tokens[window:], strict=False):
        inside[gone] -= 1
        types -= inside[gone] == 0
        types += inside[come] == 0
        inside[come] += 1
        total += types
    return total / (len(tokens) - window + 1) / window


def _sentence_shapes(text: _Text) -> dict[str, float]:
    first = [_parts(sentence.tokens[0])[0] for sentence in text.sentences]
    return {
        "participial_tails": text.share(map(_has_tail, text.sentences)),
        "fragments": text.share(map(_fragment, text.sentences)),
        "opens_pronoun": text.share(token in _PERSONAL for token in first),
        "opens_coordinator": text.share(token in _COORDINATORS for token in first),
        "opens_ing": text.share(map(_ing, first)),
        "opens_adverbial": text.share(token in _ADVERBIAL or _ly(token) for token in first),
        "opens_name": text.share(token in text.names for token in first),
    }


def _has_tail(sentence: _Sentence) -> bool:
    """A participle after a comma or dash in the second half: "she left, smiling softly"."""
    half = len(sentence.raw) // 2
    return any(_ing(tail[1].lower()) for tail in _TAIL.finditer(sentence.raw, half))


def _fragment(sentence: _Sentence) -> bool:
    """Up to eight words and no sign of a finite verb; a present after a noun, "the rib holds", shows none."""
    tokens = sentence.tokens
    if len(tokens) > 8:
        return False
    parts = list(chain.from_iterable(map(_parts, tokens)))
    after_subject = any(token in _SUBJECTS for token in tokens[:-1])
    return not (after_subject or any(part in _FINITE or _ed(part) for part in parts))


def _vector(text: _Text) -> np.ndarray:
    if not text.tokens:
        return np.zeros(len(FEATURES))
    groups = (_rhythm, _layout, _punctuation, _function_words, _forms, _sentence_shapes)
    values = {name: value for group in groups for name, value in group(text).items()}
    return np.array([values[name] for name in FEATURES], dtype=np.float64)


def features(text: str) -> np.ndarray:
    """The features of `text`, shape (F,), float64, in the order of `FEATURES`: finite for any string.

    Shares are 0 to 1, rates per 100 words, lengths in words or letters. All zero for a text without words.
    """
    return _remembered_vector(text).copy()


@lru_cache(maxsize=8192)
def _remembered_vector(text: str) -> np.ndarray:
    return _vector(_Text(text))


@dataclass(frozen=True)
class Stylometry:
    """Features standardised on a set of texts: `mean` and `sd`, each of shape (F,)."""

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def fit(cls, texts: Sequence[str]) -> "Stylometry":
        """Mean and standard deviation over `texts`; ValueError for fewer than two that have words.

        The sd of what is counted is taken as no smaller than what one event more adds in a text of usual
        length. Else a single dash, where the fitted texts have hardly any, would be ten sd, and where they
        have none, it would not count: six of eight punctuation marks are that rare in the contrast set.
        """
        read = [] if isinstance(texts, str) else [text for text in map(_Text, texts) if text.tokens]
        if len(read) < 2:
            raise ValueError(f"fit takes a list of at least two texts that have words; found {len(read)}.")
        table = np.array([_vector(text) for text in read])  # (N, F)
        return cls(table.mean(axis=0), np.maximum(table.std(axis=0, ddof=1), _one_event(read)))

    def z(self, texts: Sequence[str]) -> np.ndarray:
        """z-scores of `texts`, shape (N, F), clipped to -4..4.

        A feature that cannot be scaled, having no sd in the fitted texts, is 0 throughout; so is the row of a
        text without words.
        """
        table = np.array([features(text) for text in texts]).reshape(len(texts), len(FEATURES))  # (N, F)
        scaled = (table - self.mean) / np.where(self.sd > _TINY, self.sd, np.inf)
        return np.clip(np.where(table.any(axis=1, keepdims=True), scaled, 0), -Z_LIMIT, Z_LIMIT)


def cosine(rows: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Cosine of each of ``rows`` (N, F) with ``target`` (F,), shape (N,); 0 where either is zero."""
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(target)
    found: np.ndarray = (rows @ target) / np.where(norms > 0, norms, 1)
    return found


def means_without_each(rows: np.ndarray) -> np.ndarray:
    """The mean of all of at least two ``rows`` (N, F) but each, (N, F); of one row alone itself."""
    if len(rows) < 2:
        return rows
    means: np.ndarray = (rows.sum(axis=0) - rows) / (len(rows) - 1)
    return means


def _one_event(read: Sequence[_Text]) -> np.ndarray:
    """What one event more adds to each feature in a text of mean length, shape (F,); 0 for a measure."""
    per_word = 100 / np.mean([len(text.tokens) for text in read])
    per_sentence = 1 / np.mean([len(text.sentences) for text in read])
    groups = (_MEASURES, _PER_100_WORDS, _SHARES_OF_SENTENCES)
    return np.repeat([0, per_word, per_sentence], [len(group) for group in groups])


@cache
def contrast_texts() -> tuple[str, ...]:
    """The committed contrast set, headers left out, by file and place; ValueError where it is missing."""
    found = tuple(text for _, text in read_vignettes(CONTRAST))
    if not found:
        raise ValueError(f"the contrast set is missing: no .txt file in {CONTRAST}. Get it back from git.")
    return found


@cache
def contrast() -> Stylometry:
    """`Stylometry` fitted on the committed contrast set, once a process."""
    return Stylometry.fit(contrast_texts())
