"""Style: the share (0..1) of other authors' texts that a text is less like than it is like the originals.

An imposters vote over four families of topic-free features; scored against every n-1 of the originals and averaged, as the
originals are themselves: see `inference.imposters`."""

from typing import Any

from inference.imposters import style_votes
from inference.metrics import face

_CITATION = "Kestemont et al. 2016, Authenticating the writings of Julius Caesar. Koppel and Winter 2014."
_INPUTS = """predictions: list of str. originals: list of str.

Returns style (mean) and styles (one a text)."""


class Style(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        styles = style_votes(predictions, originals, equal=True)["style"].tolist()
        return {"style": sum(styles) / len(styles), "styles": styles}
