"""Every figure of a run, computed from its files: the content of metrics.json.

Scores the samples and gathers the held-out figures; every number stands between the base's and the originals' own.
Draws nothing and writes nothing.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from data.bases import Base
from data.dataset import encode
from inference.checkpoints import load
from inference.draws import BASE, CHOSEN, CONTROL, FINAL, fold_set, set_names
from inference.imposters import style_votes
from inference.memory import PROBED
from inference.runs import Run
from inference.scale import Scale, content, some_of
from inference.scorecard import Scorecard
from inference.scoring import known_by_heart, score


def figures(
    run: Run, rows: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], Scorecard, Scorecard, Scorecard | None]:
    """Metrics but for the seconds, and the scorecards of the final model's samples, the base's and the control's, if any."""
    sets = {name: [row for row in rows if row["set"] == name] for name in set_names(run)}
    texts = {name: [row["text"] for row in of if row["text"]] for name, of in sets.items()}
    for name in (FINAL, BASE, CONTROL):
        if not texts[name] and (sets[name] or name != CONTROL):
            raise ValueError(
                f"all samples of the {name} model are empty: it ends a text before it begins. Look at the originals "
                "with `python -m data check`, or choose another base."
            )
    # With what they say of their own end: a text that was cut off after a full stop has none.
    final = score(sets[FINAL], run.originals, model=run.path)
    floor = score(sets[BASE], run.originals, base=run.base_source)
    control = score(sets[CONTROL], run.originals, base=run.base_source) if sets[CONTROL] else None
    chosen = [row for row in sets[CHOSEN] if row["chosen"]]
    scale = Scale.of([original.text for original in run.originals])
    drawn = sets[FINAL]
    spans = _column(final, "longest_copied_span")
    novelties = _column(final, "novelty_4gram")
    metrics = {
        "name": run.name,
        "verdict": final.verdict,
        "parts": final.parts,
        "held_out": held_out(run),
        "chosen_steps": run.held_out["chosen_steps"],
        "samples": {
            "n": len(drawn),
            "ended_by_eos": sum(row["ended_by_eos"] for row in drawn) / len(drawn),
            "with_leaked_names": _leaking(drawn),
            "perplexity_base": final.corpus.get("perplexity_base"),
            "perplexity_tuned": final.corpus.get("perplexity_tuned"),
            "bits_per_byte_base": final.corpus.get("bits_per_byte_base"),
            "bits_per_byte_tuned": final.corpus.get("bits_per_byte_tuned"),
            "longest_copied_span": {"max": max(spans), "median": statistics.median(spans)},
            "novelty_4gram": _mean_min(novelties) if novelties else {"mean": None, "min": None},
            "novelty_4gram_equal": {"min": min(_column(final, "novelty_4gram_equal"), default=None)},
            "style": _mean_min(_column(final, "style")),
            "stylometry": _mean_min(_column(final, "stylometry")),
            "similarity": _mean_min(_column(final, "similarity")),
            "repetition": {"mean": statistics.mean(_column(final, "repetition"))},
            "words": {"mean": statistics.mean(_column(final, "words"))},
            "verdicts": [text.verdict for text in final.texts],
            "interval": final.interval,
            "diversity": final.diversity.get("texts"),
        },
        "originals": {
            "style_band": _range(scale.band.get("style")),
            "stylometry_band": _range(scale.band.get("stylometry")),
            "diversity": final.diversity.get("originals"),
            "similarity_band": _range(scale.band.get("similarity")),
            "novelty_4gram_band": _range(scale.band.get("novelty_4gram_equal")),
            "words_band": _range(scale.band["words"]),
            "longest_shared_span": int(max(scale.band["longest_copied_span"]))
            if len(run.originals) > 1
            else None,
        },
        "contrast": {"style": scale.contrast["style"], "similarity": scale.contrast["similarity"]},
        "base": _beside(sets[BASE], floor),
        "control": _beside(sets[CONTROL], control) if control else None,
        "chosen": {
            **_beside(chosen, score(chosen, run.originals, base=run.base_source)),
            "of": len(sets[CHOSEN]),
            "remarks": sum(row["remark"] is not None for row in chosen),
        }
        if any(row["text"] for row in chosen)
        else None,
        "cross_fitted": cross_fitted(run, texts),
        "influence": run.held_out.get("influence"),
        "recalled": {
            "base": known_by_heart(load(run.base_source, dtype="float32"), scale.originals),
            "tuned": known_by_heart(load(run.path, dtype="float32"), scale.originals),
            "of": PROBED,
        },
    }
    return metrics, final, floor, control


def _beside(drawn: Sequence[dict[str, Any]], card: Scorecard) -> dict[str, Any]:
    """What the samples are compared with: the base's samples, and the control's."""
    return {
        "n": len(drawn),
        "style": _mean_min(_column(card, "style")),
        "stylometry": _mean_min(_column(card, "stylometry")),
        "similarity": _mean_min(_column(card, "similarity")),
        "longest_copied_span": {"max": max(_column(card, "longest_copied_span"))},
        "novelty_4gram_equal": {"min": min(_column(card, "novelty_4gram_equal"), default=None)},
        "ended_by_eos": statistics.mean(row["ended_by_eos"] for row in drawn),
        "with_leaked_names": _leaking(drawn),
        "verdict": card.verdict,
    }


def held_out(run: Run) -> dict[str, Any]:
    """The held-out figures at the steps that the other folds chose: fold by fold, and over the whole corpus."""
    folds, totals = [], {"base": 0.0, "tuned": 0.0}
    n_bytes = n_tokens = 0
    tokenizer = Base(run.name, run.model_folder).tokenizer()
    for fold in run.held_out["folds"]:
        at = {point["step"]: point["held_out"] for point in fold["points"]}
        texts = [original.text for original in run.originals if original.name in fold["originals"]]
        size = sum(len(text.encode("utf-8")) for text in texts)
        n_bytes += size
        n_tokens += sum(len(encode(text, tokenizer)) for text in texts)
        totals["base"] += at[0] * size
        totals["tuned"] += at[fold["steps"]] * size
        folds.append(
            {
                "original": ", ".join(fold["originals"]),
                "bits_per_byte_base": at[0],
                "bits_per_byte_tuned": at[fold["steps"]],
                "steps": fold["steps"],
            }
        )
    result: dict[str, Any] = {"folds": folds}
    for label, bits in totals.items():
        result[f"bits_per_byte_{label}"] = bits / n_bytes if n_bytes else None
        result[f"perplexity_{label}"] = 2 ** (bits / n_tokens) if n_tokens else None
    result["bits_per_byte_control"] = run.held_out.get("bits_per_byte_control")
    for key, name in (
        ("with_brief", "bits_per_byte_with_brief"),
        ("with_beats", "bits_per_byte_with_beats"),
        ("end_nll", "end_nll"),
    ):
        for label in totals:
            values = [fold[key][label] for fold in run.held_out["folds"] if key in fold]
            result[f"{name}_{label}"] = statistics.mean(values) if values else None
    return result


def cross_fitted(run: Run, texts: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The honest style figure: each fold model's samples against the originals it never saw.

    Beside them the base's samples, the control's and the other originals, against the same. Folds without samples are left
    out.
    """
    found = []
    for fold in run.held_out["folds"]:
        samples = texts.get(fold_set(fold["index"]), [])
        if not samples:
            continue
        unseen = [o.text for o in run.originals if o.name in fold["originals"]]
        others = some_of([o.text for o in run.originals if o.name not in fold["originals"]])
        row: dict[str, Any] = {"original": ", ".join(fold["originals"]), "n": len(samples)}
        beside = {"samples": samples, "base": texts[BASE], "control": texts[CONTROL], "originals": others}
        for label, compared in beside.items():
            row[f"style_{label}"] = float(style_votes(compared, unseen)["style"].mean()) if compared else None
            row[f"similarity_{label}"] = float(content(compared, unseen).mean()) if compared else None
        found.append(row)
    return found


def _leaking(rows: Sequence[dict[str, Any]]) -> int | None:
    """How many samples bear a name of the originals' people; None where an older version did not look."""
    found = [row["scores"].get("leaked_names") for row in rows]
    return None if None in found else sum(map(bool, found))


def _column(card: Scorecard, metric: str) -> list[float]:
    values = [text.metrics[metric] for text in card.texts]
    return [value for value in values if value == value]  # NaN: a text too short to have the metric


def _mean_min(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.mean(values), "min": min(values)}


def _range(values: Sequence[float] | None) -> list[float] | None:
    return [min(values), max(values)] if values else None
