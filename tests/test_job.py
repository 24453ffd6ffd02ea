"""A whole training run: what it leaves, that it repeats, and what a failure or a change does to a run that is there."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, pipeline

import inference.report
import training.job
import training.saved
from data import load_originals
from data.atomic import recover_folder
from data.bases import resolve
from data.brief import Brief
from data.originals import Original
from inference.checkpoints import load_weights
from inference.likelihood import summarise, token_nll
from inference.report import write_report
from inference.runs import NEEDED, Run
from inference.sampling import generate, stream
from inference.scale import ZERO_EVERY
from inference.stylometry import contrast_texts
from tests.small import NOIR, ROOT
from training import TrainConfig, load_config, train
from training.finetune import finetune
from training.plan import Plan

Make = Callable[..., TrainConfig]


def files(folder: Path) -> dict[str, str]:
    """sha256 of every file, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read(path: Path) -> Any:
    """JSON as other programs read it: NaN is no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path.name} has {constant}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").split("\n") if line]


def drawn(run: Path) -> list[dict[str, Any]]:
    """The samples without how long they took."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows(run)]


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def leftovers(run: Path) -> list[str]:
    return [
        path.name
        for path in (*run.parent.iterdir(), *run.rglob("*"))
        if "partial" in path.name or "replaced" in path.name
    ]


@pytest.fixture
def whole(few_words_run: Path) -> Path:
    """An uninterrupted run whose final model is not the base: else that it comes out the same would say nothing."""
    assert read(few_words_run / "folds.json")["chosen_steps"] > 0
    return few_words_run


def stop_at(monkeypatch: pytest.MonkeyPatch, call: int) -> list[int]:
    """Ctrl-C when the ``call``-th tuning (from 0) begins; the list grows by one with each that was completed."""
    done: list[int] = []
    real = training.job.finetune

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if len(done) == call:
            raise KeyboardInterrupt
        model = real(*arguments, **options)
        done.append(1)
        return model

    monkeypatch.setattr(training.job, "finetune", interrupted)
    return done


# What a run leaves


def test_a_run_has_every_file_of_the_contract_and_nothing_else(tiny_run: Path) -> None:
    assert set(files(tiny_run)) == {
        "blind-key.json",
        "blind.html",
        "config.yaml",
        "fingerprint",
        "folds.json",
        "metrics.json",
        "model/README.md",
        "model/config.json",
        "model/generation_config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
        "originals.jsonl",
        "provenance.json",
        "report.html",
        "samples.jsonl",
    }
    assert not (tiny_run / "folds").exists() and not (tiny_run / "control").exists()
    assert all((tiny_run / name).exists() for name in NEEDED)
    assert leftovers(tiny_run) == []
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in tiny_run.rglob("*"))


def test_the_settings_are_all_there_and_make_the_same_configuration(
    tiny_run: Path, tiny_config: TrainConfig
) -> None:
    written = yaml.safe_load((tiny_run / "config.yaml").read_text("utf-8"))
    assert list(written) == list(tiny_config.to_dict())
    assert load_config(tiny_run / "config.yaml") == tiny_config


def test_the_provenance_says_what_went_in(tiny_run: Path) -> None:
    found = read(tiny_run / "provenance.json")
    originals = load_originals(NOIR)
    assert [(o["name"], o["sha256"], o["words"]) for o in found["originals"]] == [
        (o.name, hashlib.sha256(o.text.encode()).hexdigest(), len(o.text.split())) for o in originals
    ]
    assert {o["licence"] for o in found["originals"]} == {"not stated"}
    assert found["base"] == {"id": "tiny", "revision": None, "sha256": resolve("tiny").sha256()}
    assert found["seed"] == 0
    # Of PyPI's builds torch alone tells which ("+cu130"), and a refresh does not load it.
    assert found["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert {"python", "transformers", "datasets", "accelerate"} <= set(found["versions"])
    assert set(found["machine"]) == {"system", "processor", "cores", "device", "dtype"}
    assert "git_commit" in found
    assert found["seconds"]["train"] > 0
    assert len(found["fingerprint"]) == 64


def test_the_originals_are_kept_as_they_were_trained(tiny_run: Path) -> None:
    assert Run.open(tiny_run).originals == load_originals(NOIR)


def test_licence_and_source_of_an_original_reach_the_provenance_and_the_card(
    tiny: Make, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    row = {
        "text": "It rained. I waited – in vain.",
        "name": "one",
        "licence": "CC0-1.0",
        "source": "https://example.org",
    }
    texts.write_text(json.dumps(row) + "\n", "utf-8")
    run = train(tiny(originals=str(texts), hold_out=False, steps=0))
    (found,) = read(run / "provenance.json")["originals"]
    assert (found["licence"], found["source"]) == ("CC0-1.0", "https://example.org")
    assert "| one | 7 | CC0-1.0 |" in (run / "model" / "README.md").read_text("utf-8")


def test_the_folds_say_who_was_held_out_and_what_it_cost(tiny_run: Path, tiny_config: TrainConfig) -> None:
    found = read(tiny_run / "folds.json")
    assert [fold["originals"] for fold in found["folds"]] == [[o.name] for o in load_originals(NOIR)]
    for index, fold in enumerate(found["folds"]):
        assert fold["index"] == index
        assert [point["step"] for point in fold["points"]] == [0, 1, 2]
        assert fold["steps"] in {0, 1, 2}
        assert all(
            math.isfinite(p[key]) and p[key] > 0 for p in fold["points"] for key in ("train", "held_out")
        )
    assert found["chosen_by"] == "held-out curves"
    assert found["chosen_steps"] in {0, 1, 2}


def test_the_metrics_have_what_the_contract_lists(tiny_run: Path) -> None:
    found = read(tiny_run / "metrics.json")
    assert [set(fold) for fold in found["held_out"]["folds"]] == [
        {"original", "bits_per_byte_base", "bits_per_byte_tuned", "steps"}
    ] * 4
    for path in (
        "held_out.bits_per_byte_base held_out.bits_per_byte_tuned held_out.perplexity_base held_out.perplexity_tuned "
        "chosen_steps samples.n samples.ended_by_eos samples.perplexity_base samples.perplexity_tuned "
        "samples.longest_copied_span.max samples.longest_copied_span.median samples.novelty_4gram.min "
        "samples.novelty_4gram.mean samples.style.mean samples.style.min samples.similarity.mean "
        "originals.longest_shared_span base.style.mean base.similarity.mean seconds.total seconds.train "
        "seconds.generate seconds.score"
    ).split():
        value = found
        for key in path.split("."):
            value = value[key]
        assert isinstance(value, int | float), path
    assert len(found["originals"]["style_band"]) == len(found["originals"]["similarity_band"]) == 2


def test_the_samples_are_of_the_final_model_the_base_and_every_fold(tiny_run: Path) -> None:
    found = rows(tiny_run)
    assert Counter(row["set"] for row in found) == {"final": 2, "base": 2, "control": 1} | {
        f"fold-{i}": 1 for i in range(4)
    }
    for row in found:
        assert row["chosen"] is True
        assert row["ended_by_eos"] or row["remark"].startswith("did not end")
        assert {"longest_copied_span", "novelty_4gram", "nearest", "words", "repetition"} <= set(
            row["scores"]
        )
    asked = {
        name: [row["brief"] for row in found if row["set"] == name] for name in ("final", "base", "control")
    }
    assert asked["final"] == asked["base"]
    assert asked["control"] == asked["final"][:1]


# The model


def test_the_model_loads_with_plain_transformers(tiny_run: Path) -> None:
    folder = tiny_run / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    text = NOIR.joinpath("night_clerk.txt").read_text("utf-8")
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert {name for name, _ in model.named_parameters()} == {
        name for name, _ in load_weights(resolve("tiny")).named_parameters()
    }
    assert all(value.dtype == torch.float32 for value in load_file(folder / "model.safetensors").values())
    assert list(folder.rglob("*.py")) == []
    assert "auto_map" not in (folder / "config.json").read_text("utf-8")
    assert model.config.use_cache  # the Trainer turns it off, and writing would take ten times as long


def test_the_model_writes_in_a_pipeline_with_its_own_settings(tiny_run: Path) -> None:
    write = pipeline("text-generation", model=str(tiny_run / "model"))
    settings = GenerationConfig.from_pretrained(tiny_run / "model")
    assert settings.do_sample and settings.eos_token_id == write.tokenizer.eos_token_id
    assert (settings.temperature, settings.top_p, settings.min_p) == (0.8, 1.0, 0.1)
    longest = max(len(write.tokenizer(o.text)["input_ids"]) for o in load_originals(NOIR))
    assert settings.max_new_tokens == int(training.saved.LENGTH_MARGIN * longest)
    (found,) = write("I knew", return_full_text=False)
    assert found["generated_text"]


def test_a_greedy_run_is_saved_as_greedy(tiny: Make) -> None:
    run = train(tiny(temperature=0, hold_out=False, steps=0))
    settings = GenerationConfig.from_pretrained(run / "model")
    assert not settings.do_sample
    assert settings.max_new_tokens == 64
    assert generate(run, seed=1, brief=Brief())[0].text == generate(run, seed=2, brief=Brief())[0].text
    assert "".join(stream(run, seed=3, brief=Brief())).rstrip() == generate(run, brief=Brief())[0].text


def test_the_card_says_what_the_run_says(tiny_run: Path) -> None:
    card = (tiny_run / "model" / "README.md").read_text("utf-8")
    header = yaml.safe_load(card.split("---")[1])
    assert header["pipeline_tag"] == "text-generation"
    held_out, record = read(tiny_run / "folds.json"), read(tiny_run / "provenance.json")
    for original in record["originals"]:
        assert (
            f"| {original['name']} | {original['words']} | not stated | `{original['sha256'][:16]}` |" in card
        )
    for fold in held_out["folds"]:
        base, tuned = (
            next(p["held_out"] for p in fold["points"] if p["step"] == s) for s in (0, fold["steps"])
        )
        assert f"| {fold['originals'][0]} | {base:.4f} | {tuned:.4f} | {fold['steps']} |" in card
    assert f"{held_out['chosen_steps']} updates" in card
    assert "no held-out score of its own" in card


# Folds


def test_a_fold_model_kept_for_samples_is_the_one_whose_figure_is_reported(whole: Path) -> None:
    """The curve's figure comes back from the weights that were sampled."""
    run = Run.open(whole)
    texts = {original.name: original.text for original in run.originals}
    tokenizer = resolve("tiny").tokenizer()
    for fold in run.held_out["folds"]:
        model = load_weights(resolve(run.fold_folder(fold["index"]) / "model"))
        held_out = [texts[name] for name in fold["originals"]]
        figure = summarise(held_out, token_nll(held_out, model, tokenizer, run.config["context"]))[
            "bits_per_byte"
        ]
        # To the rounding of sums in another order: neighbouring steps lie a thousandth apart.
        assert figure == pytest.approx(
            {p["step"]: p["held_out"] for p in fold["points"]}[fold["steps"]], rel=1e-6
        )


def test_a_fold_model_is_the_same_whether_it_was_kept_or_tuned_again(
    whole: Path, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.job, "SNAPSHOTS_AT_MOST", 0)
    tunings = stop_at(monkeypatch, 99)
    again = train(tiny(originals=Run.open(whole).config["originals"], keep_folds=True))
    assert len(tunings) == 11
    mine, theirs = (
        {n: d for n, d in files(run).items() if n.startswith(("folds/", "model/"))} for run in (again, whole)
    )
    assert mine == theirs


def test_fold_models_are_kept_on_request_alone(whole: Path, tiny_run: Path) -> None:
    assert sorted(path.name for path in (whole / "folds").iterdir()) == ["0", "1", "2"]
    assert not (tiny_run / "folds").exists()


def test_the_control_is_the_same_tuning_on_as_many_contrast_texts(whole: Path) -> None:
    run = Run.open(whole)
    texts = {hashlib.sha256(text.encode()).hexdigest(): text for text in contrast_texts()}
    originals = [Original(entry["name"], texts[entry["sha256"]]) for entry in run.provenance["control"]]
    assert len({original.text for original in originals}) == len(run.originals)
    config = load_config(whole / "config.yaml")
    tokenizer = resolve("tiny").tokenizer()
    plan = Plan(originals, tokenizer, config.context, config)
    again = finetune(resolve("tiny"), plan, run.held_out["chosen_steps"]).state_dict()
    saved = load_file(run.control_folder / "model" / "model.safetensors")
    assert saved and all(torch.equal(tensor, again[name]) for name, tensor in saved.items())
    bodies = [original.text for original in run.originals]
    model = load_weights(resolve(run.control_folder / "model"))
    figure = summarise(bodies, token_nll(bodies, model, tokenizer, run.config["context"]))["bits_per_byte"]
    assert run.held_out["bits_per_byte_control"] == pytest.approx(figure)
    assert not {original.text for original in originals} & set(contrast_texts()[::ZERO_EVERY])


def test_without_a_control_nothing_is_said_of_one(tiny: Make) -> None:
    run = train(tiny(samples_control=0, samples_per_fold=0, keep_folds=True), report=True)
    assert not (run / "control").exists()
    assert read(run / "provenance.json")["control"] == []
    assert read(run / "metrics.json")["control"] is None
    page = (run / "report.html").read_text("utf-8")
    assert not any(said in page for said in ("<th>control", "Control:", "the control's", "same tuning"))


def test_a_fold_knows_nothing_of_the_text_it_holds_out(whole: Path, tiny: Make, few_words: Path) -> None:
    """Another text in its place: the fold that held it out is the same model to the bit, the others are not."""
    last = sorted(few_words.glob("*.txt"))[-1]
    last.write_text("Something else entirely, of other words and another length, stands here now.", "utf-8")
    run = train(tiny(keep_folds=True, steps=2))
    kept = train(tiny(keep_folds=True, steps=2, originals=Run.open(whole).config["originals"], name="kept"))
    for fold, same in ((0, False), (1, False), (2, True)):
        first, second = (
            load_file(r / "folds" / str(fold) / "model" / "model.safetensors") for r in (run, kept)
        )
        assert all(torch.equal(first[name], second[name]) for name in first) is same


def test_steps_that_are_set_are_used_and_still_measured(tiny: Make) -> None:
    run = train(tiny(steps=3, max_steps=2, samples_per_fold=0))
    found = read(run / "folds.json")
    assert found["chosen_steps"] == 3
    assert found["chosen_by"] == "configuration"
    for fold in found["folds"]:
        assert fold["steps"] == 3
        assert [point["step"] for point in fold["points"]] == [0, 1, 2, 3]
    assert not (run / "folds" / "0" / "model").exists()


def test_one_text_alone_trains_without_folds_and_says_so(
    tiny: Make, few_words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(few_words.glob("*.txt"))[1:]:
        path.unlink()
    run = train(tiny(), report=True, progress=True)
    said = capsys.readouterr()
    assert "one original alone: nothing can be held out" in said.out + said.err
    found = read(run / "folds.json")
    assert found["folds"] == []
    assert (found["chosen_steps"], found["chosen_by"]) == (2, "max_steps")
    metrics = read(run / "metrics.json")
    assert metrics["held_out"]["folds"] == []
    assert metrics["held_out"]["bits_per_byte_tuned"] is None
    assert metrics["originals"]["style_band"] is None
    report = (run / "report.html").read_text("utf-8")
    assert "Nothing was held out" in report
    assert "What 1 text cannot show" in report
    assert "Nothing was held out" in (run / "model" / "README.md").read_text("utf-8")
    assert (
        load_weights(resolve("tiny")).state_dict().keys()
        == load_weights(resolve(run / "model")).state_dict().keys()
    )


def test_of_two_texts_each_is_held_out_from_the_other(tiny: Make, few_words: Path) -> None:
    first, second, third = sorted(few_words.glob("*.txt"))
    third.unlink()
    run = train(tiny(), report=True)
    assert [fold["originals"] for fold in read(run / "folds.json")["folds"]] == [[first.stem], [second.stem]]
    metrics = read(run / "metrics.json")
    assert len(metrics["cross_fitted"]) == 2
    assert (run / "report.html").exists()


def test_thirteen_texts_are_held_out_in_six_groups(tiny: Make, tmp_path: Path) -> None:
    texts = tmp_path / "many"
    texts.mkdir()
    for i in range(13):
        (texts / f"{i:02d}.txt").write_text(f"Number {i} kept {'quiet ' * i}and waited.", "utf-8")
    run = train(tiny(originals=str(texts), max_steps=1, samples_per_fold=0))
    folds = [fold["originals"] for fold in read(run / "folds.json")["folds"]]
    assert sorted(map(len, folds)) == [2, 2, 2, 2, 2, 3]
    assert read(run / "folds.json")["influence"] is None  # each alone would take too long, of many
    assert sorted(name for fold in folds for name in fold) == [f"{i:02d}" for i in range(13)]
    card = (run / "model" / "README.md").read_text("utf-8")
    assert all(", ".join(fold) in card for fold in folds)


def test_of_very_many_texts_the_control_is_read_on_those_that_are_held_out(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.splits.HELD_OUT_AT_MOST", 1)
    texts = tmp_path / "many"
    texts.mkdir()
    for i in range(13):
        (texts / f"{i:02d}.txt").write_text(f"Number {i} kept {'quiet ' * i}and waited.", "utf-8")
    run = Run.open(train(tiny(originals=str(texts), max_steps=1, samples_per_fold=0, samples_control=1)))
    names = [name for fold in run.held_out["folds"] for name in fold["originals"]]
    assert len(names) == 6
    held_out = [o.text for o in run.originals if o.name in names]
    model = load_weights(resolve(run.control_folder / "model"))
    nlls = token_nll(held_out, model, resolve("tiny").tokenizer(), run.config["context"])
    assert run.held_out["bits_per_byte_control"] == pytest.approx(summarise(held_out, nlls)["bits_per_byte"])


# Repeating


def test_the_same_configuration_gives_the_same_weights_samples_and_figures(whole: Path, tiny: Make) -> None:
    """Also when the report comes later."""
    again = train(tiny(originals=Run.open(whole).config["originals"]))
    assert not (again / "samples.jsonl").exists()
    assert sorted(path.name for path in (again / "folds").iterdir()) == ["0", "1", "2"]
    write_report(again)
    assert not (again / "folds").exists()
    assert weights(again) == weights(whole)
    assert (again / "folds.json").read_bytes() == (whole / "folds.json").read_bytes()
    assert drawn(again) == drawn(whole)
    first, second = (read(run / "metrics.json") for run in (again, whole))
    assert first.pop("seconds") and second.pop("seconds")
    assert first == second
    assert read(again / "provenance.json")["fingerprint"] == read(whole / "provenance.json")["fingerprint"]


def test_another_seed_draws_other_samples(whole: Path, tiny: Make) -> None:
    again = train(
        tiny(originals=Run.open(whole).config["originals"], seed=1, samples_per_fold=0), report=True
    )
    first, second = ({row["text"] for row in drawn(run)} for run in (whole, again))
    assert len(first & second) < 2  # one of an untrained model may come twice: few of its words are probable


# A run that is there


def test_an_existing_run_is_refused_and_left_alone(whole: Path) -> None:
    before = files(whole)
    with pytest.raises(ValueError, match=r"exists already\. Train it anew with --overwrite"):
        train(load_config(whole / "config.yaml"))
    with pytest.raises(ValueError, match="can't be resumed: no interrupted run is there"):
        train(load_config(whole / "config.yaml"), existing="resume")
    assert files(whole) == before
    assert leftovers(whole) == []


def test_an_unknown_way_with_an_existing_run_is_refused(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="existing must be refuse, overwrite, resume or refresh, found 'replace'"
    ):
        train(tiny(), existing="replace")
    assert not (tmp_path / "runs").exists()


def test_refreshing_unchanged_inputs_touches_nothing(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert train(load_config(whole / "config.yaml"), existing="refresh", report=True) == whole
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_refreshing_unchanged_inputs_needs_no_torch(whole: Path) -> None:
    program = (
        "import sys; from training.__main__ import main; status = main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules); "
        "print('heavy', sorted(heavy)); sys.exit(status)"
    )
    command = [sys.executable, "-c", program, "run", str(whole / "config.yaml"), "--report", "--refresh"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "inputs unchanged" in done.stdout
    assert "held-out bits per byte" in done.stdout
    assert f"report: {whole / 'report.html'}" in done.stdout
    assert "heavy []" in done.stdout


@pytest.mark.parametrize("change", ["original", "setting", "missing report"])
def test_refreshing_changed_inputs_makes_the_run_anew(
    whole: Path, tiny: Make, tmp_path: Path, change: str
) -> None:
    texts = tmp_path / "texts"
    shutil.copytree(Run.open(whole).config["originals"], texts)
    settings: dict[str, Any] = {"originals": str(texts), "samples_per_fold": 0}
    run = train(tiny(**settings))
    first, stamp = weights(run), read(run / "provenance.json")["fingerprint"]
    if change == "original":
        (texts / "dead_letter.txt").write_text("Nobody wrote to me any more.", "utf-8")
    if change == "setting":
        settings["learning_rate"] = 2.5e-3
    assert train(tiny(**settings), existing="refresh", report=change == "missing report") == run
    assert (weights(run) == first) is (change == "missing report")
    assert (read(run / "provenance.json")["fingerprint"] == stamp) is (change == "missing report")
    assert (run / "report.html").exists() is (change == "missing report")
    assert leftovers(run) == []


def test_refreshing_never_replaces_a_run_of_other_texts(tiny: Make, tmp_path: Path) -> None:
    run = train(tiny(), existing="refresh")
    before = weights(run)
    (tmp_path / "others").mkdir()
    for name in "ab":
        (tmp_path / "others" / f"{name}.txt").write_text(f"Quite another text, {name}. It rained.")
    with pytest.raises(ValueError, match=r"is a run of other texts.*NAME="):
        train(tiny(originals=str(tmp_path / "others")), existing="refresh")
    assert weights(run) == before


def test_where_the_run_lies_and_what_it_keeps_are_no_changed_inputs(
    whole: Path, tiny: Make, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "runs" / "tiny")
    settings = tiny(originals=Run.open(whole).config["originals"], keep_folds=False)
    before = files(tmp_path / "runs" / "tiny")
    assert train(settings, existing="refresh", report=True) == tmp_path / "runs" / "tiny"
    assert files(tmp_path / "runs" / "tiny") == before


def test_overwriting_replaces_the_run_with_nothing_of_the_old_one_left(tiny: Make) -> None:
    run = train(tiny(samples_per_fold=0))
    (run / "mine.txt").write_text("x", "utf-8")
    assert train(tiny(samples_per_fold=0, seed=3), existing="overwrite") == run
    assert not (run / "mine.txt").exists()
    assert read(run / "provenance.json")["seed"] == 3
    assert leftovers(run) == []


def test_bad_originals_leave_no_trace(tiny: Make, few_words: Path, tmp_path: Path) -> None:
    (few_words / "empty.txt").write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="empty is empty"):
        train(tiny())
    assert not (tmp_path / "runs").exists()


def test_a_run_killed_between_two_renames_is_found_again(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    shutil.copytree(whole, tmp_path / ".tiny.replaced")
    recover_folder(target)
    assert files(target) == files(whole)
    assert leftovers(target) == []


# Interrupted


# What to do about an existing run, how many tunings this attempt completes, what is cut off.
SNAPSHOTS = [("refuse", 1, "second fold"), ("resume", 3, "second text alone"), ("resume", 3, "final model")]
NO_SNAPSHOTS = [
    ("refuse", 1, "second fold"),
    ("resume", 6, "second fold model"),
    ("refresh", 2, "final model"),
]


@pytest.mark.parametrize("attempts", [SNAPSHOTS, NO_SNAPSHOTS], ids=["snapshots", "no snapshots"])
def test_a_run_that_is_interrupted_again_and_again_becomes_what_it_would_have_been(
    whole: Path,
    tiny: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    attempts: list[tuple[str, int, str]],
) -> None:
    """R8, in all of its stages: three folds, three texts alone, three fold models, one final model, samples, scores."""
    if attempts is NO_SNAPSHOTS:
        monkeypatch.setattr(training.job, "SNAPSHOTS_AT_MOST", 0)
    settings = tiny(originals=Run.open(whole).config["originals"])
    target, work = tmp_path / "runs" / "tiny", tmp_path / "runs" / ".tiny.partial"
    for existing, tunings, stage in attempts:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            done = stop_at(patch, tunings)
            train(settings, existing=existing, report=True)
        assert len(done) == tunings, stage
        assert not target.exists(), stage
        with pytest.raises(
            ValueError, match=r"an interrupted run of .* is there\. Continue it with --resume"
        ):
            train(settings)
        for half in ("folds/1/model.partial", "model.partial"):
            if not (work / half).with_suffix("").exists():
                (work / half).mkdir(parents=True, exist_ok=True)
                (work / half / "model.safetensors").write_bytes(b"half")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        done = stop_at(patch, 2)
        patch.setattr(inference.report, "figures", interrupted)
        train(settings, existing="resume", report=True)
    assert len(done) == 2
    sampled = (work / "samples.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        stop_at(patch, 0)
        assert train(settings, existing="resume", report=True) == target
    assert (target / "samples.jsonl").read_bytes() == sampled
    assert drawn(target) == drawn(whole)
    for part in ("model/", "folds.json", "originals.jsonl", "blind"):
        mine, theirs = (
            {n: d for n, d in files(run).items() if n.startswith(part)} for run in (target, whole)
        )
        assert mine == theirs and mine, part
    kept = ("folds/", "control/")
    assert set(files(target)) == {name for name in files(whole) if not name.startswith(kept)}
    assert leftovers(target) == []


def test_refreshing_replaces_no_interrupted_run_of_other_texts(
    tiny: Make, few_words: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1)
        train(tiny())
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("Quite another text, and quite another manner.", "utf-8")
    work = tmp_path / "runs" / ".tiny.partial"
    before = (work / "fingerprint").read_bytes()
    with pytest.raises(ValueError, match="is an interrupted run of other texts"):
        train(tiny(originals=str(other)), existing="refresh")
    assert (work / "fingerprint").read_bytes() == before


def test_how_often_checkpoints_are_written_is_no_other_run(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1)
        train(tiny())
    assert train(tiny(checkpoint_seconds=0.0), existing="resume").exists()


def test_an_interrupted_run_of_other_inputs_is_not_resumed(
    tiny: Make, few_words: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 1)
        train(tiny())
    with pytest.raises(ValueError, match="its settings, texts, base or code have changed"):
        train(tiny(seed=1), existing="resume")
    (few_words / "dead_letter.txt").write_text("Other words.", "utf-8")
    with pytest.raises(ValueError, match="its settings, texts, base or code have changed"):
        train(tiny(), existing="resume")
    # Refreshing begins anew with the inputs as they are: nothing that the old texts measured is used.
    run = train(tiny(), existing="refresh")
    (tmp_path / "apart").mkdir()
    clean = train(tiny(output_dir=str(tmp_path / "apart")))
    assert (run / "folds.json").read_bytes() == (clean / "folds.json").read_bytes()
    assert weights(run) == weights(clean)


def test_a_finished_run_survives_an_attempt_to_replace_it_that_fails(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tiny(samples_per_fold=0))
    before = files(run)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 2)
        train(tiny(samples_per_fold=0, seed=5), existing="overwrite")
    assert files(run) == before
    assert Run.open(run).provenance["seed"] == 0
    train(tiny(samples_per_fold=0, seed=5), existing="resume")
    assert Run.open(run).provenance["seed"] == 5


def test_what_is_missing_from_an_unfinished_run_is_named(tiny_run: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(tiny_run, half)
    (half / "folds.json").unlink()
    shutil.rmtree(half / "model")
    with pytest.raises(
        ValueError, match=r"half is not a finished run: folds.json, model/config.json missing"
    ):
        Run.open(half)


def test_a_run_whose_base_has_changed_says_so(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    record = read(copy / "provenance.json")
    record["base"]["sha256"] = "0" * 64
    (copy / "provenance.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(ValueError, match="the base tiny is not the one this run was trained on"):
        _ = Run.open(copy).base
