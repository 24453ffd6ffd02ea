"""What an interrupted run left in its folder, and whether it is whole: curves, finished weights, time spent.

What is damaged is named and made again. Does not tune; `training.job` does.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from transformers import PreTrainedModel

from data import atomic
from data.adapted import ADAPTER_FILES
from data.bases import Base
from inference.checkpoints import load_weights
from training.adapters import with_adapter
from training.choosing import Curve

T = TypeVar("T")

_SECONDS, _WEIGHTS, _CURVE, _INFLUENCE = "seconds", "weights.json", "curve.json", "influence.json"


@dataclass(frozen=True)
class Kept:
    """The state of the run in the folder ``work``; ``say`` is told what is damaged."""

    work: Path
    say: Callable[[str], None]
    _clock: list[float] = field(default_factory=list)  # when the seconds were last written down

    def fold(self, index: int) -> Path:
        """The folder of a fold."""
        return self.work / "folds" / str(index)

    def snapshot(self, index: int, step: int) -> Path:
        """Where a fold's weights after ``step`` updates lie until the steps are chosen."""
        return self.fold(index) / f"step-{step}"

    def checkpoints(self, label: str) -> Path:
        """Where those of one tuning lie until its result is written."""
        return self.work / "checkpoints" / label

    def clear(self, label: str) -> None:
        """Remove the checkpoints of a tuning whose result is written."""
        shutil.rmtree(self.checkpoints(label), ignore_errors=True)

    def curve(self, index: int) -> Curve | None:
        """The curve of a fold as far as it was measured."""

        def parsed(kept: dict[str, Any]) -> Curve:
            if not kept["points"]:
                raise ValueError
            return Curve.from_dict(kept)

        said = f"{_CURVE} of fold {index} is damaged: the fold is measured again"
        return self._sealed(self.fold(index) / _CURVE, parsed, said)

    def measured(self, curve: Curve) -> None:
        """Note a fold's curve as far as it is."""
        _seal(self.fold(curve.index) / _CURVE, curve.to_dict())

    def influence(self) -> list[list[float]] | None:
        """What was found of the originals' influence on each other."""
        said = f"{_INFLUENCE} is damaged: it is measured again"
        return self._sealed(self.work / _INFLUENCE, lambda kept: list(kept["influence"]), said)

    def influenced(self, found: list[list[float]]) -> None:
        """Note it."""
        _seal(self.work / _INFLUENCE, {"influence": found})

    def model(self, folder: Path, instead: str = "they are tuned again") -> bool:
        """Whether the model in ``folder`` was finished, and its weights are what they were."""
        expected = self._weights.get(self._name(folder))
        if expected is None or not any(
            (folder / name).exists() for name in ("config.json", ADAPTER_FILES[0])
        ):
            return False
        if difference := Base("", folder).mismatch(expected):
            self.say(f"the weights in {self._name(folder)} are damaged, {difference}: {instead}")
        return not difference

    def finished(self, folder: Path) -> None:
        """Note that the model in ``folder`` is complete."""
        weights = {**self._weights, self._name(folder): Base("", folder).sha256()}
        atomic.write_json(self.work / _WEIGHTS, weights)

    def weights_at(self, base: Base, index: int, step: int) -> PreTrainedModel | None:
        """A fold's weights after ``step`` updates, if they were kept and are whole; of adapters, merged into ``base``."""
        snapshot = self.snapshot(index, step)
        if not self.model(snapshot, "the fold is tuned again up to there"):
            return None
        if (snapshot / ADAPTER_FILES[0]).exists():
            try:
                return with_adapter(load_weights(base), snapshot)
            except ValueError as error:
                self.say(f"{error}: the fold is tuned again up to there")
                return None
        return load_weights(Base(snapshot.name, snapshot))

    def worth_resuming(self, horizon: int) -> bool:
        """Whether anything would be lost with the folder: a checkpoint, weights, or a fold measured up to ``horizon``."""
        folds = [int(path.parent.name) for path in self.work.glob(f"folds/*/{_CURVE}")]
        curves = [curve for index in folds if (curve := self.curve(index)) is not None]
        return (
            bool(self._weights)
            or any(curve.points[-1].step == horizon for curve in curves)
            or any(self.work.glob("checkpoints/*/update-*"))
        )

    def spend(self) -> float:
        """Seconds of training so far, those of interrupted attempts included; written down at every call."""
        file, now = self.work / _SECONDS, time.perf_counter()
        try:
            spent = float(file.read_text("utf-8"))
        except (OSError, ValueError):  # none yet, or damaged: it is only a time
            spent = 0.0
        spent += now - self._clock.pop() if self._clock else 0.0
        self._clock.append(now)
        atomic.write_text(file, f"{spent:.2f}")
        return round(spent, 2)

    def forget(self) -> None:
        """Remove what only a resumption needs: provenance.json has what is worth keeping."""
        shutil.rmtree(self.work / "checkpoints", ignore_errors=True)
        for left in (_SECONDS, _WEIGHTS, _INFLUENCE):
            (self.work / left).unlink(missing_ok=True)

    @property
    def _weights(self) -> dict[str, str]:
        """sha256 of the weights in every folder that is finished."""
        try:
            return dict(json.loads((self.work / _WEIGHTS).read_text("utf-8")))
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError):
            self.say(f"{_WEIGHTS} is damaged: all weights are tuned again")
            (self.work / _WEIGHTS).unlink()
            return {}

    def _sealed(self, file: Path, parsed: Callable[[dict[str, Any]], T], damaged: str) -> T | None:
        """What `_seal` wrote, ``parsed``; None where there is nothing, and where it is not whole, which ``damaged`` then says."""
        try:
            kept = json.loads(file.read_text("utf-8"))
            if kept.pop("sha256") != _digest(kept):
                raise ValueError
            return parsed(kept)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            self.say(damaged)
            return None

    def _name(self, folder: Path) -> str:
        return str(folder.relative_to(self.work))


def _seal(file: Path, content: dict[str, Any]) -> None:
    atomic.write_json(file, {**content, "sha256": _digest(content)})


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
