"""What an interrupted run left in its folder, and whether it is whole: curves, finished weights, time spent.

What is damaged is named and made again. Does not tune; `training.job` does.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedModel

from data import atomic
from data.bases import Base
from inference.checkpoints import load_weights
from training.choosing import Curve

_SECONDS, _WEIGHTS = "seconds", "weights.json"


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
        try:
            return Curve.from_dict(json.loads((self.fold(index) / "curve.json").read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            self.say(f"curve.json of fold {index} is damaged: the fold is measured again")
            return None

    def model(self, folder: Path) -> bool:
        """Whether the model in ``folder`` was finished, and its weights are what they were."""
        expected = self._weights.get(self._name(folder))
        if expected is None or not (folder / "config.json").exists():
            return False
        if Base("", folder).sha256() == expected:
            return True
        self.say(f"the weights in {self._name(folder)} are damaged: they are tuned again")
        return False

    def finished(self, folder: Path) -> None:
        """Note that the model in ``folder`` is complete."""
        weights = {**self._weights, self._name(folder): Base("", folder).sha256()}
        atomic.write_json(self.work / _WEIGHTS, weights)

    def weights_at(self, index: int, step: int) -> PreTrainedModel | None:
        """A fold's weights after ``step`` updates, if they were kept and are whole."""
        snapshot = self.snapshot(index, step)
        if not snapshot.exists():
            return None
        try:
            return load_weights(Base(snapshot.name, snapshot))
        except ValueError:
            self.say(f"{self._name(snapshot)} is damaged: the fold is tuned again up to there")
            return None

    def worth_resuming(self, horizon: int) -> bool:
        """Whether anything would be lost with the folder: a checkpoint, or a fold measured up to ``horizon``."""
        folds = [int(path.parent.name) for path in self.work.glob("folds/*/curve.json")]
        curves = [curve for index in folds if (curve := self.curve(index)) is not None]
        return any(curve.points[-1].step == horizon for curve in curves) or any(
            self.work.glob("checkpoints/*/update-*")
        )

    def spend(self) -> float:
        """Seconds of training so far, those of interrupted attempts included; written down at every call."""
        file, now = self.work / _SECONDS, time.perf_counter()
        spent = float(file.read_text("utf-8")) if file.exists() else 0.0
        spent += now - self._clock.pop() if self._clock else 0.0
        self._clock.append(now)
        atomic.write_text(file, f"{spent:.2f}")
        return round(spent, 2)

    def forget(self) -> None:
        """Remove what only a resumption needs: provenance.json has what is worth keeping."""
        shutil.rmtree(self.work / "checkpoints", ignore_errors=True)
        for left in (_SECONDS, _WEIGHTS):
            (self.work / left).unlink()

    @property
    def _weights(self) -> dict[str, str]:
        """sha256 of the weights in every folder that is finished."""
        file = self.work / _WEIGHTS
        return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}

    def _name(self, folder: Path) -> str:
        return str(folder.relative_to(self.work))
