"""Several processes that train together: the same result as one, also when the texts do not come out even."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.small import ROOT, few_words_settings, write_few_words
from training import processes

DDP = ROOT / "configs" / "accelerate" / "ddp.yaml"


def launch(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Two processes by accelerate's launcher, on a port that is free."""
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(DDP),
        "--main_process_port",
        "0",
    ]
    return subprocess.run(
        [*command, *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def run_arguments(texts: Path, runs: Path, name: str, **overrides: Any) -> list[str]:
    settings = {**few_words_settings(texts, runs), **overrides}
    values = [f"--set={key}={value}" for key, value in settings.items()]
    return ["-m", "training", "run", "configs/tiny.yaml", "--name", name, *values]


def numbers(value: Any) -> list[float]:
    """All figures in a JSON value, in order."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, int | float) else []


def test_one_process_alone_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    assert processes.count() == 1 and processes.is_first() and not processes.spread()
    thing = object()
    assert processes.agree(thing) is thing
    assert processes.anyone(True) and not processes.anyone(False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [{}, {"micro_batch_size": 1}, {"lora_rank": 2, "steps": 2}],
    ids=["whole", "accumulated", "adapters"],
)
def test_two_processes_train_as_one_does_also_on_three_texts(setting: dict[str, Any], tmp_path: Path) -> None:
    texts = write_few_words(
        tmp_path / "texts"
    )  # folds of two texts come out even, the final model's three do not
    alone = subprocess.run(
        [sys.executable, *run_arguments(texts, tmp_path, "one", **setting)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    both = launch(*run_arguments(texts, tmp_path, "two", **setting))
    assert both.returncode == 0, both.stderr[-2000:]
    assert alone.stdout.count("run: ") == both.stdout.count("run: ") == 1  # one of the two says so
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted(
        p.name for p in (tmp_path / "two").iterdir()
    )
    one, two = (json.loads((tmp_path / name / "folds.json").read_text("utf-8")) for name in ("one", "two"))
    assert one["chosen_steps"] == two["chosen_steps"] > 0
    assert numbers(one) == pytest.approx(numbers(two), abs=1e-5)
    for model in ("model", "control/model", "folds/0/model"):
        first, second = (load_file(tmp_path / name / model / "model.safetensors") for name in ("one", "two"))
        assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-4
    tuned, control = (
        load_file(tmp_path / "two" / m / "model.safetensors") for m in ("model", "control/model")
    )
    assert any(not tuned[name].equal(control[name]) for name in tuned)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
def test_what_the_first_can_not_begin_with_none_begins_with(tmp_path: Path) -> None:
    texts = write_few_words(tmp_path / "texts")
    done = launch(*run_arguments(texts, tmp_path, "two", context=4096))
    assert done.returncode != 0
    assert done.stderr.count("context: this base sees at most") == 1
    assert not (tmp_path / "two").exists()


SPREAD = """
import torch
from torch.distributed.fsdp import fully_shard
from torch.distributed.device_mesh import init_device_mesh
from data.bases import resolve
from inference.checkpoints import load_weights
from training import processes

processes.join(on_cpu=True)
base = resolve("tiny")
model, plain = load_weights(base), load_weights(base)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(1.0)
expected = {name: value.clone() for name, value in model.state_dict().items()}
fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
part = next(model.parameters()).to_local()
assert part.numel() * 2 == next(plain.parameters()).numel()
found = processes.gathered(model, plain).state_dict()
assert all(found[name].equal(expected[name]) for name in expected)
print("whole again", flush=True)
"""


@pytest.mark.slow
def test_weights_that_are_spread_over_processes_come_together_again(tmp_path: Path) -> None:
    script = tmp_path / "spread.py"
    script.write_text(SPREAD, "utf-8")
    done = launch(str(script))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("whole again") == 2
