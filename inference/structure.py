"""How a text is built: length, paragraphs, speech, whether one protagonist goes through it, whether it comes to an end.

Rules of thumb for English prose, by `data.detect` and `inference.stylometry`; figures only, what is usual is the originals' to say.
"""

import re
from typing import Any

from data.detect import detect_brief
from inference.stylometry import FEATURES, features

_DIALOGUE = FEATURES.index("dialogue")
_CLOSED = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*\s*\Z")


def structure(text: str) -> dict[str, Any]:
    """``words`` (white space parts them), ``paragraphs``, ``dialogue`` (share of words in quotation marks, 0..1),
    ``protagonist`` (full name, "" where none is found), ``constant`` (1.0 where the protagonist's first name stands in the
    first and in the last third; else 0.0), ``closed`` (1.0 where the last mark ends a
    sentence)."""
    name = detect_brief(text).name or ""
    return {
        "words": len(text.split()),
        "paragraphs": sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text)),
        "dialogue": float(features(text)[_DIALOGUE]),
        "protagonist": name,
        "constant": float(bool(name) and _constant(text, name.split()[0])),
        "closed": float(bool(_CLOSED.search(text))),
    }


def _constant(text: str, first: str) -> bool:
    third = len(text) // 3
    pattern = re.compile(rf"\b{re.escape(first)}\b")
    return bool(pattern.search(text[:third]) and pattern.search(text[-third:]))
