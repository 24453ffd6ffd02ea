"""Where a base model's files are: in the user's cache, in a local folder, or fetched once from a package index or a hub.

Gives the folder, its tokenizer, its context and its hash. Does not load weights; `inference.checkpoints` does.
"""

import difflib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.adapted import STORIES_SHA256, adapted_folder
from data.model_cache import file_sha256
from data.packaged import MODEL_FILES, packaged_folder

DEFAULT = "stories"
"""The base of this project, which everything uses that names no other."""

NAMED = (DEFAULT, "embedded", "smollm2", "tiny")
"""Bases that need no folder.

stories: smollm2 taught to tell stories (`data.adapted`). embedded: another name for it, from when the base lay in the repository.
smollm2: SmolLM2-135M, which pip fetches (`data.packaged`). tiny: an untrained model of two layers with the tokenizer of stories, for tests.
"""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")


@dataclass(frozen=True)
class Base:
    """A base model on this disk. ``revision`` is a hub commit or None; ``untrained`` asks for fresh small weights."""

    id: str
    path: Path
    revision: str | None = None
    untrained: bool = False

    def tokenizer(self) -> Any:
        """The tokenizer, padded with its end-of-text token when it has no padding token of its own."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.path, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise ValueError(
                f"the tokenizer in {self.path} is damaged ({type(error).__name__}: {error}): copy or fetch it anew, or use base: "
                f"{DEFAULT}"
            ) from error
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"  # training counts on it: see `training.finetune.collator`
        return tokenizer

    def context(self) -> int:
        """Tokens the model can see at once, as its config states them (1,024 when it states nothing)."""
        config = json.loads((self.path / "config.json").read_text("utf-8"))
        return int(next((config[key] for key in _CONTEXT_KEYS if config.get(key)), 1024))

    @property
    def english(self) -> bool:
        """Whether it is one of ours, which know no other language."""
        return self.id in NAMED

    def weight_bytes(self) -> int:
        """Size of the weight files."""
        return sum(file.stat().st_size for file in self.path.glob("*.safetensors"))

    def sha256(self) -> str:
        """One hex digest over the names and bytes of the weight files; of the config for an untrained base."""
        files = [self.path / "config.json"] if self.untrained else sorted(self.path.glob("*.safetensors"))
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.name.encode() + bytes.fromhex(file_sha256(file)))
        return digest.hexdigest()

    def mismatch(self, expected: str) -> str | None:
        """What `sha256` is instead of ``expected``, in words; None where it is that."""
        found = self.sha256()
        return None if found == expected else f"expected sha256 {expected[:12]}, found {found[:12]}"


def resolve(base: str | Path, revision: str | None = None) -> Base:
    """Find the files of a base. What is on this disk already is not fetched again.

    base: "stories" (also called "embedded"), "smollm2", "tiny", a folder, or a hub id such as "gpt2" or "Qwen/Qwen3-0.6B-Base".
    revision: branch, tag or commit of a hub id. None: its main branch.
    Set-up fetches "stories" and "smollm2"; only without it they use the network, as a hub id does. The files of a hub id go to the
    Hugging Face cache. Raises ValueError when the files can't be had.
    """
    if base in (DEFAULT, "embedded", "tiny"):
        return Base(
            "tiny" if base == "tiny" else DEFAULT,
            adapted_folder(sha256=STORIES_SHA256),
            untrained=base == "tiny",
        )
    if base == "smollm2":
        return Base("smollm2", packaged_folder())
    folder = Path(os.path.expanduser(base))  # Path's own raises for ~nobody
    if folder.is_dir():
        _check_folder(folder)
        return Base(str(base), folder)
    if len(folder.parts) > 1 and folder.parent.is_dir():
        # Somebody's misspelt path, not an organisation's name: the hub is not asked.
        near = difflib.get_close_matches(folder.name, [entry.name for entry in folder.parent.iterdir()], n=1)
        hint = (
            f"Did you mean {folder.parent / near[0]}?"
            if near
            else f"Use base: {DEFAULT} for the one of this project."
        )
        raise ValueError(f"there is no run and no model at {base}. {hint}")
    if not _HUB_ID.fullmatch(str(base)):
        raise ValueError(
            f"no base at {base}: it is no folder and no hub id. Use base: {DEFAULT} for the one of this project."
        )
    return _from_hub(str(base), revision)


def _check_folder(folder: Path) -> None:
    missing = [name for name in ("config.json", "tokenizer_config.json") if not (folder / name).exists()]
    if not any(folder.glob("*.safetensors")):
        missing.append("model.safetensors")
    if missing:
        pickled = " (pickled weights are never loaded)" if any(folder.glob("*.bin")) else ""
        raise ValueError(
            f"{folder} is not a model folder: {', '.join(missing)} missing{pickled}. Use base: {DEFAULT} for the one of this project."
        )


def _from_hub(hub_id: str, revision: str | None) -> Base:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=MODEL_FILES))
    except Exception as error:
        near = difflib.get_close_matches(hub_id, NAMED, n=1)
        hint = f"Did you mean base: {near[0]}? " if near else ""
        wanted = f"{hub_id!r} at revision {revision}" if revision else repr(hub_id)
        raise ValueError(
            f"the base {wanted} can't be had: it is no folder here, and the hub did not give it "
            f"({type(error).__name__}). {hint}Check the id and the network, or use base: {DEFAULT}, which set-up has fetched."
        ) from error
    _check_folder(folder)
    return Base(hub_id, folder, revision=folder.name)
