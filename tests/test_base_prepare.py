"""`python -m training base prepare`: one file of all stories and a table of them, or one message and nothing written."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.brief import Brief
from data.stories import Story, read_stories
from tests.small import NOIR, ROOT, few_stories, write_part
from training.__main__ import main

SHARED = "the rain fell on the grey roofs of the town"  # ten words
APART = f"It was late. All night {SHARED} and nobody came."


class Place:
    """A configuration and folders of stories of two sources, by three writers."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "out" / "stories.jsonl.xz"
        self.config = folder / "stories.yaml"
        self.config.write_text(f"minutes: 1\nstories: {self.file}\n", "utf-8")
        self.flowing, self.plain = folder / "flowing", folder / "plain"
        stories = few_stories(0)
        write_part(self.flowing / "ann" / "part-01.txt", stories[:2])
        write_part(self.flowing / "ann" / "part-02.txt", stories[2:3])
        write_part(self.flowing / "bob" / "part-01.txt", stories[3:4])
        write_part(self.plain / "cy" / "part-01.txt", [replace(story, beats=()) for story in stories[4:]])
        (folder / "apart").mkdir()
        (folder / "apart" / "one.txt").write_text(APART, "utf-8")
        self.apart = folder / "apart"

    def run(self, *arguments: object) -> int:
        return main(["base", "prepare", str(self.config), *map(str, arguments)])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_it_writes_the_file_and_prints_what_is_in_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run(place.flowing, place.plain, "--test", "last", "--apart", place.apart) == 0
    found = list(read_stories(place.file))
    assert [(story.source, story.test, bool(story.beats)) for story in found] == [
        ("flowing/ann", False, True), ("flowing/ann", False, True), ("flowing/ann", True, True),
        ("flowing/bob", True, True), ("plain/cy", True, False), ("plain/cy", True, False),
    ]  # fmt: skip
    assert [story.text for story in found] == [story.text for story in few_stories()]
    words = [sum(len(s.text.split()) for s in found if s.source.startswith(name)) for name in ("flo", "pla")]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed] == [
        ["source", "stories", "for", "testing", "with", "beats", "words"],
        ["flowing", "4", "2", "4", str(words[0])],
        ["plain", "2", "2", "0", str(words[1])],
        ["written:", str(place.file)],
    ]
    assert len({len(line) for line in printed[:3]}) == 1  # columns below each other


def test_seven_shared_words_are_allowed_and_without_apart_any_number(place: Place) -> None:
    seven = " ".join(SHARED.split()[:7])
    file = place.plain / "dee" / "part-01.txt"
    write_part(file, [Story(f"She said that {seven}, and laughed.", Brief(name="Dee"))])
    assert place.run(place.plain, "--apart", place.apart) == 0
    write_part(file, [Story(f"She said that {SHARED}.", Brief(name="Dee"))])
    assert place.run(place.plain, "--overwrite") == 0


def test_a_file_that_is_there_is_replaced_only_when_asked(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run(place.flowing) == 0
    there = place.file.read_bytes()
    assert place.run(place.plain) == 2
    assert re.search(
        r"stories.jsonl.xz is there already. .*--set stories=FILE.*--overwrite", capsys.readouterr().err
    )
    assert place.file.read_bytes() == there
    assert place.run(place.plain, "--overwrite") == 0
    assert place.file.read_bytes() != there


def mistyped(place: Place) -> list[object]:
    return [place.flowing, "--test", "part-03.txt"]


def empty(place: Place) -> list[object]:
    folder = place.config.parent / "empty"
    folder.mkdir()
    return [place.flowing, folder]


def twice(place: Place) -> list[object]:
    write_part(place.plain / "dee" / "part-01.txt", few_stories()[:1])
    return [place.flowing, place.plain]


def shared(place: Place) -> list[object]:
    eight = " ".join(SHARED.upper().split()[:8])
    write_part(place.plain / "dee" / "part-01.txt", [Story(f"Oh, {eight}!", Brief(name="Dee"))])
    return [place.flowing, place.plain, "--apart", place.apart]


def unmatched(place: Place) -> list[object]:
    story = few_stories()[0]
    write_part(place.plain / "dee" / "part-01.txt", [replace(story, beats=story.beats[:1])])
    return [place.plain]


def nothing_apart(place: Place) -> list[object]:
    return [place.plain, "--apart", place.config.parent / "none"]


@pytest.mark.parametrize("before", [False, True], ids=["no file", "a file before"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (empty, "there are no stories in .*empty.*Name another folder"),
        (twice, "1 stories come twice; the first begins 'Nadia Benali came.*Take one of them out"),
        (shared, "a story of plain/dee shares 8 words in a row with .*apart: 'Oh, THE RAIN.*Take it out"),
        (unmatched, "part-01.txt, story 1: 3 paragraphs and 1 beats; write one line for each paragraph"),
        (nothing_apart, "no originals at .*none"),
        (mistyped, "no file for testing is called part-03.txt; there are last, part-01.txt, part-02.txt"),
    ],
    ids=[
        "an empty folder",
        "a story twice",
        "shared words",
        "beats that don't match",
        "nothing to keep apart",
        "a name for testing that no file has",
    ],
)
def test_what_can_not_be_used_is_one_message_and_nothing_is_written(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Place], list[object]],
    said: str,
    before: bool,
) -> None:
    if before:
        assert place.run(place.flowing) == 0
    there = place.file.read_bytes() if before else None
    arguments = [*spoil(place), "--overwrite"]
    capsys.readouterr()
    assert place.run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.strip().split("\n")
    assert line.startswith("error: ") and "Traceback" not in line
    assert re.search(said, line), line
    if before:
        assert place.file.read_bytes() == there and list(place.file.parent.iterdir()) == [place.file]
    else:
        assert not place.file.parent.exists()


def test_a_wrong_configuration_is_one_message(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run(place.flowing, "--set", "rank=0", "--set", "ranks=1") == 2
    said = capsys.readouterr().err
    assert "- rank: must be at least 1" in said and "- ranks: unknown key" in said
    assert not place.file.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["base"], "{prepare,adapt,candidates,eval,paired}"),
        (["base", "prepare"], "--apart"),
        (["base", "adapt"], "--steps"),
        (["base", "candidates"], "--briefs"),
        (["base", "eval"], "--briefs"),
    ],
    ids=" ".join,
)
def test_help_says_what_there_is(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--help"])
    assert left.value.code == 0
    assert said in capsys.readouterr().out


def test_help_comes_at_once_from_a_process_of_its_own() -> None:
    script = "import sys; from training.__main__ import main\ntry: main(['base', '--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "prepare" in done.stdout and done.stdout.splitlines()[-1] == "False"
    whole = subprocess.run(
        [sys.executable, "-m", "training", "base", "prepare", "none.yaml", str(NOIR)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert whole.returncode == 2 and whole.stderr.startswith("error: no configuration at none.yaml")
