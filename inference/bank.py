"""The bank: plots that were written for this project, and which of them suits a brief.

The base was taught on the stories of most of them. So a plot is not the model's own, and a text may not have many words in a row as
one of these stories has. Chooses and measures; `data.plot_fill` puts a brief into a plot, `inference.telling` tells it.
"""

import random
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from data.brief import Brief
from data.model_cache import cache_folder, file_sha256, make
from data.plot_fill import fill_plot
from data.plots import ANYBODY, PLOTS, Plot, fits, read_plots
from data.stories import FOLDER, STORIES, read_stories
from inference.novelty import words
from inference.similarity import SHA256, embed

CHOICE = 12
"""Plots that suit a brief best, one of which is drawn."""

NEAR_LENGTH = 0.1
"""Plots whose text is as long as a brief asks within this share come first: what a plot lacks, the model adds, and it may not fit."""

YIELDING = ("occupation", "meets")
"""Fields that give way to a plot's own, where nobody asked for them."""

LONGEST = 8
"""Words in a row that a text may have as a story of the bank has."""


def plots() -> tuple[Plot, ...]:
    """Return all plots of the bank, in the order of their files."""
    return read_plots(FOLDER)


def find_plot(
    brief: Brief,
    rng: random.Random,
    taken: Collection[int] = (),
    *,
    first_person: bool = False,
) -> tuple[int, Brief] | None:
    """Put a brief into a plot of the bank that suits it.

    brief: what is asked for. Where occupation and encounter were drawn (`Brief.drawn`), a plot may put its own in their place.
    rng: draws one of the plots that are nearest to the brief. taken: numbers of plots that are not to be used.
    first_person: also plots that are told by "I". Returns the plot's number and the brief with beats and with what it left open;
    None where no plot can be filled wholly.
    """
    alike = _near() @ embed([_about(brief)])[0]
    # Those for anybody come first: no story of the bank could be copied by them.
    near = np.lexsort(
        (-alike, [_is_off(plot, brief) for plot in plots()], [bool(plot.brief) for plot in plots()])
    )
    found: list[tuple[int, Brief]] = []
    seed = rng.random()
    for number in near.tolist():
        if number in taken:
            continue
        for asked in dict.fromkeys((brief, *(_without(brief, field) for field in _loose(brief)))):
            if not fits(plots()[number], asked, first_person):
                continue
            with suppress(ValueError):  # too many keywords make a line too long
                filled = fill_plot(plots()[number], asked, random.Random(f"{seed}:{number}"))
                if isinstance(filled, Brief):
                    found.append((number, filled))
                    break
        if len(found) == CHOICE:
            break
    return rng.choice(found) if found else None


def _is_off(plot: Plot, brief: Brief) -> bool:
    """Whether a plot's text would be a good deal longer or shorter than is asked."""
    asked = brief.length or plot.length
    return abs(plot.length - asked) > NEAR_LENGTH * asked


def _loose(brief: Brief) -> list[tuple[str, ...]]:
    """The fields that may give way, one by one and then together."""
    loose = [field for field in YIELDING if field in brief.drawn]
    return [(field,) for field in loose] + [tuple(loose)] * (len(loose) > 1)


def _without(brief: Brief, fields: Collection[str]) -> Brief:
    return Brief.from_dict({key: value for key, value in brief.to_dict().items() if key not in fields})


def _about(brief: Brief) -> str:
    """What a plot is chosen by."""
    parts = [brief.occupation or "somebody", brief.place or "", brief.meets or "", ", ".join(brief.keywords)]
    return "; ".join(filter(None, parts))


def bank_span(text: str) -> int:
    """Measure the longest run of words that ``text`` has as a story of the bank has them; 0 up to `LONGEST`."""
    runs = _runs(text)
    known = _known()
    places = np.minimum(np.searchsorted(known, runs), len(known) - 1)
    longest = current = 0
    for hit in known[places] == runs:
        current = current + 1 if hit else 0
        longest = max(longest, current)
    return LONGEST + longest if longest else 0


@lru_cache(maxsize=1)
def _near() -> np.ndarray:
    """Sentence embeddings (N, 384) of what each plot is about."""
    files = [file_sha256(FOLDER / name)[:6] for name in (STORIES, PLOTS, ANYBODY)]
    key = "-".join(("plots", *files, SHA256["model.safetensors"][:6]))
    return _kept(key, lambda: embed([_about(plot.brief) if plot.brief else plot.title for plot in plots()]))


@lru_cache(maxsize=1)
def _known() -> np.ndarray:
    """The sorted fingerprints of all runs of the bank's stories that are one word longer than may be copied."""
    texts = (story.text for story in read_stories(FOLDER / STORIES))
    key = f"runs-{file_sha256(FOLDER / STORIES)[:8]}-{LONGEST}"
    return _kept(key, lambda: np.unique(np.concatenate([_runs(text) for text in texts])))


def prepare() -> None:
    """Make what the bank is searched by, where the user's cache does not have it yet."""
    _near()
    _known()


def _kept(key: str, made: Callable[[], np.ndarray]) -> np.ndarray:
    """An array of the user's cache; it is made where the cache does not have it, since it takes seconds."""

    def write(_: Path, folder: Path) -> None:
        folder.mkdir()
        save_file({"index": made()}, folder / "index.safetensors")

    kind = key.partition("-")[0]
    try:
        folder = make(cache_folder() / f"bank-{key}", write, room=20_000_000, outdated=f"bank-{kind}-*")
        found: np.ndarray = load_file(folder / "index.safetensors")["index"]
        return found
    except (OSError, ValueError):  # a cache that can't be written, or a full disk, costs the time again
        return made()


def _runs(text: str) -> np.ndarray:
    """Fingerprints (N,) of the runs of one word more than may be copied, in order."""
    said = [word.text for word in words(text)]
    runs = (" ".join(said[at : at + LONGEST + 1]) for at in range(len(said) - LONGEST))
    digests = b"".join(blake2b(run.encode("utf-8"), digest_size=8).digest() for run in runs)
    return np.frombuffer(digests, dtype="<u8")
