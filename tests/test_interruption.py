"""R8 with real processes: killed at any moment, politely or not, a run goes on and becomes what it would have been."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

import training.begin
import training.job
import training.provenance
from inference.runs import Run
from tests.small import ROOT, few_words_settings, write_few_words
from training import TrainConfig, train

KILLS = 20
LONGER = ("--set", "max_steps=24", "--set", "eval_every=4", "--set", "learning_rate=3e-4")
"""Settings under which tuning, and not only imports, takes a good part of a run."""

WRITING = ("save_file", "atomic.replace_folder", "shutil.rmtree", "atomic.sha256")
"""What writing a checkpoint consists of."""


def command(texts: Path, runs: Path, *more: str) -> list[str]:
    found = [
        sys.executable,
        "-m",
        "training",
        "run",
        "configs/tiny.yaml",
        "--report",
        "--refresh",
        "--name",
        "tiny",
    ]
    settings = few_words_settings(texts, runs)
    originals = settings.pop("originals")
    return [
        *found,
        "--originals",
        originals,
        *(p for k, v in settings.items() for p in ("--set", f"{k}={v}")),
        *more,
    ]


def started(texts: Path, runs: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(texts, runs, *more),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )


def completed(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    assert process.returncode == 0, said


def left(run: Path) -> dict[str, str]:
    """What a run is: weights, curves, texts, samples; times apart."""
    rows = [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").split("\n") if line]
    found = {"samples": json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in rows])}
    for path in [*(run / "model").iterdir(), run / "folds.json", run / "originals.jsonl"]:
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    return {**found, "metrics": json.dumps({k: v for k, v in metrics.items() if k != "seconds"})}


@pytest.mark.slow
def test_twenty_random_kills_change_nothing(tmp_path: Path) -> None:
    texts = write_few_words(tmp_path / "texts")
    before = time.perf_counter()
    whole = started(texts, tmp_path / "whole", *LONGER)
    while not (tmp_path / "whole" / ".tiny.partial").exists() and whole.poll() is None:
        time.sleep(0.02)
    begins = time.perf_counter() - before  # of imports there is nothing to interrupt
    completed(whole)
    takes = time.perf_counter() - before
    rng, kills, finished = random.Random(0), 0, 0
    run = tmp_path / "runs" / "tiny"
    stages = set()
    while kills < KILLS:
        # A checkpoint after each update; the unbroken run wrote none.
        process = started(texts, tmp_path / "runs", *LONGER, "--set", "checkpoint_seconds=0")
        time.sleep(rng.uniform(begins, takes))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        stages.add(len(list((tmp_path / "runs").rglob("*"))))
        if (run / "report.html").exists():  # it was too late: begin anew
            assert left(run) == left(tmp_path / "whole" / "tiny")
            finished += 1
            shutil.rmtree(tmp_path / "runs")
    last = started(texts, tmp_path / "runs", *LONGER, "--set", "checkpoint_seconds=0")
    completed(last)
    assert left(run) == left(tmp_path / "whole" / "tiny")
    assert len(stages) > 1, (stages, finished)  # else they all hit the same moment
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny"]
    assert not [path for path in run.rglob("*") if "partial" in path.name]


@pytest.mark.slow
@pytest.mark.parametrize("moment", WRITING)
def test_a_kill_while_a_checkpoint_is_written_changes_nothing(
    moment: str, few_words_run: Path, tmp_path: Path
) -> None:
    texts, run = Path(Run.open(few_words_run).config["originals"]), tmp_path / "runs" / "tiny"
    arguments = command(texts, tmp_path / "runs", *LONGER, "--set", "checkpoint_seconds=0")[3:]
    module, _, function = f"training.resumable.{moment}".rpartition(".")
    script = (
        """
import os, signal, sys
import training.resumable
from training.__main__ main
""".replace("__main__ main", "__main__ import main")
        + f"""
holder = {module}
real, calls = holder.{function}, []

def killed(*arguments, **options):
    calls.append(1)
    if len(calls) == 14:  # of a fold's second half: two checkpoints lie there
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

holder.{function} = killed
sys.exit(main({arguments!r}))
"""
    )
    died = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert list((tmp_path / "runs" / ".tiny.partial" / "checkpoints").rglob("update-*"))
    resumed = [*(a for a in arguments if a != "--refresh"), "--resume"]
    subprocess.run([sys.executable, "-m", "training", *resumed], cwd=ROOT, check=True, capture_output=True)
    whole = started(texts, tmp_path / "whole", *LONGER)
    completed(whole)
    assert left(run) == left(tmp_path / "whole" / "tiny")


@pytest.mark.slow
def test_a_polite_end_is_like_ctrl_c(tmp_path: Path) -> None:
    texts = write_few_words(tmp_path / "texts")
    process = started(texts, tmp_path / "runs")
    work = tmp_path / "runs" / ".tiny.partial" / "folds"
    while not work.exists() and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "interrupted; what was done is kept: the same command continues" in said
    assert "Traceback" not in said
    assert (
        subprocess.run(
            command(texts, tmp_path / "runs"), cwd=ROOT, check=False, capture_output=True
        ).returncode
        == 0
    )


def test_what_an_interruption_left_damaged_is_made_again_and_said(
    few_words_run: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Curve, snapshot and weights, each cut in half by what also ended the run."""
    settings = tiny(originals=Run.open(few_words_run).config["originals"])
    work = tmp_path / "runs" / ".tiny.partial"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    said: list[str] = []
    monkeypatch.setattr(training.job.tqdm, "write", said.append)
    for damage, message in (
        (
            lambda: cut(work / "folds" / "1" / "curve.json"),
            "curve.json of fold 1 is damaged: the fold is measured again",
        ),
        (
            lambda: cut(work / "model" / "model.safetensors"),
            "the weights in model are damaged, expected sha256",
        ),
    ):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training.provenance, "describe", interrupted)
            train(settings, existing="refresh")
        damage()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training.provenance, "describe", interrupted)
            train(settings, existing="resume", progress=True)
        assert any(line.startswith(message) for line in said), said
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.job._Job, "_save_fold", interrupted)
        shutil.rmtree(work)
        train(settings)
    (snapshot,) = (work / "folds" / "0").glob(f"step-{steps_of(few_words_run, 0)}")
    cut(snapshot / "model.safetensors")
    run = train(settings, existing="resume", report=True, progress=True)
    (line,) = [line for line in said if "step-" in line]
    assert "expected sha256" in line and line.endswith("the fold is tuned again up to there")
    assert left(run) == left(few_words_run)


@pytest.mark.parametrize("damage", [False, True], ids=["whole", "damaged curve"])
def test_ctrl_c_in_the_middle_of_a_fold_loses_one_update_at_most(
    few_words_run: Path,
    tiny: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    damage: bool,
) -> None:
    settings = tiny(originals=Run.open(few_words_run).config["originals"])
    work, looks, real = tmp_path / "runs" / ".tiny.partial", [], training.job.token_nll
    fold = Run.open(few_words_run).held_out["folds"][0]
    assert len(fold["points"]) > 2

    def counted(*arguments: object, **options: object) -> object:
        looks.append(1)
        if len(looks) == len(fold["points"]) + 2:  # the second fold's second look
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training.job, "token_nll", counted)
    with pytest.raises(KeyboardInterrupt):
        train(settings)
    curve = work / "folds" / "1" / "curve.json"
    assert [p["step"] for p in json.loads(curve.read_text())["points"]] == [
        p["step"] for p in fold["points"][:2]
    ]
    (checkpoint,) = (work / "checkpoints" / "fold-1").iterdir()
    assert checkpoint.name == f"update-{fold['points'][1]['step']}"
    if damage:
        cut(curve)
    before = len(looks)
    with pytest.warns(UserWarning, match="measured again") if damage else nullcontext():
        run = train(settings, existing="resume", report=True)
    assert left(run) == left(few_words_run)
    assert not (run / "checkpoints").exists()
    again = 0 if damage else 2
    measured = (
        len(fold["points"]) * 2 - again + 1 + 4 * 3 + (1 + 3)
    )  # two folds, the control, what is measured beside, and each text alone
    assert len(looks) - before == measured


def test_the_board_is_one_switch(
    few_words_run: Path, tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(originals=Run.open(few_words_run).config["originals"], tensorboard=True)
    run = train(settings, report=True)
    boards = {path.name: list(path.glob("events.*")) for path in (run / "tensorboard").iterdir()}
    assert set(boards) == {
        *(f"{what}-{i}" for what in ("fold", "alone") for i in range(3)),
        "model",
        "control",
    }
    assert all(boards.values())
    assert left(run) == left(few_words_run)
    monkeypatch.setattr(training.begin, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="tensorboard: is not installed; pip install tensorboard"):
        train(settings, existing="overwrite")
    assert left(run) == left(few_words_run)


@pytest.mark.slow
@pytest.mark.skipif(resource is None, reason="needs a limit on file sizes, which this system has not")
@pytest.mark.parametrize("allowed", [20_000, 3_000_000], ids=["weights", "checkpoint"])
def test_a_disk_that_takes_no_more_is_one_message_and_afterwards_the_run_goes_on(
    allowed: int, few_words_run: Path, tmp_path: Path
) -> None:
    """Files of more than so many bytes are refused, as by a full disk: by Python, and by the libraries that are not Python."""
    whole = Run.open(few_words_run)
    size = (few_words_run / "model" / "model.safetensors").stat().st_size
    assert 20_000 < size < 3_000_000 < 3 * size  # a checkpoint has two moments beside the weights
    texts = Path(whole.config["originals"])
    every = ("--set", "checkpoint_seconds=0")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, allowed))

    refused = subprocess.run(
        command(texts, tmp_path / "runs", *every),
        cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert "error: file too large: free some space, or choose another folder" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs" / "tiny").exists()
    completed(started(texts, tmp_path / "runs", *every))
    assert left(tmp_path / "runs" / "tiny") == left(few_words_run)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_samples_that_the_disk_has_no_room_for_are_one_message(
    few_words_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from inference.__main__ import main

    assert main(["generate", str(few_words_run), "--max-new-tokens", "4", "--out", "/dev/full"]) == 2
    said = capsys.readouterr().err
    assert "no space left on device" in said and "free some space" in said


def steps_of(run: Path, fold: int) -> int:
    return int(Run.open(run).held_out["folds"][fold]["steps"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
