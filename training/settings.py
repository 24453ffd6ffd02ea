"""Settings as a dataclass read from YAML: unknown keys with the nearest known one, types and ranges, all in one error.

Knows no setting by name; `training.config` and `training.base.config` do.
"""

import difflib
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

Rule = tuple[str, str, Callable[[Any], bool]]
"""A field, what its value must be in words, and whether a value is that."""

NAME = "letters, digits, . - _ and not start with a dot"


def is_name(value: str) -> bool:
    """Whether ``value`` can be a folder's name, and leads nowhere else."""
    return bool(re.fullmatch(r"[^\W.][\w.-]*", value))


def read_settings(path: str | Path) -> dict[Any, Any]:
    """The keys and values of a YAML file. Raises ValueError where it is missing (with the nearest there is) or no such file."""
    path = Path(path)
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], n=1)
        hint = f" Did you mean {path.parent / near[0]}?" if near else " The presets are in configs/."
        raise ValueError(f"no configuration at {path}.{hint}")
    try:
        values = yaml.safe_load(path.read_text("utf-8-sig")) or {}
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, found {type(values).__name__}")
    return values


def build(kind: type[T], values: Mapping[Any, Any], where: str) -> T:
    """A ``kind``, a dataclass that checks itself by `check`, from plain values; ValueError lists unknown keys as well."""
    hints = typing.get_type_hints(kind)
    problems = [_unknown(str(key), list(hints)) for key in values if key not in hints]
    known = {key: _lenient(hints[key], value) for key, value in values.items() if key in hints}
    try:
        config = kind(**known)
    except ValueError as error:
        problems += [line.removeprefix("- ") for line in str(error).split("\n")[1:]]
    if problems:
        raise ValueError(_listed(where, problems))
    return config


def check(config: Any, rules: Sequence[Rule], together: Callable[[set[str]], list[str]]) -> None:
    """Raise ValueError that lists every field of the wrong type or out of range, and what ``together`` finds between fields
    when it is told which of them are wrong already."""
    problems = _type_problems(config)
    problems |= {
        name: f"{name}: must be {wanted}, found {getattr(config, name)!r}"
        for name, wanted, holds in rules
        if name not in problems and not holds(getattr(config, name))
    }
    if found := [*problems.values(), *together(set(problems))]:
        raise ValueError(_listed("the configuration", found))


def parse_override(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line, the value read as YAML: ``max_steps=8`` gives ("max_steps", 8)."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--set takes key=value, found {text!r}: write for example --set max_steps=8")
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        raise ValueError(
            f"--set takes key=value, found {text!r}, whose value is not YAML: write for example --set max_steps=8"
        ) from None


def _listed(what: str, problems: Sequence[str]) -> str:
    return f"{what} can't be used:\n" + "\n".join(f"- {problem}" for problem in problems)


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"{key}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")


def _lenient(kind: Any, value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as a string and 16 as an int: both are meant as numbers where a float is asked for."""
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        inner = typing.get_args(kind)[1]
        return {key: _lenient(inner, one) for key, one in value.items()}
    if float not in (kind, *typing.get_args(kind)):
        return value
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return value
    return value


def _type_problems(config: Any) -> dict[str, str]:
    return {
        name: f"{name}: must be {_wanted(kind)}, found {value!r}"
        for name, kind in typing.get_type_hints(type(config)).items()
        if not _is(value := getattr(config, name), kind)
    }


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_is(value, one) for one in typing.get_args(kind))
    if typing.get_origin(kind) is dict:
        of_key, of_value = typing.get_args(kind)
        return isinstance(value, dict) and all(_is(k, of_key) and _is(v, of_value) for k, v in value.items())
    # bool is an int to Python; a user who writes "seed: true" made a mistake.
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _wanted(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_wanted, typing.get_args(kind)))
    if typing.get_origin(kind) is dict:
        of_key, of_value = map(_wanted, typing.get_args(kind))
        return f"'{of_key}: {of_value}' lines"
    return "null" if kind is type(None) else str(kind.__name__)
