"""Style: the share (0..1) of other authors' texts that a text is less like than it is like the originals.

An imposters vote over four families of topic-free features; scored against every n-1 of the originals and averaged, as the
originals are themselves: see `inference.imposters`."""

from typing import Any

from inference.imposters import probability, style_votes
from inference.metrics import face
from inference.scale import Scale

_CITATION = "Kestemont et al. 2016, Authenticating the writings of Julius Caesar. Koppel and Winter 2014."
_INPUTS = """predictions: list of str. originals: list of str.

Returns style (mean), styles (one a text), families (lists by family of features) and, of two originals or more, same_hand: the
probability that text and originals are of one hand, one a text."""


class Style(face.Face):
    def _compute(self, predictions: list[str], originals: list[str], **kwargs: Any) -> dict[str, Any]:
        votes = {family: v.tolist() for family, v in style_votes(predictions, originals, equal=True).items()}
        styles = votes.pop("style")
        found = {"style": sum(styles) / len(styles), "styles": styles, "families": votes}
        if len(originals) > 1:
            own = Scale.of(originals).ceiling("style")
            found["same_hand"] = [float(probability(style, own)) for style in styles]
        return found
