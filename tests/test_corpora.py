"""Texts that have nothing to do with Paris, prose and verse, the whole way: nothing in the code knows about cafés."""

import json
import re
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data import draw_briefs, load_originals
from data.brief import parse_vignettes
from data.stories import FOLDER, STORIES, read_stories
from inference import generate, score
from inference.runs import Run
from tests.small import NOIR, PLAYS, ROOT, VERSE, bpe_tokenizer, llama_folder
from training import TrainConfig, train

PARIS = re.compile(r"\bparis|caf[eé]|montmartre|seine|boulevard|marais|latin quarter|saint-", re.IGNORECASE)


OWN_BASE = "The base of this project was taught on short fiction"
"""What a report says of it."""


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").split("\n") if line]


def words(text: str) -> set[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return set(re.findall(r"\w+", plain.casefold()))


def test_the_corpora_are_what_they_are_said_to_be() -> None:
    noir, verse, plays = load_originals(NOIR), load_originals(VERSE), load_originals(PLAYS)
    assert [len(noir), len(verse), len(plays)] == [4, 6, 3]
    assert all(120 <= original.words <= 200 for original in noir)
    assert all({"I", "my"} & set(original.text.split()) for original in noir)
    assert all(re.search(r"(?m)^[A-Z]+: ", original.text) for original in plays)
    assert not any(PARIS.search(original.text) for original in (*noir, *verse, *plays))


def test_noir_goes_from_texts_to_scores(tiny_run: Path) -> None:
    run = Run.open(tiny_run)
    assert run.originals == load_originals(NOIR)
    assert len(run.held_out["folds"]) == 4
    samples = generate(run.path, n=2, seed=7, max_new_tokens=40)
    assert len({sample.text for sample in samples}) == 2
    assert all(sample.scores["nearest"] in {o.name for o in run.originals} for sample in samples)
    card = score(samples, run.originals, model=run.path)
    assert 0 <= card.verdict <= 1
    assert set(card.parts) == {"style", "content", "structure", "diversity", "novelty", "fluency"}
    for text in card.texts:
        assert {
            "style",
            "stylometry",
            "similarity",
            "longest_copied_span",
            "novelty_4gram",
            "repetition",
            "words",
        } <= set(text.metrics)
        assert text.metrics["bits_per_byte_tuned"] > 0 and text.metrics["bits_per_byte_base"] > 0


def test_the_originals_themselves_score_as_copies(tiny_run: Path) -> None:
    run = Run.open(tiny_run)
    card = score([run.originals[0].text], run.originals)
    assert card.texts[0].metrics["longest_copied_span"] > 100
    assert card.parts["novelty"] == card.verdict == 0


def test_nothing_that_is_asked_of_the_noir_model_is_parisian(tiny_run: Path) -> None:
    """The words of the samples are the base's own, which has read of cafés; what is asked for is the texts'."""
    for row in rows(tiny_run):
        assert not PARIS.search(json.dumps(row["brief"], ensure_ascii=False))
    for seed in range(5):
        for brief in draw_briefs([o.text for o in load_originals(NOIR)], 20, seed):
            assert not PARIS.search(brief.header()), brief
    report = (tiny_run / "report.html").read_text("utf-8")
    assert OWN_BASE not in report  # the tiny base was taught nothing
    bare = re.sub(r'<div class="text">.*?</div>', "", report, flags=re.DOTALL)
    assert "text" in bare
    assert not PARIS.search(re.sub(r"<svg.*?</svg>", "", bare, flags=re.DOTALL))


@pytest.mark.parametrize("corpus", [NOIR, VERSE, ROOT / "data" / "seeds"], ids=["noir", "verse", "seeds"])
def test_no_drawn_name_is_an_originals(corpus: Path) -> None:
    """R18: names are slots."""
    originals = [original.text for original in load_originals(corpus)]
    taken = set().union(*map(words, originals))
    briefs = [brief for seed in range(5) for brief in draw_briefs(originals, 12, seed)]
    names = [brief.name for brief in briefs if brief.name]
    assert not [name for name in names if words(name) & taken]
    if corpus != VERSE:
        assert len(set(names)) > len(names) / 2 > 0


def test_the_names_of_the_samples_briefs_are_none_of_the_originals(tiny_run: Path) -> None:
    texts = {original.name: words(original.text) for original in Run.open(tiny_run).originals}
    names = [row["brief"]["name"] for row in rows(tiny_run) if row["brief"].get("name")]
    assert not [name for name in names if any(words(name) & taken for taken in texts.values())]


@pytest.mark.slow
def test_verse_keeps_its_lines_the_whole_way(tiny: Callable[..., TrainConfig]) -> None:
    run = train(tiny(originals=str(VERSE), name="verse", samples_per_fold=0, max_steps=1), report=True)
    kept = Run.open(run).originals
    assert [original.text for original in kept] == [
        path.read_text("utf-8").rstrip("\n") for path in sorted(VERSE.glob("*.txt"))
    ]
    assert kept[0].text.split("\n")[1] == "   hauled by a moon it cannot see,"
    assert len(Run.open(run).held_out["folds"]) == 6
    blind = (run / "blind.html").read_bytes().decode("utf-8")
    assert "\n   hauled by a moon it cannot see,\n" in blind
    assert not any(PARIS.search(json.dumps(row["brief"], ensure_ascii=False)) for row in rows(run))


@pytest.mark.slow
@pytest.mark.parametrize("corpus", [NOIR, VERSE, PLAYS], ids=lambda path: path.name)
def test_make_run_does_it_for_anybodys_texts(corpus: Path, tmp_path: Path) -> None:
    """The command of the README; few updates and samples, since it is the way that is tested. One of the three has the default base."""
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("the environment that make uses is not there")
    settings = {
        "output_dir": tmp_path,
        "max_steps": 2,
        "samples": 2,
        "samples_per_fold": 0,
        "samples_control": 2,
    }
    if corpus != NOIR:
        texts = [original.text for original in load_originals(corpus)]
        settings["base"] = llama_folder(tmp_path / "base", bpe_tokenizer(texts))
    done = subprocess.run(
        [
            *("make", "run", f"SEEDS={corpus}", f"NAME=my-{corpus.name}"),
            "ARGS=" + " ".join(f"--set {key}={value}" for key, value in settings.items()),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / f"my-{corpus.name}")
    assert run.originals == load_originals(corpus)
    assert f"report: {run.path / 'report.html'}" in done.stdout
    assert (run.base.id == "stories") == (corpus == NOIR)
    assert (OWN_BASE in (run.path / "report.html").read_text("utf-8")) == (corpus == NOIR)
    drawn = rows(run.path)
    assert {row["set"] for row in drawn} == {"final", "base", "control"}
    assert not any(PARIS.search(" ".join(map(str, row["brief"].values()))) for row in drawn)


def test_rows_of_a_file_train_like_files_of_a_folder(
    tiny: Callable[..., TrainConfig], few_words_run: Path, tmp_path: Path
) -> None:
    """The run's own originals.jsonl is a corpus too."""
    copy = tmp_path / "rows.jsonl"
    copy.write_bytes((few_words_run / "originals.jsonl").read_bytes())
    run = train(tiny(originals=str(copy)))
    assert (run / "folds.json").read_bytes() == (few_words_run / "folds.json").read_bytes()
    assert (run / "model" / "model.safetensors").read_bytes() == (
        few_words_run / "model" / "model.safetensors"
    ).read_bytes()


def test_two_originals_of_one_name_are_refused(tmp_path: Path) -> None:
    """Folds, figures and the report call an original by its name."""
    (tmp_path / "song.txt").write_text("Haul away.", "utf-8")
    (tmp_path / "song.md").write_text("Roll her down.", "utf-8")
    with pytest.raises(ValueError, match="two texts are called song: rename one of them"):
        load_originals(tmp_path)
    lines = [json.dumps({"name": "a", "text": text}) for text in ("One.", "Two.", "Three.")]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    with pytest.raises(ValueError, match="two texts are called a"):
        load_originals(tmp_path / "rows.jsonl")


def test_no_vignette_plays_two_roles_and_none_is_like_an_original() -> None:
    roles = {
        role: [
            body
            for file in sorted((ROOT / role).glob("*.txt"))
            for _, body in parse_vignettes(file.read_text("utf-8"))
        ]
        for role in ("data/contrast", "tests/vignettes")
    }
    assert [len(bodies) for bodies in roles.values()] == [110, 110]
    bodies = [body for group in roles.values() for body in group]
    assert len(set(bodies)) == len(bodies)
    stories = {" ".join(story.text.split()) for story in read_stories(FOLDER / STORIES)}
    assert stories.isdisjoint(" ".join(body.split()) for body in bodies)
    originals = " ".join(f.read_text("utf-8") for f in sorted((ROOT / "data/seeds").glob("*.txt")))
    words = re.findall(r"\w+", originals.lower())
    banned = {tuple(words[i : i + 8]) for i in range(len(words) - 7)}
    for body in bodies:
        own = re.findall(r"\w+", body.lower())
        assert banned.isdisjoint(tuple(own[i : i + 8]) for i in range(len(own) - 7))
