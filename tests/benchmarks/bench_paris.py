"""The default run against plain fine-tuning, on the texts that nothing was chosen on: opened once a version, three random seeds.

Ours as configured; transformers' Trainer as everybody calls it (AdamW 5e-5, falling to 0 over three epochs of one text an
update); the same at a constant rate with its steps chosen by folds as ours are; and the base with another original in its context,
which no training at all buys. All by texts that were held out, in bits per byte over the untuned base's.
"""

import json
import os
import platform
import random
import shutil
import statistics
import warnings
from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments, set_seed

from data.bases import resolve
from data.dataset import blocks, encode, special_ids, to_dataset
from data.draw import draw_briefs
from data.originals import load_originals
from inference import generate
from inference.checkpoints import load_weights
from inference.choosing import kind_of, refusal
from inference.diversity import vendi
from inference.families import FAMILIES
from inference.imposters import style_votes
from inference.likelihood import summarise, token_nll
from inference.novelty import CopyIndex, copy_limit
from inference.sample import Sample
from inference.scale import embedded
from training.ablate import ablate, table
from training.config import load_config
from training.finetune import collator, hardware

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "paris-cafe.yaml"
SEEDS = (0, 1, 2)
BRIEFS, CANDIDATES = 64, 4
PLAIN: dict[str, Any] = {
    "learning_rate": 5e-5, "warmup_steps": 0, "batch_size": 1, "max_steps": 24, "eval_every": 3, "refill_names": False,
    "briefs": 0.0, "replay": 0, "dropout": 0.0, "interpolation": 1.0, "lora_rank": 0,
}  # fmt: skip


def plain(texts: Sequence[str], seed: int, folder: Path) -> Any:
    """transformers' Trainer with its own defaults but for the batch: three epochs, one text an update."""
    base, config = resolve("stories"), load_config(CONFIG)
    tokenizer = base.tokenizer()
    set_seed(seed)
    model = load_weights(base)
    rows = [
        {**block, "document": i}
        for i, text in enumerate(texts)
        for block in blocks(text, tokenizer, base.context())
    ]
    device, dtype = hardware(config)
    arguments = TrainingArguments(
        output_dir=str(folder), learning_rate=5e-5, num_train_epochs=3, per_device_train_batch_size=1, seed=seed,
        bf16=dtype == torch.bfloat16, use_cpu=device == "cpu", save_strategy="no", report_to=[], disable_tqdm=True,
        logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(
        model=model, args=arguments, train_dataset=to_dataset(rows), data_collator=collator(tokenizer)
    ).train()
    return model.eval()


def held_out_bits(model: Any, text: str) -> float:
    base = resolve("stories")
    nll = token_nll([text], model, base.tokenizer(), base.context())
    return float(summarise([text], nll)["bits_per_byte"])


@torch.inference_mode()
def in_context(model: Any, before: str, text: str) -> float:
    """Bits per byte of ``text`` after as much of ``before`` as the context holds beside what of the text came already."""
    base = resolve("stories")
    tokenizer, context = base.tokenizer(), base.context()
    opening, end = special_ids(tokenizer)
    first, own = [opening, *encode(before, tokenizer), end], encode(text, tokenizer)
    ids, total, stride = [*first, *own], 0.0, 64
    for start in range(len(first), len(ids), stride):
        stop = min(start + stride, len(ids))
        window = torch.tensor([ids[max(0, stop - context) : stop]])
        logits = model(input_ids=window).logits[0, -(stop - start) - 1 : -1]
        total += float(cross_entropy(logits.float(), torch.tensor(ids[start:stop]), reduction="sum"))
    return total / torch.log(torch.tensor(2.0)).item() / len(text.encode("utf-8"))


def test_paris(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    originals = load_originals(ROOT / "data" / "seeds")
    texts = [original.text for original in originals]
    config = load_config(CONFIG, {"output_dir": str(tmp_path), "samples_per_fold": 4})
    ways: dict[str, dict[str, Any]] = {"ours": {}, "plain, steps by folds": PLAIN}
    variants = {f"{way}, seed {seed}": {**ways[way], "seed": seed} for way in ways for seed in SEEDS}
    found = ablate(config, [ROOT / "data" / "seeds"], variants)
    base = load_weights(resolve("stories")).eval()
    floor = [held_out_bits(base, text) for text in texts]
    bits: dict[str, list[float]] = {}
    style: dict[str, list[float]] = {}
    copies = CopyIndex(texts)
    spans: dict[str, list[int]] = {}
    for seed in SEEDS:
        name = f"plain, 3 epochs, seed {seed}"
        for i, text in enumerate(texts):
            others = [t for j, t in enumerate(texts) if j != i]
            model = plain(others, seed, tmp_path / "plain")
            bits.setdefault(name, []).append(held_out_bits(model, text))
            folder = tmp_path / "model"
            model.save_pretrained(folder)
            resolve("stories").tokenizer().save_pretrained(folder)
            drawn = generate(folder, 1, draw_briefs(others, 4, seed), seed=seed, max_new_tokens=660)
            shutil.rmtree(folder)
            said = [sample.text for sample in drawn if sample.text]
            style.setdefault(name, []).extend(float(v) for v in style_votes(said, [text])["style"])
            spans.setdefault(name, []).extend(
                copies.longest(s).words if copies.longest(s) else 0 for s in said
            )
    context = [
        statistics.mean(in_context(base, other, text) for other in texts if other != text) for text in texts
    ]
    with capsys.disabled():
        print(f"\n{date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
        print(table(found))
        for name, values in bits.items():
            print(f"{name}: held out {sum(values) / sum(floor) - 1:+.2%}, each {changes(values, floor)},")
            print(f"  style {statistics.mean(style[name]):.2f}, longest span {max(spans[name])}")
        for outcome in found:
            folder = (
                tmp_path
                / "ablate"
                / "".join(c if c.isalnum() else "-" for c in f"{outcome.variant} seeds")
                / "folds.json"
            )
            folds = json.loads(folder.read_text("utf-8"))["folds"]
            at = [next(p["held_out"] for p in fold["points"] if p["step"] == fold["steps"]) for fold in folds]
            print(f"{outcome.variant}: each {changes(at, [fold['points'][0]['held_out'] for fold in folds])}")
        print(
            f"one original in the context: {sum(context) / sum(floor) - 1:+.2%}, each {changes(context, floor)}"
        )
    assert all(o.held_out for o in found)


def changes(values: Sequence[float], floor: Sequence[float]) -> str:
    return ", ".join(f"{value / before - 1:+.1%}" for value, before in zip(values, floor, strict=True))


@pytest.mark.parametrize("guard", [False, True], ids=["guard off", "guard on"])
def test_64_unseen_briefs(guard: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the run in runs/paris-cafe (`make run`): what the sampler gives when nobody chooses, and what is chosen of four."""
    run = ROOT / "runs" / "paris-cafe"
    if not (run / "report.html").exists():
        pytest.skip("runs/paris-cafe is not there: make run")
    texts = [original.text for original in load_originals(run / "originals.jsonl")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        drawn = generate(run, n=BRIEFS, best_of=CANDIDATES, seed=1, guard=guard, batch_size=32)
    raw = drawn.candidates
    first = [sample for sample in raw if sample.index % CANDIDATES == 0]
    remarks = Counter(kind_of(str(sample.remark)) for sample in drawn.refused)
    with capsys.disabled():
        print(
            f"\n{date.today()}, {run.name}, guard {'on' if guard else 'off'}, {BRIEFS} briefs, {CANDIDATES} candidates each"
        )
        print(f"raw, one a brief: {draws(first, texts)}")
        print(f"raw, all: {draws(raw, texts)}")
        print(f"chosen: {draws(drawn, texts)}")
        print(gain(raw, texts))
        none = sum("candidates passed" in str(w.message) for w in said)
        print(
            f"briefs of which no candidate passed: {none}; why the others were left: {dict(remarks.most_common())}"
        )


def draws(samples: Sequence[Sample], texts: Sequence[str]) -> str:
    written = [sample for sample in samples if sample.text]
    longest = [sample.scores["longest_copied_span"] for sample in samples]
    style = style_votes([sample.text for sample in written], texts)["style"]
    names = sorted({name for sample in samples for name in sample.scores["leaked_names"]})
    passed = embedded([sample.text for sample in written if refusal(sample, copy_limit(texts)) is None])
    rng = random.Random(0)
    quadruples = [rng.sample(range(len(passed)), 4) for _ in range(200)] if len(passed) >= 4 else []
    kept = {
        field: statistics.mean(
            float(s.scores["obeyed"][field]) for s in samples if field in s.scores["obeyed"]
        )
        for field in dict.fromkeys(key for s in samples for key in s.scores["obeyed"])
    }
    return (
        f"{len(samples)}; ended {statistics.mean(s.ended_by_eos for s in samples):.0%}; longest span median "
        f"{statistics.median(longest)}, most {max(longest)} words; refused runs {sum(s.scores.get('refused_runs', 0) for s in samples)}; "
        f"with a name of the originals {sum(bool(s.scores['leaked_names']) for s in samples)} {names}; new 4-grams mean "
        f"{statistics.mean(s.scores['novelty_4gram'] for s in written):.3f}, least {min(s.scores['novelty_4gram'] for s in written):.3f}; "
        f"style {float(style.mean()):.2f}; pass the gates {len(passed)}; Vendi of four "
        f"{statistics.mean(vendi(passed[q]) for q in quadruples) if quadruples else float('nan'):.2f} "
        f"(originals {vendi(embedded(texts)):.2f}); obeyed "
        + ", ".join(f"{field} {share:.0%}" for field, share in kept.items())
    )


def gain(raw: Sequence[Sample], texts: Sequence[str]) -> str:
    """What choosing by style buys where it was not looked: chosen by two originals and two families of features, measured by the
    other two of both, over all ways to part them."""
    passed = [sample for sample in raw if sample.text and refusal(sample, copy_limit(texts)) is None]
    groups: dict[int, list[int]] = {}
    for i, sample in enumerate(passed):
        groups.setdefault(sample.index // CANDIDATES, []).append(i)
    several = [group for group in groups.values() if len(group) > 1]
    before, after, seen = [], [], []
    for some in combinations(range(len(texts)), 2):
        for families in combinations(FAMILIES, 2):
            refs = [[t for i, t in enumerate(texts) if (i in some) == own] for own in (True, False)]
            votes = [style_votes([sample.text for sample in passed], of) for of in refs]
            by = sum(votes[0][family] for family in families)
            on = sum(votes[1][family] for family in FAMILIES if family not in families) / 2
            best = [max(group, key=lambda i: by[i]) for group in several]
            before.append(statistics.mean(float(on[i]) for group in several for i in group))
            after.append(statistics.mean(float(on[i]) for i in best))
            seen.append(
                statistics.mean(float(by[i]) / 2 for i in best)
                - statistics.mean(float(by[i]) / 2 for g in several for i in g)
            )
    return (
        f"among those that pass, {len(several)} briefs: style by the other originals and families "
        f"{statistics.mean(before):.3f} before, {statistics.mean(after):.3f} chosen; by those looked at +{statistics.mean(seen):.3f}"
    )
