"""Finding a base: the one of this project under both its names, a folder, a hub id without a network; pickled weights never."""

import json
import re
import shutil
from pathlib import Path

import pytest

from data.bases import DEFAULT, Base, resolve
from data.dataset import encode
from data.memory import available_memory, check_memory
from data.model_cache import RECORD
from tests.small import byte_tokenizer


def model_folder(path: Path, *without: str, **config: object) -> Path:
    """The small files of the base and a stand-in for weights, which nothing here reads."""
    path.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(resolve(DEFAULT).path / name, path)
    (path / "model.safetensors").write_bytes(b"weights")
    if config:
        (path / "config.json").write_text(json.dumps(config))
    for name in without:
        (path / name).unlink()
    return path


def test_the_base_of_this_project_has_two_names_and_one_id() -> None:
    base = resolve("stories")
    assert base == resolve("embedded") == Base("stories", base.path)
    assert base.id == DEFAULT and base.english
    assert base.context() == 1024
    names = {path.name for path in base.path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", RECORD} <= names
    assert {Path(name).suffix for name in names} <= {".json", ".safetensors"}  # no pickle, no code


def test_tiny_has_the_tokenizer_of_the_base_and_fresh_weights() -> None:
    base = resolve("tiny")
    assert base.untrained
    assert encode("café", base.tokenizer()) == encode("café", resolve("stories").tokenizer())
    assert base.sha256() != resolve("stories").sha256()


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    for given in (folder, str(folder)):
        base = resolve(given)
        assert (base.id, base.path, base.revision) == (str(folder), folder, None)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_names_it(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ValueError, match=rf"not a model folder: {missing} missing\. Use base: stories"):
        resolve(model_folder(tmp_path / "mine", missing))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine", "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match="pickled weights are never loaded"):
        resolve(folder)


@pytest.mark.parametrize("nonsense", ["/no/such/folder", "a/b/c", "what is this?", "../nowhere/else"])
def test_nonsense_names_the_way_out_and_asks_no_hub(nonsense: str) -> None:
    with pytest.raises(ValueError, match="Use base: stories"):
        resolve(nonsense)


@pytest.mark.parametrize("revision", [None, "0123abc"])
def test_a_hub_id_without_a_network_is_one_error_that_names_the_own_base(
    no_network: list[str], revision: str | None
) -> None:
    with pytest.raises(
        ValueError, match=r"can't be had.*use base: stories, which set-up has fetched"
    ) as caught:
        resolve("nobody-here/no-such-model", revision)
    assert "'nobody-here/no-such-model'" in str(caught.value)
    assert revision is None or f"at revision {revision}" in str(caught.value)
    no_network.clear()


def test_a_slip_in_a_name_is_met_with_the_name_that_was_meant(no_network: list[str]) -> None:
    with pytest.raises(ValueError, match=r"Did you mean base: embedded\?"):
        resolve("embeded")
    no_network.clear()


def test_a_slip_in_stories_is_met_with_stories(no_network: list[str]) -> None:
    with pytest.raises(ValueError, match=r"Did you mean base: stories\?"):
        resolve("storys")
    no_network.clear()


def test_the_hash_is_of_the_weights_and_follows_them(tmp_path: Path) -> None:
    one, two = model_folder(tmp_path / "one"), model_folder(tmp_path / "two")
    before = resolve(one).sha256()
    assert before == resolve(two).sha256()
    (one / "model.safetensors").write_bytes(b"other weights")
    assert resolve(one).sha256() != before
    (one / "model.safetensors").write_bytes(b"weights")
    (one / "config.json").write_text("{}")  # not a weight file
    assert resolve(one).sha256() == before
    (one / "more.safetensors").write_bytes(b"")
    assert resolve(one).sha256() != before


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"max_position_embeddings": 77}, 77),
        ({"n_positions": 512}, 512),
        ({"n_positions": None, "n_ctx": 9}, 9),
        ({"a": 1}, 1024),
    ],
)
def test_the_context_is_what_the_config_states(
    tmp_path: Path, config: dict[str, object], context: int
) -> None:
    assert resolve(model_folder(tmp_path / "mine", **config)).context() == context


def test_a_tokenizer_that_cannot_be_read_is_a_value_error(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer in .* is damaged"):
        resolve(folder).tokenizer()


def test_padding_is_the_end_of_text_only_where_there_is_none(tmp_path: Path) -> None:
    for name, pad in (("none", None), ("own", "<pad>")):
        byte_tokenizer(pad=pad).save_pretrained(tmp_path / name)
        tokenizer = Base(name, tmp_path / name).tokenizer()
        assert tokenizer.pad_token == (pad or "<eos>")


# Memory


def test_a_base_that_needs_more_memory_than_there_is_is_refused() -> None:
    base = resolve("stories")
    check_memory(base, 1e-3)
    needed = base.weight_bytes() * 2**26  # in float32; more than any machine has
    with pytest.raises(ValueError) as caught:
        check_memory(base, 2**26)
    said = str(caught.value)
    found = re.search(
        r"too little memory for base stories: about ([\d,.]+) GB needed, [\d,.]+ GB available", said
    )
    assert found and float(found[1].replace(",", "")) == pytest.approx(needed / 1e9, rel=1e-3)
    for setting in ("smaller base", "lora_rank", "micro_batch_size: 1", "gradient_checkpointing: true"):
        assert setting in said
    check_memory(resolve("tiny"), 1e6)


def test_damage_is_left_to_whoever_loads_the_weights(tmp_path: Path) -> None:
    check_memory(resolve(model_folder(tmp_path / "mine")), 1e6)


def system(root: Path, files: dict[str, str]) -> Path:
    """A folder with files as Linux shows them."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


MEMINFO = "MemTotal:       9000 kB\nMemFree:        100 kB\nMemAvailable:   5000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 5000 * 1024),
        ({"proc/self/cgroup": "0::/\n"}, 5000 * 1024),  # a group without files
        (
            {
                "proc/self/cgroup": "0::/user/job\n",
                "sys/fs/cgroup/user/memory.max": "3000\n",
                "sys/fs/cgroup/user/memory.current": "2500\n",
                "sys/fs/cgroup/user/memory.stat": "anon 7\ninactive_file 300\n",
                "sys/fs/cgroup/user/job/memory.max": "max\n",
                "sys/fs/cgroup/user/job/memory.current": "10\n",
            },
            800,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/\n4:memory:/somewhere/else\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "4500\n",
            },
            0,
        ),
        ({"proc/meminfo": "nothing of use"}, None),
    ],
)
def test_available_memory_respects_the_limits_of_control_groups(
    tmp_path: Path, files: dict[str, str], expected: int | None
) -> None:
    assert available_memory(system(tmp_path, {"proc/meminfo": MEMINFO, **files})) == expected


def test_this_machine_s_memory_can_be_read() -> None:
    assert (available_memory() or 0) > 2**20
