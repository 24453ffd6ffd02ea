"""Many texts into one file, part by part: what is drawn is written down, and an interrupted command goes on where it was.

Beside the file lies ``.NAME.COMMAND.partial`` until all texts are there: a line with the seed, then the rows, after each part a
line that says how many texts are done. Draws nothing itself (`inference.sampling`).
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import atomic
from inference.sampling import generate_parts

PART = 32
"""Texts between two writings."""


def generate_to(
    path: Path, source: str, n: int, seed: int | None, options: Mapping[str, Any]
) -> tuple[int, int, int]:
    """``n`` texts a brief of ``generate(source, n, seed=seed, **options)`` as rows of JSON in ``path``, those not chosen too.

    What an interrupted call with the same arguments left is gone on with; without a seed, with its; what one with others left
    stays. With ``best_of`` the texts are chosen among by `PART`. Returns the seed, how many chosen texts lie there now, and how
    many of them were there before. Raises ValueError before anything is written for what `generate` raises it for.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it")
    provenance = Path(source) / "provenance.json"  # a run of the same name may be another by now
    model = provenance.read_text("utf-8") if provenance.is_file() else ""
    said = json.dumps([source, model, n, seed, options], default=str)
    asked = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
    partial = path.with_name(f".{path.name}.{asked[:12]}.partial")
    kept_seed, done, rows = _kept(partial)
    seed = kept_seed if seed is None else seed
    if seed is None:
        seed = random.randrange(2**31)
    parts = generate_parts(source, n, done=done, size=PART, seed=seed, **{"batch_size": PART, **options})
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(partial, "".join(line + "\n" for line in [json.dumps({"seed": seed}), *rows]))
    for samples in parts:
        done += PART
        lines = [json.dumps(sample.to_dict(), ensure_ascii=False) for sample in samples.candidates]
        with partial.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(line + "\n" for line in [*lines, json.dumps({"done": done})]))
    written = _texts(partial.read_text("utf-8").split("\n")[1:])
    atomic.write_text(path, "".join(line + "\n" for line in written))
    partial.unlink()
    return seed, _chosen(written), _chosen(_texts(rows))


def _texts(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line and not line.startswith('{"done"')]


def _chosen(rows: Sequence[str]) -> int:
    return sum(json.loads(row)["chosen"] for row in rows)


def _kept(partial: Path) -> tuple[int | None, int, list[str]]:
    """The seed of an interrupted call, how many texts it had done, and its lines up to there."""
    try:
        lines = partial.read_text("utf-8").split("\n")
        seed = int(json.loads(lines[0])["seed"])
        marks = [i for i, line in enumerate(lines) if line.startswith('{"done"') and line.endswith("}")]
        last = marks[-1] if marks else 0
        return seed, json.loads(lines[last])["done"] if marks else 0, lines[1 : last + 1]
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: from the beginning
        return None, 0, []
