"""Whether a run of these very inputs is there already. Imports nothing heavy, so that the answer comes at once."""

import os
from pathlib import Path

from data.bases import resolve
from data.originals import load_originals
from inference.runs import Run
from training.config import TrainConfig
from training.provenance import fingerprint


def run_folder(config: TrainConfig) -> Path:
    """Where the run of this configuration lies or will lie."""
    return Path(os.path.expanduser(config.output_dir)) / config.name


def finished(target: Path, stamp: str, report: bool) -> bool:
    """Whether ``target`` is a finished run of the fingerprint ``stamp``, with its report if that is asked for."""
    try:
        run = Run.open(target)
    except ValueError:
        return False
    return run.provenance["fingerprint"] == stamp and (not report or (target / "report.html").exists())


def current_run(config: TrainConfig) -> Path | None:
    """The finished and reported run of unchanged inputs; None if there is none."""
    target = run_folder(config)
    if not (target / "provenance.json").exists():
        return None
    originals, base = load_originals(config.originals), resolve(config.base, config.base_revision)
    return target if finished(target, fingerprint(config, originals, base), report=True) else None
