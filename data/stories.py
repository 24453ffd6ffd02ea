"""The stories that the base is taught on: each with a gold brief, and most with beats, a line for each paragraph.

Also the text forms in which a model meets a plot. A base writes a plan in a header, below the brief's fields:

    name: Nadia Benali
    beats:
    - Nadia, a piano tuner, comes into the café with her case
    - the owner asks her to listen to the old piano
    ---

A text is told behind the brief's fields alone, and each paragraph follows the line `> beat` of its own beat. So a model can't tell
a beat before its turn. Reads and writes; trains nothing.
"""

import json
import lzma
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data import atomic
from data.brief import END, Brief, parse_vignettes

FOLDER = Path(__file__).parent / "stories"
"""Folder of the stories that the base was taught on, and of the plots (`data.plots`)."""

STORIES = "stories.jsonl.xz"
"""File of the stories."""

PARAGRAPHS = "\n\n"
"""What stands between two paragraphs."""

_TEST = "test"


@dataclass(frozen=True)
class Story:
    """A text of ``source`` behind its ``brief``. ``beats`` are as many as its paragraphs, or none. ``test``: never trained on.
    ``finer``: beats of two or three sentences, as many, or none."""

    text: str
    brief: Brief
    beats: tuple[str, ...] = ()
    source: str = ""
    test: bool = False
    finer: tuple[str, ...] = ()

    @property
    def paragraphs(self) -> list[str]:
        """The text between its blank lines."""
        return self.text.split(PARAGRAPHS)


def told_header(brief: Brief) -> str:
    """What a text that is told from beats stands behind: the brief's fields without its beats, or nothing."""
    return replace(brief, beats=()).header()


def plan_header(brief: Brief) -> str:
    """The header of a brief up to where its first beat is written."""
    return told_header(brief).removesuffix(f"{END}\n") + "beats:\n"


def plan_lines(beats: Sequence[str]) -> str:
    """What follows an open `plan_header`: the beats, and the line that ends the header."""
    return "".join(f"- {beat}\n" for beat in beats) + f"{END}\n"


def beat_line(beat: str) -> str:
    """What stands before the paragraph that tells ``beat``."""
    return f"> {beat}\n"


def told_pieces(beats: Sequence[str], paragraphs: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a told text and whether each is the text's own: the line of each beat, and the paragraph behind it."""
    last = len(beats) - 1
    for at, (beat, paragraph) in enumerate(zip(beats, paragraphs, strict=True)):
        yield beat_line(beat), False
        yield paragraph + (PARAGRAPHS if at < last else ""), True


def beat_prompt(paragraph: str) -> str:
    """What asks for the beat of one ``paragraph``."""
    return f"paragraph:\n{paragraph}\nbeat:\n"


def read_story_folder(folder: Path, testing: Sequence[str]) -> list[Story]:
    """Read the stories of a folder of folders with files part-NN.txt, and their beats in files beats-NN.txt.

    folder: holds one folder a writer. testing: names of the files that are for testing, such as "part-05.txt"; "last": the last
    file of each folder. Raises ValueError where beats and paragraphs don't match.
    """
    found: list[Story] = []
    for file in sorted(folder.glob("*/part-*.txt")):
        last = max(other.name for other in file.parent.glob("part-*.txt"))
        test = file.name in testing or ("last" in testing and file.name == last)
        try:
            records = parse_vignettes(file.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        plans = _read_beats(file.with_name(file.name.replace("part-", "beats-")))
        if plans and len(plans) != len(records):
            raise ValueError(f"{file} has {len(records)} stories and {len(plans)} plans; give each story one")
        for at, (brief, body) in enumerate(records):
            body = unicodedata.normalize("NFC", body)  # and no line break inside a paragraph
            text = PARAGRAPHS.join(
                " ".join(part.split()) for part in re.split(r"\n\s*\n", body) if part.strip()
            )
            beats = plans[at] if plans else ()
            if beats and len(beats) != text.count(PARAGRAPHS) + 1:
                raise ValueError(
                    f"{file}, story {at + 1}: {text.count(PARAGRAPHS) + 1} paragraphs and {len(beats)} beats; "
                    "write one line for each paragraph"
                )
            found.append(Story(text, brief, beats, f"{folder.name}/{file.parent.name}", test))
    return found


def _read_beats(file: Path) -> list[tuple[str, ...]]:
    if not file.exists():
        return []
    try:
        records = re.split(r"(?m)^===[ \t]*$", file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 ({error}); save it as UTF-8") from error
    return [
        tuple(line[2:].strip() for line in record.splitlines() if line.startswith("- "))
        for record in records
        if record.strip()
    ]


def stories_for_testing(stories: Iterable[Story], source: str | None = None) -> list[Story]:
    """Choose the stories for testing that have beats.

    stories: all. source: the kind they must be of, such as "flowing". None: any kind.
    """
    return [
        story
        for story in stories
        if story.test and story.beats and source in (None, story.source.partition("/")[0])
    ]


def spread_over(stories: Sequence[Story], count: int) -> list[Story]:
    """Choose ``count`` of ``stories`` at equal distances, always the same ones; all where there are fewer."""
    return (
        [stories[i * len(stories) // count] for i in range(count)] if len(stories) > count else list(stories)
    )


def write_stories(path: Path, stories: Sequence[Story]) -> None:
    """Replace ``path`` by ``stories``, one JSON object a line, compressed by xz."""
    rows = [
        {
            "source": story.source,
            **({_TEST: True} if story.test else {}),
            "brief": story.brief.to_dict(),
            **({"beats": list(story.beats)} if story.beats else {}),
            "text": story.text,
        }
        for story in stories
    ]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    atomic.write_bytes(path, lzma.compress(content.encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


def read_stories(path: Path) -> Iterator[Story]:
    """The stories in a file that `write_stories` made. Raises ValueError where it is no such file."""
    if not path.is_file():
        raise ValueError(
            f"there are no stories at {path}; make them: python -m training base prepare CONFIG FOLDER"
        )
    try:
        lines = lzma.decompress(path.read_bytes()).decode("utf-8").split("\n")
        for line in filter(None, lines):
            row = json.loads(line)
            yield Story(
                row["text"],
                Brief.from_dict(row["brief"]),
                tuple(row.get("beats", ())),
                row["source"],
                row.get(_TEST, False),
            )
    except (lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); make it again with `python -m training base prepare`, or get the "
            f"project's own back with: git checkout {path}"
        ) from error
