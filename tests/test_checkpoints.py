"""Loading: each kind of source, once, from whole safetensors only, with plain transformers too."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import data.bases
from data.bases import EMBEDDED, EMBEDDED_SHA256, resolve
from inference.checkpoints import load, load_weights
from tests.small import byte_tokenizer


@pytest.fixture
def saved_tiny(tmp_path: Path) -> Path:
    """A folder with the tiny base's weights."""
    folder = tmp_path / "saved"
    load_weights(resolve("tiny")).save_pretrained(folder)
    resolve("tiny").tokenizer().save_pretrained(folder)
    return folder


def test_the_embedded_base_loads_in_evaluation_with_its_context_and_tokenizer() -> None:
    found = load("embedded", device="cpu")
    assert (found.id, found.context, found.run) == ("embedded", 1024, None)
    assert not found.model.training
    assert found.model.dtype == torch.float32  # a small model on a CPU
    assert found.device.type == "cpu"
    assert len(found.tokenizer) == found.model.config.vocab_size


def test_plain_transformers_load_the_embedded_base_whole() -> None:
    model, found = AutoModelForCausalLM.from_pretrained(EMBEDDED, output_loading_info=True)
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.eos_token_id == model.config.eos_token_id == model.generation_config.eos_token_id
    ours = load("embedded", dtype="float32", device="cpu").model
    ids = tokenizer("Once upon a time", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert torch.allclose(model.float()(ids).logits, ours(ids).logits, atol=1e-4)


def test_loading_twice_gives_the_same_object() -> None:
    assert load("tiny") is load("tiny")
    assert load("tiny", dtype="float32") is load("tiny", dtype="float32")
    assert load("tiny", dtype="float32").model.dtype == torch.float32
    assert load("tiny", dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_folder_whose_weights_were_replaced_is_loaded_anew(saved_tiny: Path) -> None:
    before = load(saved_tiny, dtype="float32")
    assert load(str(saved_tiny), dtype="float32").model is before.model
    model = load_weights(resolve("tiny"))
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save_pretrained(saved_tiny)
    after = load(saved_tiny, dtype="float32")
    assert after is not before
    assert not torch.equal(next(after.model.parameters()), next(before.model.parameters()))


def test_a_checkpoint_and_a_live_model_are_taken_as_they_are(saved_tiny: Path) -> None:
    checkpoint = load("tiny")
    assert load(checkpoint) is checkpoint
    live = AutoModelForCausalLM.from_pretrained(saved_tiny).train()
    found = load(live)
    assert found.model is live
    assert not live.training
    assert found.tokenizer.eos_token_id == checkpoint.tokenizer.eos_token_id


def test_tiny_is_small_always_the_same_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = load_weights(resolve("tiny")), load_weights(resolve("tiny"))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first is not second
    assert sum(p.numel() for p in first.parameters()) < 600_000


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_damaged_weights_are_a_value_error_that_names_the_folder(saved_tiny: Path, damage: str) -> None:
    file = saved_tiny / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"not weights" * 99, "empty": b""}[damage])
    with pytest.raises(ValueError, match=f"the model in {saved_tiny} can't be loaded"):
        load(saved_tiny)


def test_the_base_that_ships_is_known_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("embedded").sha256() == EMBEDDED_SHA256
    copy = Path(shutil.copytree(EMBEDDED, tmp_path / "base"))
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1  # one bit: nothing but the hash can tell
    (copy / "model.safetensors").write_bytes(weights)
    monkeypatch.setattr(data.bases, "EMBEDDED", copy)
    with pytest.raises(
        ValueError, match=r"is damaged: expected sha256 \w{12}, found \w{12}\. .* git checkout data/base"
    ):
        load("embedded")


def test_a_run_whose_model_was_changed_says_so_and_the_folder_itself_loads(
    tiny_run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    tensors = load_file(copy / "model" / "model.safetensors")
    save_file(
        {k: v + 1 for k, v in tensors.items()},
        copy / "model" / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(
        ValueError, match=r"not those that were trained: expected sha256 .*--overwrite.*name the folder"
    ):
        load(copy)
    assert load(copy / "model").run is None


def test_missing_weights_are_refused_and_not_filled_in_at_random(saved_tiny: Path) -> None:
    weights = load_file(saved_tiny / "model.safetensors")
    gone = "model.layers.1.mlp.up_proj.weight"
    del weights[gone]
    save_file(weights, saved_tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"damaged: 1 weights are missing, such as {gone}"):
        load(saved_tiny)


def test_pickled_weights_are_not_loaded_even_beside_safetensors(saved_tiny: Path) -> None:
    (saved_tiny / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert load(saved_tiny).id == str(saved_tiny)
    (saved_tiny / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="pickled weights are never loaded"):
        load(saved_tiny)


def test_code_in_a_model_folder_is_never_run(saved_tiny: Path, tmp_path: Path) -> None:
    import json

    trace = tmp_path / "it-ran"
    (saved_tiny / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    config = json.loads((saved_tiny / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
    (saved_tiny / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError):
        load(saved_tiny)
    assert not trace.exists()


def test_a_model_that_could_never_end_a_text_is_refused(saved_tiny: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (saved_tiny / name).unlink()
    byte_tokenizer(bos="<bos>", eos=None).save_pretrained(saved_tiny)
    with pytest.raises(ValueError, match="no end-of-text token"):
        load(saved_tiny)


def test_nonsense_and_unknown_settings_are_value_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose auto, float32 or bfloat16"):
        load("tiny", dtype="float16")
    with pytest.raises(ValueError, match="Use base: embedded"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not a model folder"):
        load(tmp_path)


def test_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    shutil.copy(EMBEDDED / "config.json", tmp_path / "provenance.json")
    with pytest.raises(ValueError, match=r"not a finished run: config\.yaml, folds\.json, .* missing"):
        load(tmp_path)
