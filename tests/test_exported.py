"""The ONNX backend draws what transformers draws; where it is not installed, or can't run a model, it says so."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

import inference.checkpoints
import inference.exported
from data.brief import Brief
from data.dataset import encode
from data.originals import load_originals
from inference import generate, load, stream
from inference.__main__ import main
from inference.checkpoints import Checkpoint
from inference.decoding import Decoding
from inference.exported import NEEDED, continuations, exported
from tests.small import SEEDS

BRIEFS = [
    Brief(name="Nadia Benali", occupation="piano tuner", keywords=("rain", "key"), length=380),
    Brief(keywords=tuple(f"thing {i}" for i in range(30))),  # a prompt of another width
    Brief(name="Ida"),
    Brief(place="a harbour café", meets="an old clarinettist"),
    Brief(name="Ida Voss", length=300),
    Brief(),
]


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return load("stories", dtype="float32", device="cpu")


@pytest.fixture
def installed() -> None:
    for name in NEEDED:
        pytest.importorskip(name)


def test_what_is_not_installed_is_named_before_anything_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inference.exported, "NEEDED", ("torch", "a_module_that_nobody_has"))
    with pytest.raises(ValueError, match=r"needs a_module_that_nobody_has, not installed here: make onnx"):
        generate("tiny", backend="onnx")
    with pytest.raises(ValueError, match="make onnx"):
        next(stream("tiny", backend="onnx"))
    assert main(["generate", "tiny", "--backend", "onnx"]) == 2
    assert "make onnx" in capsys.readouterr().err


def test_it_runs_on_the_processor_whatever_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference.checkpoints, "best_device", lambda: "meta")
    monkeypatch.setattr(inference.exported, "installed", lambda: None)
    devices = []

    def refuse(checkpoint: Checkpoint) -> None:
        devices.append(checkpoint.device.type)
        raise ValueError("far enough")

    monkeypatch.setattr(inference.exported, "exported", refuse)
    with pytest.raises(ValueError, match="far enough"):
        generate("tiny", backend="onnx")
    assert devices == ["cpu"]


def test_a_model_that_keeps_only_a_window_is_refused(base: Checkpoint, monkeypatch) -> None:
    monkeypatch.setattr(inference.exported, "NEEDED", ())
    config = MistralConfig(
        num_hidden_layers=1, hidden_size=32, intermediate_size=32, num_attention_heads=1, num_key_value_heads=1,
        vocab_size=len(base.tokenizer), sliding_window=16, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    windowed = Checkpoint(MistralForCausalLM(config).eval(), base.tokenizer, "a Mistral", 1024)
    with pytest.raises(ValueError, match="keeps something else than all keys and values"):
        generate(windowed, backend="onnx")


def test_what_it_does_not_do_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown backend 'tpu': choose torch or onnx"):
        generate("tiny", backend="tpu")
    with pytest.raises(ValueError, match="draws in float32, found dtype 'bfloat16'"):
        generate("tiny", backend="onnx", dtype="bfloat16")


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_scores_are_the_models_own_for_rows_of_any_length(base: Checkpoint) -> None:
    """Prompts of three lengths, then steps of one token, then fewer rows."""
    texts = [[0, *encode(o.text, base.tokenizer)] for o in load_originals(SEEDS)]
    starts, width = [20, 64, 3, 41], 64
    steps = exported(base).begin(4, 100)
    ids = np.array([text[:n] + [0] * (width - n) for text, n in zip(texts, starts, strict=True)])

    def expected(row: int, length: int) -> torch.Tensor:
        with torch.inference_mode():
            return base.model(torch.tensor([texts[row][:length]])).logits[0, -1]

    found = steps(ids, np.array(starts))
    for row in range(4):
        torch.testing.assert_close(found[row], expected(row, starts[row]), atol=1e-3, rtol=1e-4)
    rows = [0, 1, 2, 3]
    for step in range(1, 7):
        if step == 4:
            steps.keep([2, 0])
            rows = [2, 0]
        new = np.array([[texts[row][starts[row] + step - 1]] for row in rows])
        found = steps(new, np.ones(len(rows), np.int64))
        for place, row in enumerate(rows):
            torch.testing.assert_close(found[place], expected(row, starts[row] + step), atol=1e-3, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_the_text_is_that_of_torch_at_any_number_and_in_any_company(base: Checkpoint) -> None:
    originals = load_originals(SEEDS)
    settings = {"seed": 3, "max_new_tokens": 60, "originals": originals, "plan": "none"}
    whole = generate(base, brief=BRIEFS, batch_size=8, backend="onnx", **settings)
    for size in (1, 4):
        assert generate(base, brief=BRIEFS, batch_size=size, backend="onnx", **settings) == whole
    # Equal but for a close call between two words, of which 360 tokens should have none or one.
    plain = generate(base, brief=BRIEFS, batch_size=8, **settings)
    assert sum(mine == theirs for mine, theirs in zip(whole, plain, strict=True)) >= len(BRIEFS) - 1
    pieces = list(stream(base, BRIEFS[0], backend="onnx", **settings))
    assert len(pieces) > 5 and "".join(pieces).rstrip() == whole[0].text


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_row_is_the_same_when_those_beside_it_have_left(base: Checkpoint) -> None:
    """A comma is made the end, so that rows end soon and at many different times."""
    comma = encode(",", base.tokenizer)[0]
    prompts = [[0, *encode(Brief(name=f"Ida Voss {i}").header(), base.tokenizer)] for i in range(16)]
    decoding = Decoding(temperature=1.0, top_p=1.0, min_p=0.0)

    def drawn(some: list[int]) -> list[list[int]]:
        processors = [*decoding.warpers(), *decoding.noise(3, some)]
        rows = continuations(base, [prompts[i] for i in some], 64, 40, comma, processors)
        return [row[: row.index(comma) + 1] if comma in row else row for row in rows]

    together = drawn(list(range(16)))
    assert len({len(row) for row in together}) > 5
    assert together == [drawn([i])[0] for i in range(16)]


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_weights_that_have_changed_are_exported_anew() -> None:
    model = load("tiny", dtype="float32", device="cpu")
    first = exported(model)
    assert exported(model) is first
    weight = model.model.get_input_embeddings().weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.neg_()
        assert exported(model) is not first
    finally:
        with torch.no_grad():
            weight.copy_(before)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_an_architecture_that_the_builder_does_not_know_is_refused(base: Checkpoint) -> None:
    config = GPT2Config(
        n_layer=1, n_embd=32, n_head=2, vocab_size=len(base.tokenizer), bos_token_id=0, eos_token_id=0
    )
    gpt2 = Checkpoint(GPT2LMHeadModel(config).eval(), base.tokenizer, "a GPT-2", 1024)
    with pytest.raises(ValueError, match=r"can't run a GPT-2 \(GPT2LMHeadModel\): .*Leave the backend"):
        generate(gpt2, backend="onnx")


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_a_file_that_can_not_be_loaded_ends_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The builder is made to leave half of a file."""

    def build(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("-o") + 1])
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"half of a")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(inference.exported.subprocess, "run", build)
    monkeypatch.setattr(inference.exported, "_EXPORTED", {})
    with pytest.raises(ValueError, match=r"can't run .*Leave the backend"):
        generate("tiny", backend="onnx")
