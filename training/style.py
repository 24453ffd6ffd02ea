"""Learns the spaces of `inference.families` from a corpus of many authors, human and not, and writes inference/style/.

Authors are those that the corpus names: people, and the language models that wrote. Of each at most 40 excerpts of about 380
words, from as many titles as there are. The user's originals, the contrast set and the benchmark's authors are not in it.
What is kept is numbers: n-grams of masked text, weights, and vectors of some excerpts to be imposters; no text. Does not
judge: `make scorer-bench` does, on other authors.
"""

import json
import lzma
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data import atomic
from inference.families import FAMILIES, FOLDER, Projection, counted, shares, standardised, vectorizer
from inference.imposters import log_odds, votes_in
from inference.stylometry import features
from training.clean import clean

SIZES = {"char": 2000, "masked": 800, "function": 250}
"""N-grams of each family: the most frequent ones."""

COMPONENTS, DIMENSIONS = 120, 40
"""Principal components that discriminants are sought in, and discriminants kept."""

SHRINKAGE = 0.1
"""Of the within-author covariance towards a multiple of the identity."""

EXCERPTS, FEWEST, PER_AUTHOR = 40, 15, 4
"""Most and fewest excerpts of an author, and how many of them are imposters."""

REFERENCES = 4
WORDS = 380


@dataclass(frozen=True)
class Excerpt:
    """A piece of a text, and who wrote it."""

    author: str
    title: str
    text: str


def fit_style(corpus: Path, out: Path = FOLDER, seed: int = 0) -> dict[str, float]:
    """Learn from ``corpus`` (a folder of .jsonl.xz with text and author or generator) and write the files of ``out``.

    Returns figures on authors that a half was not learned from: area under the ROC curve and how many authors and trials it
    is of. Raises ValueError for a folder without a corpus.
    """
    excerpts = read_excerpts(corpus, seed)
    authors = np.array([e.author for e in excerpts])
    vocabulary, raw = _raw([e.text for e in excerpts])
    figures = _calibrate(excerpts, authors, raw, seed)
    spaces = {family: _learn(raw[family], authors, seed) for family in FAMILIES}
    _write(out, vocabulary, spaces, figures)
    return figures


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a corpus, a folder of .jsonl.xz, file by file; ValueError where there is none."""
    files = sorted(folder.glob("*.jsonl.xz"))
    if not files:
        raise ValueError(f"no .jsonl.xz file in {folder}: name the folder of the corpus with --corpus")
    for file in files:
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def read_excerpts(corpus: Path, seed: int = 0) -> list[Excerpt]:
    """Excerpts of every author who has enough of them."""
    works: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in read_rows(corpus):
        author = f"model {row['generator']}" if "generator" in row else row["author"]
        title = row.get("title", str(len(works[author])))
        works[author][title].append(row["text"])
    rng = random.Random(seed)
    found = []
    for author, names in sorted(_merged(list(works)).items()):
        titles = sorted(
            (title, text) for name in names for title, texts in works[name].items() for text in texts
        )
        rng.shuffle(titles)
        # From as many titles as there are before any comes again.
        seen: Counter[str] = Counter()
        turns = []
        for title, text in titles:
            turns.append((seen[title], title, text))
            seen[title] += 1
        own: list[Excerpt] = []
        for _, title, text in sorted(turns, key=lambda turn: turn[0]):
            piece = _excerpt(text, rng)
            if piece:
                own.append(Excerpt(author, title, piece))
            if len(own) == EXCERPTS:
                break
        if len(own) >= FEWEST:
            found += own
    return found


def _merged(names: Sequence[str]) -> dict[str, list[str]]:
    """Names that are one person's: the same words, or one's words among the other's ("Wells, H. G. (Herbert George)")."""
    words = {
        name: frozenset([name] if _model(name) else re.findall(r"[a-z]{3,}", name.lower())) for name in names
    }
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda n: (-len(words[n]), n)):
        same = next((g for g in groups if words[name] and words[name] <= words[g]), None)
        groups.setdefault(same or name, []).append(name)
    return groups


def _excerpt(raw: str, rng: random.Random) -> str | None:
    """About `WORDS` words from one of the first paragraphs on, whole paragraphs where they are not too long."""
    cleaned = clean(raw)
    if isinstance(cleaned, str):
        return None
    paragraphs = [p for p in cleaned.text.split("\n\n") if p.strip()]
    kept: list[str] = []
    words = 0
    for paragraph in paragraphs[rng.choice([0, 0, 1, 2]) if len(paragraphs) > 8 else 0 :]:
        size = len(paragraph.split())
        if words and words + size > 1.15 * WORDS:
            break
        kept.append(paragraph)
        words += size
        if words >= 0.9 * WORDS:
            break
    text = "\n\n".join(kept)
    if words > 1.25 * WORDS:  # one huge paragraph: to the end of a sentence
        cut = re.match(rf"(?:\S+\s+){{{WORDS - 20}}}[^.!?]*[.!?][\"”’']?", text)
        text = cut[0] if cut else text
    return text if 0.5 * WORDS < len(text.split()) < 1.4 * WORDS else None


def _raw(texts: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    vocabulary, raw = {}, {"stylometry": np.array([features(text) for text in texts])}
    for family, size in SIZES.items():
        counter = vectorizer(family, None, size)
        raw[family] = shares(counter.fit_transform(counted(family, texts)))
        vocabulary[family] = counter.get_feature_names_out().tolist()
    return vocabulary, raw


def _learn(raw: np.ndarray, authors: np.ndarray, seed: int) -> Projection:
    """Discriminants between ``authors`` (N,) of ``raw`` (N, F)."""
    from scipy.linalg import eigh

    mean, sd = raw.mean(axis=0), raw.std(axis=0) + 1e-6
    z = standardised(raw, mean, sd)
    centre = z.mean(axis=0)
    axes = np.linalg.svd(z - centre, full_matrices=False)[2][:COMPONENTS].T  # (F, C)
    y = (z - centre) @ axes
    groups = np.unique(authors)
    means = np.array([y[authors == a].mean(axis=0) for a in groups])
    within = sum(
        (y[authors == a] - m).T @ (y[authors == a] - m) for a, m in zip(groups, means, strict=True)
    ) / len(y)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = eigh(np.cov(means.T), within)
    best = np.argsort(-values)[:DIMENSIONS]
    # Each direction weighs as much as of what is seen along it the author explains (probabilistic discriminant analysis).
    explained = np.maximum(values[best], 0) / (1 + np.maximum(values[best], 0))
    matrix = axes @ (vectors[:, best] * np.sqrt(explained))
    rng = np.random.default_rng(seed)
    chosen = [i for a in groups for i in rng.permutation(np.flatnonzero(authors == a))[:PER_AUTHOR]]
    return Projection(mean, sd, centre, matrix, (z[chosen] - centre) @ matrix)


def _calibrate(
    excerpts: Sequence[Excerpt], authors: np.ndarray, raw: dict[str, np.ndarray], seed: int
) -> dict[str, Any]:
    """Votes on authors that the spaces were not learned from, half against half, and the logistic curve through them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    rng = random.Random(seed)
    names = sorted(set(authors))
    rng.shuffle(names)
    above: list[float] = []  # log odds of votes, less those of the references' own
    votes: list[float] = []
    same: list[bool] = []
    for known in (set(names[::2]), set(names[1::2])):
        inside = np.array([a in known for a in authors])
        spaces = {family: _learn(raw[family][inside], authors[inside], seed) for family in FAMILIES}
        vectors = {family: spaces[family](raw[family]) for family in FAMILIES}
        strangers = np.flatnonzero(~inside)
        for author in sorted(set(authors[strangers])):
            refs, tested = _parted([int(i) for i in strangers if authors[i] == author], excerpts, rng)
            # Other people for a person and other models for a model: the rest would be too easy.
            strange = [int(i) for i in strangers if authors[i] != author]
            peers = [i for i in strange if _model(authors[i]) == _model(author)] or strange
            others = rng.sample(peers, min(len(tested), len(peers)))
            own = np.mean([_vote(spaces, vectors, [r], [o for o in refs if o != r]) for r in refs])
            found = _vote(spaces, vectors, tested + others, refs)
            votes += found.tolist()
            above += (log_odds(found) - log_odds(float(own))).tolist()
            same += [True] * len(tested) + [False] * len(others)
    curve = LogisticRegression(C=np.inf).fit(np.array(above)[:, None], same)
    return {
        "auc": float(roc_auc_score(same, votes)),
        "authors": len(names),
        "trials": len(same),
        "slope": float(curve.coef_[0, 0]),
        "offset": float(curve.intercept_[0]),
    }


def _vote(
    spaces: Mapping[str, Projection], vectors: Mapping[str, np.ndarray], rows: list[int], refs: list[int]
) -> np.ndarray:
    """Votes of ``rows`` for the mean of ``refs``, both of ``vectors``."""
    own = {family: space[rows] for family, space in vectors.items()}
    targets = {family: space[refs].mean(axis=0, keepdims=True) for family, space in vectors.items()}
    return votes_in(spaces, own, targets)["style"]


def _model(author: str) -> bool:
    return author.startswith("model ")


def _parted(own: list[int], excerpts: Sequence[Excerpt], rng: random.Random) -> tuple[list[int], list[int]]:
    """(references, texts to be told), from different titles where the author has more than one."""
    rng.shuffle(own)
    refs = own[:REFERENCES]
    titles = {excerpts[i].title for i in refs}
    rest = own[REFERENCES:]
    return refs, ([i for i in rest if excerpts[i].title not in titles] or rest)[:8]


def _write(
    out: Path, vocabulary: dict[str, list[str]], spaces: dict[str, Projection], figures: dict[str, Any]
) -> None:
    from safetensors.numpy import save_file

    tensors = {
        f"{family}.{part}": np.ascontiguousarray(
            getattr(space, part), dtype=np.float32 if part in ("mean", "sd") else np.float16
        )
        for family, space in spaces.items()
        for part in ("mean", "sd", "centre", "matrix", "background")
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "weights.safetensors")
    atomic.write_json(
        out / "vocabulary.json",
        {"vocabulary": vocabulary, "calibration": [figures["slope"], figures["offset"]]},
    )
