"""Tokenizer, token files and the training loop: nothing is lost on the way, and a killed training ends as an unbroken one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from data.brief import Brief
from data.dataset import IGNORE
from training.attention import blocked_attention
from training.pretrain import loop
from training.pretrain.average import average
from training.pretrain.base_eval import detection, evaluate, longest_shared, obeyed, show, unseen
from training.pretrain.config import PretrainConfig, load_pretrain_config
from training.pretrain.corpus import Text, write_texts
from training.pretrain.loop import pretrain, schedule
from training.pretrain.pieces import Piece
from training.pretrain.prepare import prepare
from training.pretrain.tokenizer import END, SINGLE
from training.pretrain.tokens import Stream, batches, read_buckets, write_buckets

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {
    "layers": 2, "width": 64, "heads": 1, "kv_heads": 1, "feed_forward": 128, "vocabulary": 420, "length": 96,
    "tokens_per_update": 600, "tokens_per_batch": 400, "tokens": 9000, "mix": {"tinyfabulist/whole": 1.0},
    "mix_last": {"tinyfabulist/whole": 0.5, "vignettes/whole": 0.5}, "dropout": 0.1, "z_loss": 1e-4,
    "briefs": {"vignettes": 0.0},
}  # fmt: skip


def fables(n: int) -> list[Text]:
    """Short whole stories of a few words in every order."""
    rng = random.Random(0)
    words = "the old fox crow river asked answered stone winter bread gave took and of to under her his door".split()
    made = []
    for i in range(n):
        sentences = [" ".join(rng.choices(words, k=9)).capitalize() + "." for _ in range(12)]
        body = f"{sentences.pop()} Ines met a fox — it was late… “Été” said Ines. {' '.join(sentences)}"
        made.append(Text("tinyfabulist", f"{i:04}", body, True, True, i % 10 == 0))
    return made + [replace(t, source="vignettes", id="v" + t.id, held_out=False) for t in made[:20]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PretrainConfig:
    folder = tmp_path_factory.mktemp("data")
    write_texts(folder / "texts.jsonl.xz", fables(150))
    config = PretrainConfig(data=str(folder), **SMALL)
    manifest = prepare(config)
    assert manifest["train"]["tinyfabulist/whole"]["documents"] == 135
    assert manifest["held_out"]["tinyfabulist/whole"]["documents"] == 15
    rows = read_buckets(folder / "train")
    behind = {name: sum(rows[name].row(i, 96)[1] > 1 for i in range(len(rows[name]))) for name in rows}
    assert 60 < behind["tinyfabulist/whole"] < 105 and behind["vignettes/whole"] == 0
    assert manifest["with_brief"] == sum(behind.values()) / sum(len(bucket) for bucket in rows.values())
    return config


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).named_parameters())


# Tokenizer


def test_french_letters_and_typographic_marks_are_one_token_each_also_after_a_space(
    prepared: PretrainConfig,
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(prepared.data) / "tokenizer")
    assert len(tokenizer) == prepared.vocabulary
    for mark in SINGLE:
        assert len(tokenizer(mark)["input_ids"]) == 1, mark
        assert len(tokenizer(" " + mark)["input_ids"]) == 1, mark


def test_every_text_survives_the_round_trip(prepared: PretrainConfig) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(prepared.data) / "tokenizer")
    texts = [f.read_text("utf-8") for f in sorted((ROOT / "data/seeds").glob("*.txt"))]
    for text in [
        *texts,
        "“Où ça ?” — dit-il…\n\n\tÀ l’été 日本 \U0001f600 \x00 œuvre  double",
        " .",
        "\n",
        "a" * 300,
    ]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


# Token files


def test_documents_have_their_end_and_a_brief_carries_no_loss(
    tmp_path: Path, prepared: PretrainConfig
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(prepared.data) / "tokenizer")
    header = "name: Ines\n---\n"
    made = [
        Piece("a/whole", header, "The fox asked.", True, True),
        Piece("a/whole", "", "The crow.", False, False),
        Piece("a/whole", "", "The stone.", True, True),
    ]
    sizes = write_buckets(tmp_path, made, tokenizer)
    bucket = read_buckets(tmp_path)["a/whole"]
    rows = [bucket.row(i, 99) for i in range(3)]
    assert [tokenizer.decode(ids) for ids, _ in rows] == [
        f"{END}{header}The fox asked.{END}",
        "The crow.",
        f"{END}The stone.{END}",
    ]
    assert tokenizer.decode(rows[0][0][rows[0][1] :]) == f"The fox asked.{END}"
    assert [first for _, first in rows[1:]] == [1, 1]
    ((ids, labels),) = batches(rows, 1000, 0)
    assert ids.shape == labels.shape
    assert int((labels != IGNORE).sum()) == sizes["a/whole"]["labels"]
    assert set(labels[labels != IGNORE].tolist()) <= set(ids.flatten().tolist())
    assert (labels == 0).sum() == 2  # the ends, and no opening and no padding


def test_batches_keep_to_their_size_and_lose_no_row(prepared: PretrainConfig) -> None:
    stream = Stream(read_buckets(Path(prepared.data) / "train"), 96, 0, {})
    rows = stream.draw({"tinyfabulist/whole": 1.0}, 5000, 0)
    found = list(batches(rows, 400, 0))
    assert sum(len(ids) for ids, _ in found) == len(rows)
    assert all(ids.numel() <= 400 for ids, _ in found)


def test_a_bucket_is_gone_through_whole_before_anything_comes_again(prepared: PretrainConfig) -> None:
    buckets = read_buckets(Path(prepared.data) / "train")
    stream = Stream(buckets, 96, 0, {})
    name, n = "tinyfabulist/whole", len(buckets["tinyfabulist/whole"])
    seen: list[bytes] = []
    update = 0
    while len(seen) < 2 * n:
        seen += [ids.tobytes() for ids, _ in stream.draw({name: 1.0}, 600, update)]
        update += 1
    assert sorted(seen[:n]) == sorted(seen[n : 2 * n]) and seen[:n] != seen[n : 2 * n]
    assert len(set(seen[:n])) == n


def test_shares_of_the_mix_are_of_tokens(prepared: PretrainConfig) -> None:
    buckets = read_buckets(Path(prepared.data) / "train")
    short = replace(
        buckets["vignettes/whole"], starts=np.arange(20 * 30 + 1, step=30), first=np.ones(20, np.int32)
    )
    stream = Stream({"long": buckets["tinyfabulist/whole"], "short": short}, 96, 0, {})
    rows = [row for update in range(60) for row in stream.draw({"long": 0.5, "short": 0.5}, 600, update)]
    tokens = sum(len(ids) for ids, _ in rows)
    assert sum(len(ids) for ids, _ in rows if len(ids) == 30) / tokens == pytest.approx(0.5, abs=0.06)


# The loop


def test_rates_rise_hold_and_fall() -> None:
    config = PretrainConfig(tokens=1, mix={"a": 1.0}, warmup=0.1, hold=0.5, final=0.04)
    assert [schedule(p, config) for p in (0.05, 0.1, 0.49)] == [0.5, 1.0, 1.0]
    assert schedule(0.75, config) == pytest.approx(0.52)
    assert schedule(1.0, config) == pytest.approx(0.04)


def test_it_learns_and_leaves_a_model_that_plain_transformers_load(
    prepared: PretrainConfig, tmp_path: Path
) -> None:
    model = pretrain(replace(prepared, tokens=30_000), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "base/log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < losses[0] - 0.5
    assert log[-1]["held_out"]["tinyfabulist/whole"] < np.log(420) - 0.5
    assert log[-1]["progress"] == 1
    loaded, info = AutoModelForCausalLM.from_pretrained(model, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert loaded.dtype == torch.bfloat16
    assert not list(tmp_path.rglob("*.pt")) and not list(tmp_path.rglob("*.bin"))
    writer = pipeline("text-generation", model=str(model))
    assert writer("The old fox", max_new_tokens=5)[0]["generated_text"].startswith("The old fox")


def test_stopped_and_gone_on_it_ends_with_the_same_weights(prepared: PretrainConfig, tmp_path: Path) -> None:
    whole = weights(pretrain(prepared, tmp_path / "a"))
    while (folder := pretrain(prepared, tmp_path / "b", updates=4)).name != "model":
        pass
    parts = weights(folder)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_training_cools_down_beside_itself_and_goes_on_as_if_it_had_not(
    prepared: PretrainConfig, tmp_path: Path
) -> None:
    long = replace(prepared, tokens=12_000)
    whole = weights(pretrain(long, tmp_path / "a"))
    runs = tmp_path / "b"
    pretrain(long, runs, updates=6)
    started = json.loads((runs / "base/checkpoint/state.json").read_text())
    cool = replace(
        prepared,
        name="cool",
        start="base",
        tokens=3_000,
        warmup=0.0,
        hold=0.0,
        last=0.0,
        mix=prepared.mix_last,
    )
    model = pretrain(cool, runs)
    about = yaml.safe_load((model / "pretrain.yaml").read_text())
    state = json.loads((runs / "cool/checkpoint/state.json").read_text())
    assert about["trained_tokens"] == started["tokens"] + state["tokens"]
    assert state["update"] > started["update"] and state["tokens"] >= 3_000
    rates = [json.loads(line).get("rate") for line in (runs / "cool/log.jsonl").read_text().splitlines()]
    assert all(rate < 1 for rate in rates if rate is not None)
    # It has not begun anew: its documents are those that come next.
    assert sum(state["drawn"].values()) > sum(started["drawn"].values())
    parts = weights(pretrain(long, runs))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    # What ended from an older state than there is now is not handed out as if it were new.
    with pytest.raises(ValueError, match="ended from update 6 of base, which is at"):
        pretrain(cool, runs)
    # Stopped in the middle, it ends the same.
    first = weights(model)
    again = tmp_path / "c"
    pretrain(long, again, updates=6)
    while (folder := pretrain(cool, again, updates=2)).name != "model":
        pass
    assert all(torch.equal(first[name], parameter) for name, parameter in weights(folder).items())


def test_the_mean_of_trainings_is_that_of_their_averaged_weights(
    prepared: PretrainConfig, tmp_path: Path
) -> None:
    ended = pretrain(replace(prepared, name="ended", tokens=3_000), tmp_path)
    open_ended = pretrain(replace(prepared, name="open", seed=1), tmp_path, updates=3)
    out = tmp_path / "mean" / "model"
    assert average([open_ended, ended.parent], out) == out
    parts = [load_file(f / "checkpoint/tensors.safetensors") for f in (ended.parent, open_ended)]
    for name, parameter in weights(out).items():
        mean = (parts[0][f"average.{name}"] + parts[1][f"average.{name}"]) / 2
        assert torch.equal(parameter, mean.to(torch.bfloat16).float()), name
    assert {f.name for f in out.iterdir()} == {f.name for f in ended.iterdir()} - {"pretrain.yaml"}
    mixed = weights(average([ended.parent], tmp_path / "mixed", keep=0.25, base=str(out)))
    own, began = parts[0], weights(out)
    for name, parameter in mixed.items():
        expected = 0.75 * own[f"average.{name}"] + 0.25 * began[name]
        assert torch.allclose(parameter, expected, rtol=2**-8, atol=1e-6), name
    assert pipeline("text-generation", model=str(out))("The", max_new_tokens=2)
    damaged = tmp_path / "damaged"
    (damaged / "checkpoint").mkdir(parents=True)
    whole = (open_ended / "checkpoint/tensors.safetensors").read_bytes()
    (damaged / "checkpoint/tensors.safetensors").write_bytes(whole[: len(whole) // 2])
    other = pretrain(replace(prepared, name="deep", layers=3, tokens=1_000), tmp_path)
    for trainings, said in (
        ([ended.parent], "two trainings or more, each once, found .*ended"),
        ([ended.parent, open_ended, ended.parent], "each once"),
        ([ended.parent, tmp_path / "none"], "no checkpoint in .*none"),
        ([open_ended, damaged], "none of .* has come to its end"),
        ([ended.parent, damaged], "damaged.*is damaged .*: leave that training out"),
        ([ended.parent, other.parent], "deep has another shape than .*ended"),
    ):
        with pytest.raises(ValueError, match=said):
            average(trainings, tmp_path / "no")
    wrong: list[tuple[float, str | None, str]] = [
        (1.0, "embedded", "below 1, found 1.0"),
        (0.5, "embedded", "embedded has another shape"),
        (0.5, None, "give --keep and --base"),
        (0.0, "embedded", "give --keep and --base"),
    ]
    for keep, base, said in wrong:
        with pytest.raises(ValueError, match=said):
            average([ended.parent, open_ended], tmp_path / "no", keep=keep, base=base)
    with pytest.raises(ValueError, match="exists already"):
        average([open_ended, ended.parent], out)
    assert not (tmp_path / "no").exists() and not list(tmp_path.rglob("*.partial"))


def test_ctrl_c_lets_the_update_be_finished_and_saved(
    prepared: PretrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(pretrain(prepared, tmp_path / "a"))
    real = loop.schedule

    def asked(progress: float, config: PretrainConfig) -> float:
        if 0.4 < progress < 0.5:
            signal.raise_signal(signal.SIGINT)
        return real(progress, config)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "schedule", asked)
        pretrain(prepared, tmp_path / "b")
    state = json.loads((tmp_path / "b/base/checkpoint/state.json").read_text())
    assert 0.4 < state["tokens"] / (prepared.tokens or 1) < 0.6
    parts = weights(pretrain(prepared, tmp_path / "b"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_start_that_is_not_there_or_of_another_shape_is_refused(
    prepared: PretrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="start: base has no checkpoint"):
        pretrain(replace(prepared, name="cool", start="base"), tmp_path)
    pretrain(prepared, tmp_path, updates=1)
    with pytest.raises(ValueError, match="was made with another layers"):
        pretrain(replace(prepared, name="cool", start="base", layers=3), tmp_path)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(prepared: PretrainConfig, tmp_path: Path) -> None:
    config = replace(
        prepared, save_minutes=0.0
    )  # a checkpoint after each update, so that kills fall into writing
    whole = weights(pretrain(config, tmp_path / "a"))
    script = "import sys, json; from pathlib import Path; from training.pretrain.config import PretrainConfig as C\n"
    script += "from training.pretrain.loop import pretrain; pretrain(C(**json.loads(sys.argv[1])), Path(sys.argv[2]))"
    command = [sys.executable, "-c", script, json.dumps(config.to_dict()), str(tmp_path / "b")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log, rng = tmp_path / "b/base/log.jsonl", random.Random(0)
    for _ in range(3):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it says where it starts: the model is built, the updates begin
            time.sleep(rng.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert log.exists()
    parts = weights(tmp_path / "b/base/model")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_checkpoint_of_other_settings_is_refused_by_their_names(
    prepared: PretrainConfig, tmp_path: Path
) -> None:
    pretrain(prepared, tmp_path, updates=1)
    with pytest.raises(ValueError, match="was made with another lr_matrix, weight_decay"):
        pretrain(replace(prepared, lr_matrix=1e-4, weight_decay=0.0), tmp_path, updates=1)


def test_weights_of_a_model_of_the_shape_are_taken_over_by_token(
    prepared: PretrainConfig, tmp_path: Path
) -> None:
    from training.pretrain.loop import _initial

    model = pretrain(prepared, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(model)
    again = _initial(replace(prepared, init=str(model)), tokenizer)
    trained = weights(model)
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, trained[name]), name
    with pytest.raises(ValueError, match="another shape"):
        _initial(replace(prepared, init=str(model), layers=3), tokenizer)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tokens": 5, "minutes": 1.0}, "tokens, minutes: give one of the two, found 5 and 1.0"),
        ({}, "tokens, minutes: give one of the two"),
        ({"tokens": 5, "mix": {}}, "mix: must be shares above 0"),
        ({"tokens": 5, "mix": {"a": -0.1}}, "mix: must be shares above 0"),
        ({"tokens": 5, "mix": ["a"]}, "mix: must be 'str: float' lines, found"),
        ({"tokens": 5, "mix_last": {"a": "much"}}, "mix_last: must be 'str: float' lines"),
        ({"tokens": 5, "hold": 1.5}, "hold: must be from 0 to 1, found 1.5"),
        ({"tokens": 5, "warmup": 0.5}, "warmup: must not be above hold"),
        ({"tokens": 5, "tokenz": 1}, "tokenz: unknown key; did you mean tokens"),
        ({"tokens": "many"}, "tokens: must be int or null, found 'many'"),
        ({"tokens": 5, "layers": 0}, "layers: must be at least 1, found 0"),
        ({"tokens": 5, "compile": 1}, "compile: must be bool, found 1"),
        ({"tokens": 5, "lr_matrix": -1}, "lr_matrix: must be above 0 and below 1, found -1"),
        ({"tokens": 5, "name": "../out"}, "name: must be letters"),
        ({"tokens": 5, "start": "../out"}, "start: must be null, or letters"),
        ({"tokens": 5, "start": "a", "init": "embedded"}, "init, start: give one of the two"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps({"mix": {"a": 1.0}, **values}))
    with pytest.raises(ValueError, match=said):
        load_pretrain_config(file)


def test_the_presets_are_valid_and_their_shares_add_up() -> None:
    for file in sorted((ROOT / "configs").glob("base-*.yaml")):
        config = load_pretrain_config(file)
        assert sum(config.mix.values()) == pytest.approx(1), file
        last = config.mix_last or config.mix
        assert sum(last.values()) == pytest.approx(1), file
        assert last["vignettes/whole"] <= 0.2


# What it is judged by


def test_longest_shared_is_what_brute_force_finds() -> None:
    rng = random.Random(1)
    corpus = [" ".join(rng.choices("abcd", k=120)) for _ in range(4)]
    queries = [" ".join(rng.choices("abcd", k=40)) for _ in range(6)] + ["x y z"]

    def brute(query: str) -> int:
        words = query.split()
        runs = (
            j - i for i in range(len(words)) for j in range(i + 5, len(words) + 1)
            if any(f" {' '.join(words[i:j])} " in f" {text} " for text in corpus)
        )  # fmt: skip
        return max(runs, default=0)

    assert longest_shared(queries, corpus) == [brute(query) for query in queries]


def test_spans_are_counted_for_the_stories_and_for_each_source(tmp_path: Path) -> None:
    taught = "the crow asked the fox for bread and the fox gave her a stone to eat"
    held_out = {"fables": [f"One day {taught}.", "Nobody shares this one at all."], "letters": ["Dear all"]}
    figures = evaluate("embedded", held_out, [Brief(name="Ines")] * 2, [taught], tmp_path)
    spans = figures["longest_shared_span"]
    assert set(spans) == {"stories", "held out, fables", "held out, letters"}
    assert spans["held out, fables"]["most"] == len(taught.split())
    assert spans["held out, letters"]["most"] == 0 and spans["stories"]["most"] < len(taught.split())
    assert "held out, fables: {'median'" in show("x", figures)
    without = evaluate("embedded", held_out, [Brief(name="Ines")], [], tmp_path)
    assert "longest_shared_span" not in without and "span" not in show("x", without)


def test_the_protagonist_of_an_unseen_vignette_is_found_by_full_name() -> None:
    found = detection(unseen([ROOT / "tests/vignettes", ROOT / "data/contrast"]))
    assert found["name"]["n"] > 180
    assert found["name"]["right"] >= 0.95
    assert found["occupation"]["right"] > 0.1  # what is shown, or written in other words, counts as wrong


def test_what_obeys_a_brief_is_told_by_its_words() -> None:
    from data.brief import Brief
    from inference.sample import Sample

    brief = Brief(name="Ines Moreau", length=40)
    good = "Then Ines Moreau came. She saw that Ines was there and so was the dog. " * 3
    bad = "Then Marta came. She said that Marta and Ines were late. " * 4
    assert obeyed(Sample(good, brief, 0, 0, True, 9)) == {
        "ended": True,
        "name": True,
        "constant": True,
        "length": True,
    }
    assert obeyed(Sample(bad + bad, brief, 0, 0, False, 9)) == {
        "ended": False,
        "name": False,
        "constant": False,
        "length": False,
    }


@pytest.mark.parametrize("length", [1, 127, 128, 300])
def test_blocked_attention_is_causal_attention_forward_and_back(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    q, k, v, grad = (torch.randn(2, 3, length, 16, generator=generator).bfloat16() for _ in range(4))
    exact = [x.double().requires_grad_() for x in (q, k, v)]
    blocked = [x.clone().requires_grad_() for x in (q, k, v)]
    wanted = functional.scaled_dot_product_attention(*exact, is_causal=True)
    found = blocked_attention(None, *blocked)[0].transpose(1, 2)
    wanted.backward(grad.double())
    found.backward(grad)
    for a, b in zip([wanted, *(x.grad for x in exact)], [found, *(x.grad for x in blocked)], strict=True):
        torch.testing.assert_close(b.double(), a, atol=0.05, rtol=0.05)
