"""The bank: plots that were written for this project, and which of them suits a brief.

The base was taught on these stories. So a plot of theirs is not the model's own, and a text may not have many words in a row as
one of them has. Chooses and measures; `data.plot_fill` puts a brief into a plot, `inference.telling` tells it.
"""

import random
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import data
from data.brief import Brief
from data.model_cache import cache_folder, file_sha256, make
from data.plot_fill import fill_plot
from data.plots import Plot, fits, read_plots
from data.stories import read_stories
from inference.novelty import words
from inference.similarity import SHA256, embed

STORIES = Path(data.__file__).parent / "stories" / "stories.jsonl.xz"
"""The stories that the base was taught on, with their plots."""

CHOICE = 12
"""Plots that suit a brief best, one of which is drawn."""

LONGEST = 8
"""Words in a row that a text may have as a story of the bank has."""


def plots() -> tuple[Plot, ...]:
    """Return all plots of the bank, in the order of its stories."""
    return read_plots(STORIES)


def find_plot(
    brief: Brief, rng: random.Random, taken: Collection[int] = (), *, first_person: bool = False
) -> tuple[int, Brief] | None:
    """Put a brief into a plot of the bank that suits it.

    brief: what is asked for. rng: draws one of the plots that are nearest to the brief. taken: numbers of plots that are not to be
    used. first_person: also plots that are told by "I". Returns the plot's number and the brief with beats and with what it left open;
    None where no plot can be filled wholly.
    """
    near = np.argsort(-(_index()["plots"] @ embed([_about(brief)])[0]), kind="stable")
    found: list[tuple[int, Brief]] = []
    seed = rng.random()
    for number in near.tolist():
        plot = plots()[number]
        if number in taken or not fits(plot, brief, first_person):
            continue
        filled = fill_plot(plot, brief, random.Random(f"{seed}:{number}"))
        if isinstance(filled, str):
            continue
        with suppress(ValueError):  # too many keywords make a line too long
            found.append((number, replace(filled.brief, beats=filled.beats)))
        if len(found) == CHOICE:
            break
    return rng.choice(found) if found else None


def _about(brief: Brief) -> str:
    """What a plot is chosen by."""
    parts = [brief.occupation or "somebody", brief.place or "", brief.meets or "", ", ".join(brief.keywords)]
    return "; ".join(filter(None, parts))


def bank_span(text: str) -> int:
    """Measure the longest run of words that ``text`` has as a story of the bank has them; 0 up to `LONGEST`."""
    runs = _runs(text)
    known = _index()["runs"]
    places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    longest = current = 0
    for hit in known[places] == runs:
        current = current + 1 if hit else 0
        longest = max(longest, current)
    return LONGEST + longest if longest else 0


@lru_cache(maxsize=1)
def _index() -> dict[str, np.ndarray]:
    """What the bank is searched by: ``plots``, sentence embeddings (N, 384) of what each plot is about, and ``runs``, the sorted
    fingerprints of all runs of one word more than may be copied. Kept in the user's cache, since it takes half a minute."""
    key = f"{file_sha256(STORIES)[:8]}-{SHA256['model.safetensors'][:8]}-{LONGEST}"
    try:
        folder = make(cache_folder() / f"bank-{key}", _write, room=20_000_000, outdated="bank-*")
        found: dict[str, np.ndarray] = load_file(folder / "index.safetensors")
        return found
    except (OSError, ValueError):  # a cache that can't be written, or a full disk, costs the time again
        return _made()


def prepare() -> None:
    """Make what the bank is searched by, where the cache does not have it yet."""
    _index()


def _write(_: Path, folder: Path) -> None:
    folder.mkdir()
    save_file(_made(), folder / "index.safetensors")


def _made() -> dict[str, np.ndarray]:
    return {
        "plots": embed([_about(plot.brief) for plot in plots()]),
        "runs": np.unique(np.concatenate([_runs(story.text) for story in read_stories(STORIES)])),
    }


def _runs(text: str) -> np.ndarray:
    """Fingerprints (N,) of the runs of one word more than may be copied, in order."""
    said = [word.text for word in words(text)]
    runs = (" ".join(said[at : at + LONGEST + 1]) for at in range(len(said) - LONGEST))
    digests = b"".join(blake2b(run.encode("utf-8"), digest_size=8).digest() for run in runs)
    return np.frombuffer(digests, dtype="<u8")
