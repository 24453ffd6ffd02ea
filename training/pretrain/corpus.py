"""Reads the story corpus and the vignettes, and keeps what may teach: clean, English, once, and none of it a test's.

Gives clean texts with their source, whether they truly begin and end, and on which side of the held-out line they are.
Does not cut, rename or tokenise: `training.pretrain.pieces` does.
"""

import hashlib
import json
import lzma
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from data.brief import read_vignettes
from training.pretrain.clean import Cleaned, clean

WHOLE = {"gpt_stories_ai_stories_erc", "slop-score", "tinyfabulist", "vignettes"}
"""Sources whose texts are whole stories. The others' are chapters and passages: they neither begin nor end."""

HELD_OUT = 0.01
"""Share of each source that is never trained; by title where there is one, so that no novel is on both sides."""

SHARED_WORDS = 8
"""A text that has so many words in a row in common with a forbidden one is left out."""


@dataclass(frozen=True)
class Text:
    """One clean text. ``brief`` is a vignette's gold brief as a dictionary, else None."""

    source: str
    id: str
    text: str
    begins: bool
    ends: bool
    held_out: bool
    brief: dict[str, Any] | None = None


def read_texts(path: Path) -> Iterator[Text]:
    """The texts that `write_texts` wrote."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield Text(**json.loads(line))


def write_texts(path: Path, texts: Iterable[Text]) -> None:
    """One JSON line a text, compressed; the same texts give the same bytes."""
    # The most of presets: a dictionary of 64 MiB sees how alike formulaic stories are.
    with lzma.open(path, "wt", encoding="utf-8", preset=9) as lines:
        for text in texts:
            lines.write(json.dumps(asdict(text), ensure_ascii=False) + "\n")


def thinned(texts: Iterable[Text], keep: Mapping[str, float]) -> list[Text]:
    """``texts`` without those that ``keep`` (source to share) leaves out: by their hash, so that the rest stays the same."""
    return [text for text in texts if int(_digest(text.id)[:8], 16) < keep.get(text.source, 1.0) * 16**8]


def build_texts(
    corpus: Path,
    vignettes: Path,
    forbidden: Sequence[str],
    report: Counter[tuple[str, str]],
    sources: Container[str],
) -> list[Text]:
    """All usable texts of ``sources`` in ``corpus`` (a folder of .jsonl.xz), and ``vignettes`` (a folder of .txt), in a fixed
    order.

    What was kept and what was left out, and why, is counted in ``report`` by (source, reason).
    """
    raw = sorted((row for row in _corpus(corpus) if row[0] in sources), key=lambda row: row[1])
    cleaned: list[Cleaned | str] = Parallel(n_jobs=-1, batch_size=64)(delayed(clean)(row[2]) for row in raw)
    banned = {gram for text in forbidden for gram in _grams(text)}
    seen: set[int] = set()
    kept = _vignettes(vignettes)
    for (source, key, _, title), found in zip(raw, cleaned, strict=True):
        if isinstance(found, str):
            report[source, found] += 1
        elif not banned.isdisjoint(_grams(found.text)):
            report[source, f"shares {SHARED_WORDS} words with a forbidden text"] += 1
        elif _seen_before(found.text, seen):
            report[source, "near-duplicate"] += 1
        else:
            report[source, "kept"] += 1
            whole = source in WHOLE
            kept.append(
                Text(source, key, found.text, whole, whole and found.ended, _is_held_out(title or key))
            )
    report["vignettes", "kept"] = sum(text.source == "vignettes" for text in kept)
    return kept


def _corpus(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(source, id, raw text, author and title or "")."""
    for row in read_rows(folder):
        title = f"{row.get('author', '')}|{row['title']}" if row.get("title") else ""
        yield row["source"], _digest(row["text"]), row["text"], title


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a corpus, a folder of .jsonl.xz, file by file; ValueError where there is none."""
    files = sorted(folder.glob("*.jsonl.xz"))
    if not files:
        raise ValueError(f"no .jsonl.xz file in {folder}: name the folder of the corpus with --corpus")
    for file in files:
        with lzma.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def _vignettes(folder: Path) -> list[Text]:
    found = read_vignettes(folder)
    if not found:
        raise ValueError(f"no .txt file in {folder}: name the folder with --set vignettes=FOLDER")
    return [
        Text("vignettes", _digest(body), body, True, True, False, brief.to_dict()) for brief, body in found
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_held_out(key: str) -> bool:
    return int.from_bytes(hashlib.sha256(f"held out:{key}".encode()).digest()[:4], "big") < HELD_OUT * 2**32


def words_of(text: str) -> list[str]:
    """Runs of letters and digits in lower case: what sharing words is counted in."""
    return re.findall(r"[^\W_]+", text.lower())


def _grams(text: str) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[i : i + SHARED_WORDS]) for i in range(len(words) - SHARED_WORDS + 1)}


def _seen_before(text: str, seen: set[int]) -> bool:
    """Whether a third of a text's shingles of 10 words occurred in earlier ones; an eighth of them is looked at."""
    words = words_of(text)
    hashes = (
        int.from_bytes(hashlib.blake2b(" ".join(words[i : i + 10]).encode(), digest_size=8).digest(), "big")
        for i in range(len(words) - 9)
    )
    sampled = {value for value in hashes if value % 8 == 0}
    known = len(sampled & seen)
    if sampled and known > len(sampled) / 3:
        return True
    seen |= sampled
    return False
