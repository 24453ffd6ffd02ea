"""Structure: words, paragraphs, share of speech, a protagonist throughout, an end; means over texts.

words: between white space. paragraphs: between blank lines. dialogue: words in quotation marks / words. constant: 1 where the
protagonist's first name stands in the first and the last third. closed: 1 where the last mark ends a sentence. Rules of thumb
for English prose, of no source but this project: see `inference.structure`."""

from typing import Any

from inference.metrics import face
from inference.structure import structure

_CITATION = "Rules of this project."
_INPUTS = """predictions: list of str.

Returns words, paragraphs, dialogue, constant and closed (means) and texts (a dictionary for each text)."""


class Structure(face.Face):
    def _compute(self, predictions: list[str], **kwargs: Any) -> dict[str, Any]:
        rows = [structure(text) for text in predictions]
        keys = ("words", "paragraphs", "dialogue", "constant", "closed")
        return {**{key: sum(row[key] for row in rows) / len(rows) for key in keys}, "texts": rows}
