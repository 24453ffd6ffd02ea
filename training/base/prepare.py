"""Gathers stories from folders into the one file that a base is taught from, and says what is in it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data.originals import load_originals
from data.stories import Story, read_story_folder, write_stories
from inference.novelty import CopyIndex
from training.base.config import BaseConfig

SHARED = 8
"""Words in a row that no story may share with a text that is kept apart."""


def prepare(
    config: BaseConfig,
    folders: Sequence[Path],
    testing: Sequence[str],
    apart: str | None,
    *,
    overwrite: bool = False,
) -> list[Story]:
    """Write the stories of ``folders`` to ``config.stories`` and return them.

    config: names the file. folders: each has one folder a writer with files part-NN.txt (brief, `---`, text; records separated by
    `===`) and, where there are plans, beats-NN.txt beside them. testing: names of the files that are for testing only; "last": the
    last file of each writer. apart: texts that no story may share eight words in a row with, whatever `load_originals` takes;
    None: no such texts. overwrite: replace a file that is there. Raises ValueError for a folder without stories, a name in
    ``testing`` that no file has, a story twice or one that shares too much, and for a file that is there.
    """
    if Path(config.stories).exists() and not overwrite:
        raise ValueError(
            f"{config.stories} is there already. Name another file with --set stories=FILE, or replace it with --overwrite"
        )
    names = {file.name for folder in folders for file in folder.glob("*/part-*.txt")} | {"last"}
    if missing := sorted(set(testing) - names):
        raise ValueError(
            f"no file for testing is called {', '.join(missing)}; there are {', '.join(sorted(names))}"
        )
    found: list[Story] = []
    for folder in folders:
        stories = read_story_folder(folder, testing)
        if not stories:
            raise ValueError(
                f"there are no stories in {folder}: files WRITER/part-01.txt and so on are looked for. Name another folder"
            )
        found += stories
    twice = [text for text, count in Counter(story.text for story in found).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} stories come twice; the first begins {twice[0][:60]!r}. Take one of them out"
        )
    if apart is not None:
        originals = load_originals(apart)
        index = CopyIndex(
            [original.text for original in originals], [original.name for original in originals]
        )
        for story in found:
            span = index.longest(story.text)
            if span is not None and span.words >= SHARED:
                raise ValueError(
                    f"a story of {story.source} shares {span.words} words in a row with {apart}: {story.text[:60]!r}. "
                    "Take it out, or name no texts to keep apart"
                )
    write_stories(Path(config.stories), found)
    return found


def show(stories: Sequence[Story]) -> str:
    """What ``stories`` are, one line a source."""
    lines = [f"{'source':16}{'stories':>9}{'for testing':>13}{'with beats':>12}{'words':>10}"]
    for source in sorted({story.source.partition("/")[0] for story in stories}):
        own = [story for story in stories if story.source.partition("/")[0] == source]
        lines.append(
            f"{source:16}{len(own):9}{sum(s.test for s in own):13}{sum(bool(s.beats) for s in own):12}"
            f"{sum(len(s.text.split()) for s in own):10}"
        )
    return "\n".join(lines)
