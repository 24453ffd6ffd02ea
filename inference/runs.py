"""Reads a run directory: the only contract between training and inference.

Gives the originals, settings, provenance and held-out figures that training wrote, and the samples drawn since. Does
not train, and does not know the class of a training config: settings are read as plain values.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from data.bases import Base, resolve
from data.originals import Original, load_originals

NEEDED = ("config.yaml", "provenance.json", "folds.json", "originals.jsonl", "model/config.json")
"""What training leaves in a run; without one of them it is not one."""


OLD_BASE_SHA256 = "71a55d3da24e53f46fe83c367c5716fec1967bb6a6be085f7aa645e45f89f18d"
"""Of the base of 12 million weights that the repository had until November 2026."""

AGAIN = "train the run again with --overwrite"
"""What to do about a damaged one."""


@dataclass(frozen=True)
class Run:
    """A trained run. Files are read when first asked for; ValueError for one that is damaged."""

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
        return self._read("config.yaml", yaml.safe_load, ("name", "seed"))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What went in: originals, base, versions, seconds."""
        return self._read("provenance.json", json.loads, ("originals", "base", "seed", "fingerprint"))

    @cached_property
    def held_out(self) -> dict[str, Any]:
        """The curves of every fold and the steps they chose (folds.json)."""
        return self._read("folds.json", json.loads, ("folds", "chosen_steps"))

    def _read(self, name: str, parse: Callable[[str], Any], keys: Sequence[str]) -> dict[str, Any]:
        try:
            found = parse((self.path / name).read_text("utf-8"))
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(
                f"{self.path / name} is damaged ({' '.join(str(error).split())}): {AGAIN}"
            ) from error
        if not isinstance(found, dict):
            raise ValueError(f"{self.path / name} is damaged (it holds {type(found).__name__}): {AGAIN}")
        if missing := [key for key in keys if key not in found]:
            raise ValueError(f"{self.path / name} is damaged (it has no {', '.join(missing)}): {AGAIN}")
        return found

    @cached_property
    def originals(self) -> list[Original]:
        """The originals as they were trained."""
        return load_originals(self.path / "originals.jsonl")

    @cached_property
    def base(self) -> Base:
        """The untuned base, found again by its id and revision; ValueError if it changed or is gone."""
        stated = self.provenance["base"]
        if stated["sha256"] == OLD_BASE_SHA256:
            raise ValueError(
                f"{self.path} was trained on a base of 12 million weights that is no longer part of this project. Its own model "
                f"still writes, one draw a text: python -m inference generate {self.path}. For samples of the base or a report {AGAIN}, "
                "which takes the base stories."
            )
        base = resolve(stated["id"], stated["revision"])
        if difference := base.mismatch(stated["sha256"]):
            raise ValueError(
                f"the base {stated['id']} is not the one this run was trained on: {difference}. Train again with --overwrite."
            )
        return base

    def check_model(self, model: Base) -> None:
        """ValueError when the files in ``model`` are not those that training left."""
        expected = self.provenance.get("model", {}).get("sha256")
        if expected and (difference := model.mismatch(expected)):
            raise ValueError(
                f"the weights in {model.path} are not those that were trained: {difference}. If the file is damaged, {AGAIN}; "
                "if you changed it, name the folder itself."
            )

    @property
    def base_source(self) -> str | Path:
        """What `load` takes to give the base again, without asking a hub a second time."""
        return self.base.id if self.base.untrained else self.base.path

    def samples(self) -> list[dict[str, Any]]:
        """The rows of samples.jsonl; none before any were drawn."""
        path = self.path / "samples.jsonl"
        if not path.exists():
            return []
        rows = []
        # Not splitlines(): it also cuts at U+2028 and the like, which JSON leaves as they are within a text.
        for number, line in enumerate(path.read_text("utf-8").split("\n"), start=1):
            try:
                rows += [json.loads(line)] if line else []
            except ValueError as error:
                raise ValueError(
                    f"{path} is damaged in line {number} ({error}): draw the samples again with python -m inference report "
                    f"{self.path} --redraw"
                ) from error
        return rows


def is_run(path: str | Path) -> bool:
    """Whether ``path`` looks like a run directory, finished or not."""
    return (Path(path) / "provenance.json").exists() or (Path(path) / "config.yaml").exists()
