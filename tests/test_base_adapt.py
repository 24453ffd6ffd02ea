"""Teaching a base: it learns, peft can load what it leaves, and stopped, killed or shared among processes it ends the same."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from data.dataset import IGNORE
from data.stories import write_stories
from inference.checkpoints import best_dtype, load
from tests.small import ROOT, byte_tokenizer, few_stories, llama_folder, small_teaching
from training.base import adapt as module
from training.base.adapt import adapt, schedule
from training.base.adapter_files import ADAPTER
from training.base.config import BaseConfig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21

DDP = ROOT / "configs" / "accelerate" / "ddp.yaml"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BaseConfig:
    """A base of two layers, five stories to learn and one for testing; some thirteen steps of three rows or so."""
    return small_teaching(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def whole(small: BaseConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted training; read-only."""
    return adapt(small, tmp_path_factory.mktemp("whole")).parent


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Weights and optimizer of the checkpoint in ``run``."""
    return load_file(run / "checkpoint" / "tensors.safetensors")


def state(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "checkpoint" / "state.json").read_text("utf-8"))
    return found


def same(one: Path, other: Path) -> bool:
    """Whether two trainings ended with the same bits."""
    a, b = tensors(one), tensors(other)
    keys = ("step", "tokens", "drawn")
    return (
        a.keys() == b.keys()
        and all(torch.equal(a[name], b[name]) for name in a)
        and [state(one)[key] for key in keys] == [state(other)[key] for key in keys]
        and (one / "adapter" / ADAPTER).read_bytes() == (other / "adapter" / ADAPTER).read_bytes()
    )


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


# What it leaves


def test_it_learns_to_tell_unseen_stories(small: BaseConfig, tmp_path: Path) -> None:
    run = adapt(replace(small, tokens=20_000, measure_minutes=0.0), tmp_path).parent
    tests = [row["test"] for row in log(run) if "test" in row]
    assert all(tests[-1][name] < tests[0][name] - 0.5 for name in ("bare", "brief", "beats"))
    losses = [row["loss"] for row in log(run) if "loss" in row]
    assert losses[-1] < losses[0] - 0.1
    assert log(run)[-1]["progress"] == 1


def test_peft_loads_the_adapter_and_every_part_of_it_moved(
    small: BaseConfig, whole: Path, tmp_path: Path
) -> None:
    adapter = whole / "adapter"
    assert sorted(path.name for path in adapter.iterdir()) == [
        "adapter_config.json",
        ADAPTER,
        "training.json",
    ]
    written = load_file(adapter / ADAPTER)
    assert all(tensor.dtype == torch.bfloat16 for tensor in written.values())
    base = AutoModelForCausalLM.from_pretrained(small.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(adapter))
    loaded = {name: p for name, p in model.named_parameters() if "lora" in name}
    assert len(loaded) == len(written) == 2 * 2 * 7  # two matrices for each of the seven of two layers
    for name, parameter in loaded.items():
        assert torch.equal(parameter.bfloat16(), written[name.replace(".default.", ".")]), name
    # After one step the second matrices, which begin at zero, have moved; the first, whose gradient was zero, have not.
    early = tensors(adapt(small, tmp_path, steps=1))
    for name, parameter in loaded.items():
        began = early[f"adapter.{name}"].bfloat16()
        assert parameter.any() and not torch.equal(parameter.bfloat16(), began), name


def test_the_loaded_adapter_does_what_was_measured(small: BaseConfig, whole: Path) -> None:
    about = json.loads((whole / "adapter" / "training.json").read_text("utf-8"))
    base = AutoModelForCausalLM.from_pretrained(small.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(whole / "adapter")).eval()
    (story,) = (story for story in few_stories() if story.test)
    tokenizer = module.resolve(small.base).tokenizer()
    ids = torch.tensor(
        [[tokenizer.bos_token_id, *tokenizer(story.text, add_special_tokens=False)["input_ids"]]]
    )
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss * (ids.shape[1] - 1)
    bits = float(loss) / math.log(2) / len(story.text.encode("utf-8"))
    assert about["bits_per_byte_test"]["bare"] == pytest.approx(bits, abs=0.02)  # bfloat16


@pytest.mark.parametrize(("source", "measured"), [(None, 4), ("warm", 2)])
def test_the_test_stories_of_one_source_are_measured_or_those_of_all(
    small: BaseConfig, tmp_path: Path, source: str | None, measured: int
) -> None:
    kinds = ("flowing", "warm", "flowing", "warm", "flowing", "warm")
    stories = [
        replace(story, source=f"{kind}/a", test=at >= 2)
        for at, (story, kind) in enumerate(zip(few_stories(), kinds, strict=True))
    ]
    write_stories(tmp_path / "stories.jsonl.xz", stories)
    config = replace(small, stories=str(tmp_path / "stories.jsonl.xz"), test_source=source, measured=9)
    with module.Training(config, tmp_path / "run") as training:
        chosen = [story for story in stories[2:] if source is None or story.source == f"{source}/a"]
        assert len(training.tests) == measured and training.tests == chosen
        assert list(training.measure()) == ["bare", "brief", "beats"]


def test_it_says_what_it_was_trained_with(small: BaseConfig, whole: Path) -> None:
    about = json.loads((whole / "adapter" / "training.json").read_text("utf-8"))
    assert {key: about[key] for key in ("rank", "learning_rate", "forms", "seed")} == {
        "rank": small.rank, "learning_rate": small.learning_rate, "forms": small.forms, "seed": small.seed,
    }  # fmt: skip
    assert about["steps"] == state(whole)["step"] and about["trained_tokens"] == state(whole)["tokens"]
    assert len(about["base_sha256"]) == len(about["stories_sha256"]) == 64
    assert sorted(path.name for path in whole.iterdir()) == ["adapter", "checkpoint", "log.jsonl", "model"]


# Budgets


def test_tokens_are_trained_on_and_a_step_more_at_most(small: BaseConfig, whole: Path) -> None:
    tokens = small.tokens or 0
    assert tokens <= state(whole)["tokens"] < tokens + small.tokens_per_step + small.context
    rates = [row["rate"] for row in log(whole) if "rate" in row]
    assert rates and max(rates) <= small.learning_rate


def test_a_larger_budget_continues(small: BaseConfig, tmp_path: Path) -> None:
    run = adapt(replace(small, tokens=2_000), tmp_path).parent
    before = state(run)
    adapt(replace(small, tokens=4_000), tmp_path)
    assert state(run)["step"] > before["step"] and state(run)["tokens"] >= 4_000
    finished = state(run)
    adapt(replace(small, tokens=4_000), tmp_path)  # nothing is left to do
    assert state(run) == finished


def test_minutes_are_kept_over_all_resumptions(small: BaseConfig, tmp_path: Path) -> None:
    config = replace(small, tokens=None, minutes=0.02, tokens_per_step=100)
    run = adapt(config, tmp_path, steps=2)
    first = state(run)["seconds"]
    assert first > 0 and state(run)["step"] == 2
    adapt(config, tmp_path)
    assert state(run)["seconds"] >= 1.2 and state(run)["step"] > 2
    assert log(run)[-1]["progress"] == 1


def test_the_rate_rises_holds_and_falls(small: BaseConfig) -> None:
    config = replace(small, warmup=0.1, hold=0.5, final=0.05)
    assert [schedule(p, config) for p in (0.05, 0.1, 0.49)] == [0.5, 1.0, 1.0]
    assert schedule(0.75, config) == pytest.approx(0.525)
    assert schedule(1.0, config) == pytest.approx(0.05)
    assert schedule(0.0, config) > 0  # the first step learns too


# Interruptions


@pytest.mark.parametrize(
    "changes",
    [{}, {"candidates": 16}, {"sources": {"flowing": 2.5}, "bare": {"flowing": 0.5}}],
    ids=["plain", "candidates", "a source several times"],
)
def test_stopped_and_continued_it_ends_with_the_same_bits(
    small: BaseConfig, whole: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(small, **changes)
    if changes:
        whole = adapt(config, tmp_path / "whole").parent
    steps = []
    while (folder := adapt(config, tmp_path, steps=4)).name != "adapter":
        steps.append(state(folder)["step"])
    assert steps == [*range(4, steps[-1] + 1, 4)] and len(steps) > 2
    assert same(whole, folder.parent)


def test_ctrl_c_lets_the_step_be_finished_and_saved(
    small: BaseConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def interrupting(progress: float, config: BaseConfig) -> float:
        if progress > 0.4 and not asked:
            asked.append(progress)
            signal.raise_signal(signal.SIGINT)
        return schedule(progress, config)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "schedule", interrupting)
        adapt(small, tmp_path)
    run = tmp_path / small.name
    assert 0.4 < state(run)["tokens"] / (small.tokens or 1) < 0.6
    assert same(whole, adapt(small, tmp_path).parent)


def started(config: BaseConfig, folder: Path) -> "subprocess.Popen[str]":
    """`python -m training base adapt` in ``folder``, into its runs/."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()), "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "base", "adapt", "config.yaml"],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "weights of an adapter" in process.stdout.readline()  # the model is built, the steps begin
    return process


@pytest.mark.slow
def test_the_command_says_that_it_can_be_continued_and_continues(
    small: BaseConfig, whole: Path, tmp_path: Path
) -> None:
    process = started(small, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()  # of the tenth step
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "interrupted; what was done is kept: the same command continues" in said
    assert "Traceback" not in said
    run = tmp_path / "runs" / small.name
    assert 10 <= state(run)["step"] < state(whole)["step"]
    printed, said = started(small, tmp_path).communicate()
    assert printed.splitlines()[-1] == str(Path("runs") / small.name / "adapter"), said
    assert same(whole, run)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bits(small: BaseConfig, tmp_path: Path) -> None:
    # A checkpoint after each step, so that kills fall into writing.
    config = replace(small, tokens=30_000, save_minutes=0.0)
    whole = adapt(config, tmp_path / "whole").parent
    run, rng, steps = tmp_path / "runs" / small.name, random.Random(0), [0]
    for _ in range(4):
        process = started(config, tmp_path)
        while not run.joinpath("checkpoint").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        folders = (run / "checkpoint", run / ".checkpoint.replaced")
        there = [folder for folder in folders if folder.exists()]
        assert there
        for folder in there:
            load_file(folder / "tensors.safetensors")
            json.loads((folder / "state.json").read_text("utf-8"))
        steps.append(json.loads((there[0] / "state.json").read_text("utf-8"))["step"])
    assert steps == sorted(steps)
    assert same(whole, adapt(config, tmp_path / "runs").parent)
    assert sorted(path.name for path in run.iterdir()) == ["adapter", "checkpoint", "log.jsonl", "model"]


# Refusals


def test_a_damaged_checkpoint_is_refused(small: BaseConfig, tmp_path: Path) -> None:
    run = adapt(small, tmp_path, steps=1)
    cut(run / "checkpoint" / "tensors.safetensors")
    with pytest.raises(ValueError, match=r"checkpoint is damaged \(.*\). Remove that folder to begin again"):
        adapt(small, tmp_path)


@pytest.mark.parametrize("damage", ["cut", "removed", "emptied"])
def test_a_checkpoint_with_a_damaged_file_is_refused(small: BaseConfig, tmp_path: Path, damage: str) -> None:
    run = adapt(small, tmp_path, steps=1)
    if damage == "cut":
        cut(run / "checkpoint" / "state.json")
    elif damage == "removed":
        (run / "checkpoint" / "tensors.safetensors").unlink()
    else:
        (run / "checkpoint" / "state.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match=r"checkpoint is damaged \(.*\). Remove that folder to begin again"):
        adapt(small, tmp_path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_checkpoint_of_other_settings_is_refused_by_their_names(small: BaseConfig, tmp_path: Path) -> None:
    adapt(small, tmp_path, steps=1)
    others = tmp_path / "others.jsonl.xz"
    write_stories(others, few_stories()[:3])
    for changes, said in (
        ({"alpha": 16.0, "rank": 8}, "was made with another alpha, rank. Change it back, or"),
        ({"stories": str(others)}, "was made with another stories, stories_sha256.*--set name="),
        ({"forms": {"story": 1.0}}, "was made with another forms"),
        ({"sources": {"flowing": 2.0}, "bare": {"flowing": 0.5}}, "was made with another bare, sources"),
    ):
        with pytest.raises(ValueError, match=said):
            adapt(replace(small, **changes), tmp_path)
    free: dict[str, Any] = {"save_minutes": 1.0, "measured": 2, "measure_minutes": 1.0, "tokens": 9_000}
    free |= {"learning_rate": 1e-3, "test_source": "flowing"}
    assert state(adapt(replace(small, **free), tmp_path, steps=1))["step"] == 2


def test_it_starts_from_another_adapter(small: BaseConfig, whole: Path, tmp_path: Path) -> None:
    # A step so small that the weights stay where they were.
    config = replace(small, start=str(whole / "adapter"), learning_rate=1e-12)
    found, given = tensors(adapt(config, tmp_path, steps=1)), load_file(whole / "adapter" / ADAPTER)
    weights = {name: tensor for name, tensor in found.items() if name.startswith("adapter.")}
    assert len(weights) == len(given)
    for name, tensor in weights.items():
        began = given[name.removeprefix("adapter.").replace(".default.", ".")].float()
        torch.testing.assert_close(tensor, began, rtol=0, atol=1e-9)


def test_a_start_that_does_not_fit_is_refused(small: BaseConfig, whole: Path, tmp_path: Path) -> None:
    for changes, said in (
        ({"start": str(whole / "adapter"), "rank": 8}, "change rank and alpha, or start"),
        ({"start": str(tmp_path / "none")}, f"there is no adapter in .*none.*name a folder with {ADAPTER}"),
    ):
        with pytest.raises(ValueError, match=said):
            adapt(replace(small, **changes), tmp_path)
    assert not (tmp_path / small.name / "checkpoint").exists()


def test_a_loss_that_is_no_number_ends_it_with_a_way_out(small: BaseConfig, tmp_path: Path) -> None:
    folder = llama_folder(tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"].fill_(torch.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"the loss is not a number at step 0. .*--set learning_rate=0.00333"
    ):
        adapt(replace(small, base=str(folder)), tmp_path)
    assert not (tmp_path / small.name / "checkpoint").exists()


# Several processes


@pytest.mark.slow
@pytest.mark.parametrize("tokens_per_step", [600, 1], ids=["several rows", "fewer rows than processes"])
def test_two_processes_train_as_one_does(small: BaseConfig, tmp_path: Path, tokens_per_step: int) -> None:
    config = replace(small, tokens_per_step=tokens_per_step, learning_rate=1e-3)
    one = adapt(config, tmp_path).parent
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config.to_dict(), "name": "two"}), "utf-8")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(DDP)]
    done = subprocess.run(
        [*launcher, "--main_process_port", "0", "-m", "training", "base", "adapt", "config.yaml"],
        cwd=tmp_path, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    two = tmp_path / "runs" / "two"
    assert done.stdout.count("weights of an adapter") == 1  # one of the two says so
    assert done.stdout.splitlines()[-1] == str(Path("runs") / "two" / "adapter")
    counted = [{key: state(run)[key] for key in ("step", "tokens", "drawn")} for run in (one, two)]
    assert counted[0] == counted[1]
    exact = best_dtype("cpu") == torch.float32
    close: Callable[[float], Any] = lambda loss: pytest.approx(loss, abs=1e-3 if exact else 0.05)  # noqa: E731
    assert [row["loss"] for row in log(two) if "loss" in row] == [
        close(row["loss"]) for row in log(one) if "loss" in row
    ]
    first, second = tensors(one), tensors(two)
    for name in first:
        if name.startswith("adapter."):
            assert float((first[name] - second[name]).abs().max()) < (1e-4 if exact else 1e-2), name
    assert sorted(path.name for path in two.iterdir()) == ["adapter", "checkpoint", "log.jsonl", "model"]


# Bases, stories and settings that can't be taught


def test_the_model_that_it_leaves_is_the_base_with_the_adapter(small: BaseConfig, whole: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(small.base, dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, str(whole / "adapter")).merge_and_unload()
    written = load_file(whole / "model" / "model.safetensors")
    for name, parameter in merged.named_parameters():
        torch.testing.assert_close(written[name].float(), parameter, rtol=2**-7, atol=1e-4)
    checkpoint = load(whole / "model")
    assert checkpoint.tokenizer.eos_token_id == checkpoint.model.generation_config.eos_token_id


def test_another_kind_of_model_is_refused(small: BaseConfig, tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=300)).save_pretrained(folder)
    byte_tokenizer(bos="<bos>").save_pretrained(folder)
    with pytest.raises(ValueError, match="a base of kind gpt2 can't be taught; choose one of kind llama"):
        adapt(replace(small, base=str(folder), context=64), tmp_path / "runs")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"context": 10**6}, "context: this base sees at most .* tokens at once, found 1000000; lower it"),
        ({"sources": {"flowng": 0.5}}, "sources, bare: there are no stories of flowng; there are flowing"),
        ({"sources": {"": 0.5}}, "sources, bare: there are no stories of ; there are flowing"),
        ({"bare": {"": 0.1, "warn": 0.5}}, "sources, bare: there are no stories of warn; there are flowing"),
        ({"test_source": "warm"}, "test_source: there are no stories of warm for testing .*; leave it out"),
        ({"context": 40}, "no row can be trained on: .* more than 40 tokens. Set other sources or a larger"),
        (
            {"context": 40, "sources": {"flowing": 2.5}},
            "no row can be trained on: .* more than 40 tokens. Set other sources or a larger",
        ),
    ],
    ids=[
        "context",
        "sources",
        "a source without a name",
        "bare",
        "test source",
        "no row fits",
        "no row fits several times",
    ],
)
def test_settings_that_go_with_no_base_or_story_are_refused(
    small: BaseConfig, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        adapt(replace(small, **changes), tmp_path)


def test_stories_for_testing_alone_are_refused(small: BaseConfig, tmp_path: Path) -> None:
    file = tmp_path / "tests.jsonl.xz"
    write_stories(file, [replace(story, test=True) for story in few_stories()])
    with pytest.raises(ValueError, match=r"all .* stories of .* are for testing; prepare some for training"):
        adapt(replace(small, stories=str(file)), tmp_path)


def test_an_adapter_of_another_strength_is_no_start(small: BaseConfig, whole: Path, tmp_path: Path) -> None:
    config = replace(small, start=str(whole / "adapter"), alpha=8.0)
    with pytest.raises(
        ValueError, match=r"has .*32.0.*, the configuration .*8.0.*; change rank and alpha, or start"
    ):
        adapt(config, tmp_path)


def test_sampled_softmax_costs_what_the_whole_one_does(small: BaseConfig, tmp_path: Path) -> None:
    # Many more draws than tokens: what is left is the noise of drawing.
    with module.Training(replace(small, candidates=20_000), tmp_path / "run") as training:
        rows = training._draw()
        training.wanted = torch.tensor([label for _, row in rows for label in row[1:] if label != IGNORE])
        with torch.no_grad():
            sampled = float(training._loss(rows, training.core))
            training.core.eval()
            assert sampled == pytest.approx(float(training._loss(rows, training.core)), rel=2e-3)
        assert 0 < int(training.used.sum()) < len(training.used)


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    small: BaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = adapt(small, tmp_path, steps=1)
    before = state(run)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        adapt(small, tmp_path, steps=1)
    assert state(run) == before
    assert [path.name for path in run.iterdir()] == ["checkpoint"]
