"""Memory: how many tokens of a text come back when its first 32 are continued greedily, 0 to 32.

recalled = length of the run of the text's own tokens, by the text; its beginning is given, nothing is drawn at random: see
`inference.memory`."""

from typing import Any

from inference.checkpoints import load
from inference.memory import recalled
from inference.metrics import face

_CITATION = "Carlini et al. 2023, Quantifying memorization across neural language models."
_INPUTS = """predictions: list of str, the texts that may be known by heart. model: run directory, model folder, "stories" or hub id.

Returns recalled (the most) and recalled_tokens (a list)."""


class Memory(face.Face):
    def _compute(self, predictions: list[str], model: Any = "stories", **kwargs: Any) -> dict[str, Any]:
        found = recalled(predictions, load(model, dtype="float32"))
        return {"recalled": max(found), "recalled_tokens": found}
