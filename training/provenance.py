"""What went into a run: texts, base, versions, machine. And the fingerprint that tells whether anything changed.

Names no user and no host, and no absolute path but that of a base folder the user named so. Does not read the run itself.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from data.bases import Base
from data.originals import Original
from training.config import TrainConfig

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "peft", "tokenizers", "numpy")

_ROOT = Path(__file__).parents[1]
_NOT_INPUTS = {"output_dir", "keep_folds", "checkpoint_seconds"}
"""Settings that change where things lie and not what they are."""


def fingerprint(config: TrainConfig, originals: Sequence[Original], base: Base) -> str:
    """Hex digest of everything that decides the weights and samples of a run, our own code included."""
    settings = {key: value for key, value in config.to_dict().items() if key not in _NOT_INPUTS}
    inputs = {
        "settings": settings,
        "originals": [[o.name, o.sha256, o.brief and o.brief.to_dict()] for o in originals],
        "base": base.sha256(),
        "tokenizer": _digest(base.path, sorted(base.path.glob("tokenizer*"))),
        "versions": versions(),
        "code": _code_digest(),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def peak_gib() -> dict[str, float]:
    """The most memory that this process has had so far, in GiB: "process", and "gpu" where torch has used one."""
    import torch

    found = {}
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
        found["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.max_memory_allocated() / 2**30
    return {name: round(gib, 2) for name, gib in found.items()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def describe(
    config: TrainConfig, originals: Sequence[Original], base: Base, device: str, dtype: str
) -> dict[str, Any]:
    """The content of provenance.json, but for the seconds, which are known at the end."""
    return {
        "fingerprint": fingerprint(config, originals, base),
        "originals": [
            {
                "name": original.name,
                "sha256": original.sha256,
                "words": original.words,
                "source": original.source or "not stated",
                "licence": original.licence or "not stated",
            }
            for original in originals
        ],
        "base": {"id": base.id, "revision": base.revision, "sha256": base.sha256()},
        "seed": config.seed,
        "versions": versions(),
        "git_commit": git_commit(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "device": device,
            "dtype": dtype,
        },
    }


def git_commit() -> str | None:
    """The commit of our own checkout, with "+changes" when files differ from it; None outside of a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "+changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _code_digest() -> str:
    """One digest of our own source, word lists, contrast texts and learned style: a newer version of the program is a changed input too.

    Not of how the base is made: the base has a hash of its own.
    """
    patterns = (
        "data/**/*.py",
        "data/lists/*.txt",
        "data/contrast/*.txt",
        "data/stories/*.xz",
        "inference/**/*.py",
        "inference/**/*.j2",
        "inference/style/*.json",
        "inference/style/*.safetensors",
        "training/*.py",
    )
    return _digest(_ROOT, [file for pattern in patterns for file in sorted(_ROOT.glob(pattern))])


def _digest(root: Path, files: Sequence[Path]) -> str:
    """Over names below ``root`` and bytes."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
