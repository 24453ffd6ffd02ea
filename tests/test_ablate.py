"""What a setting is worth: the table holds what the runs' own files say, and nothing is trained twice."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import training.ablate
from inference.imposters import style_votes
from inference.novelty import copy_limit
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
    monkeypatch.setattr(
        training.ablate, "cpu_count", lambda: 1
    )  # starting processes takes longer than such runs
    variants = {"as configured": {}, "goldfish 4": {"goldfish": 4}}
    settings = tiny(samples_per_fold=1)
    found = ablate(settings, corpora, variants)
    assert [o.variant for o in found] == list(variants)
    folder = tmp_path / "runs" / "ablate"
    names = ["as-configured-one", "as-configured-two", "goldfish-4-one", "goldfish-4-two"]
    assert sorted(path.name for path in folder.iterdir()) == [
        *names,
        "one.jsonl",
        "plot.svg",
        "table.md",
        "two.jsonl",
    ]
    for outcome, name in ((found[0], names[1]), (found[1], names[3])):
        run = Run.open(folder / name)
        folds = run.held_out["folds"]
        at = [{p["step"]: p["held_out"] for p in fold["points"]} for fold in folds]
        tuned = sum(c[fold["steps"]] for c, fold in zip(at, folds, strict=True))
        assert outcome.held_out[1] == pytest.approx(tuned / sum(c[0] for c in at))
        assert outcome.updates[1] == run.held_out["chosen_steps"]
        assert outcome.lowest[1] <= outcome.held_out[1] + 1e-9
        rows = run.samples()
        assert {row["set"] for row in rows} == {"fold-0", "fold-1", "fold-2"}
        longest = max(row["scores"]["longest_copied_span"] for row in rows)
        assert outcome.span[1] == longest
        assert outcome.over[1] == longest - copy_limit([o.text for o in run.originals])
        assert outcome.ended[1] == sum(row["ended_by_eos"] for row in rows) / len(rows)
        votes = [
            float(vote)
            for fold in folds
            for row in rows
            if row["set"] == f"fold-{fold['index']}" and row["text"]
            for vote in style_votes(
                [row["text"]], [o.text for o in run.originals if o.name in fold["originals"]]
            )["style"]
        ]
        assert outcome.style[1] == pytest.approx(sum(votes) / len(votes))
        assert not (run.path / "folds").exists()
    assert (folder / "table.md").read_text("utf-8") == table(found) + "\n"
    assert f"| goldfish 4 | {sum(found[1].held_out) / 2 - 1:+.2%} |" in table(found)
    assert "goldfish 4" in (folder / "plot.svg").read_text("utf-8")
    before = {name: (folder / name / "provenance.json").stat().st_mtime_ns for name in names}
    assert ablate(settings, corpora, variants) == found
    assert {name: (folder / name / "provenance.json").stat().st_mtime_ns for name in names} == before


@pytest.mark.slow
def test_side_by_side_the_runs_are_the_same(
    tiny: Make, corpora: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.ablate, "cpu_count", lambda: 2)
    beside = ablate(tiny(), corpora, {"as configured": {}})
    monkeypatch.setattr(training.ablate, "cpu_count", lambda: 1)
    assert ablate(tiny(output_dir=str(tmp_path / "one by one")), corpora, {"as configured": {}}) == beside


def test_without_samples_there_are_held_out_figures_alone(
    tiny: Make, corpora: list[Path], tmp_path: Path
) -> None:
    (outcome,) = ablate(tiny(samples_per_fold=0), corpora[:1], {"as configured": {}}, texts=2)
    assert (outcome.style, outcome.span, outcome.ended) == ([None], [None], [None])
    assert outcome.held_out[0] > 0
    assert table([outcome]).endswith("| - | - | - | - |")
    run = Run.open(tmp_path / "runs" / "ablate" / "as-configured-one")
    assert len(run.originals) == 2
    assert not (tmp_path / "runs" / "ablate" / "plot.svg").exists()


def test_a_file_of_vignettes_is_a_corpus_with_its_briefs(tiny: Make, tmp_path: Path) -> None:
    path = tmp_path / "few.txt"
    path.write_text(
        "".join(
            f"===\nname: Ada {i}\n---\nAda {i} sat by the window and said nothing at all.\n\n" for i in "ABC"
        ),
        "utf-8",
    )
    ablate(tiny(samples_per_fold=0), [path], {"as configured": {}})
    originals = Run.open(tmp_path / "runs" / "ablate" / "as-configured-few").originals
    assert [(o.name, o.brief and o.brief.name) for o in originals] == [
        (f"few {n}", f"Ada {c}") for n, c in zip("123", "ABC", strict=True)
    ]


def test_all_variants_are_settings_that_exist() -> None:
    for settings in VARIANTS.values():
        build_config(settings)
    plain = VARIANTS["plain"]
    assert next(iter(VARIANTS)) == "plain"
    for settings in VARIANTS.values():
        assert set(plain) <= set(settings)


def test_an_unknown_variant_is_named(capsys: pytest.CaptureFixture[str], corpora: list[Path]) -> None:
    assert main(["ablate", "configs/tiny.yaml", str(corpora[0]), "--only", "magic"]) == 2
    assert "no variant is called magic; there are plain" in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    tiny: Make, corpora: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="hold_out: false leaves nothing to compare"):
        ablate(tiny(hold_out=False, steps=1), corpora)
    with pytest.raises(ValueError, match="--texts must be 2 or more"):
        ablate(tiny(), corpora, texts=1)
    with pytest.raises(ValueError, match="two corpora are called one"):
        ablate(tiny(), [corpora[0], tmp_path / "other" / "one"])
    for path in list(corpora[1].iterdir())[1:]:
        path.unlink()
    with pytest.raises(ValueError, match="two has one text; give two or more"):
        ablate(tiny(), corpora)
    assert not list((tmp_path / "runs").rglob("folds.json"))
    assert main(["ablate", "configs/tiny.yaml", str(corpora[0]), "--set", "learning_rate=1e-5"]) == 2
    assert "--set learning_rate: each variant has its own" in capsys.readouterr().err
