"""Samples as files of other programs: nothing of a text is lost, and no spreadsheet runs one."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.brief import Brief
from inference.__main__ import main
from inference.exports import BY_ENDING, FORMATS, export, format_of
from inference.sample import Sample
from tests.small import NASTY

TEXTS = ["Rain, “rain” and\nno end.\n\nHe left.", '=HYPERLINK("http://x.y")', NASTY.strip(), ""]
SAMPLES = [
    Sample(text, Brief(name="Ida Voss") if i else Brief(), 7, i, bool(i % 2), 5, {"words": len(text.split())})
    for i, text in enumerate(TEXTS)
]


def test_json_lines_hold_all_that_a_sample_has() -> None:
    lines = export(SAMPLES, "json").split("\n")[:-1]
    assert [json.loads(line) for line in lines] == [sample.to_dict() for sample in SAMPLES]


def test_a_table_has_a_row_a_sample_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(export(SAMPLES, "csv"), newline="")))
    assert [row["text"] for row in rows] == [TEXTS[0], "'" + TEXTS[1], TEXTS[2], ""]
    assert [row["brief_name"] for row in rows] == ["", "Ida Voss", "Ida Voss", "Ida Voss"]
    assert [row["words"] for row in rows] == [str(len(text.split())) for text in TEXTS]
    assert [row["ended_by_eos"] for row in rows] == ["False", "True", "False", "True"]


def test_no_brief_and_no_source_is_a_formula_either() -> None:
    sample = replace(SAMPLES[1], brief=Brief(place="=1+1"), scores={"nearest": "@cmd", "style": -0.5})
    (row,) = csv.DictReader(io.StringIO(export([sample], "csv"), newline=""))
    assert (row["brief_place"], row["nearest"], row["style"]) == ("'=1+1", "'@cmd", "-0.5")


def test_markdown_numbers_the_texts_and_keeps_lines_of_verse() -> None:
    found = export(SAMPLES[:2], "markdown")
    assert found == (
        "## 1\n\nRain, “rain” and  \nno end.\n\nHe left.\n\n"
        '## 2\n\n*name: Ida Voss*\n\n=HYPERLINK("http://x.y")\n'
    )


def test_beats_are_readable_and_survive() -> None:
    brief = Brief(name="Ida Voss", keywords=["rain", "key"], beats=["=Ida comes in", "she sits, “alone”"])
    sample = replace(SAMPLES[0], brief=brief)
    (row,) = csv.DictReader(io.StringIO(export([sample], "csv"), newline=""))
    assert row["brief_keywords"] == "rain, key"
    assert row["brief_beats"] == "'=Ida comes in\nshe sits, “alone”"
    assert Brief.from_dict(json.loads(export([sample], "json"))["brief"]) == brief
    assert export([sample], "markdown").startswith(
        "## 1\n\n*name: Ida Voss; keywords: rain, key*\n\n"
        "*beats:*\n\n1. =Ida comes in\n2. she sits, “alone”\n\n* * *\n\nRain, "
    )
    assert export([sample], "text") == f"{TEXTS[0]}\n"
    assert "<ol><li>=Ida comes in</li>" in export([sample], "html")


def test_plain_text_is_the_texts_alone() -> None:
    assert export(SAMPLES[:2], "text") == f"{TEXTS[0]}\n\n* * *\n\n{TEXTS[1]}\n"


@pytest.mark.parametrize(("ending", "form"), BY_ENDING.items())
def test_the_ending_says_the_format_unless_another_is_asked_for(ending: str, form: str) -> None:
    assert form in FORMATS
    assert format_of(Path(f"new{ending.upper()}"), None) == form
    assert format_of(Path(f"new{ending}"), "csv") == "csv"
    assert format_of(None, None) == format_of(Path("/dev/stdout"), None) == "text"


def test_an_ending_of_no_format_is_refused_before_anything_is_drawn(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(tiny_run), "--out", str(tmp_path / "new.docx")]) == 2
    assert "ends in none of .txt, .md, .jsonl, .json, .csv, .html" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_what_the_ending_says(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    command = [
        "generate",
        str(tiny_run),
        "--n",
        "2",
        "--seed",
        "1",
        "--max-new-tokens",
        "8",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"), newline="")))
    assert len(rows) == 2 and {"longest_copied_span", "brief_length", "text"} <= set(rows[0])
