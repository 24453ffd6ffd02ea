"""Runs side by side: the figures are the runs' own, and what makes them no fair comparison is said."""

import html
import json
import shutil
from pathlib import Path

import pytest

from inference.__main__ import main
from inference.compare import FIGURES, compare
from inference.summary import read_metrics


def test_every_figure_is_the_runs_own(tiny_run: Path, few_words_run: Path) -> None:
    found = compare([tiny_run, few_words_run])
    first, second = read_metrics(tiny_run), read_metrics(few_words_run)
    rows = dict(found.rows)
    assert list(rows) == ["base", *(label for label, _ in FIGURES)]
    assert rows["base"] == ["tiny", "tiny"]
    assert rows["updates"] == [str(first["chosen_steps"]), str(second["chosen_steps"])]
    assert rows["verdict"] == [f"{first['verdict']:.3f}", f"{second['verdict']:.3f}"]
    assert rows["held out, tuned"][1] == f"{second['held_out']['bits_per_byte_tuned']:.3f}"
    assert rows["ended"][0].endswith("/2")
    assert "other originals" in found.notes[0]
    for figure, values in found.rows:
        assert figure in str(found) and values[0] in str(found)


def test_two_runs_of_one_name_are_told_apart_by_their_paths(tiny_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    found = compare([tiny_run, copy])
    assert found.names == [str(tiny_run), str(copy)]
    assert found.notes == ["One random seed: another moves a verdict by a tenth and more."]


def test_what_a_run_has_not_is_a_dash(tiny_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "copy"))
    metrics = json.loads((copy / "metrics.json").read_text("utf-8"))
    metrics |= {"cross_fitted": [], "control": None}
    (copy / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    rows = dict(compare([copy, tiny_run]).rows)
    assert rows["style, unseen original"][0] == rows["verdict of the control"][0] == "-"
    assert "-" not in {rows["style, unseen original"][1], rows["verdict of the control"][1]}


def test_the_command_prints_and_writes_a_page_that_escapes(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "copy"))
    rows = [json.loads(line) for line in (copy / "samples.jsonl").read_text("utf-8").split("\n") if line]
    rows[0]["text"] = "<script>alert(1)</script>"
    (copy / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    page = tmp_path / "compare.html"
    assert main(["compare", str(tiny_run), str(copy), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    source = page.read_text("utf-8")
    assert "<script" not in source and "&lt;script&gt;alert(1)" in source
    for figure, _ in FIGURES:
        assert figure in said and figure in html.unescape(source)


@pytest.mark.parametrize("count", [1, 2])
def test_one_run_or_one_without_a_report_is_refused(
    count: int, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "copy"))
    (copy / "metrics.json").unlink()
    assert main(["compare", *[str(tiny_run), str(copy)][:count]]) == 2
    said = capsys.readouterr().err
    assert ("two runs or more" if count == 1 else "python -m inference report") in said
