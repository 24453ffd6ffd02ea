"""The command lines: quick to help, plain about what went wrong, and together the whole way from texts to a score."""

import html
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import training.job
from data.__main__ import main as data_main
from data.brief import Brief
from inference.__main__ import _brief, _parser
from inference.__main__ import main as inference_main
from inference.runs import Run
from inference.scorecard import EXPLAINED
from tests.small import NOIR, ROOT, SEEDS
from training.__main__ import main as training_main

COMMANDS = {
    "data": ["check", "fetch"],
    "training": ["run", "base", "ablate", "style"],
    "inference": ["generate", "score", "report", "compare"],
}
HEAVY = {
    "torch",
    "transformers",
    "datasets",
    "matplotlib",
    "pandas",
    "sentence_transformers",
    "peft",
    "evaluate",
}

Main = Callable[[list[str]], int]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


# Help


@pytest.mark.parametrize("module", COMMANDS)
def test_the_help_lists_exactly_these_commands(module: str) -> None:
    done = python("-m", module, "--help")
    (listed,) = set(re.findall(r"\{([\w,-]+)\}", done.stdout))
    assert listed.split(",") == COMMANDS[module]


@pytest.mark.parametrize(
    "module, command", [(m, c) for m, commands in COMMANDS.items() for c in ["", *commands]]
)
def test_help_comes_without_importing_anything_heavy(module: str, command: str) -> None:
    done = python("-X", "importtime", "-m", module, *([command] if command else []), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: python -m {module}")
    imported = {
        line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")
    }
    assert "argparse" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize("module", COMMANDS)
def test_no_command_is_an_error_with_a_usage_line(module: str) -> None:
    done = python("-m", module)
    assert done.returncode == 2
    assert "usage: python -m" in done.stderr and "Traceback" not in done.stderr


# Errors


def refused(main: Main, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr, after the one ``error: ``."""
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("error: ") == 1
    assert said.endswith("\n") and "Traceback" not in said
    return said.removeprefix("error: ").rstrip("\n")


def test_an_error_is_one_line_and_no_traceback_for_a_real_process_too() -> None:
    done = python("-m", "training", "run", "configs/tinny.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no configuration at configs/tinny.yaml. Did you mean configs/tiny.yaml?\n"


def test_an_unknown_setting_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(training_main, ["run", "configs/tiny.yaml", "--set", "max_step=3"], capsys)
    assert said == "configs/tiny.yaml can't be used:\n- max_step: unknown key; did you mean max_steps?"


@pytest.mark.parametrize(
    ("setting", "said"), [("max_steps", "key=value"), ("name=[", "key=value"), ("seed=x", "must be int")]
)
def test_a_setting_that_is_none_is_refused(
    setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(training_main, ["run", "configs/tiny.yaml", "--set", setting], capsys)


@pytest.mark.parametrize("flag", ["--refresh", "--overwrite"])
def test_missing_originals_are_named(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "nowhere"
    command = [
        "run",
        "configs/tiny.yaml",
        "--originals",
        str(missing),
        "--set",
        f"output_dir={tmp_path}",
        flag,
    ]
    assert f"no originals at {missing}" in refused(training_main, command, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "main, command", [(data_main, ["check"]), (training_main, ["run", "configs/tiny.yaml", "--originals"])]
)
def test_bad_originals_are_all_named(
    main: Main, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").write_text(" \n", "utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    said = refused(main, [*command, str(tmp_path)], capsys)
    assert "- empty is empty" in said
    assert "- latin.txt is not UTF-8" in said


def test_a_base_that_cannot_be_had_names_the_own_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]
) -> None:
    command = ["run", "configs/tiny.yaml", "--set", "base=nobody/nothing", "--set", f"output_dir={tmp_path}"]
    said = refused(training_main, command, capsys)
    assert said.startswith("the base 'nobody/nothing' can't be had")
    assert said.endswith("use base: stories, which set-up has fetched.")
    assert "\n" not in said
    assert no_network and list(tmp_path.iterdir()) == []
    no_network.clear()


def test_an_existing_run_is_not_replaced_unasked(
    few_words_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(training_main, ["run", str(few_words_run / "config.yaml")], capsys)
    assert said == f"{few_words_run} exists already. Train it anew with --overwrite, or choose another name."


def test_only_one_answer_about_an_existing_run_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        training_main(["run", "configs/tiny.yaml", "--resume", "--overwrite"])
    assert caught.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_run_that_is_not_there_cannot_write(
    capsys: pytest.CaptureFixture[str], no_network: list[str]
) -> None:
    assert "'nobody/none'" in refused(inference_main, ["generate", "nobody/none"], capsys)
    no_network.clear()


def test_a_misspelt_run_is_not_asked_of_a_hub(
    few_words_run: Path, capsys: pytest.CaptureFixture[str], no_network: list[str]
) -> None:
    wrong = few_words_run.with_name(few_words_run.name + "s")
    assert f"Did you mean {few_words_run}?" in refused(inference_main, ["generate", str(wrong)], capsys)
    assert no_network == []


def test_a_run_that_is_not_finished_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("name: x\n", "utf-8")
    said = refused(inference_main, ["generate", str(tmp_path)], capsys)
    assert said.startswith(f"{tmp_path} is not a finished run: provenance.json, ")


@pytest.mark.parametrize("extra", [[], ["--references", str(NOIR), "--run", "x"]], ids=["neither", "both"])
def test_a_score_needs_one_thing_to_be_measured_by(
    extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(inference_main, ["score", str(NOIR), *extra], capsys)
    assert said.startswith("say what to score against: --references FOLDER, or --run RUN")


@pytest.mark.parametrize("command", [["report"], ["score", str(NOIR), "--run"]])
def test_what_is_no_run_has_no_report_and_no_scores(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not a finished run" in refused(inference_main, [*command, str(tmp_path / "none")], capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--length", "long"], "--length must be a number of words, found 'long'"),
        (["--length", "0"], "length must be 1 to"),
        (["--n", "0"], "n must be a whole number, at least 1, found 0"),
        (["--temperature", "-1"], "temperature must be between 0 and 10"),
        (["--brief", "none.yaml"], "no brief at none.yaml"),
        (["--brief", "pyproject.toml"], "pyproject.toml"),
        (["--out", "tests"], "--out tests is a folder"),
        (["--opening", "half \udcff"], "the opening has half of a character at 5"),
        (["--brief", "none.yaml", "--name", "Ida"], "not both"),
        (["--name", "Ida\n---"], "name must"),
    ],
)
def test_what_cannot_be_written_is_refused(
    few_words_run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(inference_main, ["generate", str(few_words_run), *arguments], capsys)


def asked_for(*arguments: str) -> Any:
    """The brief of a command line; nothing is drawn."""
    return _brief(_parser().parse_args(["generate", "run", *arguments]))


def test_beats_are_read_from_a_file_beside_other_fields(tmp_path: Path) -> None:
    file = tmp_path / "plot.txt"
    file.write_text("\ufeff\n- Nadia comes into the café\r\n- she sits down\n\n", "utf-8")
    beats = ["Nadia comes into the café", "she sits down"]
    assert asked_for("--beats", str(file)) == {"beats": beats}
    assert asked_for("--beats", str(file), "--name", "Nadia Benali", "--length", "90") == {
        "name": "Nadia Benali",
        "length": 90,
        "beats": beats,
    }
    with pytest.raises(ValueError, match="not both"):
        asked_for("--beats", str(file), "--brief", "none.yaml")


def test_beats_are_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"it rains\nshe waits")))
    assert asked_for("--beats", "-") == {"beats": ["it rains", "she waits"]}
    with pytest.raises(ValueError, match="standard input has no beats: type one line for each paragraph"):
        asked_for("--beats", "-")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "name a text file and type one line for each paragraph"),
        (b"", "has no beats: type one line for each paragraph"),
        (b"\n \n", "has no beats: type one line for each paragraph"),
        (b"Nadia comes into the caf\xe9", "is not UTF-8: offset 24; save it as UTF-8"),
        (b"one\n\nthree", "beat 2 is empty"),
        (b"she waits\n" * 500, "beats must be at most 20 lines, found 500"),
    ],
)
def test_beats_that_cannot_be_used_are_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "plot.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        asked_for("--beats", str(file))
    assert str(file) in str(caught.value)


def test_a_brief_in_a_file_has_its_beats_as_a_list(tmp_path: Path) -> None:
    (tmp_path / "brief.yaml").write_text("name: Nadia\nbeats:\n- it rains\n- she waits\n", "utf-8")
    expected = Brief(name="Nadia", beats=["it rains", "she waits"])
    assert asked_for("--brief", str(tmp_path / "brief.yaml")) == expected


def test_an_output_that_cannot_be_written_is_an_error_like_any_other(
    few_words_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", str(few_words_run), "--max-new-tokens", "2", "--out", str(tmp_path)]
    assert str(tmp_path) in refused(inference_main, command, capsys)


def test_ctrl_c_says_how_to_continue(
    few_words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, real = iter(range(9)), training.job.finetune

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    command = [
        "run",
        "configs/tiny.yaml",
        "--originals",
        str(few_words),
        "--set",
        f"output_dir={tmp_path / 'runs'}",
    ]
    command += ["--set", "samples_per_fold=0"]
    with monkeypatch.context() as patch:
        patch.setattr(training.job, "finetune", interrupted)
        assert training_main(command) == 130
    assert "the same command with --resume continues" in capsys.readouterr().err
    assert "--resume" in refused(training_main, command, capsys)
    assert training_main([*command, "--resume"]) == 0
    run = tmp_path / "runs" / few_words.name  # the preset's own name is for the preset's own texts
    assert f"run: {run}\nnext: python -m inference report {run}\n" in capsys.readouterr().out


def test_ctrl_c_after_overwrite_says_what_really_continues(
    few_words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.job, "finetune", interrupted)
    command = [
        "run",
        "configs/tiny.yaml",
        "--originals",
        str(few_words),
        "--set",
        f"output_dir={tmp_path / 'runs'}",
    ]
    assert training_main([*command, "--overwrite"]) == 130
    assert "the same command with --resume in place of --overwrite continues" in capsys.readouterr().err


@pytest.mark.parametrize("main", [data_main, inference_main], ids=["data", "inference"])
def test_ctrl_c_is_no_traceback_anywhere(
    main: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("data.originals.load_originals", interrupted)
    command = ["check", str(NOIR)] if main is data_main else ["score", str(NOIR), "--references", str(NOIR)]
    assert main(command) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


# The whole way


def test_from_texts_to_a_report_and_nothing_to_do_the_second_time(
    few_words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "run",
        "configs/tiny.yaml",
        "--originals",
        str(few_words),
        "--name",
        "mine",
        "--report",
        "--refresh",
    ]
    for setting in (
        f"output_dir={tmp_path / 'runs'}",
        "samples=1",
        "samples_per_fold=0",
        "samples_control=0",
        "learning_rate=3e-3",
    ):
        command += ["--set", setting]
    assert training_main(command) == 0
    first = capsys.readouterr().out
    run = tmp_path / "runs" / "mine"
    assert Run.open(run).config["learning_rate"] == 3e-3
    for said in (
        "3 originals, base tiny",
        "held-out bits per byte",
        "verdict",
        f"report: {run / 'report.html'}",
    ):
        assert said in first
    assert training_main(command) == 0
    second = capsys.readouterr().out
    assert second.startswith("inputs unchanged; nothing to do\n")
    assert second.split("\n", 1)[1] in first


def test_what_is_generated_to_a_file_can_be_scored_from_it(
    few_words_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deeper" / "new.jsonl"
    command = [
        "generate",
        str(few_words_run),
        "--n",
        "2",
        "--seed",
        "3",
        "--max-new-tokens",
        "12",
        "--name",
        "Ida Voss",
    ]
    assert inference_main([*command, "--format", "json", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert (said.out, f"2 texts: {out}" in said.err) == ("", True)
    rows = [json.loads(line) for line in out.read_text("utf-8").split("\n") if line]
    assert [row["brief"]["name"] for row in rows] == ["Ida Voss"] * 2
    assert inference_main(["score", str(out), "--run", str(few_words_run)]) == 0
    table = capsys.readouterr().out
    ended = sum(row["ended_by_eos"] for row in rows)
    for figure in (
        "style",
        "similarity",
        "bits_per_byte_base",
        "bits_per_byte_tuned",
        "verdict",
        "perplexity tuned: ",
        "The longest run of words taken from an original is",
    ):
        assert figure in table
    assert f"ended by end of text: {ended} of 2" in table
    longest = max(row["scores"]["longest_copied_span"] for row in rows)
    assert f"most {longest} words" in table
    assert inference_main(["score", str(out), "--run", str(few_words_run), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert [text["text"] for text in card["texts"]] == [row["text"].strip() for row in rows]
    assert card["ended_by_eos"] == ended / 2
    bare = ["score", str(out), "--references", str(NOIR), "--json"]
    assert inference_main([*bare, "--base", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["corpus"] == {}
    assert inference_main([*bare, "--base", "tiny"]) == 0
    assert "perplexity_base" in json.loads(capsys.readouterr().out)["corpus"]


def test_rows_of_samples_say_themselves_whether_they_ended_and_may_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"text": "It rained until the street was a river.", "ended_by_eos": False},
        {"text": "", "ended_by_eos": True},
        {"text": "Rain.", "ended_by_eos": True},
    ]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    command = ["score", str(tmp_path / "new.jsonl"), "--references", str(NOIR), "--base", "none"]
    assert inference_main([*command, "--json"]) == 0
    texts = json.loads(capsys.readouterr().out)["texts"]
    assert [text["metrics"]["closed"] for text in texts] == [0, None, 1]
    assert inference_main(command) == 0
    table = capsys.readouterr().out
    assert "ended by end of text: 2 of 3" in table
    assert "1 of the texts is empty" in table
    assert "nan" not in table
    (tmp_path / "short.jsonl").write_text('{"text": "Rain."}\n', "utf-8")
    assert inference_main(["score", str(tmp_path / "short.jsonl"), *command[2:]]) == 0
    assert "least share of new 4-grams: none has four words" in capsys.readouterr().out


def test_generated_texts_go_to_the_terminal_one_after_the_other(
    few_words_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", str(few_words_run), "--n", "2", "--max-new-tokens", "5", "--opening", "It rained"]
    command += ["--seed", "3"]
    assert inference_main(command) == 0
    first = capsys.readouterr().out
    assert [text.startswith("It rained") for text in first.split("\n\n* * *\n\n")] == [True, True]
    assert inference_main(command) == 0
    again = capsys.readouterr()
    assert again.out == first
    assert re.fullmatch(
        r"(text \d: cut off at \d+ tokens, longest copied span \d words, seed 3\n){2}", again.err
    )
    assert inference_main(command[:-2]) == inference_main(command[:-2]) == 0
    seeds = re.findall(r"text 1.*seed (\d+)", capsys.readouterr().err)
    assert len(set(seeds)) == 2  # without a seed each call writes something else


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name: Ida Voss\nkeywords: [rain, key]\n", [{"name": "Ida Voss", "keywords": ["rain", "key"]}]),
        ('[{"place": "a quay"}, {"meets": "a diver"}]', [{"place": "a quay"}, {"meets": "a diver"}]),
    ],
)
def test_briefs_are_read_from_a_file(
    few_words_run: Path,
    tmp_path: Path,
    content: str,
    expected: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "brief.yaml").write_text(content, "utf-8")
    command = [
        "generate",
        str(few_words_run),
        "--max-new-tokens",
        "2",
        "--brief",
        str(tmp_path / "brief.yaml"),
    ]
    assert inference_main([*command, "--format", "json"]) == 0
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    for line, fields in zip(lines, expected, strict=True):  # what they leave out is drawn
        assert json.loads(line)["brief"].items() >= fields.items()


def test_a_report_can_be_written_again(
    few_words_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(few_words_run, tmp_path / "copy"))
    (copy / "report.html").unlink()
    (copy / "metrics.json").unlink()
    assert inference_main(["report", str(copy)]) == 0
    said = capsys.readouterr().out
    assert "held-out bits per byte" in said
    assert said.endswith(f"report: {copy / 'report.html'}\n")
    assert (copy / "report.html").exists() and (copy / "metrics.json").exists()


def test_the_check_of_the_noir_texts_finds_nothing_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    assert data_main(["check", str(NOIR)]) == 0
    said = capsys.readouterr().out
    assert "documents               4 (4 folds)" in said
    assert "tokens dropped          0" in said
    assert "end-of-text labels      4 of 4 documents" in said


def test_scores_go_to_a_page_that_escapes_what_is_the_users(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("She sat & waited. <script>alert(1)</script>\n\nThe rain had stopped.", "utf-8")
    page = tmp_path / "scores.html"
    command = ["score", str(text), "--references", str(SEEDS), "--base", "none", "--html", str(page)]
    assert inference_main(command) == 0
    source = page.read_text("utf-8")
    assert "<script" not in source
    assert "&lt;script&gt;alert(1)" in source
    for metric, line in EXPLAINED.items():
        if not metric.startswith("bits_per_byte"):  # no model was named
            assert f"<td>{metric}</td>" in source
            assert html.escape(line, quote=True).replace("&#x27;", "&#39;") in source
    assert not re.search(r"https?://", source)
