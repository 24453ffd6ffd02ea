"""What fine-tuning costs: a step beside the plain Trainer's, the memory at its peak, and a run of more and more texts.

Each figure is from a process of its own, and compared within the run alone.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
UPDATES = 4

STEP = """
import json, resource, sys, time
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from data.bases import resolve
from data.dataset import blocks, to_dataset
from data.originals import load_originals
from inference.checkpoints import load_weights
from training.config import build_config
from training.finetune import collator, finetune, hardware
from training.plan import Plan

base, way, updates, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
base, originals = resolve(base), load_originals("data/seeds")
tokenizer, context = base.tokenizer(), base.context()
config = build_config({**settings, "batch_size": 4})
plan, ends = Plan(originals, tokenizer, context, config), []
device, dtype = hardware(config)

class Clock(TrainerCallback):
    def on_step_end(self, *args, **kwargs):
        ends.append(time.perf_counter())

if way == "ours":
    finetune(base, plan, updates, on_step=lambda: ends.append(time.perf_counter()))
else:
    rows = [{**block, "document": i} for i, o in enumerate(originals) for block in blocks(o.text, tokenizer, context)]
    arguments = TrainingArguments(
        "unused", max_steps=updates, per_device_train_batch_size=4, learning_rate=1e-4, bf16=dtype == torch.bfloat16,
        use_cpu=device == "cpu", save_strategy="no", report_to=[], disable_tqdm=True, dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length",
    )
    Trainer(
        model=load_weights(base), args=arguments, train_dataset=to_dataset(rows), data_collator=collator(tokenizer),
        callbacks=[Clock()],
    ).train()
tokens = sum(len(row["input_ids"]) for row in plan.rows(1))
gaps = sorted(b - a for a, b in zip(ends, ends[1:]))
print("MEASURED", json.dumps({
    "seconds": gaps[len(gaps) // 2], "tokens": tokens,
    "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30,
}))
"""


def child(code: str, *arguments: str) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.rsplit("MEASURED ", 1)[1]))


def test_a_step_beside_the_plain_trainers(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(
            f"\n{date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, four originals an update"
        )
    plain = child(STEP, "stories", "plain", str(UPDATES), "{}")
    ways: dict[str, dict[str, Any]] = {
        "all weights": {}, "adapters of rank 16": {"lora_rank": 16},
        "adapters of rank 16, one text at once": {"lora_rank": 16, "micro_batch_size": 1},
        "checkpointing, one text at once": {"gradient_checkpointing": True, "micro_batch_size": 1},
    }  # fmt: skip
    for way, settings in ways.items():
        given = json.dumps({"refill_names": False, "briefs": 0.0, **settings})
        ours = child(STEP, "stories", "ours", str(UPDATES), given)
        with capsys.disabled():
            print(
                f"{way}: {ours['seconds']:.2f} s an update, {ours['tokens'] / ours['seconds']:.0f} tokens a second, "
                f"{ours['gib']:.1f} GiB; plain Trainer, all weights, grouped by length: {plain['seconds']:.2f} s, {plain['gib']:.1f} GiB"
            )
        if way == "all weights":
            assert ours["seconds"] <= 1.1 * plain["seconds"]


def test_what_more_texts_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds of training and of the report, at the default configuration but for the updates of 400 texts and more, which are
    four a tuning: what an update costs does not depend on the number of texts, and all else that grows with it is in the figures.
    SIZES="4 40 400 4000" in the environment asks for more than two sizes; on two cores they take hours."""
    pool = [
        path.read_text("utf-8")
        for path in sorted((ROOT / "tests" / "benchmarks" / "authors").glob("*/*.txt"))
    ]
    with capsys.disabled():
        print(f"\n{date.today()}, {platform.machine()}, {os.cpu_count()} cores: default configuration")
    for n in (int(size) for size in os.environ.get("SIZES", "4 40").split()):
        folder = tmp_path / f"{n}-texts"
        folder.mkdir()
        for i in range(n):  # a sentence apart, so that no two are the same
            (folder / f"{i:04}.txt").write_text(
                f"This is the text that comes as number {i}.\n\n{pool[i % len(pool)]}", "utf-8"
            )
        steps = [] if n < 400 else ["--set", "max_steps=4"]
        measured = child(
            "import json, resource, runpy, sys; sys.argv = sys.argv[1:]\n"
            "try: runpy.run_module('training', run_name='__main__', alter_sys=True)\n"
            "except SystemExit as stop: assert not stop.code, stop.code\n"
            "gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 2**30\n"
            "print('MEASURED', json.dumps({'gib': gib}))",
            "training", "run", "configs/paris-cafe.yaml", "--report", "--originals", str(folder),
            "--set", f"output_dir={tmp_path / 'runs'}", *steps,
        )  # fmt: skip
        seconds = json.loads((tmp_path / "runs" / folder.name / "metrics.json").read_text("utf-8"))["seconds"]
        chosen = json.loads((tmp_path / "runs" / folder.name / "folds.json").read_text("utf-8"))[
            "chosen_steps"
        ]
        with capsys.disabled():
            print(
                f"{n} texts: training {seconds['train']:.0f} s ({chosen} updates chosen), sampling {seconds['generate']:.0f} s, "
                f"scoring {seconds['score']:.0f} s, {measured['gib']:.1f} GiB"
            )
