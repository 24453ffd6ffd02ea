"""What a setting is worth: the table holds what the runs' own files say, and nothing is trained twice."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import training.ablate
from inference.runs import Run
from tests.small import write_few_words
from training import TrainConfig
from training.__main__ import main
from training.ablate import VARIANTS, ablate, table
from training.config import build_config

Make = Callable[..., TrainConfig]


@pytest.fixture
def corpora(tmp_path: Path) -> list[Path]:
    first = write_few_words(tmp_path / "one")
    second = Path(shutil.copytree(first, tmp_path / "two"))
    for path in second.iterdir():
        path.write_text(f"And then: {path.read_text('utf-8')}", "utf-8")
    return [first, second]


def test_every_figure_is_that_of_the_runs(
    tiny: Make, corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = {"as configured": {}, "goldfish 4": {"goldfish": 4}}
    found = ablate(tiny(), corpora, variants)
    assert [o.variant for o in found] == list(variants)
    runs = sorted((tmp_path / "runs" / "ablate").iterdir())
    assert [run.name for run in runs] == [
        "as-configured-one", "as-configured-two", "goldfish-4-one", "goldfish-4-two", "table.md",
    ]  # fmt: skip
    for outcome, folder in ((found[0], runs[1]), (found[1], runs[3])):
        folds = Run.open(folder).held_out["folds"]
        at = [{p["step"]: p["held_out"] for p in fold["points"]} for fold in folds]
        tuned = sum(c[fold["steps"]] for c, fold in zip(at, folds, strict=True))
        assert outcome.held_out[1] == pytest.approx(tuned / sum(c[0] for c in at))
        assert outcome.updates[1] == Run.open(folder).held_out["chosen_steps"]
        assert outcome.lowest[1] <= outcome.held_out[1] + 1e-9
        assert outcome.style == [None, None]
    assert runs[4].read_text("utf-8") == table(found) + "\n"
    assert f"| goldfish 4 | {sum(found[1].held_out) / 2 - 1:+.2%} |" in table(found)
    before = {run: (run / "provenance.json").stat().st_mtime_ns for run in runs[:4]}
    assert ablate(tiny(), corpora, variants) == found
    assert {run: (run / "provenance.json").stat().st_mtime_ns for run in runs[:4]} == before


def test_all_variants_are_settings_that_exist() -> None:
    for settings in VARIANTS.values():
        build_config(settings)
    assert next(iter(VARIANTS.values())) == {}


def test_an_unknown_variant_is_named(capsys: pytest.CaptureFixture[str], corpora: list[Path]) -> None:
    assert main(["ablate", "configs/tiny.yaml", str(corpora[0]), "--only", "magic"]) == 2
    assert "no variant is called magic; there are as configured" in capsys.readouterr().err


@pytest.mark.slow
def test_with_samples_there_are_style_and_spans_and_a_plot(
    tiny: Make, corpora: list[Path], tmp_path: Path
) -> None:
    (outcome,) = ablate(tiny(samples=2), corpora[:1], {"as configured": {}}, report=True)
    assert outcome.style[0] is not None and 0 <= outcome.style[0] <= 1
    assert outcome.span[0] is not None and outcome.span[0] >= 0
    assert "as configured" in (tmp_path / "runs" / "ablate" / "plot.svg").read_text("utf-8")
    assert training.ablate.table([outcome]).count("\n") == 2
