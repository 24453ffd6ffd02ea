"""Stories: the committed file is what it is said to be, nothing is lost by writing, and a plan has one text form."""

import json
import lzma
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from data.atomic import sha256
from data.brief import Brief
from data.originals import load_originals
from data.stories import (
    FOLDER,
    STORIES,
    Story,
    beat_line,
    beat_prompt,
    plan_header,
    plan_lines,
    read_stories,
    read_story_folder,
    stories_for_testing,
    told_header,
    write_stories,
)
from tests.small import SEEDS, few_stories, write_part

COMMITTED = FOLDER / STORIES
NADIA = Brief(name="Nadia Benali", keywords=("rain", "key"))
BEATS = ("Nadia comes in", "she sits down")


@pytest.fixture(scope="module")
def committed() -> list[Story]:
    return list(read_stories(COMMITTED))


# The committed file


def test_every_plan_is_a_briefs_beats(committed: list[Story]) -> None:
    for story in committed:
        brief = replace(story.brief, beats=story.beats)
        assert brief.beats == story.beats
        assert not story.beats or brief.header() == plan_header(story.brief) + plan_lines(story.beats)


def test_the_committed_stories_are_so_many(committed: list[Story]) -> None:
    sources = Counter(story.source.partition("/")[0] for story in committed)
    assert sources == {"flowing": 1850, "plain": 490, "simple": 480, "warm": 120}
    assert sum(story.test for story in committed) == 560
    assert COMMITTED.stat().st_size < 6_000_000


def test_the_sources_are_described_as_they_are(committed: list[Story]) -> None:
    said = (COMMITTED.parent / "SOURCES.md").read_text("utf-8")
    for source in sorted({story.source.partition("/")[0] for story in committed}):
        own = [story for story in committed if story.source.partition("/")[0] == source]
        test, planned, words = (
            sum(f(s) for s in own) for f in (lambda s: s.test, lambda s: bool(s.beats), counted)
        )
        assert f"| {source} | {len(own):,} | {test:,} | {planned:,} | {words:,} | " in said
    whole = sum(map(counted, committed))
    assert f"{len(committed):,} very short stories with gold briefs, {whole:,} words" in said
    assert f"`{sha256(COMMITTED)}`" in said


def counted(story: Story) -> int:
    return len(story.text.split())


def test_those_for_testing_have_beats_and_are_of_one_source_or_of_all(committed: list[Story]) -> None:
    found = {source: stories_for_testing(committed, source) for source in (None, "flowing", "warm", "plain")}
    assert {source: len(stories) for source, stories in found.items()} == {
        None: 390, "flowing": 370, "warm": 20, "plain": 0,
    }  # fmt: skip
    assert all(story.test and story.beats for story in found[None])
    assert found[None] == [s for s in committed if s in found["flowing"] or s in found["warm"]]


def test_every_committed_plan_has_one_beat_for_each_paragraph(committed: list[Story]) -> None:
    planned = [story for story in committed if story.beats]
    assert {story.source.partition("/")[0] for story in planned} == {"flowing", "warm"}
    assert len(planned) == 1970
    assert all(len(story.beats) == len(story.paragraphs) for story in planned)
    assert all(beat == beat.strip() and beat and "\n" not in beat for s in planned for beat in s.beats)


def test_no_committed_story_comes_twice_or_is_empty(committed: list[Story]) -> None:
    assert max(Counter(story.text for story in committed).values()) == 1
    assert all(p == p.strip() and p for story in committed for p in story.paragraphs)
    assert all(story.brief for story in committed)


def test_no_committed_story_shares_eight_words_with_the_seeds(committed: list[Story]) -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.casefold())  # "it's" counts as two: stricter than `prepare`
        return set(zip(*(words[i:] for i in range(8)), strict=False))

    seeds = set().union(*(runs(original.text) for original in load_originals(SEEDS)))
    assert len(seeds) > 400
    assert [story.text[:60] for story in committed if not seeds.isdisjoint(runs(story.text))] == []


# Writing and reading


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    nasty = "L’été à “Père”—\u2028 \u0085naïve\u00a0café\n\n\t日本 \U0001f600 \\n \x0c end"
    stories = [
        *few_stories(),
        Story(nasty, Brief(), ("l’été — “un”", "deux\u2028 trois"), "plain/é", True),
        Story("One.", NADIA, (), "simple/a"),
    ]
    file = tmp_path / "new" / "stories.jsonl.xz"
    write_stories(file, stories)
    assert list(read_stories(file)) == stories
    write_stories(file, stories[:2])
    assert list(read_stories(file)) == stories[:2]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_same_stories_are_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_stories(tmp_path / name, few_stories())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"there are no stories at .*none.xz; make them: python -m training base"
    ):
        list(read_stories(tmp_path / "none.xz"))


def test_a_damaged_file_says_how_to_get_it_back(tmp_path: Path) -> None:
    file = tmp_path / "stories.jsonl.xz"
    write_stories(file, few_stories())
    whole = file.read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"not compressed",
        lzma.compress(b"{'text'"),
        lzma.compress(b"\xff"),
        lzma.compress(json.dumps({"text": "x"}).encode()),
        lzma.compress(json.dumps(["text"]).encode()),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"is damaged \(.*\); make it again with .*git checkout"):
            list(read_stories(file))


# Folders of writers


def test_a_folder_gives_its_stories_with_briefs_beats_and_source(tmp_path: Path) -> None:
    first, second, third = (replace(story, test=False) for story in few_stories()[:3])
    folder = tmp_path / "flowing"
    write_part(folder / "ann" / "part-01.txt", [first, second])
    write_part(folder / "bob" / "part-01.txt", [replace(third, beats=())])
    found = read_story_folder(folder, [])
    assert [story.source for story in found] == ["flowing/ann", "flowing/ann", "flowing/bob"]
    expected = [first, second, replace(third, beats=())]
    assert [replace(story, source="") for story in found] == [replace(story, source="") for story in expected]


def test_paragraphs_are_parted_by_one_blank_line_whatever_was_between(tmp_path: Path) -> None:
    story = Story("One.\n\n \nTwo. \n\n\n\n Three.\n", NADIA)
    write_part(tmp_path / "s" / "ann" / "part-01.txt", [story])
    (found,) = read_story_folder(tmp_path / "s", [])
    assert found.text == "One.\n\nTwo.\n\nThree." and found.paragraphs == ["One.", "Two.", "Three."]


def test_files_are_for_testing_by_name_or_as_the_last_of_each_writer(tmp_path: Path) -> None:
    stories = iter(few_stories())
    for part in ("ann/part-01", "ann/part-02", "ann/part-10", "bob/part-01", "bob/part-02"):
        write_part(tmp_path / "s" / f"{part}.txt", [next(stories)])

    def testing(*names: str) -> list[bool]:
        return [story.test for story in read_story_folder(tmp_path / "s", names)]

    assert testing() == [False] * 5
    assert testing("last") == [False, False, True, False, True]
    assert testing("part-02.txt") == [False, True, False, False, True]
    assert testing("part-01.txt", "last") == [True, False, True, True, True]
    assert testing("part-99.txt") == [False] * 5


def test_beats_that_do_not_match_are_refused_with_file_and_story(tmp_path: Path) -> None:
    first, second = few_stories()[:2]
    file = tmp_path / "s" / "ann" / "part-01.txt"
    write_part(file, [first, replace(second, beats=second.beats[:2])])
    with pytest.raises(
        ValueError, match=r"part-01.txt, story 2: 3 paragraphs and 2 beats; write one line for"
    ):
        read_story_folder(tmp_path / "s", [])
    write_part(file, [first, second])
    write_part(file.with_name("part-02.txt"), [first])
    file.with_name("beats-01.txt").replace(file.with_name("beats-02.txt"))
    with pytest.raises(ValueError, match=r"part-02.txt has 1 stories and 2 plans; give each story one"):
        read_story_folder(tmp_path / "s", [])


def test_a_story_that_can_not_be_read_is_refused_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "s" / "ann" / "part-07.txt"
    write_part(file, [Story("No header here.", Brief())])
    with pytest.raises(ValueError, match=r"part-07.txt: vignette 1 has no header"):
        read_story_folder(tmp_path / "s", [])
    file.write_bytes(b"name: x\n---\n\xff")
    with pytest.raises(ValueError, match=r"part-07.txt: 'utf-8' codec"):
        read_story_folder(tmp_path / "s", [])


# Text forms


def test_a_plan_stands_in_the_header_below_the_fields() -> None:
    assert plan_header(NADIA) == "name: Nadia Benali\nkeywords: rain, key\nbeats:\n"
    assert plan_lines(BEATS) == "- Nadia comes in\n- she sits down\n---\n"
    assert plan_header(Brief()) == "beats:\n"
    assert plan_header(Brief(beats=BEATS)) == "beats:\n"  # a brief's own beats give way
    assert plan_header(replace(NADIA, beats=BEATS)) == plan_header(NADIA)
    assert told_header(replace(NADIA, beats=BEATS)) == "name: Nadia Benali\nkeywords: rain, key\n---\n"
    assert told_header(Brief(beats=BEATS)) == ""
    assert beat_line("she sits down") == "> she sits down\n"
    assert beat_prompt("It rained.") == "paragraph:\nIt rained.\nbeat:\n"


@pytest.mark.parametrize("brief", [Brief(), NADIA, Brief(length=200), Brief(place="a café—“Chez L’Été”")])
def test_the_header_of_a_plan_is_where_a_brief_with_beats_begins(brief: Brief) -> None:
    for beats in (BEATS, BEATS[:1]):
        assert replace(brief, beats=beats).header() == plan_header(brief) + plan_lines(beats)
