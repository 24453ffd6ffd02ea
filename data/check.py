"""What the originals are and what training will see of them, before anything is trained.

Counts documents, tokens, labels and ends of text in the very blocks that training uses, and looks for leaks between
originals: near-duplicates and long shared spans, which would make a held-out figure too good. Does not change or
refuse anything; loading has done that already.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

from data.dataset import IGNORE, build_dataset, encode, special_ids
from data.detect import detect_brief
from data.originals import Original
from data.splits import folds

LEAK_WORDS = 12
"""Shared words in a row from which a span counts as a leak; independent texts of one author hardly ever share eight."""

NEAR_DUPLICATE = 0.5
"""Share of common five-word shingles (Jaccard; Broder 1997) from which two texts count as one."""


FEW_WORDS = 20
"""Words under which a text is hardly one."""

MANY_TIMES = 10
"""Times the others' length from which one text outweighs them."""

LOOKED_AT = 40
"""Originals among which shared spans are looked for: all pairs of more take long."""

_COMMON = frozenset(
    "the of and to a in that is was he for it with as his on be at by i this had not are but from or have an they which one you "
    "were her all she there would their we him been has when who will no more if out so what up my".split()
)


@dataclass(frozen=True)
class Overlap:
    """Two originals that share text: Jaccard of their five-word shingles (0..1) and the longest shared span."""

    first: str
    second: str
    jaccard: float
    longest_span: int
    span: str


@dataclass(frozen=True)
class Check:
    """What `check` found. Tokens are the tokenizer's own; ``tokens_dropped`` is what no block would train (always 0)."""

    documents: int
    words: list[int]
    tokens: list[int]
    blocks: int
    tokens_trained: int
    tokens_dropped: int
    end_labels: int
    folds: int
    near_duplicates: list[Overlap]
    leaks: list[Overlap]

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return asdict(self)


def check(originals: Sequence[Original], tokenizer: Any, context: int) -> Check:
    """Measure ``originals`` as training with this tokenizer and context (in tokens) would see them."""
    dataset = build_dataset(originals, tokenizer, context=context)["train"]
    _, end = special_ids(tokenizer)
    tokens = [len(encode(original.text, tokenizer)) for original in originals]
    trained = sum(label != IGNORE for labels in dataset["labels"] for label in labels)
    # The last block of each document must end in the end token: counted there, not wherever the token id occurs.
    last = dict(zip(dataset["document"], dataset["labels"], strict=True))
    overlaps = [overlap(a, b) for a, b in combinations(originals, 2)]
    return Check(
        documents=len(originals),
        words=[original.words for original in originals],
        tokens=tokens,
        blocks=len(dataset),
        tokens_trained=trained,
        tokens_dropped=sum(tokens) + len(originals) - trained,
        end_labels=sum(labels[-1] == end for labels in last.values()),
        folds=len(folds(originals)),
        near_duplicates=[o for o in overlaps if o.jaccard >= NEAR_DUPLICATE],
        leaks=[o for o in overlaps if o.longest_span >= LEAK_WORDS],
    )


def oddities(originals: Sequence[Original], tokenizer: Any, context: int, english_base: bool) -> list[str]:
    """What is unusual about ``originals`` and works all the same, a sentence each; ``english_base`` is one that knows no more."""
    found = []
    lengths = sorted(original.words for original in originals)
    for original in originals:
        usual = _middle_without(lengths, original.words)
        tokens = len(encode(original.text, tokenizer))
        if original.words < FEW_WORDS:
            count = "1 word" if original.words == 1 else f"{original.words} words"
            found.append(f"{original.name} has {count}: there is little to learn from it")
        if len(lengths) > 1 and original.words >= MANY_TIMES * usual:
            found.append(
                f"{original.name} has {original.words:,} words and the others about {usual:,}: most of what is learned will be its "
                "manner"
            )
        if tokens + 2 > context:  # opening and end
            found.append(
                f"{original.name} has {tokens} tokens and the context {context}: it is trained in overlapping windows, and no "
                "sample can be as long"
            )
        if english_base and not reads_as_english(original.text):
            found.append(
                f"{original.name} does not read as English, which is all that this base knows: choose one from a hub that knows its "
                "language, for example base: Qwen/Qwen3-0.6B-Base"
            )
    for first, second in combinations(originals[:LOOKED_AT], 2):
        if (shared := overlap(first, second)).longest_span >= LEAK_WORDS:
            found.append(
                f"{first.name} and {second.name} share {shared.longest_span} words in a row: held out, each is partly known from the "
                "other, and its figures are too good"
            )
    return found


def _middle_without(lengths: Sequence[int], one: int) -> int:
    """The middle (the upper of two) of sorted ``lengths`` without ``one`` of them; 0 where nothing else is left."""
    middle = (len(lengths) - 1) // 2
    if bisect_left(lengths, one) <= middle:  # it stood at or before it: the others move up
        middle += 1
    return lengths[middle] if middle < len(lengths) else 0


def reads_as_english(text: str) -> bool:
    """Whether a tenth of the words are among the commonest of English; true of a text too short to tell."""
    words = [word.strip(".,;:!?\"“”‘’'()—–").casefold() for word in text.split()]
    return len(words) < FEW_WORDS or sum(word in _COMMON for word in words) >= len(words) / 10


@lru_cache(maxsize=4096)  # the check and the notes on what is odd both ask
def overlap(a: Original, b: Original) -> Overlap:
    """How much text two originals share, case folded."""
    first, second = a.text.casefold().split(), b.text.casefold().split()
    shingles = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (first, second)]
    union = len(shingles[0] | shingles[1])
    start, length = _longest_common_run(first, second)
    return Overlap(
        a.name,
        b.name,
        jaccard=len(shingles[0] & shingles[1]) / union if union else float(first == second),
        longest_span=length,
        span=" ".join(a.text.split()[start : start + length]),
    )


def _longest_common_run(first: list[str], second: list[str]) -> tuple[int, int]:
    """Start in ``first`` and length of the longest run of words that ``second`` has too.

    Binary search on the length with sets of word tuples: long texts stay fast where a table would be quadratic.
    """

    def starts(length: int) -> list[int]:
        known = {tuple(second[i : i + length]) for i in range(len(second) - length + 1)}
        return [i for i in range(len(first) - length + 1) if tuple(first[i : i + length]) in known][:1]

    low, high, found = 0, min(len(first), len(second)), 0
    while low < high:
        middle = (low + high + 1) // 2
        hit = starts(middle)
        if hit:
            low, found = middle, hit[0]
        else:
            high = middle - 1
    return found, low


def describe(result: Check, originals: Sequence[Original]) -> str:
    """The check as lines for a terminal."""
    lines = [f"{'original':<32}{'words':>8}{'tokens':>8}"]
    for original, words, tokens in zip(originals, result.words, result.tokens, strict=True):
        lines.append(f"{original.name[:31]:<32}{words:>8}{tokens:>8}")
    lines += ["", "briefs found, after whose kind new ones are drawn:"]
    for original in originals:
        brief = detect_brief(original.text).to_dict()
        said = "; ".join(f"{k}: {', '.join(v) if isinstance(v, list) else v}" for k, v in brief.items())
        lines.append(f"  {original.name[:31]}: {said}")
    plan = f"{result.folds} folds" if result.folds else "no folds: a single text cannot be held out"
    lines += [
        "",
        f"documents               {result.documents} ({plan})",
        f"blocks                  {result.blocks}",
        f"tokens trained          {result.tokens_trained} (end-of-text labels included)",
        f"tokens dropped          {result.tokens_dropped}",
        f"end-of-text labels      {result.end_labels} of {result.documents} documents",
        f"near-duplicates         {len(result.near_duplicates)}",
    ]
    lines += [
        f"  {o.first} and {o.second}: {o.jaccard:.0%} of their five-word runs in common"
        for o in result.near_duplicates
    ]
    lines.append(f"shared spans, {LEAK_WORDS}+ words  {len(result.leaks)}")
    lines += [
        f'  {o.first} and {o.second} share {o.longest_span} words: "{o.span[:90]}"' for o in result.leaks
    ]
    return "\n".join(lines)
