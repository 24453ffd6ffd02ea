"""Thousands of texts: written down as they come, gone on with after any interruption, and then as if there had been none."""

import json
from pathlib import Path
from typing import Any

import pytest

import inference.bulk
from inference.__main__ import main
from inference.bulk import generate_to
from inference.sampling import generate

OPTIONS: dict[str, Any] = {"max_new_tokens": 6, "brief": None, "best_of": 1}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.bulk, "PART", 2)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def test_the_rows_are_those_of_one_call(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "new.jsonl"
    assert generate_to(out, str(tiny_run), 5, 3, OPTIONS) == (3, 5, 0)
    assert rows(out) == [
        json.loads(json.dumps(s.to_dict())) for s in generate(tiny_run, 5, seed=3, **OPTIONS)
    ]
    assert [path.name for path in out.parent.iterdir()] == ["new.jsonl"]


@pytest.mark.parametrize("seed", [3, None])
def test_an_interrupted_call_goes_on_where_it_was(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int | None
) -> None:
    out = tmp_path / "new.jsonl"
    real = inference.bulk.generate_parts

    def interrupted(*arguments: Any, **options: Any) -> Any:
        for number, part in enumerate(real(*arguments, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield part

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(inference.bulk, "generate_parts", interrupted)
        generate_to(out, str(tiny_run), 7, seed, OPTIONS)
    assert not out.exists()
    (partial,) = tmp_path.iterdir()
    with pytest.raises(
        ValueError, match="temperature must be"
    ):  # another command leaves it alone, bad or good
        generate_to(out, str(tiny_run), 7, seed, {**OPTIONS, "temperature": 99})
    assert generate_to(out, str(tiny_run), 1, 9, OPTIONS) == (9, 1, 0)
    with partial.open("a") as file:  # and the power went in the middle of the next part
        file.write('{"text": "half a')
    used, written, before = generate_to(out, str(tiny_run), 7, seed, OPTIONS)
    assert (written, before, seed in (None, used)) == (7, 4, True)
    assert [row["text"] for row in rows(out)] == [s.text for s in generate(tiny_run, 7, seed=used, **OPTIONS)]
    assert not partial.exists()


def test_what_is_damaged_is_drawn_again_and_what_was_there_stays(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.jsonl"
    generate_to(out, str(tiny_run), 2, 3, OPTIONS)
    whole = out.read_bytes()
    with pytest.raises(ValueError, match="is a folder: name a file in it"):
        generate_to(tmp_path, str(tiny_run), 2, 3, OPTIONS)
    with pytest.raises(ValueError, match="best_of must be"):
        generate_to(out, str(tiny_run), 2, 3, {**OPTIONS, "best_of": 0})
    assert (out.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (whole, ["new.jsonl"])


@pytest.mark.parametrize("left", ["", "{", '{"seed": "x"}\n', '{"seed": 3}\n{"text"'])
def test_a_damaged_beginning_is_no_beginning(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    out = tmp_path / "new.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(inference.bulk, "_texts", _interrupt)
        generate_to(out, str(tiny_run), 2, 3, OPTIONS)
    (partial,) = tmp_path.iterdir()
    partial.write_text(left, "utf-8")
    assert generate_to(out, str(tiny_run), 2, 3, OPTIONS) == (3, 2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]


def _interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_of_several_candidates_all_are_written_and_the_chosen_ones_scored(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.jsonl"
    command = ["generate", str(tiny_run), "--n", "2", "--best-of", "2", "--no-strict", "--seed", "1"]
    with pytest.warns(UserWarning, match="none of 2 candidates"):
        assert main([*command, "--max-new-tokens", "9", "--out", str(out)]) == 0
    assert f"2 texts: {out}, seed 1" in capsys.readouterr().err
    found = rows(out)
    assert [row["index"] for row in found] == [0, 1, 2, 3]
    assert sum(row["chosen"] for row in found) == 2
    assert all(row["remark"] for row in found)
    assert main(["score", str(out), "--run", str(tiny_run), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert [text["text"] for text in card["texts"]] == [row["text"].strip() for row in found if row["chosen"]]
