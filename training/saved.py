"""What a run's folder holds of its training: the inputs, the folds, models that anybody can load, and where it all came from.

Writes; decides nothing and trains nothing (`training.job`). What an interrupted run keeps meanwhile is `training.kept`'s.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import GenerationConfig, PreTrainedModel

from data import atomic
from data.bases import Base
from data.dataset import encode, special_ids
from data.originals import Original
from inference.runs import Run
from training import provenance
from training.card import model_card
from training.choosing import Curve
from training.config import TrainConfig

LENGTH_MARGIN = 1.25
"""A sample may have this many times the tokens of the longest original before it is cut off."""


def write_inputs(folder: Path, config: TrainConfig, originals: Sequence[Original]) -> None:
    """config.yaml and originals.jsonl."""
    atomic.write_text(
        folder / "config.yaml", yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)
    )
    atomic.write_jsonl(
        folder / "originals.jsonl",
        [
            {"name": o.name, "text": o.text, "source": o.source, "licence": o.licence}
            | ({"brief": o.brief.to_dict()} if o.brief else {})
            for o in originals
        ],
    )


def write_folds(
    folder: Path, figures: Mapping[str, Any], folds: Iterable[tuple[Curve, int, Mapping[str, Any]]]
) -> None:
    """folds.json: ``figures`` of all, and of each fold its curve, its own number of updates, and what was measured beside it."""
    rows = [{**curve.to_dict(), "steps": steps, **beside} for curve, steps, beside in folds]
    atomic.write_json(folder / "folds.json", {**figures, "folds": rows})


def write_model(
    model: PreTrainedModel,
    tokenizer: Any,
    folder: Path,
    config: TrainConfig,
    originals: Sequence[Original],
) -> None:
    """``model`` with how it is sampled from, whole or not at all."""
    opening, end = special_ids(tokenizer)
    longest = max(len(encode(original.text, tokenizer)) for original in originals)
    sampling: dict[str, Any] = {"do_sample": False}
    if config.temperature > 0:
        sampling = {
            "do_sample": True,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "min_p": config.min_p,
            "top_k": 0,
        }
    model.generation_config = GenerationConfig(
        bos_token_id=opening,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=max(64, int(LENGTH_MARGIN * longest)),
        guidance=config.guidance,  # for `inference.decoding`; transformers does not know it
        **sampling,
    )
    model.config.use_cache = True  # the Trainer turned it off
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    for file in partial.iterdir():
        file.chmod(0o644)  # safetensors makes private files; a model is meant to be passed on
    atomic.replace_folder(partial, folder)


def write_record(
    folder: Path, record: dict[str, Any], config: TrainConfig, control: Sequence[Original], seconds: float
) -> dict[str, Any]:
    """provenance.json, and from it the model's card; returns ``record`` with what is known at the end alone."""
    record = {
        **record,
        "control": [{"name": o.name, "sha256": o.sha256} for o in control],
        "model": {"sha256": Base("", folder / "model").sha256()},
        "seconds": {"train": seconds},
        "peak_gib": provenance.peak_gib(),
    }
    atomic.write_json(folder / "provenance.json", record)
    card = model_card(config, record, Run.open(folder).held_out)
    atomic.write_text(folder / "model" / "README.md", card)
    return record
