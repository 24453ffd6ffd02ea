"""Samples as files that other programs open: plain text, Markdown, JSON lines, a table, a page. Draws and scores nothing.

Imports nothing heavy: the command line asks for the formats before anything is drawn.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.sample import Sample

FORMATS = ("text", "markdown", "json", "csv", "html")

BY_ENDING = {
    ".txt": "text",
    ".md": "markdown",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".html": "html",
}
"""Which format the name of a file asks for."""


def format_of(path: Path | None, asked: str | None) -> str:
    """The format that was asked for, else that of the file's ending, else plain text; ValueError for an ending of no format."""
    if asked is not None:
        return asked
    if path is None or not path.suffix:
        return "text"
    if path.suffix.lower() not in BY_ENDING:
        raise ValueError(
            f"{path} ends in none of {', '.join(BY_ENDING)}: choose one, or say --format {'|'.join(FORMATS)}"
        )
    return BY_ENDING[path.suffix.lower()]


def export(samples: Sequence["Sample"], form: str) -> str:
    """``samples`` in one of `FORMATS`. JSON: one object a line, as samples.jsonl has them. CSV: one row a sample, its brief and
    scores in columns, as spreadsheets read it. HTML: a sheet for each, to be read."""
    if form == "json":
        return "".join(json.dumps(sample.to_dict(), ensure_ascii=False) + "\n" for sample in samples)
    if form == "csv":
        return _csv(samples)
    if form == "html":
        from inference.sample import page

        return f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Samples</title>\n<body>{page(samples)}</body></html>\n'
    if form == "markdown":
        return "\n\n".join(_markdown(number, sample) for number, sample in enumerate(samples, start=1)) + "\n"
    return "\n\n* * *\n\n".join(sample.text for sample in samples) + "\n"


def _csv(samples: Sequence["Sample"]) -> str:
    rows = [
        {
            **{
                f"brief_{key}": _no_formula(_line(key, value))
                for key, value in sample.brief.to_dict().items()
            },
            "seed": sample.seed,
            "index": sample.index,
            "ended_by_eos": sample.ended_by_eos,
            "tokens": sample.tokens,
            **{key: _no_formula(value) for key, value in _flat(sample.scores).items()},
            "remark": _no_formula(sample.remark or ""),
            "text": _no_formula(sample.text),
        }
        for sample in samples
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "text"))
    file = io.StringIO()
    writer = csv.DictWriter(file, [*columns, "text"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _line(key: str, value: Any) -> Any:
    """A brief's field in one cell: beats one below the other, keywords with commas."""
    return ("\n" if key == "beats" else ", ").join(value) if isinstance(value, list) else value


def _flat(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of one value each: what is obeyed under "obeyed_name" and so on."""
    nested = {
        f"{key}_{inner}": value
        for key, of in scores.items()
        if isinstance(of, dict)
        for inner, value in of.items()
    }
    return {key: value for key, value in scores.items() if not isinstance(value, dict)} | nested


def _no_formula(value: Any) -> Any:
    """A spreadsheet runs what begins like a formula; an apostrophe before it makes it a text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value


def _markdown(number: int, sample: "Sample") -> str:
    fields = sample.brief.to_dict()
    beats = fields.pop("beats", ())
    brief = "; ".join(f"{key}: {_line(key, value)}" for key, value in fields.items())
    head = f"## {number}\n\n*{brief}*\n\n" if brief else f"## {number}\n\n"
    if beats:
        plot = "\n".join(f"{at}. {beat}" for at, beat in enumerate(beats, start=1))
        head += f"*beats:*\n\n{plot}\n\n* * *\n\n"
    # Two spaces keep the lines of verse apart.
    return head + "\n\n".join("  \n".join(part.split("\n")) for part in sample.text.split("\n\n"))
