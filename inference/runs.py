"""Reads a run directory: the only contract between training and inference.

Gives the originals, settings, provenance and held-out figures that training wrote, and the samples drawn since. Does
not train, and does not know the class of a training config: settings are read as plain values.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from data.bases import Base, resolve
from data.originals import Original, load_originals

NEEDED = ("config.yaml", "provenance.json", "folds.json", "originals.jsonl", "model/config.json")
"""What training leaves in a run; without one of them it is not one."""


@dataclass(frozen=True)
class Run:
    """A trained run. Files are read when first asked for."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The run at ``path``; ValueError that names what is missing when training did not finish there."""
        path = Path(path)
        missing = [name for name in NEEDED if not (path / name).exists()]
        if missing:
            raise ValueError(
                f"{path} is not a finished run: {', '.join(missing)} missing. "
                "Train it with: python -m training run CONFIG"
            )
        return cls(path)

    @property
    def name(self) -> str:
        """The run's name, as its configuration states it."""
        return str(self.config["name"])

    @property
    def model_folder(self) -> Path:
        """The refit on all originals."""
        return self.path / "model"

    def fold_folder(self, index: int) -> Path:
        """Weights of one fold's model; there only until the cross-fitted samples are drawn, unless kept."""
        return self.path / "folds" / str(index)

    @property
    def control_folder(self) -> Path:
        """Weights of the control; there only until its samples are drawn, unless kept."""
        return self.path / "control"

    @cached_property
    def config(self) -> dict[str, Any]:
        """Every setting of the training, defaults included."""
        return dict(yaml.safe_load((self.path / "config.yaml").read_text("utf-8")))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What went in: originals, base, versions, seconds."""
        return dict(json.loads((self.path / "provenance.json").read_text("utf-8")))

    @cached_property
    def held_out(self) -> dict[str, Any]:
        """The curves of every fold and the steps they chose (folds.json)."""
        return dict(json.loads((self.path / "folds.json").read_text("utf-8")))

    @cached_property
    def originals(self) -> list[Original]:
        """The originals as they were trained."""
        return load_originals(self.path / "originals.jsonl")

    @cached_property
    def base(self) -> Base:
        """The untuned base, found again by its id and revision; ValueError if it changed or is gone."""
        stated = self.provenance["base"]
        base = resolve(stated["id"], stated["revision"])
        if base.sha256() != stated["sha256"]:
            raise ValueError(
                f"the base {stated['id']} is not the one this run was trained on: expected sha256 "
                f"{stated['sha256'][:12]}, found {base.sha256()[:12]}. Train again with --overwrite."
            )
        return base

    @property
    def base_source(self) -> str | Path:
        """What `load` takes to give the base again, without asking a hub a second time."""
        return self.base.id if self.base.untrained else self.base.path

    def samples(self) -> list[dict[str, Any]]:
        """The rows of samples.jsonl; none before any were drawn."""
        path = self.path / "samples.jsonl"
        if not path.exists():
            return []
        # Not splitlines(): it also cuts at U+2028 and the like, which JSON leaves as they are within a text.
        return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def is_run(path: str | Path) -> bool:
    """Whether ``path`` looks like a run directory, finished or not."""
    return (Path(path) / "provenance.json").exists() or (Path(path) / "config.yaml").exists()
