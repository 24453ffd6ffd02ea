"""Text distortion: what is left of a text when its subject is taken out of it.

Content words become ``w`` (``N`` with a capital) plus their ending, numbers ``#``, paragraph ends ``¶``, line ends ``/``;
function words and marks stay as they are. N-grams of what is left follow the manner and not the topic. Knows English
function words and endings; of another language nearly every word is masked, and only marks and layout are left. After
Stamatatos 2018, "Masking topic-related information to enhance authorship attribution".

>>> masked('The old clockmaker sighed: "Not now."')
'the w wer wed : " not now . "'
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from inference.stylometry import FUNCTION_WORDS

__all__ = ["KEPT", "function_words", "masked"]

KEPT = FUNCTION_WORDS | frozenset(
    "said says say one two all some any more most much many such very too own other another each both few "
    "little than well back away almost quite rather enough thing things way time what how why these those go "
    "goes went gone come comes came get got make made see saw know knew think thought look looked seem seemed".split()
)
"""Words that stay: function words, and the commonest words of narration, which are in stories on anything."""

_STRAIGHT = str.maketrans("‘’“”", "''\"\"")
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|\.{2,}|-{2,}|\n\s*\n|\n|[^\w\s]|_")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_ENDINGS = ("ing", "ed", "ly", "ness", "tion", "ment", "ous", "ful", "less", "able", "est", "er", "es", "s")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_STRAIGHT)


def _kept(word: str) -> bool:
    return word in KEPT or word.split("'")[0] in KEPT


@lru_cache(maxsize=8192)  # two families of features ask for it
def masked(text: str) -> str:
    """The distorted text, its tokens parted by single spaces; "" for a text without any."""
    return " ".join(_tokens(_plain(text)))


def _tokens(text: str) -> Iterator[str]:
    for hit in _TOKEN.finditer(text.strip()):
        token = hit[0]
        lower = token.lower()
        if token[0].isspace():
            yield "¶" if token.count("\n") > 1 else "/"
        elif token[0].isdigit():
            yield "#"
        elif not token[0].isalpha():
            yield token
        elif _kept(lower):
            yield lower
        else:
            yield ("N" if token[0].isupper() else "w") + _ending(lower)


def _ending(word: str) -> str:
    return next((e for e in _ENDINGS if word.endswith(e) and len(word) > len(e) + 2), "")


def function_words(text: str) -> str:
    """The words of ``text`` that `KEPT` holds, in order and lower case, parted by spaces."""
    return " ".join(word for word in _WORD.findall(_plain(text).lower()) if _kept(word))
