"""Draws a run's samples: of the final model, of the untuned base for the floor, of the control, and of each fold's model.

Writes samples.jsonl, every draw in it, those too that were not chosen. Does not score; `inference.figures` does.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import torch
from joblib import cpu_count
from tqdm import tqdm

from data import atomic
from data.bases import DEFAULT, resolve
from data.brief import Brief
from data.draw import draw_briefs
from inference.checkpoints import SMALL_FILES, best_device, load, load_weights
from inference.choosing import refusal
from inference.decoding import DEFAULTS
from inference.drawing import Drawing, Settings
from inference.leaks import names_in
from inference.measured import measured
from inference.novelty import CopyIndex, copy_limit
from inference.packed_weights import worth_packing
from inference.row_cache import takes_rows
from inference.runs import Run
from inference.sample import Sample, Samples
from inference.sampling import generate
from inference.telling import Job, tell_together
from inference.thin_differences import thin_difference
from inference.workers import side_by_side

FINAL, CHOSEN, BASE, CONTROL = "final", "chosen", "base", "control"
"""The sets of samples that a run has; those of fold i are called `fold_set(i)`. Chosen: the final model's again, of each text several
candidates; its rows are the chosen and the others. The control's are there where one was tuned."""

ROWS_TOGETHER = 96
"""Paragraphs that are drawn at once where several models share a batch."""

WORTH_A_PROCESS = 1000
"""Steps of sampling, all sets together, that take longer than starting processes for them."""


def set_names(run: Run) -> list[str]:
    """All sets that ``run`` may have samples of."""
    return [FINAL, CHOSEN, BASE, CONTROL, *(fold_set(fold["index"]) for fold in run.held_out["folds"])]


def fold_set(index: int) -> str:
    """Name of the set drawn from fold ``index``'s model."""
    return f"fold-{index}"


@dataclass(frozen=True)
class _Set:
    """One set to be drawn."""

    name: str
    source: str | Path
    briefs: list[Brief]
    seed: int
    originals: list[str]
    """What may not be copied: what the model was tuned on."""
    best_of: int = 1


def draw_samples(run: Run, *, folds_only: bool = False, progress: bool = False) -> list[dict[str, Any]]:
    """Draw all sets of ``run``, write samples.jsonl and return its rows.

    Final model, base and control get the same briefs and the same randomness, so their difference is the tuning's. A row is
    `Sample.to_dict` plus ``set`` and ``seconds`` (its share of the time that all took). Of fold models and a control whose
    weights are gone, the rows drawn before are kept. ``folds_only`` draws of the folds' models alone.
    """
    config = run.config
    texts = [original.text for original in run.originals]
    copies = CopyIndex(texts, [original.name for original in run.originals])
    limit, names = copy_limit(texts), names_in(texts)
    sets = [one for one in _sets(run) if not folds_only or one.name not in (FINAL, CHOSEN, BASE, CONTROL)]
    settings: dict[str, Any] = {key: float(config[key]) for key in ("temperature", "top_p", "min_p")}
    plan = config.get("plan", "none")  # an older run has none
    told = plan != "none" and run.base.id == DEFAULT
    # What a folder of weights was taught is not in it.
    settings["plan"], settings["draws"] = "bank" if told and plan == "auto" else plan, config.get("draws")
    # Beats hold a text to its brief; what has none is guided.
    settings["guidance"] = None if told else float(config.get("guidance", DEFAULTS["guidance"]))
    settings["guard"] = bool(config.get("guard", False))
    settings["max_new_tokens"] = load(run.path).model.generation_config.max_new_tokens
    # The texts are the same, and 32 rows together take half the time of eights; a guided text takes two.
    settings["batch_size"] = 32 if settings["guidance"] in (None, 1) else 16
    started = time.perf_counter()
    with tqdm(
        total=sum(len(s.briefs) * s.best_of for s in sets),
        desc="sampling",
        unit="text",
        disable=not progress,
        leave=False,
    ) as bar:
        shared = _drawn_together(run, sets, settings, bar.update) if told else {}
        drawn = {name: samples.candidates for name, samples in shared.items()}
        alone = [one for one in sets if one.name not in drawn]
        for one, samples in zip(alone, _draw(alone, settings, _workers(run, alone, settings)), strict=True):
            drawn[one.name] = samples.candidates
            bar.update(len(drawn[one.name]))
    seconds = round((time.perf_counter() - started) / sum(map(len, drawn.values())), 3)
    rows = []
    for name in set_names(run):
        if name in drawn:
            rows += [_row(name, measured(sample, copies, names), limit, seconds) for sample in drawn[name]]
        else:
            rows += [row for row in run.samples() if row["set"] == name]
    atomic.write_jsonl(run.path / "samples.jsonl", rows)
    return rows


def _sets(run: Run) -> list[_Set]:
    """The sets whose models are there."""
    seed, per_fold = int(run.config["seed"]), int(run.config["samples_per_fold"])
    texts = [original.text for original in run.originals]
    briefs = draw_briefs(texts, int(run.config["samples"]), seed)
    sets = [_Set(FINAL, run.path, briefs, seed, texts), _Set(BASE, run.base_source, briefs, seed, texts)]
    if (best_of := int(run.config.get("best_of", 1))) > 1:
        sets.insert(0, _Set(CHOSEN, run.path, briefs, seed, texts, best_of))  # first, since it takes longest
    if (run.control_folder / "model").exists():
        few = draw_briefs(texts, int(run.config["samples_control"]), seed)
        sets.append(_Set(CONTROL, run.control_folder / "model", few, seed, texts))
    for fold in run.held_out["folds"] if per_fold else []:
        folder = run.fold_folder(fold["index"]) / "model"
        if folder.exists():
            # Seeds apart from the final model's; no brief is drawn from the original that the fold never saw.
            seen = [o.text for o in run.originals if o.name not in fold["originals"]]
            fold_seed = (seed + 1 + fold["index"]) % 2**32
            sets.append(
                _Set(fold_set(fold["index"]), folder, draw_briefs(seen, per_fold, fold_seed), fold_seed, seen)
            )
    return sets


def _workers(run: Run, sets: Sequence[_Set], settings: Mapping[str, Any]) -> int:
    """Processes to draw in. A small model on a CPU uses one core (`inference.decoding.few_threads`), so its sets are
    drawn side by side, unless there is so little to draw that starting a process takes longer, or this is such a process
    itself, where joblib would take threads and models must not be loaded in two at once."""
    small = resolve(run.model_folder).weight_bytes() < SMALL_FILES
    if (
        parent_process()
        or best_device() != "cpu"
        or not small
        or len(sets) * settings["max_new_tokens"] < WORTH_A_PROCESS
    ):
        return 1
    return min(len(sets), cpu_count())


def _draw(sets: Sequence[_Set], settings: Mapping[str, Any], workers: int) -> Iterator[Samples]:
    """The samples of each set, in order, as they are ready."""
    return side_by_side(_drawn, [(one, settings) for one in sets], workers)


def _drawn_together(
    run: Run, sets: Sequence[_Set], settings: Mapping[str, Any], finished: Callable[[], object]
) -> dict[str, Samples]:
    """The samples of those sets by name that one batch can serve: of the base, and of models that adapters made of it.

    The final model's texts are not among them. They are told by its own weights, as `generate` tells them again. ``finished`` is
    called for each text. None where the base's weights are not packed (`inference.packed_weights`).
    """
    if settings["plan"] == "model":  # which is each model's own to write
        return {}
    base = load(run.base_source)
    if not (worth_packing(base.model) and takes_rows(base.model)):
        return {}
    exact = base.model if base.model.dtype == torch.float32 else load_weights(resolve(run.base_source))
    found: list[tuple[_Set, Drawing, list[tuple[Brief, str]], list[int], Job]] = []
    for one in sets:
        if one.name in (FINAL, CHOSEN):
            continue
        thin = None
        if one.name != BASE and (thin := thin_difference(load_weights(resolve(one.source)), exact)) is None:
            continue
        drawing = Drawing(base, one.originals, None, Settings(seed=one.seed, strict=False, **settings))
        planned, numbers = drawing.planned(drawing.briefs(one.briefs, {}, 1))
        if all(kind != "none" for _, kind in planned):
            found.append((one, drawing, planned, numbers, drawing.job(planned, numbers, thin, ROWS_TOGETHER)))
    del exact
    if len(found) < 2:
        return {}
    told = tell_together([job for *_, job in found], finished)
    return {
        one.name: drawing.chosen(drawing.samples_told(stories, planned, numbers))
        for stories, (one, drawing, planned, numbers, _) in zip(told, found, strict=True)
    }


def _drawn(one: _Set, settings: Mapping[str, Any]) -> Samples:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the rows say which of them passed
        return generate(
            one.source,
            brief=one.briefs,
            best_of=one.best_of,
            strict=False,
            seed=one.seed,
            originals=one.originals,
            progress=False,
            **settings,
        )


def _row(name: str, sample: Sample, limit: int, seconds: float) -> dict[str, Any]:
    row = sample.to_dict() if name == CHOSEN else {**sample.to_dict(), "remark": refusal(sample, limit)}
    return {"set": name, **row, "seconds": seconds}


def write_blind(path: Path, originals: list[str], samples: list[str], seed: int) -> list[tuple[int, str]]:
    """Originals and samples in an order that ``seed`` decides, and ``blind-key.json`` beside, which says what is what.

    Returns (number on the page, text).
    """
    import random

    entries = [("original", text) for text in originals] + [("sample", text) for text in samples]
    random.Random(f"blind:{seed}").shuffle(entries)
    atomic.write_json(path / "blind-key.json", {str(i): kind for i, (kind, _) in enumerate(entries, start=1)})
    return [(i, text) for i, (_, text) in enumerate(entries, start=1)]
