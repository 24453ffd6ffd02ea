"""Loading: each kind of source, once, from whole safetensors only, with plain transformers too."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.bases import Base, resolve
from inference.__main__ import main as inference_main
from inference.checkpoints import SMALL_FILES, best_dtype, load, load_weights, sampling_dtype
from inference.likelihood import perplexity
from inference.runs import OLD_BASE_SHA256, Run
from inference.sampling import generate
from tests.small import byte_tokenizer
from training import load_config, train


@pytest.fixture
def saved_tiny(tmp_path: Path) -> Path:
    """A folder with the tiny base's weights."""
    folder = tmp_path / "saved"
    load_weights(resolve("tiny")).save_pretrained(folder)
    resolve("tiny").tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["stories", "embedded"])
def test_the_base_loads_in_evaluation_with_its_context_and_tokenizer(name: str) -> None:
    found = load(name, device="cpu")
    assert (found.id, found.context, found.run) == ("stories", 1024, None)
    assert not found.model.training
    assert found.model.dtype == torch.float32  # a small model on a CPU
    assert found.device.type == "cpu"
    assert len(found.tokenizer) == found.model.config.vocab_size


def test_a_large_model_is_sampled_in_what_the_hardware_multiplies_best(tmp_path: Path) -> None:
    for name, size, expected in (
        ("small", SMALL_FILES - 1, torch.float32),
        ("large", SMALL_FILES, best_dtype("cpu")),
    ):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as file:
            file.truncate(size)
        assert sampling_dtype(Base(name, tmp_path / name), "cpu") == expected


def test_plain_transformers_load_the_base_whole() -> None:
    folder = resolve("stories").path
    model, found = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.eos_token_id == model.config.eos_token_id == model.generation_config.eos_token_id
    ours = load("stories", dtype="float32", device="cpu").model
    ids = tokenizer("Once upon a time", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert torch.allclose(model.float()(ids).logits, ours(ids).logits, atol=1e-4)


@pytest.mark.slow
def test_the_real_base_is_whole_and_ends_its_texts_with_one_token(real_base: Path) -> None:
    model, found = AutoModelForCausalLM.from_pretrained(real_base, output_loading_info=True)
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert 134e6 < sum(p.numel() for p in model.parameters()) < 135e6
    ours = load("stories", dtype="bfloat16", device="cpu")
    assert (ours.id, ours.context) == ("stories", 8192)
    assert len(ours.tokenizer) == ours.model.config.vocab_size
    ends = {ours.tokenizer.bos_token_id, ours.tokenizer.eos_token_id, ours.tokenizer.pad_token_id}
    config = ours.model.config
    assert ends == {config.eos_token_id, config.bos_token_id, ours.model.generation_config.eos_token_id}
    assert ours.tokenizer.decode(ends.pop()) == "<|endoftext|>"
    for name, weight in model.state_dict().items():
        assert weight.isfinite().all(), name


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


def test_a_run_made_on_the_old_base_still_writes_and_says_what_it_can_not(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "old"))
    provenance = json.loads((copy / "provenance.json").read_text("utf-8"))
    provenance["base"] |= {"id": "embedded", "sha256": OLD_BASE_SHA256, "revision": None}
    (copy / "provenance.json").write_text(json.dumps(provenance), "utf-8")
    config = yaml.safe_load((copy / "config.yaml").read_text("utf-8")) | {"base": "embedded"}
    (copy / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    assert generate(copy, n=1, seed=1, max_new_tokens=8) == generate(tiny_run, n=1, seed=1, max_new_tokens=8)
    assert perplexity(["It rained."], copy) == perplexity(["It rained."], tiny_run)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert inference_main(["generate", str(copy), "--seed", "1", "--max-new-tokens", "8"]) == 0
    capsys.readouterr()
    said = (
        f"{copy} was trained on a base of 12 million weights that is no longer part of this project. Its own model "
        f"still writes, one draw a text: python -m inference generate {copy}. For samples of the base or a report "
        "train the run again with --overwrite, "
        "which takes the base stories."
    )
    with pytest.raises(ValueError) as caught:
        _ = Run.open(copy).base
    assert str(caught.value) == said
    with pytest.raises(ValueError, match="12 million weights"):
        generate(copy, best_of=2)  # the base would have to tell what is broken
    for arguments in (["report", str(copy)], ["report", str(copy), "--redraw"]):
        assert inference_main(arguments) == 2
        assert capsys.readouterr().err == f"error: {said}\n"
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    anew = {"output_dir": str(tmp_path), "name": "new", "hold_out": False, "steps": 1}
    again = train(load_config(copy / "config.yaml", anew))
    assert Run.open(again).base.id == "stories"


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
    with pytest.raises(ValueError, match="Use base: stories"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="not a model folder"):
        load(tmp_path)


def test_an_unfinished_run_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match=r"not a finished run: config\.yaml, folds\.json, .* missing"):
        load(tmp_path)
