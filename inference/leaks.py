"""Names of the originals' people in new texts: a tuning that took the manner alone leaves none behind.

Finds names that stand in a text as the originals' people bear them. Does not look for phrases; `inference.novelty` does.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from data.brief import Brief
from data.detect import people
from data.english import is_ordinary

__all__ = ["leaked_names", "names_in"]


def names_in(texts: Sequence[str]) -> frozenset[str]:
    """First names and surnames of all people in ``texts``, one word each; none that is an ordinary word too."""
    return _names(tuple(texts))


@lru_cache(maxsize=8)
def _names(texts: tuple[str, ...]) -> frozenset[str]:
    found = {word for text in texts for name in people(text) for word in _words(name)}
    return frozenset(word for word in found if word[0].isupper() and not is_ordinary(word.casefold()))


def leaked_names(text: str, names: Collection[str], brief: Brief | None = None, own: str = "") -> list[str]:
    """Those of ``names`` that stand in ``text`` as whole words, in order of first mention; what ``brief`` asks for, or stands in the
    user's ``own`` words, is no leak."""
    known = {name.casefold(): name for name in names}
    asked = {word.casefold() for word in _words(f"{own}\n{(brief or Brief()).header()}")}
    said = dict.fromkeys(word.casefold() for word in _words(text) if word[0].isupper())
    return [known[word] for word in said if word in known and word not in asked]


def _words(text: str) -> list[str]:
    """The words of ``text``, a double name as one, apostrophes like printer's, without a final 's."""
    said = re.findall(r"[^\W\d_](?:[\w’\-]*\w)?", text.replace("'", "’"))
    return [re.sub(r"’s$", "", word) for word in said]
