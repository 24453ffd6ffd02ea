"""Word lists by which briefs are detected and drawn: names, occupations, places, words that are no names.

Plain text files beside this module, UTF-8: entries separated by commas or line ends, `#` opens a comment,
and a line may open with `group: `. A file is read once, at its first use. For their origin see SOURCES.md.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

__all__ = ["entries", "groups", "words"]


@cache
def groups(name: str) -> dict[str, tuple[str, ...]]:
    """The entries of `<name>.txt` by group, in file order; entries of lines without a group stand under "".

    groups("person_words")["woman"] -> ("woman", "lady", "widow")
    """
    found: dict[str, list[str]] = {}
    raw = (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8")
    for line in unicodedata.normalize("NFC", raw).splitlines():
        group, colon, rest = line.split("#", 1)[0].partition(": ")
        if not colon:
            group, rest = "", group
        members = (entry.strip() for entry in rest.split(","))
        found.setdefault(group.strip(), []).extend(entry for entry in members if entry)
    return {group: tuple(members) for group, members in found.items()}


@cache
def entries(name: str) -> tuple[str, ...]:
    """All entries of `<name>.txt` in file order, without repeats."""
    return tuple(dict.fromkeys(entry for members in groups(name).values() for entry in members))


@cache
def words(name: str, group: str | None = None) -> frozenset[str]:
    """The entries of `<name>.txt`, or of one group of it, case-folded, for membership tests."""
    found = entries(name) if group is None else groups(name)[group]
    return frozenset(entry.casefold() for entry in found)
