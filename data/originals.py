"""Reads the user's originals from a folder, a file or a dataset, as they are, and says what is wrong with them.

Normalises only what no reader sees: NFC, line ends, a byte-order mark, blank lines around a text, one stray space
before a paragraph. Quotes, dashes, accents and the line breaks of verse are kept. Does not split, tokenize, judge or
change a text otherwise.
"""

import difflib
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.brief import Brief

NOT_ORIGINALS = {
    "sources.md",
    "readme.md",
    "license.md",
    "licence.md",
    "readme.txt",
    "license.txt",
    "licence.txt",
}
"""File names (lower case) in a folder of originals that are about the texts and not texts themselves."""

MOST_BYTES = 20_000_000
"""Of a folder or file of originals: some thirty novels. More is a corpus, which this is not for."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Original:
    """One of the user's texts.

    ``name`` is the file's stem, or the row's ``name`` or number; ``text`` is normalised; ``source`` and ``licence``
    are free text, empty when nothing was stated; ``brief`` is what the user says that it is about, None where `data.detect`
    is to find that.
    """

    name: str
    text: str
    source: str = ""
    licence: str = ""
    brief: Brief | None = None

    @property
    def words(self) -> int:
        """Number of whitespace-separated words."""
        return len(self.text.split())

    @property
    def sha256(self) -> str:
        """Hex digest of the normalised text in UTF-8."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()


def normalise(text: str) -> str:
    r"""The form in which every text is trained and scored.

    >>> normalise("\ufeffOne\r\n\r\n Two cafe\u0301s\n")
    'One\n\nTwo cafés'
    """
    text = unicodedata.normalize("NFC", text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    lines = text.rstrip().split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    indented = sum(line.startswith((" ", "\t")) for line in lines)
    if indented == 1 or indented * 3 <= len(
        [line for line in lines if line.strip()]
    ):  # above a third: indentation is the form (verse)
        for i, line in enumerate(lines):
            starts_paragraph = i == 0 or not lines[i - 1].strip()
            if starts_paragraph and re.match(r" \S", line):
                lines[i] = line[1:]
    return "\n".join(lines)


def load_originals(source: str | Path) -> list[Original]:
    """All originals found in ``source``, in the order of their names or rows.

    ``source`` is a folder of .txt and .md files (not searched deeper; SOURCES.md, README.md and LICENSE.md are skipped), one
    such file, a .jsonl of objects with ``text`` and perhaps ``name``, ``source``, ``licence``, ``brief``, a folder written by
    ``datasets.Dataset.save_to_disk``, or the id of a dataset with a ``text`` column. A file's brief may lie beside it, under
    its name with the ending .yaml.

    Raises ValueError that lists every problem found: nothing there, no text, not UTF-8, the same text or name twice.
    """
    problems: list[str] = []
    originals = _load(source, problems)
    seen: dict[str, str] = {}
    for original in originals:
        _refuse(r"[\x00-\x08\x0e-\x1f]", original.name, original.text, problems)
        if original.text in seen:
            problems.append(f"{original.name} is the same text as {seen[original.text]}: remove one of them")
        seen.setdefault(original.text, original.name)
    # Folds and figures go by name.
    names = Counter(original.name for original in originals)
    problems += [f"two texts are called {name}: rename one of them" for name, n in names.items() if n > 1]
    _raise(source, problems)
    return originals


def load_texts(source: str | Path) -> list[Original]:
    """As `load_originals`, for texts to be scored: the same may come twice, a row may be empty, and a model may write what no
    author does."""
    problems: list[str] = []
    found = _load(source, problems, empty=True)
    _raise(source, problems)
    return found


def _refuse_a_corpus(path: Path) -> None:
    """Before anything is read: what is too large would take the memory, then hours."""
    files = (
        [path] if path.is_file() else [e for e in path.iterdir() if _is_original(e)] if path.is_dir() else []
    )
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise ValueError(
            f"{path} has {size / 1e6:,.0f} MB of text: a handful of short texts is what can be learned from here. Give an excerpt "
            f"of at most {MOST_BYTES / 1e6:.0f} MB."
        )


def _raise(source: str | Path, problems: list[str]) -> None:
    if problems:
        raise ValueError(f"{source} can't be used:\n" + "\n".join(f"- {problem}" for problem in problems))


def _load(source: str | Path, problems: list[str], empty: bool = False) -> list[Original]:
    path = Path(os.path.expanduser(source))
    _refuse_a_corpus(path)
    if path.is_dir() and not (path / "state.json").exists() and not (path / "dataset_dict.json").exists():
        found = _from_folder(path, problems)
    elif path.suffix.lower() == ".jsonl" and path.is_file():
        found = _from_jsonl(path, problems, empty)
    elif path.is_file():
        if path.suffix.lower() not in {".txt", ".md"}:
            raise ValueError(
                f"{path} is not a text: found the ending '{path.suffix}'. Give a .txt, .md or .jsonl file or a folder of them."
            )
        found = [_read(path, problems)]
    elif path.is_dir() or (_HUB_ID.fullmatch(str(source)) and not path.parent.is_dir()):
        found = _from_datasets(str(source), problems)
    else:
        raise ValueError(
            f"no originals at {path}: it does not exist.{_nearest(path)} Give a folder of .txt or .md files."
        )

    return [original for original in found if original is not None]


def _original(
    name: str, text: str, problems: list[str], source: str = "", licence: str = "", brief: Any = None
) -> Original | None:
    text = normalise(text)
    if not text.strip():
        problems.append(f"{name} is empty: write a text into it or remove it")
        return None
    if _refuse(r"[\ud800-\udfff]", name, text, problems):
        return None
    try:
        about = None if brief is None else Brief.from_dict(brief)
    except ValueError as error:
        problems.append(f"the brief of {name}: {error}")
        return None
    return Original(name, text, source, licence, about)


def _refuse(characters: str, name: str, text: str, problems: list[str]) -> bool:
    hit = re.search(characters, text)
    if hit:
        problems.append(
            f"{name} is not plain text: control character {hit.group()!r} at character {hit.start()}"
        )
    return bool(hit)


def _read(path: Path, problems: list[str]) -> Original | None:
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append(f"{path.name} is UTF-16: save it as UTF-8")
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(
            f"{path.name} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}; save it as UTF-8"
        )
        return None
    return _original(path.stem, text, problems, brief=_beside(path, problems))


def _beside(path: Path, problems: list[str]) -> Any:
    """What the .yaml beside a text holds, None without one."""
    file = path.with_suffix(".yaml")
    if not file.is_file():
        return None
    import yaml

    try:
        return yaml.safe_load(file.read_text("utf-8-sig")) or {}
    except (yaml.YAMLError, ValueError) as error:
        problems.append(f"{file.name} is not YAML: {' '.join(str(error).split())}")
        return None


def ignored(source: str | Path) -> list[str]:
    """Names of what lies in a folder of originals and is not read: other formats and subfolders."""
    folder = Path(source).expanduser()
    if not folder.is_dir() or not any(_is_original(entry) for entry in folder.iterdir()):
        return []
    briefs = {entry.with_suffix(".yaml").name for entry in folder.iterdir() if _is_original(entry)}
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if not _is_original(entry)
        and entry.name not in briefs
        and not entry.name.startswith(".")
        and entry.name.lower() not in NOT_ORIGINALS
    )


def _is_original(entry: Path) -> bool:
    named = entry.suffix.lower() in {".txt", ".md"} and entry.name.lower() not in NOT_ORIGINALS
    return named and not entry.name.startswith(".")


def _from_folder(path: Path, problems: list[str]) -> list[Original | None]:
    files = sorted(entry for entry in path.iterdir() if _is_original(entry))
    if not files:
        others = sorted(f.name for f in path.iterdir())[:5]
        raise ValueError(
            f"no originals in {path}: found {', '.join(others) if others else 'an empty folder'}. "
            "Put each text into a .txt or .md file there."
        )
    return [_read(file, problems) for file in files]


def _from_jsonl(path: Path, problems: list[str], empty: bool) -> list[Original | None]:
    found: list[Original | None] = []
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: offset {error.start}; save it as UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"line {number} is not JSON: {error.msg} at column {error.colno}")
            continue
        found.append(_row(row, f"{path.stem}-{number:03d}", f"line {number}", problems, empty))
    if not found and not problems:
        raise ValueError(f'no originals in {path}: the file is empty. Write one {{"text": "..."}} a line.')
    return found


def _row(
    row: Any, default_name: str, where: str, problems: list[str], empty: bool = False
) -> Original | None:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        keys = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        problems.append(f'{where} has no "text" (found {keys or "nothing"}): each row needs "text"')
        return None
    name = str(row.get("name") or default_name)
    if empty and not row["text"].strip():
        return Original(name, "")  # a model may end a text before it begins
    source, licence = (str(row.get(key) or "") for key in ("source", "licence"))
    return _original(name, row["text"], problems, source, licence, row.get("brief"))


def _from_datasets(source: str, problems: list[str]) -> list[Original | None]:
    import datasets

    try:
        loaded = datasets.load_from_disk(source) if Path(source).is_dir() else datasets.load_dataset(source)
    except Exception as error:
        raise ValueError(
            f"no originals at {source!r}: there is no such file or folder, and the datasets hub did not give it "
            f"({type(error).__name__}). Give a folder of .txt or .md files, or check the id and the network."
        ) from error
    if isinstance(loaded, datasets.DatasetDict):
        loaded = loaded["train"] if "train" in loaded else next(iter(loaded.values()))
    stem = Path(source).name
    return [_row(row, f"{stem}-{i:03d}", f"row {i}", problems) for i, row in enumerate(loaded)]


def _nearest(path: Path) -> str:
    """The nearest thing that does exist: a similar name in the deepest existing parent."""
    parent = path.parent
    while not parent.is_dir():
        parent = parent.parent
    near = difflib.get_close_matches(path.name, [p.name for p in parent.iterdir()], n=1, cutoff=0.6)
    return (
        f" Did you mean {parent / near[0]}?"
        if near and parent == path.parent
        else f" The nearest folder that exists is {'the working directory' if parent == Path() else parent}."
    )
