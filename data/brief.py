"""A brief: what a text is about, as plain text that a model can be asked with.

A brief has up to seven fields (name, occupation, place, meets, keywords, length, beats), any subset, possibly none.
`header()` writes it as the lines that stand above a text in training and in a prompt; `Brief.parse` reads
them back. Knows the format only: finds no brief in a text that has none (`data.detect` does) and invents none
(`data.draw` does). Beats are a plot: a line for each paragraph says what happens in it; `data.beats` warns of beats that do not fit.

    Brief(name="Nadia Benali", occupation="piano tuner", keywords="rain, key", length=380).header()
    -> "name: Nadia Benali\\noccupation: piano tuner\\nkeywords: rain, key\\nlength: 380\\n---\\n"

    Brief(beats=["Nadia comes in", "she sits down"]).header()
    -> "beats:\\n- Nadia comes in\\n- she sits down\\n---\\n"
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

__all__ = ["Brief", "parse_vignettes", "read_vignettes"]

FIELDS = ("name", "occupation", "place", "meets", "keywords", "length", "beats")
END = "---"  # the line that ends a header
MAX_WORDS = 100_000  # the longest length that may be asked for
MAX_BEATS = 20
MAX_BEAT_WORDS = 60
PLANS = ("auto", "given", "bank", "model", "none")
"""Where the beats of a text come from. auto: what was given, else a plot of the bank where the model was taught to tell from beats. bank:
one of its plots, where one fits. model: the base's own. none: no plan."""

_LINE = re.compile(r"([A-Za-z][A-Za-z_ ]*):(?:[ \t]+(.*))?[ \t]*")
_ANY_LINE = re.compile(r"([^\n]*)(?:\n|\Z)")
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_ITEM = "-"  # the key of a beat's line
_BEAT = re.compile(r"-(?:[ \t].*)?")
_MARKER = re.compile(r"\A(?:(?:[-*]|[0-9]{1,2}\.)(?: |\Z))+")  # of a list, before a beat
_ABSENT = re.compile(r"(?:none|nobody)(?: \(.*\))?", re.IGNORECASE)


@dataclass(frozen=True)
class Brief:
    """What a text is about. Every field may be left out; an empty brief is false.

    Text is NFC with single spaces; an empty string is a field that is not given. A line break, a control
    character or `---` inside a field would break the header and is refused, as is what is not text. All
    problems are raised at once, as one ValueError.
    """

    name: str | None = None
    """The protagonist's name as it should stand in the text: "Nadia Benali"."""
    occupation: str | None = None
    """A noun phrase in lower case: "piano tuner"."""
    place: str | None = None
    """Where it happens: "a café by the Canal Saint-Martin"."""
    meets: str | None = None
    """Whom the protagonist meets: "an old clarinettist"."""
    keywords: tuple[str, ...] = ()
    """Things that occur; given as any iterable of strings or one string with commas, kept without repeats."""
    length: int | None = None
    """Words wanted, 1 to 100,000."""
    beats: tuple[str, ...] = ()
    """What happens, one line for each paragraph; given as any iterable of strings or one string with line breaks.

    At most 20 beats of at most 60 words. A mark of a list before a beat ("- ", "* ", "1. ") is left out.
    """
    drawn: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """The fields that nobody asked for, since `data.draw` drew them. A plot may put its own in their place. Not written anywhere."""

    if (
        TYPE_CHECKING
    ):  # the constructor takes more than the field holds; the one that runs is the dataclass's own

        def __init__(
            self,
            name: str | None = None,
            occupation: str | None = None,
            place: str | None = None,
            meets: str | None = None,
            keywords: Iterable[str] | str = (),
            length: int | None = None,
            beats: Iterable[str] | str = (),
            drawn: frozenset[str] = frozenset(),
        ) -> None: ...

    def __post_init__(self) -> None:
        problems: list[str] = []
        for name in ("name", "occupation", "place", "meets"):
            object.__setattr__(self, name, _clean(name, getattr(self, name), problems))
        object.__setattr__(self, "keywords", _clean_keywords(self.keywords, problems))
        length: object = self.length
        if length is not None and (isinstance(length, bool) or not isinstance(length, int)):
            problems.append(
                f"length must be a whole number of words, found {length!r}; type for example length=380"
            )
        elif length is not None and not 1 <= length <= MAX_WORDS:
            problems.append(
                f"length must be 1 to {MAX_WORDS} words, found {length}; type for example length=380"
            )
        object.__setattr__(self, "beats", _clean_beats(self.beats, problems))
        if problems:
            raise ValueError("not a valid brief: " + "; ".join(problems))

    def __bool__(self) -> bool:
        """Whether any field is given."""
        return bool(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The given fields in the header's order, keywords and beats as lists; `Brief.from_dict` is the inverse."""
        given: dict[str, Any] = {}
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None and value != ():
                given[name] = list(value) if isinstance(value, tuple) else value
        return given

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Brief:
        """A brief from a mapping, as YAML or JSON give it; None is a field that is not given.

        Raises ValueError for an unknown key, naming the nearest known one, and for values that `Brief`
        refuses.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(
                f"a brief is a mapping of {', '.join(FIELDS)}; found {type(fields).__name__}: {fields!r:.80}"
            )
        unknown = [_unknown(str(key)) for key in fields if key not in FIELDS]
        if unknown:
            raise ValueError("; ".join(unknown))
        given = {key: value for key, value in fields.items() if value is not None}
        return cls(**given)

    def header(self) -> str:
        """The given fields as lines `field: value`, then a line `---`; "" for an empty brief.

        Beats stand below the line `beats:`, each in a line `- beat`.
        """
        lines: list[str] = []
        for name, value in self.to_dict().items():
            if name == "beats":
                lines += ["beats:", *(f"- {beat}" for beat in value)]
            else:
                lines.append(f"{name}: {', '.join(value) if name == 'keywords' else value}")
        return "\n".join([*lines, END, ""]) if lines else ""

    @classmethod
    def parse(cls, text: str) -> tuple[Brief, str]:
        """Split a text into its brief and its body: `Brief.parse(brief.header() + body) == (brief, body)`.

        A header is read only where the text opens with lines `key: value`, at least one key a brief's, up to
        a line `---`. Below the key `beats` each line `- ...` is a beat. Any other text, also one that merely
        opens with "word: ...", comes back unchanged with an empty brief.

        Raises ValueError where a header has an unknown key (naming the nearest known one), a key twice or a
        bad value.
        """
        lines, body = _split(text)
        if not lines:
            return cls(), text
        unknown = [_unknown(key) for key, _ in lines if key not in (*FIELDS, _ITEM)]
        if unknown:
            raise ValueError("in the header of a text: " + "; ".join(unknown))
        fields: dict[str, Any] = {}
        for key, value in lines:
            if key == _ITEM:
                fields["beats"].append(value)
                continue
            if key in fields:
                raise ValueError(f"in the header of a text: {key!r} stands twice; keep one")
            fields[key] = _number(value) if key == "length" else value
            if key == "beats":
                fields[key] = [value] if value else []
        return cls.from_dict(fields), body


def parse_vignettes(text: str) -> list[tuple[Brief, str]]:
    """Read a file of vignettes, records of header and body separated by lines `===`, as (brief, body).

    "none", "nobody" and "none (a cat)", as these files write what does not apply, are read as not given.

    Raises ValueError where a record has no header, saying which.
    """
    found = []
    records = [part.strip() for part in re.split(r"(?m)^===[ \t]*\r?$", text.removeprefix("\ufeff"))]
    for number, record in enumerate(filter(None, records), start=1):
        if not _split(record)[0]:
            raise ValueError(
                f"vignette {number} has no header, it opens with {record[:40]!r}; "
                "type name: ... and a line --- above it"
            )
        brief, body = Brief.parse(record)
        fields = {key: value for key, value in brief.to_dict().items() if not _ABSENT.fullmatch(str(value))}
        found.append((Brief.from_dict(fields), body.strip()))
    return found


def read_vignettes(folder: Path) -> list[tuple[Brief, str]]:
    """`parse_vignettes` of every .txt file in ``folder``, by name; none where there is no such file."""
    files = sorted(folder.glob("*.txt"))
    return [record for file in files for record in parse_vignettes(file.read_text(encoding="utf-8"))]


def _split(text: str) -> tuple[list[tuple[str, str]], str]:
    """The header of a text as (key, value), and what follows it; ([], text) without a header.

    The lines of beats follow their key as (`_ITEM`, line).
    """
    rows: list[tuple[str, str]] = []
    position = len(text) - len(text.lstrip("\ufeff \t\r\n"))
    for line in _ANY_LINE.finditer(text, position):
        content = line[1].rstrip("\r")
        if content.rstrip() == END:
            known = any(key in FIELDS for key, _ in rows)
            return (rows, text[line.end() :]) if known else ([], text)
        if rows and rows[-1][0] in ("beats", _ITEM) and _BEAT.fullmatch(content):
            rows.append((_ITEM, content))
            continue
        row = _LINE.fullmatch(content)
        if row is None:
            break
        rows.append((row[1].strip().lower(), (row[2] or "").strip()))
    return [], text


def _clean(field: str, value: object, problems: list[str]) -> str | None:
    """A text field, normalised; None where it is not given. What is wrong is appended to `problems`."""
    if value is None:
        return None
    if not isinstance(value, str):
        problems.append(f'{field} must be text, found {value!r:.60}; type for example {field}="..."')
        return None
    value = unicodedata.normalize("NFC", value).strip()
    shown = value if len(value) <= 60 else value[:57] + "..."
    if any(mark in value for mark in _BREAKS):
        problems.append(f"{field} must be one line, found a line break in {shown!r}; type it on one line")
    elif any(unicodedata.category(mark) in ("Cc", "Cs") and mark != "\t" for mark in value):
        problems.append(f"{field} holds a control character, found {shown!r}; type it again by hand")
    elif END in value:
        problems.append(
            f"{field} must not contain '---', which ends a header, found {shown!r}; type a dash –"
        )
    return " ".join(value.split()) or None


def _clean_keywords(value: object, problems: list[str]) -> tuple[str, ...]:
    """Keywords as a tuple without repeats. What is wrong is appended to `problems`."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
        problems.append(
            f'keywords must be words, found {value!r:.60}; type for example keywords=["rain", "key"]'
        )
        return ()
    found: dict[str, str] = {}
    for entry in value:
        cleaned = _clean("keywords", entry, problems) or ""
        for keyword in filter(None, map(str.strip, cleaned.split(","))):
            found.setdefault(keyword.casefold(), keyword)
    return tuple(found.values())


def _clean_beats(value: object, problems: list[str]) -> tuple[str, ...]:
    """Beats as a tuple. What is wrong is appended to `problems`."""
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.strip().splitlines()
    if not isinstance(value, Iterable) or isinstance(value, Mapping | Set | bytes):  # a set has no order
        problems.append(
            f'beats must be lines of text, found {value!r:.60}; type for example beats=["Nadia comes in"]'
        )
        return ()
    beats = list(value)
    if len(beats) > MAX_BEATS:
        problems.append(
            f"beats must be at most {MAX_BEATS} lines, found {len(beats)}; type one line for each paragraph"
        )
        return ()
    return tuple(_clean_beat(f"beat {number}", beat, problems) for number, beat in enumerate(beats, start=1))


def _clean_beat(which: str, value: object, problems: list[str]) -> str:
    """One beat without a list's mark. What is wrong is appended to `problems`."""
    if not isinstance(value, str):
        problems.append(f"{which} must be text, found {value!r:.60}; type it in quotation marks")
        return ""
    before = len(problems)
    beat = _MARKER.sub("", _clean(which, value, problems) or "")
    count = len(beat.split())
    if not beat and len(problems) == before:
        problems.append(f"{which} is empty, found {value!r:.60}; type what happens there or leave it out")
    elif count > MAX_BEAT_WORDS:
        problems.append(
            f"{which} must be at most {MAX_BEAT_WORDS} words, found {count}; type what happens in one short line"
        )
    return beat


def _unknown(key: str) -> str:
    """What is said about a key that no brief has."""
    near = difflib.get_close_matches(key.lower(), FIELDS, n=1, cutoff=0.5)
    return f"a brief has no field {key!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"it has {', '.join(FIELDS)}"
    )


def _number(value: str) -> int | None:
    """The length in a header; None where nothing stands there."""
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError(
            f"in the header of a text: length must be a whole number of words, found {value!r}; "
            "type for example length: 380"
        )
    return int(value)
