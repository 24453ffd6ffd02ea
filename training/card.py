"""The model card of a tuned model: what it is, what went in, what was measured, what it is not for.

Plain Markdown with the metadata that model hubs read. Says only what the run's own files say.
"""

from typing import Any

from data.bases import DEFAULT
from training.config import TrainConfig


def model_card(config: TrainConfig, record: dict[str, Any], held_out: dict[str, Any]) -> str:
    """README.md for the folder ``model/``, from the configuration, provenance.json and folds.json."""
    base = record["base"]
    texts = "\n".join(
        f"| {o['name']} | {o['words']} | {o['licence']} | `{o['sha256'][:16]}` |" for o in record["originals"]
    )
    where = f" on the uppermost {config.lora_layers} layers" if config.lora_layers else ""
    method = f"LoRA, rank {config.lora_rank}{where}, merged" if config.lora_rank else "all weights"
    if config.interpolation < 1:
        method += f", {config.interpolation:g} of the way from the base"
    guided = (
        ""
        if config.guidance == 1
        else f" Where a text has no plot, Flâneur lets the brief count {config.guidance:g} times, a plain pipeline once."
    )
    plotted = (
        " Flâneur tells a text from a plot, one line for each paragraph. A plot from its bank is not invented by the model."
        if config.plan in ("auto", "bank") and base["id"] == DEFAULT
        else ""
    )
    revision = f" at {base['revision']}" if base["revision"] else ""
    return f"""---
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [flaneur, style, fiction]
---

# {config.name}

A small language model tuned to write in the manner of {len(record["originals"])} short texts. It loads with plain
transformers: `pipeline("text-generation", model="path/to/this/folder")`. A text begins after the opening token
`tokenizer.bos_token or tokenizer.eos_token`, optionally a brief (`name: ...` lines, then `---`).{guided}{plotted}

## Made from

Base: {base["id"]}{revision}, sha256 `{base["sha256"][:16]}`. Tuned: {method}, {held_out["chosen_steps"]} updates of
AdamW at {config.learning_rate:g}, chosen by {held_out["chosen_by"]}. Random seed {config.seed}.

| original | words | licence | sha256 |
|---|---|---|---|
{texts}

## Measured

{_held_out_table(held_out)}

This model was then trained on all originals. It has no held-out score of its own.

## Limits

It was shown very few texts: it can take over turns of phrase, not knowledge. What it writes is fiction and may be
wrong, odd, biased or close to a text it was trained on; check `longest_copied_span` before publishing. The rights of
the originals' authors are not changed by this model. No personal use of it to pass as a living author.
"""


def _held_out_table(held_out: dict[str, Any]) -> str:
    if not held_out["folds"]:
        return "Nothing was held out, so nothing here says how well the manner was learned."
    lines = [
        "Each original held out in turn, the steps chosen by the other folds; bits per byte, lower is better:",
        "",
        "| held out | base | tuned | steps |",
        "|---|---|---|---|",
    ]
    for fold in held_out["folds"]:
        at = {point["step"]: point["held_out"] for point in fold["points"]}
        tuned = f"{at[fold['steps']]:.4f}" if fold["steps"] in at else "not measured"
        lines.append(f"| {', '.join(fold['originals'])} | {at[0]:.4f} | {tuned} | {fold['steps']} |")
    return "\n".join(lines)
