"""What a base can do, in figures without selection: held-out bits per byte, and 200 stories drawn from unseen briefs.

Plain string rules, each with a Wilson interval (Wilson 1927). Does not judge sense: the stories are written out to be read.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from data import atomic
from data.brief import Brief, read_vignettes
from data.detect import detect_brief
from inference.adherence import adherence
from inference.checkpoints import load
from inference.likelihood import perplexity
from inference.novelty import repetition
from inference.sample import Sample
from inference.sampling import generate
from inference.stylometry import CONTRAST
from training.pretrain.config import PretrainConfig
from training.pretrain.corpus import read_texts, thinned, words_of
from training.pretrain.mirror import mirrored

BRIEFS = 200
RULES = ("ended", "name", "constant", "pronouns", "occupation", "place", "meets", "keywords", "length")
"""`obeyed`, in the order in which it is printed."""
SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_p": 1.0, "min_p": 0.1, "guidance": 2.0}
"""How the stories are drawn, whatever a model's own settings are."""
HELD_OUT_TEXTS = 100
"""Held-out texts of each source that bits per byte are of."""

SPAN_WORDS, SPAN_TEXTS = 400, 50
"""Words of a held-out text, and texts of each source, that the longest shared span is looked for in."""

TEST_VIGNETTES = Path(__file__).parents[2] / "tests" / "vignettes"

_GRAM = 5
_BITS = 24
_LAST = np.uint64((1 << _BITS) - 1)
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: spreads small numbers over all bits


def unseen(folders: Sequence[Path]) -> list[tuple[Brief, str]]:
    """The vignettes in ``folders`` with their gold briefs, asked for at their own length."""
    return [
        (Brief.from_dict({**brief.to_dict(), "length": round(len(text.split()), -1)}), text)
        for folder in folders
        for brief, text in read_vignettes(folder)
    ]


def detection(vignettes: Sequence[tuple[Brief, str]]) -> dict[str, dict[str, float]]:
    """How often the brief that `data.detect` finds is the gold one, by field and plain comparison of the strings.

    ``right`` is the share of the given fields that were found to the letter, case apart; ``none`` the share not found; ``n``
    how many were given.
    """
    pairs = [(gold.to_dict(), detect_brief(text).to_dict()) for gold, text in vignettes]
    result = {}
    for field in ("name", "occupation", "place", "meets"):
        asked = [
            (gold[field].casefold(), str(found.get(field, "")).casefold())
            for gold, found in pairs
            if field in gold
        ]
        right, none = sum(a == b for a, b in asked), sum(not b for _, b in asked)
        result[field] = {"right": right / len(asked), "none": none / len(asked), "n": len(asked)}
    return result


def bits_per_byte(source: str | Path, texts: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Bits per byte of ``texts`` without a brief, by group."""
    model = load(source, dtype="float32")
    return {group: perplexity(list(of), model)["bits_per_byte"] for group, of in texts.items() if of}


def obeyed(sample: Sample) -> dict[str, bool]:
    """What of its brief a sample keeps to, and whether it ended; all keywords, or not."""
    return {"ended": sample.ended_by_eos} | {
        field: kept == 1 for field, kept in adherence(sample.text, sample.brief).items()
    }


def longest_shared(queries: Sequence[str], corpus: Iterable[str]) -> list[int]:
    """For each query its longest run of words (letters and digits, lower case) that stands in some text of ``corpus``.

    Runs under five words count as 0. One pass over the corpus, memory in proportion to the queries.
    """
    split = [words_of(text) for text in queries]
    known = {
        word: i for i, word in enumerate(dict.fromkeys(word for words in split for word in words), start=1)
    }
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for q, words in enumerate(split):
        for i, key in enumerate(_keys(words, known)):
            places[int(key)].append((q, i))
    # A look-up of the keys' last bits sorts out nearly every run of the corpus before Python sees it.
    marked = np.zeros(1 << _BITS, dtype=bool)
    marked[np.fromiter(places, dtype=np.uint64, count=len(places)) & _LAST] = True
    longest = [0] * len(queries)
    for text in corpus:
        words = words_of(text)
        keys = _keys(words, known)
        for j in np.flatnonzero(marked[keys & _LAST]):
            for q, i in places.get(int(keys[j]), ()):
                own, n = split[q][i:], 0
                while n < len(own) and j + n < len(words) and own[n] == words[j + n]:
                    n += 1
                longest[q] = max(longest[q], n if n >= _GRAM else 0)
    return longest


def _keys(words: Sequence[str], known: Mapping[str, int]) -> np.ndarray:
    """A 64-bit key of every run of `_GRAM` words, uint64 (N,); words outside ``known`` are all alike."""
    ids = np.fromiter((known.get(word, 0) for word in words), dtype=np.uint64, count=len(words))
    keys = np.zeros(max(0, len(words) - _GRAM + 1), dtype=np.uint64)
    for k in range(_GRAM):
        keys = keys * _ODD + ids[k : k + len(keys)]  # modulo 2**64
    return keys ^ (keys >> np.uint64(32))


def evaluate_all(config: PretrainConfig, models: Sequence[str]) -> str:
    """`evaluate` for each of ``models``, written under runs/base-eval/, as one printed page.

    Test vignettes and contrast set are in the repository; the corpus' own held-out texts and the longest span shared with it
    need the prepared folder, and are left out without it.
    """
    tests = unseen([TEST_VIGNETTES])
    vignettes = [*tests, *unseen([CONTRAST])]
    held_out = {"vignettes": [text for _, text in tests]}
    texts = Path(config.data) / "texts.jsonl.xz"
    corpus = list(read_texts(texts)) if texts.exists() else []
    for text in corpus:
        if text.held_out and len(held_out.setdefault(text.source, [])) < HELD_OUT_TEXTS:
            held_out[text.source].append(text.text)
    trained = [text.text for text in corpus if not text.held_out]
    read = thinned((text for text in corpus if text.source in config.sources), config.keep)
    told = mirrored(read, config.mirrored, config.seed)
    trained += [new.text for new, old in zip(told, read, strict=True) if new != old]
    found = detection(vignettes)
    pages = ["briefs detected, against the gold ones of unseen vignettes"]
    pages[0] += "".join(
        f"\n  {f}: right {d['right']:.1%}, none {d['none']:.1%}, of {d['n']:.0f}" for f, d in found.items()
    )
    for model in models:
        out = (
            Path("runs/base-eval") / Path(model).resolve().parent.name
            if Path(model).exists()
            else Path("runs/base-eval") / model
        )
        out.mkdir(parents=True, exist_ok=True)
        figures = evaluate(model, held_out, [brief for brief, _ in vignettes][:BRIEFS], trained, out)
        pages.append(f"{show(model, figures)}\n  stories: {out / 'stories.jsonl'}")
    return "\n\n".join(pages)


def evaluate(
    source: str | Path,
    held_out: Mapping[str, Sequence[str]],
    briefs: Sequence[Brief],
    corpus: Sequence[str],
    out: Path,
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of one base; the stories go to ``out``/stories.jsonl, the figures to ``out``/base-eval.json.

    Spans shared with ``corpus``, the texts that were trained, are left out where it is empty.
    """
    samples = generate(
        source, brief=list(briefs), seed=seed, batch_size=32, max_new_tokens=900, progress=True, **SAMPLING
    )
    atomic.write_jsonl(out / "stories.jsonl", [sample.to_dict() for sample in samples])
    flags = [obeyed(sample) for sample in samples]
    result: dict[str, Any] = {
        "bits_per_byte": bits_per_byte(source, held_out),
        "stories": len(samples),
        "repetition": sum(repetition(s.text) for s in samples) / len(samples),
    }
    if corpus:
        # Beside what real texts of such a length share: a formulaic source shares more with itself than any other.
        groups = {"stories": [sample.text for sample in samples]} | {
            f"held out, {group}": [" ".join(text.split()[:SPAN_WORDS]) for text in texts[:SPAN_TEXTS]]
            for group, texts in held_out.items()
        }
        spans = iter(longest_shared([text for texts in groups.values() for text in texts], corpus))
        result["longest_shared_span"] = {
            group: _middle([next(spans) for _ in texts]) for group, texts in groups.items()
        }
    for rule in RULES:
        of = [flag[rule] for flag in flags if rule in flag]  # whose brief gives it
        if of:
            low, high = binomtest(sum(of), len(of)).proportion_ci(method="wilson")
            result[rule] = {"share": sum(of) / len(of), "low": float(low), "high": float(high), "n": len(of)}
    atomic.write_json(out / "base-eval.json", result)
    return result


def _middle(values: Sequence[int]) -> dict[str, float]:
    return {"median": statistics.median(values), "most": max(values)} if values else {}


def show(name: str, figures: Mapping[str, Any]) -> str:
    """One base's figures as lines."""
    lines = [name, f"  repetition {figures['repetition']:.1%}"]
    for rule in (rule for rule in RULES if rule in figures):
        share = figures[rule]
        lines.append(f"  {rule} {share['share']:.0%} ({share['low']:.0%} to {share['high']:.0%})")
    lines += [f"  bits per byte, {group}: {value:.4f}" for group, value in figures["bits_per_byte"].items()]
    for group, spans in figures.get("longest_shared_span", {}).items():
        lines.append(f"  longest span shared with the training texts, {group}: {spans}")
    return "\n".join(lines)
