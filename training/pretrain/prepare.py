"""From the corpus to what the trainer reads: ``texts.jsonl.xz``, a tokenizer, token files for training and for holding out.

The text file is the one that travels to a machine without the corpus: the rest is made of it. Everything but that needs no
corpus. Does not train.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from data import atomic
from data.bases import resolve
from data.originals import load_originals
from training.pretrain.config import PretrainConfig
from training.pretrain.corpus import build_texts, read_texts, thinned, write_texts
from training.pretrain.mirror import mirrored
from training.pretrain.names import dominating
from training.pretrain.pieces import WITH_BRIEF, Piece, capped_openings, pieces
from training.pretrain.tokenizer import END, train_tokenizer
from training.pretrain.tokens import read_buckets, write_buckets

CONTEXT = 1024


def prepare(config: PretrainConfig, corpus: Path | None = None) -> dict[str, Any]:
    """Fill the folder ``config.data``; returns and writes ``manifest.json``: how many documents and tokens that makes.

    Without ``corpus`` (a folder of .jsonl.xz) the texts of an earlier call are used. What was left out of the corpus and why
    is counted in ``texts.json``.
    """
    folder, seed = Path(config.data), config.seed
    file = folder / "texts.jsonl.xz"
    if corpus is not None:
        folder.mkdir(parents=True, exist_ok=True)
        report: Counter[tuple[str, str]] = Counter()
        forbidden = [original.text for original in load_originals(config.forbidden)]
        texts = build_texts(corpus, Path(config.vignettes), forbidden, report, config.sources)
        write_texts(file, thinned(texts, config.keep))
        atomic.write_json(folder / "texts.json", {f"{s}: {why}": n for (s, why), n in sorted(report.items())})
    if not file.exists():
        raise ValueError(f"{file} is missing: make it with --corpus FOLDER")
    texts = thinned((t for t in read_texts(file) if t.source in config.sources), config.keep)
    manifest: dict[str, Any] = {"seed": seed, "vocabulary": config.vocabulary}
    trained = [t for t in texts if not t.held_out]
    favoured = dominating(t.text for t in trained if t.source != "vignettes")
    capped = capped_openings(trained)
    texts = mirrored(texts, config.mirrored, seed)
    made: list[list[Piece]] = Parallel(n_jobs=-1, batch_size=32)(
        delayed(pieces)(t, favoured, t.id in capped, seed, config.briefs.get(t.source, WITH_BRIEF))
        for t in texts
    )
    train = [piece for text, found in zip(texts, made, strict=True) if not text.held_out for piece in found]
    held_out = [piece for text, found in zip(texts, made, strict=True) if text.held_out for piece in found]
    tokenizer = _tokenizer(folder / "tokenizer", train, config)
    manifest["favoured_names"] = len(favoured)
    manifest["capped_openings"] = len(capped)
    manifest["train"] = write_buckets(folder / "train", train, tokenizer)
    manifest["held_out"] = write_buckets(folder / "held_out", held_out, tokenizer)
    asked = [piece for piece in train if piece.begins and not piece.bucket.endswith("/ending")]
    manifest["with_brief"] = sum(bool(piece.header) for piece in asked) / max(1, len(asked))
    train_rows = read_buckets(folder / "train")
    manifest["ends_cut_off"] = sum(
        int((np.diff(bucket.starts) > config.length).sum())
        for name, bucket in train_rows.items()
        if not name.endswith(("opening", "passage"))
    )
    atomic.write_json(folder / "manifest.json", manifest)
    return manifest


def _tokenizer(folder: Path, train: Sequence[Piece], config: PretrainConfig) -> Any:
    """The tokenizer in ``folder``; if it is not there yet, that of the weights to begin with, or else one of 20,000 documents."""
    if not (folder / "tokenizer.json").exists():
        known = resolve(config.init).tokenizer() if config.init else None
        if known is not None and len(known) == config.vocabulary:
            known.save_pretrained(folder)
        else:
            sample = random.Random(config.seed).sample(train, min(20_000, len(train)))
            raw = train_tokenizer((piece.header + piece.text for piece in sample), config.vocabulary)
            special = {"bos_token": END, "eos_token": END, "pad_token": END, "unk_token": END}
            fast = PreTrainedTokenizerFast(
                tokenizer_object=raw, model_max_length=CONTEXT, clean_up_tokenization_spaces=False, **special
            )
            fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def show(manifest: dict[str, Any]) -> str:
    """The manifest as a table."""
    lines = [f"{'bucket':<44}{'documents':>10}{'tokens':>12}"]
    for side in ("train", "held_out"):
        lines += [
            f"{side + ' ' + bucket:<44}{size['documents']:>10}{size['tokens']:>12}"
            for bucket, size in manifest[side].items()
        ]
    return (
        "\n".join(lines) + "\n" + json.dumps({k: v for k, v in manifest.items() if not isinstance(v, dict)})
    )
