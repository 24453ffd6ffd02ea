"""The default case on the base that ships, with few updates: slow, real, and honest about what came out."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data.bases import EMBEDDED
from inference import perplexity
from inference.runs import Run
from inference.summary import table
from tests.small import ROOT, SEEDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def paris(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """configs/paris-cafe.yaml with a quarter of its updates, by the command that users type, on all cores."""
    runs = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "training", "run", "configs/paris-cafe.yaml", "--report"]
    command += ["--set", "max_steps=4", "--set", f"output_dir={runs}"]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    run = runs / "paris-cafe"
    print(f"\n{time.perf_counter() - started:.0f} s on {os.cpu_count()} cores\n{table(metrics(run))}")
    return run


def metrics(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "metrics.json").read_text("utf-8")))


def rows(run: Path, of: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").split("\n") if line]
    return [row for row in found if row["set"] == of]


def test_the_mean_of_the_held_out_curves_at_the_chosen_steps_is_not_above_the_base(paris: Path) -> None:
    folds = Run.open(paris).held_out
    at = [{point["step"]: point["held_out"] for point in fold["points"]} for fold in folds["folds"]]
    assert len(at) == 4
    assert sum(curve[folds["chosen_steps"]] for curve in at) <= sum(curve[0] for curve in at)


def test_tuning_moves_unseen_originals_by_percents_and_not_by_miracles(paris: Path) -> None:
    """More than ten percent by three texts would be a leak."""
    held_out = metrics(paris)["held_out"]
    assert 0.9 < held_out["bits_per_byte_tuned"] / held_out["bits_per_byte_base"] < 1.02
    assert 0.5 < held_out["bits_per_byte_base"] < 1.4


def test_the_base_of_the_folds_is_the_base_that_ships(paris: Path) -> None:
    run = Run.open(paris)
    assert run.base.path == EMBEDDED
    texts = [original.text for original in run.originals]
    assert [len(text.split()) for text in texts] == [383, 410, 382, 366]
    found = perplexity(texts, "embedded")
    assert metrics(paris)["held_out"]["bits_per_byte_base"] == pytest.approx(found["bits_per_byte"], rel=1e-4)


def test_every_sample_of_the_preset_is_there(paris: Path) -> None:
    assert len(rows(paris, "final")) == len(rows(paris, "base")) == 8
    assert [len(rows(paris, f"fold-{i}")) for i in range(4)] == [2] * 4
    assert len({row["text"] for row in rows(paris, "final")}) == 8
    assert all(row["brief"]["name"] for row in rows(paris, "final"))


def test_samples_are_vignettes_and_nothing_but(paris: Path) -> None:
    """R5, R6. How many ended is no promise; it stands in the report."""
    found = rows(paris, "final")
    assert any(row["ended_by_eos"] for row in found)
    assert all(row["ended_by_eos"] or row["remark"].startswith("did not end") for row in found)
    assert all(0 < row["scores"]["words"] < 1000 for row in found)
    assert all("---" not in row["text"] and "name:" not in row["text"] for row in found)


def test_no_sample_is_a_copy(paris: Path) -> None:
    found = metrics(paris)
    assert found["samples"]["longest_copied_span"]["max"] < 20
    assert found["samples"]["novelty_4gram"]["min"] > 0.8


def test_no_protagonist_of_an_original_is_named(paris: Path) -> None:
    """R18."""
    heroes = [" ".join(path.read_text("utf-8").split()[:2]) for path in sorted(SEEDS.glob("*.txt"))]
    assert len(set(heroes)) == 4
    for row in rows(paris, "final"):
        assert not [hero for hero in heroes if hero in row["text"]]


def test_the_figures_are_finite_and_the_report_is_there(paris: Path) -> None:
    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict | list):
            return [
                n for item in (value.values() if isinstance(value, dict) else value) for n in numbers(item)
            ]
        return [value] if isinstance(value, float) else []

    found = numbers(metrics(paris))
    assert len(found) > 50
    assert all(map(math.isfinite, found))
    for name in ("report.html", "blind.html", "blind-key.json"):
        assert (paris / name).stat().st_size > 100
