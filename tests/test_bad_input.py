"""What each kind of bad input prints: one message, exit status 2, no traceback, nothing written, nothing lost.

The table in LAB.md is made of these very cases: ``python -m tests.test_bad_input`` prints it.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.__main__ import main as data_main
from inference.__main__ import main as inference_main
from tests.small import NOIR, ROOT, byte_tokenizer, llama_folder
from training.__main__ import main as training_main

Main = Callable[[list[str]], int]
BEGIN, END = "<!-- bad input: begin -->", "<!-- bad input: end -->"


def texts(folder: Path, **contents: str | bytes) -> Path:
    """A folder of originals: two good ones and what is given."""
    shutil.copytree(NOIR, folder)
    for name, content in contents.items():
        path = folder / f"{name}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


def run(folder: Path, *settings: str, config: str = "configs/tiny.yaml") -> list[str]:
    found = ["run", config, "--originals", str(folder), "--set", f"output_dir={folder.parent / 'runs'}"]
    return found + [part for setting in settings for part in ("--set", setting)]


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def without_end(folder: Path) -> Path:
    """A real model whose tokenizer has no end-of-text token."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer(eos=None, pad="<pad>")
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
    ).save_pretrained(folder)
    return folder


def copied_run(run_folder: Path, tmp: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp / "damaged"))


def cut(path: Path) -> Path:
    """The file without its second half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def damaged(run_folder: Path, tmp: Path, name: str) -> Path:
    folder = copied_run(run_folder, tmp)
    cut(folder / name)
    return folder


def base_copy(tmp: Path) -> Path:
    return llama_folder(tmp / "base")


def damaged_base(tmp: Path, name: str = "model.safetensors") -> Path:
    folder = base_copy(tmp)
    cut(folder / name)
    return folder


CASES: dict[str, tuple[Main, Callable[[Path, Path], list[str]]]] = {
    # name: the command line, and its arguments from (an empty folder, a finished run that may not be changed)
    "an empty folder": (data_main, lambda tmp, _: ["check", str(_made(tmp / "texts"))]),
    "a folder of pictures": (
        data_main,
        lambda tmp, _: ["check", str(sparse(_made(tmp / "texts") / "a.png", 9).parent)],
    ),
    "an empty file": (training_main, lambda tmp, _: run(texts(tmp / "texts", hollow=" \n"))),
    "bytes that are not UTF-8": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts", latin="Le café.".encode("latin-1"))),
    ),
    "a binary file": (training_main, lambda tmp, _: run(texts(tmp / "texts", picture=bytes(range(256))))),
    "text with NUL in it": (training_main, lambda tmp, _: run(texts(tmp / "texts", nul="a\0b"))),
    "UTF-16": (training_main, lambda tmp, _: run(texts(tmp / "texts", wide="Rain.".encode("utf-16")))),
    "the same text twice": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts", again=sorted(NOIR.glob("*.txt"))[0].read_bytes())),
    ),
    "two texts of one name": (
        training_main,
        lambda tmp, _: run(_written(texts(tmp / "texts", rain="It rained."), "rain.md", "It rained again.")),
    ),
    "several at once": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts", a=b"\xff\xfeR\0", b=b"caf\xe9", c="")),
    ),
    "200 MB of text": (
        training_main,
        lambda tmp, _: run(sparse(texts(tmp / "texts") / "all.txt", 200_000_000).parent),
    ),
    "a path that does not exist": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts").with_name("text")),
    ),
    "an unknown key": (training_main, lambda tmp, _: run(texts(tmp / "texts"), "max_step=4")),
    "a wrong type": (training_main, lambda tmp, _: run(texts(tmp / "texts"), "batch_size=four")),
    "negative and absurd values": (
        training_main,
        lambda tmp, _: run(
            texts(tmp / "texts"), "max_steps=-1", "temperature=1e9", "learning_rate=.nan", "seed=-3"
        ),
    ),
    "a configuration that is not there": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts"), config="configs/paris-caffe.yaml"),
    ),
    "a folder that can't be written": (
        training_main,
        lambda tmp, _: [
            *run(texts(tmp / "texts")),
            "--set",
            f"output_dir={_written(tmp, 'file', 'x') / 'file' / 'runs'}",
        ],
    ),
    "a name that would leave the folder of runs": (
        training_main,
        lambda tmp, _: [*run(texts(tmp / "texts")), "--name", "../elsewhere"],
    ),
    "a finished run of that name": (
        training_main,
        lambda tmp, done: [
            *run(texts(tmp / "texts")),
            "--set",
            f"output_dir={done.parent}",
            "--name",
            done.name,
        ],
    ),
    "a base that is nowhere": (training_main, lambda tmp, _: run(texts(tmp / "texts"), "base=models/mine")),
    "a base with a truncated file": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts"), f"base={damaged_base(tmp)}"),
    ),
    "a model without an end of text": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts"), f"base={without_end(tmp / 'endless')}"),
    ),
    "a base without its config": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts"), f"base={_removed(base_copy(tmp), 'config.json')}"),
    ),
    "a base with a truncated tokenizer": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts"), f"base={damaged_base(tmp, 'tokenizer.json')}"),
    ),
    "a context longer than the base's": (
        training_main,
        lambda tmp, _: run(texts(tmp / "texts"), "context=2048"),
    ),
    "a loss that diverges": (
        training_main,
        lambda tmp, _: run(
            texts(tmp / "texts"),
            "learning_rate=0.99",
            "max_grad_norm=0",
            "warmup_steps=0",
            "max_steps=40",
            "samples_per_fold=0",  # else weights from before are there to be kept
        ),
    ),
    "a run with a truncated model": (
        inference_main,
        lambda tmp, done: ["generate", str(damaged(done, tmp, "model/model.safetensors"))],
    ),
    "a run with a truncated file": (
        inference_main,
        lambda tmp, done: ["report", str(damaged(done, tmp, "folds.json"))],
    ),
    "a run with a truncated provenance": (
        inference_main,
        lambda tmp, done: ["report", str(damaged(done, tmp, "provenance.json"))],
    ),
    "a run with truncated figures": (
        inference_main,
        lambda tmp, done: ["compare", str(done), str(damaged(done, tmp, "metrics.json"))],
    ),
    "a run of another version": (
        inference_main,
        lambda tmp, done: ["compare", str(done), str(_written(copied_run(done, tmp), "metrics.json", "{}"))],
    ),
    "a run with a truncated tokenizer": (
        inference_main,
        lambda tmp, done: ["generate", str(damaged(done, tmp, "model/tokenizer.json"))],
    ),
    "a run with truncated samples": (
        inference_main,
        lambda tmp, done: ["report", str(damaged(done, tmp, "samples.jsonl"))],
    ),
    "a run without its model": (
        inference_main,
        lambda tmp, done: ["generate", str(_removed(copied_run(done, tmp), "model/config.json"))],
    ),
    "a run that is not there": (
        inference_main,
        lambda tmp, done: ["generate", str(done.with_name(done.name[:-1]))],
    ),
    "texts to score that are not there": (
        inference_main,
        lambda tmp, done: ["score", str(tmp / "new.jsonl"), "--run", str(done)],
    ),
    "nothing to score against": (inference_main, lambda tmp, _: ["score", str(texts(tmp / "texts"))]),
    "a brief that is not YAML": (
        inference_main,
        lambda tmp, done: [
            "generate",
            str(done),
            "--brief",
            str(_written(tmp, "b.yaml", "name: [") / "b.yaml"),
        ],
    ),
    "a context shorter than the brief": (
        inference_main,
        lambda tmp, done: ["generate", str(done), "--seed", "1", "--opening", "word " * 4000],
    ),
    "sampling settings out of range": (
        inference_main,
        lambda tmp, done: ["generate", str(done), "--temperature", "-1", "--top-p", "2"],
    ),
}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _written(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, "utf-8")
    return folder


def _removed(folder: Path, name: str) -> Path:
    (folder / name).unlink()
    return folder


def snapshot(folder: Path) -> dict[str, int]:
    """Everything below ``folder`` but a folder for runs: files by size and time of writing."""
    return {
        str(path.relative_to(folder)): hash((path.stat().st_size, path.stat().st_mtime_ns))
        if path.is_file()
        else 0
        for path in folder.rglob("*")
        if path.is_file() or path.name != "runs"
    }


def outcome(name: str, folder: Path, done: Path) -> tuple[int, set[str]]:
    """Exit status of a case, and the files that it made, changed or took away."""
    main, arguments = CASES[name]
    command = arguments(folder, done)
    before = {**snapshot(folder), **snapshot(done.parent)}
    status = main(command)
    after = {**snapshot(folder), **snapshot(done.parent)}
    return status, {path for path in {*before, *after} if before.get(path) != after.get(path)}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_message_and_changes_nothing(
    name: str, tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]
) -> None:
    status, changed = outcome(name, tmp_path, tiny_run)
    said = capsys.readouterr()
    no_network.clear()  # a name that is no path may be a hub's: asking is no fault, and there is none here
    assert status == 2
    assert said.err.count("error: ") == 1 and "Traceback" not in said.err
    assert len(said.err) < 1500
    assert not changed
    assert row(name, said.err, tmp_path) in (ROOT / "LAB.md").read_text("utf-8"), (
        "python -m tests.test_bad_input"
    )


def row(name: str, said: str, tmp: Path) -> str:
    """The case as a row of the table, without what differs from machine to machine."""
    message = said[said.index("error: ") + len("error: ") :].strip()
    message = message.replace(f"{tmp}{os.sep}", "").replace(str(tmp), ".")
    message = re.sub(r"/\S*/runs\d*/", "runs/", message)
    message = re.sub(r"\b[0-9a-f]{12}\b", "…", message)
    message = re.sub(r"is damaged( in line \d+)? \(.*\): ", r"is damaged\1 (…): ", message)
    message = re.sub(r"loss is \S+ at update \d+", "loss is … at update …", message)
    message = re.sub(r"take \d+ of", "take … of", message)
    return f"| {name} | {' '.join(message.replace('|', '/').split())} |"


def main() -> None:
    """Print the table, with the small base of the tests."""
    import contextlib
    import io

    from tests import small_base
    from training import load_config, train

    small_base.install()
    with tempfile.TemporaryDirectory() as home:
        done = train(
            load_config(
                ROOT / "configs" / "tiny.yaml",
                {"originals": str(NOIR), "output_dir": str(Path(home) / "runs")},
            ),
            report=True,
        )
        print(f"{BEGIN}\n| bad input | what is printed after `error:` |\n|---|---|")
        for name in CASES:
            said = io.StringIO()
            with (
                tempfile.TemporaryDirectory() as folder,
                contextlib.redirect_stderr(said),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                outcome(name, Path(folder), done)
            print(row(name, said.getvalue(), Path(folder)))
        print(END)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
