"""The default case on the base of this project, with two of its texts and few updates: slow, real, and honest about what came out."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from inference import perplexity
from inference.runs import Run
from inference.summary import table
from tests.small import ROOT, SEEDS

pytestmark = pytest.mark.slow

TEXTS = sorted(SEEDS.glob("*.txt"))[:2]

# What takes longest goes: half of the texts, most updates and samples, fold models, control, beats and choice among candidates.
FEW = {
    "max_steps": 2,
    "eval_every": 1,
    "samples": 2,
    "samples_per_fold": 0,
    "samples_control": 0,
    "draws": 1,
    "beats": 0,
}


@pytest.fixture(scope="module", autouse=True)
def base(users_base: Callable[[], AbstractContextManager[Path]]) -> Iterator[Path]:
    """The folder of the base that users have."""
    with users_base() as folder:
        yield folder


@pytest.fixture(scope="module")
def paris(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """configs/paris-cafe.yaml by the command that users type, on all cores."""
    runs, originals = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("originals")
    for text in TEXTS:
        shutil.copy(text, originals)
    command = [sys.executable, "-m", "training", "run", "configs/paris-cafe.yaml", "--report"]
    for key, value in {**FEW, "originals": originals, "output_dir": runs}.items():
        command += ["--set", f"{key}={value}"]
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


def test_the_held_out_curves_fall_and_their_lowest_point_is_chosen(paris: Path) -> None:
    folds = Run.open(paris).held_out
    at = [{point["step"]: point["held_out"] for point in fold["points"]} for fold in folds["folds"]]
    assert [sorted(curve) for curve in at] == [[0, 1, 2]] * 2
    total = {step: sum(curve[step] for curve in at) for step in (0, 1, 2)}
    assert folds["chosen_steps"] == min(total, key=lambda step: total[step]) > 0


def test_tuning_moves_unseen_originals_by_percents_and_not_by_miracles(paris: Path) -> None:
    """One text, seen twice, makes another of the same hand cheaper; by more than a quarter it would be a leak."""
    held_out = metrics(paris)["held_out"]
    assert 0.75 < held_out["bits_per_byte_tuned"] / held_out["bits_per_byte_base"] < 1
    assert 0.5 < held_out["bits_per_byte_base"] < 1.1


def test_the_base_of_the_folds_is_the_base_of_this_project(paris: Path, base: Path) -> None:
    run = Run.open(paris)
    assert run.base.path == base
    texts = [original.text for original in run.originals]
    assert [len(text.split()) for text in texts] == [383, 410]
    found = perplexity(texts, "stories")
    assert metrics(paris)["held_out"]["bits_per_byte_base"] == pytest.approx(found["bits_per_byte"], rel=1e-4)


def test_every_sample_that_was_asked_for_is_there(paris: Path) -> None:
    assert len(rows(paris, "final")) == len(rows(paris, "base")) == 2
    assert len({row["text"] for row in rows(paris, "final")}) == 2
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
    for name in ("report.html", "blind.html"):
        assert (paris / name).stat().st_size > 1000
    key = json.loads((paris / "blind-key.json").read_text("utf-8"))
    assert sorted(key.values()) == ["original"] * 2 + ["sample"] * 2
