"""A whole training run: hold each original out, choose the steps, refit on all, write the run directory (`training.saved`).

Everything is written to a hidden folder beside the target and moved there when it is complete, so an interrupted run
leaves no half of one; what it had done is kept (`training.kept`) and used by the next attempt. Drawing and scoring samples is
inference's part; ``report=True`` calls it before the run is moved into place.
"""

import dataclasses
import json
import random
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedModel

from data import atomic
from data.bases import DEFAULT, Base
from data.brief import Brief
from data.check import oddities
from data.detect import detect_brief
from data.originals import Original, ignored
from data.splits import Fold, folds
from inference.checkpoints import Checkpoint, load_weights
from inference.likelihood import summarise, token_nll
from inference.scale import ZERO_EVERY
from inference.stylometry import contrast_texts
from training import influence, processes, provenance, saved
from training.adapters import adapter_bytes
from training.beats import AT_MOST as BEATS_AT_MOST
from training.beats import beats_of, told_bits
from training.begin import Begun, begin
from training.choosing import Choice, Curve, Point, choose_steps
from training.config import TrainConfig
from training.current import run_folder
from training.finetune import Look, finetune, hardware, looks
from training.frozen_layers import FrozenLayers
from training.kept import Kept
from training.plan import Plan
from training.resumable import Checkpoints

SNAPSHOTS_AT_MOST = 4 * 2**30
"""Bytes that the folds' weights, kept at every point of their curves until the steps are chosen, may take on the disk. Above,
the folds are tuned a second time instead."""


def train(
    config: TrainConfig, *, existing: str = "refuse", report: bool = False, progress: bool = False
) -> Path:
    """Train as ``config`` says and return the run directory.

    ``existing`` says what to do about a run of the same name: "refuse" (ValueError), "overwrite", "resume" (continue
    an interrupted one) or "refresh" (return a finished one whose inputs are unchanged, else continue or replace it).
    ``report`` also draws and scores samples and writes report.html. ``progress`` prints what happens and how long
    it takes. Among processes that train together (`training.processes`) the first writes, and all return when its part is done.
    """
    device, _ = hardware(config)
    processes.join(on_cpu=device == "cpu")
    # What the first can't begin with, none begins with.
    found: Begun | ValueError | None = None
    if processes.is_first():
        try:
            found = begin(config, existing, report, progress)
        except ValueError as error:
            found = error
    found = processes.agree(found)
    if isinstance(found, ValueError):
        raise found if processes.is_first() else SystemExit(2)
    assert found is not None
    target, work = run_folder(config), found.work
    if work is None:
        return target
    if not processes.is_first():
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "run"
            if not work.exists():
                raise ValueError(
                    f"{work} can't be seen by all processes: put output_dir on a file system that all nodes share"
                )
            shutil.copytree(work, own)
            processes.wait()
            _Job(config, found.originals, found.base, own, False).run()
        return target
    processes.wait()
    job = _Job(config, found.originals, found.base, work, progress)
    try:
        job.run()
    except ValueError as error:
        if job.kept.worth_resuming(job.horizon):
            raise ValueError(f"{error}. What was finished before is kept in {work}") from error
        shutil.rmtree(work)
        raise
    if report:
        from inference.report import tidy, write_report

        write_report(work, progress=progress, keep=True)
    atomic.replace_folder(work, target)
    # Only now: an interruption before would have needed it.
    Kept(target, warnings.warn).forget()
    if report:
        tidy(target)
    return target


@dataclass(frozen=True)
class _Job:
    config: TrainConfig
    originals: Sequence[Original]
    base: Base
    work: Path
    progress: bool
    beats: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """What the base says of each paragraph of a text, by the text's hash."""

    @cached_property
    def frozen(self) -> FrozenLayers:
        """What the layers without adapters make of the rows, in all tunings alike."""
        return FrozenLayers()

    @cached_property
    def kept(self) -> Kept:
        """What an interrupted attempt left."""
        return Kept(self.work, self._warn)

    def run(self) -> None:
        """Write the training half of the run directory into ``work``."""
        self.kept.spend()
        self._say_if_scarce()
        config, tokenizer = self.config, self.base.tokenizer()
        device, dtype = hardware(config)
        context = config.context or self.base.context()
        plan = folds(self.originals, config.seed) if config.hold_out else []
        self._say(
            f"{len(self.originals)} originals, base {self.base.id}, {device}, {str(dtype).removeprefix('torch.')}"
        )
        for odd in oddities(self.originals, tokenizer, context, self.base.english):
            self._say(f"note: {odd}")
        if left := ignored(config.originals):
            self._say(f"not read (only .txt and .md are): {', '.join(left)}")
        if config.hold_out and not plan:
            self._say("one original alone: nothing can be held out, so nothing here says how well it will do")
        saved.write_inputs(self.work, config, self.originals)
        self.beats.update(processes.agree(self._written(self.originals, "beats.json")))
        if self._control_texts:
            self.beats.update(processes.agree(self._written(self._control_texts, "control/beats.json")))
        curves = self._measure(plan, tokenizer, context)
        taught = (
            self._influence(tokenizer, context) if plan and len(self.originals) <= influence.MOST else None
        )
        choice = choose_steps(curves) if curves else None
        # A single original has no curve to choose by: the horizon is all there is.
        steps = config.steps if config.steps is not None else choice.steps if choice else self.horizon
        self._announce(choice, steps)
        beside: list[dict[str, Any]] = [{} for _ in plan]
        if config.samples_per_fold:
            for fold, fold_steps in zip(plan, self._fold_steps(choice), strict=bool(plan)):
                self._save_fold(fold, fold_steps, tokenizer, context)
            beside = self._beside(plan, tokenizer, context) if processes.is_first() else beside
        self._tune(self.originals, self.work / "model", "model", steps, tokenizer, context)
        control = self._control(steps, tokenizer, context)
        self.frozen.forget()
        if not processes.is_first():
            return
        saved.write_folds(
            self.work,
            self._chosen(choice, steps) | {"bits_per_byte_control": control, "influence": taught},
            zip(curves, self._fold_steps(choice), beside, strict=True),
        )
        used = provenance.describe(
            config, self.originals, self.base, device, str(dtype).removeprefix("torch.")
        )
        record = saved.write_record(self.work, used, config, self._control_texts, self.kept.spend())
        memory = ", ".join(f"{gib:.1f} GiB ({name})" for name, gib in record["peak_gib"].items())
        self._say(
            f"trained in {record['seconds']['train']:.0f} s, at most {memory or 'an unknown amount of memory'}"
        )

    @property
    def horizon(self) -> int:
        """Updates of each fold."""
        return self.config.horizon(len(self.originals))

    def _measure(self, plan: Sequence[Fold], tokenizer: Any, context: int) -> list[Curve]:
        """The curve of every fold; those of an interrupted attempt are read back, and gone on with."""
        curves = []
        with self._bar(len(plan) * self.horizon, "holding out") as bar:
            for fold in plan:
                bar.set_description(f"holding out {fold.index + 1}/{len(plan)}")
                kept = self.kept.curve(fold.index)
                if kept is not None and kept.points[-1].step == self.horizon:
                    curves.append(kept)
                    bar.update(self.horizon)
                    continue
                curves.append(self._curve(fold, kept, tokenizer, context, bar))
                self.kept.spend()
        return curves

    def _curve(self, fold: Fold, kept: Curve | None, tokenizer: Any, context: int, bar: "tqdm[Any]") -> Curve:
        # As many trained texts as held-out ones, the next in turn: over leave-one-out folds both mean curves then show
        # the same texts, each once, at half the cost of measuring all.
        last = max(fold.held_out)
        trained = sorted(fold.train, key=lambda i: (i < last, i))[: len(fold.held_out)]
        texts = [self.originals[i].text for i in (*trained, *fold.held_out)]
        split = len(trained)
        label = f"fold-{fold.index}"
        if kept is None:  # checkpoints are of no use without the looks before them
            self.kept.clear(label)
        names = tuple(self.originals[i].name for i in fold.held_out)
        curve = kept or Curve(fold.index, names, ())

        def look(step: int, model: PreTrainedModel) -> dict[str, float]:
            nonlocal curve
            # One by one where layers are frozen: what they make of a text is then known from one look to the next.
            at_once = 1 if self.config.lora_layers else 8
            nlls = token_nll(texts, model, tokenizer, context, at_once)
            of_trained, of_held_out = (
                summarise(texts[:split], nlls[:split]),
                summarise(texts[split:], nlls[split:]),
            )
            point = processes.agree(Point(step, of_trained["bits_per_byte"], of_held_out["bits_per_byte"]))
            if step and self._keeps_snapshots and processes.is_first():
                model.save_pretrained(self.kept.snapshot(fold.index, step))  # of adapters, the adapter alone
                self.kept.finished(self.kept.snapshot(fold.index, step))
            curve = dataclasses.replace(curve, points=(*(p for p in curve.points if p.step < step), point))
            self.kept.measured(curve)
            return {"bits_per_byte/trained": point.train, "bits_per_byte/held_out": point.held_out}

        self._finetune(label, self._plan(fold, tokenizer, context), self.horizon, bar, look)
        self.kept.clear(label)
        return curve

    def _plan(self, fold: Fold, tokenizer: Any, context: int) -> Plan:
        """What a fold's tuning sees: all originals but those it holds out."""
        return Plan([self.originals[i] for i in fold.train], tokenizer, context, self.config, self.beats)

    def _written(self, texts: Sequence[Original], name: str) -> dict[str, tuple[str, ...]]:
        """The beats of ``texts`` by their hashes, as the base writes them; kept in the file ``name`` of the run."""
        config = self.config
        if not (processes.is_first() and config.beats and config.briefs and self.base.id == DEFAULT):
            return {}
        file = self.work / name
        if not file.exists():
            self._say(f"the base writes a line for each paragraph of {min(len(texts), BEATS_AT_MOST)} texts")
            # Loaded for this alone, so that it is not in memory while the tuning runs.
            model, base = load_weights(self.base).eval(), self.base
            writer = Checkpoint(model, base.tokenizer(), base.id, base.context())
            atomic.write_json(file, beats_of(writer, texts[:BEATS_AT_MOST], config.seed))
        return {key: tuple(lines) for key, lines in json.loads(file.read_text("utf-8")).items()}

    def _finetune(
        self, label: str, plan: Plan, steps: int, bar: "tqdm[Any]", look: Look | None = None
    ) -> PreTrainedModel:
        """One tuning, gone on with where an interrupted attempt left it."""
        return finetune(
            self.base,
            plan,
            steps,
            look=look,
            on_step=bar.update,
            checkpoints=Checkpoints(self.kept.checkpoints(label), self.config.checkpoint_seconds, self._warn),
            board=self.work / "tensorboard" / label if self.config.tensorboard else None,
            frozen=self.frozen,
        )

    @property
    def _keeps_snapshots(self) -> bool:
        """Whether every point's weights may lie on the disk until the steps are chosen: adapters, or small models."""
        small = self._snapshot_bytes <= SNAPSHOTS_AT_MOST
        return bool(self.config.samples_per_fold) and not processes.spread() and small

    @cached_property
    def _snapshot_bytes(self) -> int:
        """What the folds' weights at all points of their curves take."""
        points = len(folds(self.originals, self.config.seed)) * len(looks(self.config, self.horizon))
        rank = self.config.lora_rank
        return points * (adapter_bytes(self.base, self.config) if rank else 2 * self.base.weight_bytes())

    def _fold_steps(self, choice: Choice | None) -> Sequence[int]:
        if choice is None:
            return []
        if self.config.steps is not None:
            return [self.config.steps] * len(choice.cross_fitted)
        return choice.cross_fitted

    def _chosen(self, choice: Choice | None, steps: int) -> dict[str, Any]:
        """How many updates the final model has, and why."""
        given = self.config.steps is not None
        return {
            "chosen_steps": steps,
            "chosen_by": "configuration" if given else "held-out curves" if choice else "max_steps",
            "minimum": choice.steps if choice else None,
            "open_ended": choice.open_ended if choice else None,
        }

    def _save_fold(self, fold: Fold, steps: int, tokenizer: Any, context: int) -> None:
        """Weights of the fold's model at its cross-fitted steps, for its samples.

        Where no snapshot was kept the fold is tuned again up to there, which gives the same weights.
        """
        folder, label = self.kept.fold(fold.index), f"fold-{fold.index}-model"
        if not processes.agree(self.kept.model(folder / "model")):
            model = self.kept.weights_at(self.base, fold.index, steps) if processes.is_first() else None
            if processes.agree(model is None):
                with self._bar(steps, f"fold model {fold.index + 1}") as bar:
                    model = self._finetune(label, self._plan(fold, tokenizer, context), steps, bar)
            self._save(model, tokenizer, folder / "model")
        self.kept.clear(label)
        for left in folder.glob("step-*"):
            shutil.rmtree(left)

    def _influence(self, tokenizer: Any, context: int) -> list[list[float]]:
        """What each original alone teaches about each; read back if an interrupted attempt got so far."""
        if (kept := self.kept.influence()) is not None:
            return kept
        texts = [original.text for original in self.originals]
        # Of one text alone, at the rate from the first update on, and all the way.
        alone_config = dataclasses.replace(self.config, replay=0, warmup_steps=0, interpolation=1.0)
        with self._bar(len(texts) * influence.UPDATES, "each alone") as bar:

            def measure(alone: int | None) -> list[float]:
                shown = [] if alone is None else [self.originals[alone]]
                model = (
                    self._finetune(
                        f"alone-{alone}",
                        Plan(shown, tokenizer, context, alone_config, self.beats),
                        influence.UPDATES,
                        bar,
                    )
                    if shown
                    else load_weights(self.base)
                )
                found = summarise(texts, token_nll(texts, model, tokenizer, context))["texts"][
                    "bits_per_byte"
                ]
                self.kept.clear(f"alone-{alone}")
                return list(found)

            taught = influence.influence(len(texts), measure)
        self.kept.influenced(taught)
        return taught

    def _beside(self, plan: Sequence[Fold], tokenizer: Any, context: int) -> list[dict[str, Any]]:
        """For each fold what its curve leaves out, of the base and of its model: bits per byte of the held-out texts behind a
        brief, name and place alone since keywords give content away; behind beats, where the base wrote some; and the end
        token's nats, without any."""

        def figures(model: PreTrainedModel, texts: Sequence[Original]) -> dict[str, float | None]:
            said = [text.text for text in texts]
            asked = [Brief(name=b.name, place=b.place) for b in map(detect_brief, said)]
            return {
                "with_brief": summarise(said, token_nll(said, model, tokenizer, context, briefs=asked))[
                    "bits_per_byte"
                ],
                "with_beats": told_bits(model, tokenizer, context, texts, self.beats),
                "end_nll": summarise(said, token_nll(said, model, tokenizer, context))["end_nll"],
            }

        base, found = load_weights(self.base), []
        for fold in plan:
            texts = [self.originals[i] for i in fold.held_out]
            tuned = load_weights(Base("", self.kept.fold(fold.index) / "model"))
            both = {"base": figures(base, texts), "tuned": figures(tuned, texts)}
            known = [key for key in both["base"] if both["base"][key] is not None]
            found.append({key: {label: both[label][key] for label in both} for key in known})
        return found

    def _control(self, steps: int, tokenizer: Any, context: int) -> float | None:
        """The same tuning on texts of another manner: what it does not do is the originals' own. Returns what the originals that
        are held out cost it in bits per byte, of which it saw none; None where no control is wanted."""
        if not self._control_texts:
            return None
        folder = self.work / "control" / "model"
        self._tune(self._control_texts, folder, "control", steps, tokenizer, context)
        if not processes.is_first():
            return None
        model = load_weights(Base("control", folder))
        held_out = {i for fold in folds(self.originals, self.config.seed) for i in fold.held_out}
        texts = [o.text for i, o in enumerate(self.originals) if i in held_out or not held_out]
        return float(summarise(texts, token_nll(texts, model, tokenizer, context))["bits_per_byte"])

    @property
    def _control_texts(self) -> list[Original]:
        """As many contrast texts as there are originals (88 at most), others for another seed. None that the scale's lower
        end is the mean of."""
        if not self.config.samples_control:
            return []
        pool = [Original(f"contrast {i}", text) for i, text in enumerate(contrast_texts()) if i % ZERO_EVERY]
        return random.Random(f"control:{self.config.seed}").sample(pool, min(len(self.originals), len(pool)))

    def _tune(
        self, texts: Sequence[Original], folder: Path, label: str, steps: int, tokenizer: Any, context: int
    ) -> None:
        if not processes.agree(self.kept.model(folder)):
            with self._bar(steps, label) as bar:
                model = self._finetune(
                    label, Plan(texts, tokenizer, context, self.config, self.beats), steps, bar
                )
            self._save(model, tokenizer, folder)
        self.kept.clear(label)

    def _save(self, model: PreTrainedModel | None, tokenizer: Any, folder: Path) -> None:
        if model is None or not processes.is_first():
            return
        saved.write_model(model, tokenizer, folder, self.config, self.originals)
        self.kept.finished(folder)

    def _say_if_scarce(self) -> None:
        """Tell of a disk that may not take what this run needs at its largest."""
        weights = 2 * self.base.weight_bytes()  # float32 of bfloat16 files
        rank = self.config.lora_rank
        trained = 3 * (
            adapter_bytes(self.base, self.config) if rank else weights
        )  # with the optimizer's two moments
        models = len(folds(self.originals, self.config.seed)) + 2 if self.config.samples_per_fold else 2
        snapshots = self._snapshot_bytes if self._keeps_snapshots else 0
        needed, free = models * weights + 3 * trained + snapshots, shutil.disk_usage(self.work).free
        if free < needed:
            self._warn(
                f"note: {free / 1e9:.1f} GB are free at {self.work}, and up to {needed / 1e9:.1f} may be needed"
            )

    def _announce(self, choice: Choice | None, steps: int) -> None:
        if choice is None:
            self._say(f"{steps} steps, not checked against a held-out text")
            return
        self._say(
            f"{steps} steps; the held-out curve is lowest at {choice.steps}"
            if steps != choice.steps
            else f"{steps} steps, where the held-out curve is lowest"
        )
        if self.config.steps is None and steps == 0:
            self._say("no amount of tuning made unseen originals more probable: the final model is the base")
        if self.config.steps is None and choice.open_ended:
            self._say(f"the curve still fell at max_steps={steps}: more steps may be better")

    def _bar(self, total: int, label: str) -> "tqdm[Any]":
        return tqdm(total=total, desc=label, unit="step", disable=not self.progress, leave=False)

    def _say(self, line: str) -> None:
        if self.progress:
            tqdm.write(line)

    def _warn(self, line: str) -> None:
        """As `_say`, for what somebody who asked for no progress should hear too."""
        if self.progress:
            tqdm.write(line)
        elif processes.is_first():
            warnings.warn(line, stacklevel=2)
