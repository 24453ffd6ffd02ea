"""Runs side by side: their figures in one table and one page, from their metrics.json alone. Computes no figure.

Says what makes two runs no fair comparison: other originals, other numbers of samples. Imports nothing heavy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.runs import Run
from inference.summary import ended, leaking, mean_of, number, read_metrics


@dataclass(frozen=True)
class Comparison:
    """``rows`` are (figure, one value a run); ``notes`` say what the runs do not share."""

    names: list[str]
    rows: list[tuple[str, list[str]]]
    notes: list[str]

    def __str__(self) -> str:
        width = max(12, *(len(name) + 2 for name in self.names))
        lines = [f"{'':<26}" + "".join(f"{name:>{width}}" for name in self.names)]
        lines += [f"{figure:<26}" + "".join(f"{v:>{width}}" for v in values) for figure, values in self.rows]
        return "\n".join([*lines, *self.notes])


def compare(runs: Sequence[str | Path]) -> Comparison:
    """The figures of two runs or more. Raises ValueError for one run alone, or one without a report."""
    if len(runs) < 2:
        raise ValueError(f"compare takes two runs or more, found {len(runs)}: name another one")
    opened = [Run.open(path) for path in runs]
    found = [read_metrics(path) for path in runs]
    rows = [
        ("base", [str(run.provenance["base"]["id"]) for run in opened]),
        *((label, [_shown(read, metrics) for metrics in found]) for label, read in FIGURES),
    ]
    names = [run.name for run in opened]
    if len(set(names)) < len(names):
        names = [str(Path(path)) for path in runs]
    return Comparison(names, rows, _notes(opened, found))


def _notes(runs: Sequence[Run], found: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    texts = [{entry["sha256"] for entry in run.provenance["originals"]} for run in runs]
    if any(of != texts[0] for of in texts):
        notes.append("The runs have other originals: no figure of one can be held against another's.")
    numbers = {metrics["samples"]["n"] for metrics in found}
    if len(numbers) > 1:
        notes.append(
            f"Numbers of samples differ ({', '.join(map(str, sorted(numbers)))}): the longest span and the least share of new "
            "4-grams of more samples are worse by chance."
        )
    if len({run.provenance["seed"] for run in runs}) == 1 and not notes:
        notes.append("One random seed: another moves a verdict by a tenth and more.")
    return notes


def _shown(read: Callable[[dict[str, Any]], Any], metrics: dict[str, Any]) -> str:
    value = read(metrics)
    return number(value, 3) if isinstance(value, float | None) else str(value)


FIGURES: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("updates", lambda m: m["chosen_steps"]),
    ("held out, base", lambda m: m["held_out"]["bits_per_byte_base"]),
    ("held out, tuned", lambda m: m["held_out"]["bits_per_byte_tuned"]),
    ("style, unseen original", lambda m: mean_of(m["cross_fitted"], "style_samples")),
    ("style", lambda m: m["samples"]["style"]["mean"]),
    ("stylometry", lambda m: m["samples"]["stylometry"]["mean"]),
    ("similarity", lambda m: m["samples"]["similarity"]["mean"]),
    ("longest copied span", lambda m: int(m["samples"]["longest_copied_span"]["max"])),
    ("new 4-grams, least", lambda m: m["samples"]["novelty_4gram_equal"]["min"]),
    ("recalled tokens, most", lambda m: max(m["recalled"]["tuned"])),
    ("repetition", lambda m: m["samples"]["repetition"]["mean"]),
    ("names leaked", lambda m: leaking(m["samples"])),
    ("ended", lambda m: f"{ended(m['samples'])}/{m['samples']['n']}"),
    ("verdict", lambda m: m["verdict"]),
    ("verdict of the control", lambda m: m["control"] and m["control"]["verdict"]),
    ("verdict of the base", lambda m: m["base"]["verdict"]),
    ("seconds", lambda m: round(m["seconds"]["total"])),
]
"""What is compared, and where it stands in metrics.json."""
