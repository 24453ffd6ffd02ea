"""Token files: documents as flat arrays, one file a bucket, and the batches drawn from them.

A row is one document and never shares its block with another, so attention needs no borders. Rows of like length go together.
What is drawn at an update depends on (seed, update) alone, so a resumed training sees what it would have seen.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from data.dataset import IGNORE, encode, special_ids
from training.pretrain.pieces import Piece


@dataclass(frozen=True)
class Bucket:
    """Documents of one source and kind: ``ids`` of all, the ``starts`` of each (N + 1), its first labelled position."""

    ids: np.ndarray  # uint16
    starts: np.ndarray  # int64, (N + 1,)
    first: np.ndarray  # int32, (N,)

    def __len__(self) -> int:
        return len(self.first)

    def row(self, index: int, length: int) -> tuple[np.ndarray, int]:
        """(token ids, first labelled position) of document ``index``, cut to ``length`` tokens."""
        start, stop = self.starts[index], self.starts[index + 1]
        return self.ids[start : min(stop, start + length)], int(self.first[index])


def write_buckets(folder: Path, pieces: Iterable[Piece], tokenizer: Any) -> dict[str, dict[str, int]]:
    """Tokenise ``pieces`` into ``folder``, one .safetensors a bucket; returns documents, tokens and labels of each."""
    opening, end = special_ids(tokenizer)
    gathered: dict[str, list[tuple[list[int], int]]] = defaultdict(list)
    for piece in pieces:
        header = encode(piece.header, tokenizer) if piece.header else []
        front = [opening, *header] if piece.begins else []
        ids = [*front, *encode(piece.text, tokenizer), *([end] if piece.ends else [])]
        gathered[piece.bucket].append((ids, max(len(front), 1)))
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {}
    for bucket, rows in sorted(gathered.items()):
        starts = np.cumsum([0, *(len(ids) for ids, _ in rows)], dtype=np.int64)
        first = np.array([position for _, position in rows], dtype=np.int32)
        flat = np.array([token for ids, _ in rows for token in ids], dtype=np.uint16)
        save_file({"ids": flat, "starts": starts, "first": first}, folder / _file(bucket))
        sizes[bucket] = {"documents": len(rows), "tokens": len(flat), "labels": int(len(flat) - first.sum())}
    return sizes


def read_buckets(folder: Path) -> dict[str, Bucket]:
    """The token files of ``folder`` by bucket."""
    return {
        file.stem.replace("+", "/"): Bucket(**load_file(file))
        for file in sorted(folder.glob("*.safetensors"))
    }


def _file(bucket: str) -> str:
    return bucket.replace("/", "+") + ".safetensors"


class Stream:
    """Draws rows for update after update; each bucket is gone through in a new order each time it is used up.

    ``drawn`` (rows so far, by bucket) is all its state: with it, seed and update the same rows come again.
    """

    def __init__(
        self, buckets: Mapping[str, Bucket], length: int, seed: int, drawn: Mapping[str, int]
    ) -> None:
        self.buckets, self.length, self.seed = buckets, length, seed
        self.drawn = {name: drawn.get(name, 0) for name in buckets}
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def draw(self, mix: Mapping[str, float], tokens: int, update: int) -> list[tuple[np.ndarray, int]]:
        """Rows of at least ``tokens`` tokens together, from the buckets in shares ``mix`` (of tokens)."""
        rng = np.random.default_rng([self.seed, update])
        names = [name for name in mix if mix[name] > 0]
        # Rows of a bucket are shorter or longer than another's; shares are of tokens.
        mean = [np.minimum(np.diff(self.buckets[n].starts), self.length).mean() for n in names]
        chances = np.array([mix[name] for name in names]) / mean
        chances /= chances.sum()
        rows, total = [], 0
        while total < tokens:
            rows.append(self._next(names[rng.choice(len(names), p=chances)]))
            total += len(rows[-1][0])
        return rows

    def _next(self, name: str) -> tuple[np.ndarray, int]:
        bucket = self.buckets[name]
        epoch, place = divmod(self.drawn[name], len(bucket))
        known, order = self._orders.get(name, (-1, np.empty(0)))
        if known != epoch:
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
            order = np.random.default_rng([self.seed, key, epoch]).permutation(len(bucket))
            self._orders[name] = epoch, order
        self.drawn[name] += 1
        return bucket.row(int(order[place]), self.length)


def batches(
    rows: Sequence[tuple[np.ndarray, int]], tokens: int, pad: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Micro-batches (input_ids, labels), each (B, T) of at most ``tokens`` tokens with padding, like lengths together."""
    batch: list[tuple[np.ndarray, int]] = []
    for row in sorted(rows, key=lambda row: -len(row[0])):
        if batch and len(batch[0][0]) * (len(batch) + 1) > tokens:
            yield _padded(batch, pad)
            batch = []
        batch.append(row)
    yield _padded(batch, pad)


def _padded(batch: Sequence[tuple[np.ndarray, int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = len(batch[0][0])
    ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), IGNORE)
    for i, (row, first) in enumerate(batch):
        tokens = torch.from_numpy(row.astype(np.int64))
        ids[i, : len(row)] = tokens
        labels[i, first : len(row)] = tokens[first:]
    return ids, labels


def fingerprint(folder: Path) -> str:
    """One digest of the token files, to tell whether a checkpoint was made with them."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(json.dumps([file.name, file.stat().st_size]).encode())
    return digest.hexdigest()[:16]
