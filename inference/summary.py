"""What came out, in words and in a short table, from metrics.json alone. Imports nothing heavy; computes no figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_KEYS = (
    "name",
    "verdict",
    "held_out",
    "samples",
    "originals",
    "base",
    "control",
    "cross_fitted",
    "recalled",
    "seconds",
)


def read_metrics(run: str | Path) -> dict[str, Any]:
    """metrics.json of a run; ValueError when it was not reported yet."""
    path = Path(run) / "metrics.json"
    again = f"write it with python -m inference report {run}"
    if not path.exists():
        raise ValueError(f"{run} has no metrics.json: {again}")
    try:
        metrics = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {again}") from None
    if not isinstance(metrics, dict) or not set(_KEYS) <= set(metrics):
        raise ValueError(f"{path} is damaged, or of another version: {again}")
    return metrics


def verdict_sentences(metrics: dict[str, Any]) -> list[str]:
    """What came out, in two plain sentences: what unseen originals say, and what the samples are like."""
    return [_unseen(metrics["held_out"]), _drawn(metrics)]


def _unseen(held: dict[str, Any]) -> str:
    if not held["folds"]:
        return (
            "Nothing was held out, so no figure here says whether the manner was learned or only the texts."
        )
    base, tuned = held["bits_per_byte_base"], held["bits_per_byte_tuned"]
    change = tuned / base - 1
    control = held["bits_per_byte_control"]
    alike = "" if control is None else f"; tuned alike on other texts {control:.3f}"
    figures = f"{base:.3f} bits per byte before, {tuned:.3f} after, {change:+.1%}{alike}"
    if change > 0:
        return (
            f"Tuning made originals that the model had not seen less probable ({figures}): "
            "nothing general about their manner was learned."
        )
    learned = "hardly anything" if change > -0.005 else "a little" if change > -0.03 else "clearly something"
    worse = sum(fold["bits_per_byte_tuned"] > fold["bits_per_byte_base"] for fold in held["folds"])
    return (
        f"Tuning taught the model {learned} about originals it had not seen ({figures}); "
        f"of {len(held['folds'])} that were held out in turn, {worse or 'none'} got worse."
    )


def _drawn(metrics: dict[str, Any]) -> str:
    samples, base, originals = metrics["samples"], metrics["base"], metrics["originals"]
    band, shared = originals["style_band"], originals["longest_shared_span"]
    among = f"{band[0]:.2f} to {band[1]:.2f} among the originals" if band else "one original has no range"
    own = f"; the originals share up to {shared} among themselves" if shared is not None else ""
    control = metrics["control"]
    alike = f", the same tuning on other texts {control['style']['mean']:.2f}" if control else ""
    return (
        f"The {samples['n']} samples have style {samples['style']['mean']:.2f} (untuned base "
        f"{base['style']['mean']:.2f}{alike}, {among}), {ended(samples)} of them came to an end, and the longest "
        f"run of words taken from an original is {samples['longest_copied_span']['max']:.0f}{own}."
    )


def table(metrics: dict[str, Any]) -> str:
    """The short table that ends a run in the terminal: figure, base (floor), control, samples, the chosen ones, originals (ceiling)."""
    originals, held = metrics["originals"], metrics["held_out"]
    tuned = {**metrics["samples"], "verdict": metrics["verdict"]}
    drawn = [metrics["base"], metrics["control"], tuned, metrics.get("chosen")]

    def across(read: Callable[[dict[str, Any]], str]) -> list[str]:
        return ["-" if of is None else read(of) for of in drawn]

    def means(key: str) -> list[str]:
        return across(lambda of: f"{of[key]['mean']:.2f}")

    def span(values: list[float] | None) -> str:
        return f"{values[0]:.2f} to {values[1]:.2f}" if values else "-"

    rows: list[tuple[str, ...]] = [("", "base", "control", "tuned", "chosen", "originals")]
    if held["folds"]:
        before, after = (f"{held[f'bits_per_byte_{of}']:.3f}" for of in ("base", "tuned"))
        rows.append(
            ("held-out bits per byte", before, number(held["bits_per_byte_control"], 3), after, "-", "-")
        )
    if crossed := metrics["cross_fitted"]:
        unseen = [
            number(mean_of(crossed, f"style_{of}")) for of in ("base", "control", "samples", "originals")
        ]
        rows.append(("style, unseen original", *unseen[:3], "-", unseen[3]))
    for key in ("style", "stylometry", "similarity"):
        rows.append((key, *means(key), span(originals[f"{key}_band"])))
    rows += [
        (
            "longest copied span",
            *across(lambda of: f"{of['longest_copied_span']['max']:.0f}"),
            number(originals["longest_shared_span"], 0),
        ),
        (
            "new 4-grams, least",
            *across(lambda of: number(of["novelty_4gram_equal"]["min"])),
            span(originals["novelty_4gram_band"]),
        ),
        (
            f"recalled, of {metrics['recalled']['of']} tokens",
            str(max(metrics["recalled"]["base"])),
            "-",
            str(max(metrics["recalled"]["tuned"])),
            "-",
            "-",
        ),
        ("names leaked", *across(leaking), "-"),
        ("ended", *across(lambda of: f"{ended(of)}/{of['n']}"), "-"),
        ("verdict", *across(lambda of: f"{of['verdict']:.2f}"), "-"),
    ]
    lines = []
    for name, floor, alike, drawn_all, best, own in rows:
        shown = f"{best:>8}" if metrics.get("chosen") else ""
        lines.append(f"{name:<24}{floor:>8}{alike:>9}{drawn_all:>8}{shown}  {own}")
    return "\n".join(lines)


def ended(drawn: dict[str, Any]) -> int:
    """How many of a set of samples came to an end by themselves."""
    return round(drawn["ended_by_eos"] * drawn["n"])


def leaking(drawn: dict[str, Any]) -> str:
    """How many of a set of samples bear a name of the originals' people."""
    found = drawn.get("with_leaked_names")
    return "-" if found is None else f"{found}/{drawn['n']}"


def mean_of(rows: list[dict[str, Any]], key: str) -> float | None:
    """Mean of a figure over folds; None where there is none, or not every fold has it."""
    values = [row[key] for row in rows]
    return None if not values or None in values else sum(values) / len(values)


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table; a dash for one that could not be measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def limits(n: int) -> list[str]:
    """What so few texts cannot show."""
    few = "1 text is" if n == 1 else f"{n} texts are"
    found = [
        f"{few} too few for significance: the folds are printed as points, with no error bar.",
        "The final model was trained on all originals, so it has no held-out score; the models of the folds, each with "
        "fewer texts, stand in for it.",
        "Style is a vote on surface habits. A text can have it and make no sense; only reading tells. blind.html is "
        "made for that.",
        "MAUVE and other distances between distributions are not printed: at this number of texts they say nothing.",
        "The base's own probability is a check for broken text, not a judge of sense, and the tuned model is its child.",
    ]
    if n < 2:
        found.append("A single original can't be held out: every figure here may be memory.")
    return found


def teaching(influence: list[list[float]], names: list[str]) -> str:
    """Which original helps the others most and which least, each learned alone, in words."""
    n = len(names)
    others = [sum(row[j] for j in range(n) if j != i) / (n - 1) for i, row in enumerate(influence)]
    best, worst = min(range(n), key=others.__getitem__), max(range(n), key=others.__getitem__)
    said = f"Learned alone, {names[best]} teaches most about the others ({others[best]:+.2%} bits per byte on average)"
    if best == worst:
        return f"{said}."
    told = f"{said} and {names[worst]} least ({others[worst]:+.2%})."
    if others[worst] <= 0:
        return told
    return f"{told} What a text makes less probable it stands apart from: it may be in another manner."


def memorising(metrics: dict[str, Any], held_out: dict[str, Any]) -> str:
    """What the curves say about memory, in words."""
    if not held_out["folds"]:
        return "No text was held out, so there are no curves."
    now = [next(p for p in fold["points"] if p["step"] == fold["steps"]) for fold in held_out["folds"]]
    start = [fold["points"][0] for fold in held_out["folds"]]
    train = sum(p["train"] for p in now) / sum(p["train"] for p in start)
    unseen = sum(p["held_out"] for p in now) / sum(p["held_out"] for p in start)
    words = (
        "is learning the texts by heart"
        if train < 0.6
        else "has begun to memorise the texts"
        if train < 0.85
        else "has memorised hardly anything"
    )
    lowest = (
        ""
        if held_out["minimum"] in (None, metrics["chosen_steps"])
        else f"; the held-out curve is lowest at {held_out['minimum']}"
    )
    return (
        f"At the steps used, a text that a fold was trained on costs {train:.0%} of what it cost the base, and the one "
        f"held out {unseen:.0%}: the model {words}. The final model takes {metrics['chosen_steps']} updates{lowest}."
    )
