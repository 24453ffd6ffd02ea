"""The style vote: is a text nearer to the references than texts of many other authors are?

The imposters method (Koppel & Winter 2014, "Determining if two documents are written by the same author"; Kestemont et al.
2016, "Authenticating the writings of Julius Caesar"): in round after round a random half of the features and 15 random
imposters are drawn, texts of other authors out of that half of a background that is nearest to the references, and the share
of imposters that a text is less like than it is like the references is its vote. Here in four families of features
(`inference.families`) whose spaces were learned from many authors. Topic earns nothing, since no content word is read. A copy
earns everything, so this figure needs the gate of `inference.novelty`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from inference.families import FAMILIES, Projection, embed_style, learned, projections

IMPOSTERS = 15
ROUNDS = 100
NEAREST = 0.5
"""Share of the background that imposters are drawn from: they should write the same kind of text."""

WEIGHTS = {"char": 1.0, "masked": 1.0, "function": 0.5, "stylometry": 2.0}
"""What each family's vote weighs in the sum."""

SOFT = 0.05
"""Added to both sides of the odds of a vote."""

SUBSETS = 8
"""Most choices of n-1 references that equal scoring takes the mean of; of many references they hardly differ."""


def style_votes(
    texts: Sequence[str], references: Sequence[str], *, equal: bool = False
) -> dict[str, np.ndarray]:
    """Votes of ``texts`` by family and, as "style", their weighted mean; (N,) each, 0..1.

    1: nearer to the references than any imposter is. With ``equal``, against every n-1 references and averaged, as the
    references themselves are scored. A text without words gets 0. A text gets the same votes whatever is scored beside it.
    Raises ValueError for no reference, or a string in place of a list.
    """
    if isinstance(texts, str) or isinstance(references, str) or not len(references):
        raise ValueError("style takes a list of texts and a list of at least one reference")
    own, refs = embed_style(texts), embed_style(references)
    n = len(references)
    subsets = [[j for j in range(n) if j != i] for i in range(n)] if equal and n > 1 else [list(range(n))]
    subsets = subsets[:: -(-len(subsets) // SUBSETS)]
    targets = {
        family: np.array([space[subset].mean(axis=0) for subset in subsets]) for family, space in refs.items()
    }
    votes = votes_in(projections(), own, targets)
    spoken = np.array([any(c.isalnum() for c in text) for text in texts], dtype=bool)
    return {name: np.where(spoken, values, 0.0) for name, values in votes.items()}


def votes_in(
    spaces: Mapping[str, Projection], own: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Votes by family and "style", (N,) each, of vectors ``own`` (N, D) for ``targets`` (S, D), by family."""
    votes = {
        family: np.mean([_votes(own[family], t, spaces[family].background) for t in targets[family]], axis=0)
        for family in FAMILIES
    }
    return {"style": sum(WEIGHTS[f] * v for f, v in votes.items()) / sum(WEIGHTS.values()), **votes}


def _votes(texts: np.ndarray, target: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Mean over rounds of the share of imposters beaten: (N, D), (D,), (M, D) -> (N,)."""
    nearness = _unit(background) @ _unit(target[None])[0]
    pool = background[np.argsort(-nearness, kind="stable")[: max(IMPOSTERS, int(NEAREST * len(background)))]]
    rng = np.random.default_rng(0)
    total = np.zeros(len(texts))
    for _ in range(ROUNDS):
        half = rng.permutation(len(target))[: len(target) // 2]
        imposters = _unit(pool[np.ix_(rng.choice(len(pool), min(IMPOSTERS, len(pool)), replace=False), half)])
        rows = _unit(texts[:, half])
        total += ((rows @ _unit(target[None, half]).T) > (rows @ imposters.T)).mean(axis=1)
    return total / ROUNDS


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def log_odds(votes: np.ndarray | float) -> np.ndarray:
    """Log odds of votes, softened so that 0 and 1 are finite: near its ends a step of a vote weighs more."""
    votes = np.asarray(votes)
    return np.log((votes + SOFT) / (1 + SOFT - votes))


def probability(votes: np.ndarray, own: float) -> np.ndarray:
    """How probable it is that text and references are of one hand, 0..1, from a text's vote and ``own``, the mean vote of the
    references against the others of them: a logistic curve through the difference of their log odds, fitted on authors of the
    corpus, as often the same as not.

    It was fitted with four references of one author each; references that differ among themselves make it lenient.
    """
    slope, offset = learned()["calibration"]
    return 1 / (1 + np.exp(-(slope * (log_odds(votes) - log_odds(own)) + offset)))
