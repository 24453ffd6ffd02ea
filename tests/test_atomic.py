"""Files and folders are whole or absent, also when writing fails in the middle."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from data.atomic import (
    explained,
    recover_folder,
    replace_folder,
    sweep,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_as_utf8_with_plain_line_feeds_into_new_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "é\r\n–\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "é\r\n–\n".encode()
    assert names(tmp_path / "a" / "b") == ["c.txt"]


def test_an_old_file_is_replaced_and_everybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_bytes(path, b"old and longer")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["x"]


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text")
    assert os.read(reader, 9) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    for call in ("fsync", "replace"):
        with monkeypatch.context() as broken:
            broken.setattr(os, call, full)
            with pytest.raises(OSError, match="no space"):
                write_text(path, "new")
        assert path.read_text() == "old"
        assert names(tmp_path) == ["x"]


def test_an_interrupt_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "x", "new")
    assert names(tmp_path) == []


def test_the_content_is_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), fsync(*a)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    write_text(tmp_path / "x", "new")
    assert calls == ["fsync", "replace"]


def test_json_is_readable_as_it_is_and_knows_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"café": [1, None]})
    assert "café" in (tmp_path / "x.json").read_text("utf-8")
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == {"café": [1, None]}
    for write in (
        lambda: write_json(tmp_path / "x.json", float("nan")),
        lambda: write_jsonl(tmp_path / "y", [{"a": float("inf")}]),
    ):
        with pytest.raises(ValueError):
            write()
    assert names(tmp_path) == ["x.json"]
    assert "café" in (tmp_path / "x.json").read_text("utf-8")


def test_jsonl_is_one_row_a_line_also_with_line_breaks_in_a_text(tmp_path: Path) -> None:
    rows = [{"text": "a\nb"}, {"text": "é"}]
    write_jsonl(tmp_path / "x.jsonl", rows)
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_text("utf-8").split("\n")[:-1]] == rows
    write_jsonl(tmp_path / "x.jsonl", [])
    assert (tmp_path / "x.jsonl").read_bytes() == b""


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / content).write_text(content)
    return path


def test_a_folder_takes_the_place_of_another_and_nothing_else_remains(tmp_path: Path) -> None:
    target = tmp_path / "run"
    replace_folder(folder(tmp_path / "first", "1"), target)
    assert names(target) == ["1"]
    replace_folder(folder(tmp_path / "second", "2"), target)
    assert names(target) == ["2"]
    assert names(tmp_path) == ["run"]


def test_a_replacement_that_was_killed_between_its_renames_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, new = folder(tmp_path / "run", "old"), folder(tmp_path / "new", "new")
    rename = os.rename

    def killed(source: Path, destination: Path) -> None:
        if destination == target:
            raise KeyboardInterrupt
        rename(source, destination)

    with monkeypatch.context() as dying:
        dying.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(new, target)
    assert not target.exists()
    recover_folder(target)
    assert names(target) == ["old"]
    replace_folder(new, target)
    assert names(target) == ["new"]
    assert names(tmp_path) == ["run"]


def test_recovering_does_nothing_where_nothing_was_lost(tmp_path: Path) -> None:
    target = tmp_path / "run"
    recover_folder(target)
    assert not target.exists()
    folder(target, "new")
    # Killed after both renames, before the old one was removed.
    folder(tmp_path / ".run.replaced", "old")
    recover_folder(target)
    assert names(target) == ["new"] and names(tmp_path) == ["run"]


def test_what_a_killed_write_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/.x.json.q7.partial", "a/x.json", "a/.hidden", "partial"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.partial").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == [".folder.partial", "a", "partial"] and names(tmp_path / "a") == [
        ".hidden",
        "x.json",
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("wrong"), "wrong"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x"),
            "no space left on device at x: free some space",
        ),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "no space left on device: free some space",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "permission denied at x: check the path"),
        (KeyError("a bug"), None),
        (RuntimeError("a bug"), None),
    ],
)
def test_input_and_disk_are_explained_and_bugs_are_not(error: Exception, said: str | None) -> None:
    found = explained(error)
    assert found is None if said is None else found is not None and found.startswith(said)
