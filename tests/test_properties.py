"""Thousands of inputs that nobody wrote: loaders, settings and metrics give a result or a ValueError of ours, and nothing else."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data.brief import Brief
from data.check import reads_as_english
from data.detect import detect_brief
from data.draw import draw_briefs
from data.originals import Original, load_originals, load_texts, normalise
from inference.delta import deltas
from inference.imposters import style_votes
from inference.near import near_copied
from inference.novelty import CopyIndex, copy_limit, repetition
from inference.scale import stylometric
from inference.scoring import score
from inference.structure import structure
from tests.small import NASTY, SEEDS
from training.config import TrainConfig, build_config, load_config
from training.settings import parse_override

ORIGINALS = load_originals(SEEDS)
BODIES = [original.text for original in ORIGINALS]

# Words, marks and blanks that texts are made of, beside any character there is.
pieces = st.sampled_from(
    [
        "She",
        "rain",
        "café",
        "“",
        "”",
        "—",
        ".",
        "?",
        "\n\n",
        "\n",
        " ",
        "\t",
        "Amélie",
        "Mr. ",
        "'",
        "1987",
        "É",
        "\u200b",
        "👩‍👩‍👧",
        "\x1b",
    ]
)
texts = st.one_of(
    st.lists(pieces, max_size=60).map(" ".join),
    st.text(max_size=200).filter(lambda s: not any("\ud800" <= c <= "\udfff" for c in s)),
    st.sampled_from([NASTY, BODIES[0], BODIES[1][:300], "a" * 3000, "the " * 500, ""]),
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=3),
)
some = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(max_examples=1000, deadline=None)


def read(name: str, content: bytes, load: Any) -> list[Original] | str:
    """What loading a folder of one file gives: originals, or the message."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        try:
            return list(load(folder if not name.endswith(".jsonl") else Path(folder) / name))
        except ValueError as error:
            return str(error)


@many
@given(st.one_of(st.binary(max_size=200), texts.map(lambda text: text.encode("utf-8"))))
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
def test_any_bytes_are_an_original_or_a_message(content: bytes) -> None:
    found = read("a.txt", content, load_originals)
    if isinstance(found, str):
        assert "a" in found and ("empty" in found or "UTF-" in found or "control character" in found)
    else:
        (original,) = found
        assert original.text == normalise(original.text) and original.text.strip()
        assert len(original.sha256) == 64


@many
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.recursive(
                plain,
                lambda inner: st.dictionaries(st.sampled_from(["text", "name", "x"]), inner, max_size=3),
            ).map(lambda value: json.dumps(value, default=str).encode("utf-8")),
            texts.map(lambda text: json.dumps({"text": text}).encode("utf-8")),
        ),
        max_size=5,
    )
)
def test_any_lines_are_texts_or_a_message(lines: list[bytes]) -> None:
    for load in (load_originals, load_texts):
        found = read("a.jsonl", b"\n".join(lines), load)
        assert isinstance(found, str) or all(isinstance(one, Original) for one in found)


@many
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(TrainConfig.__dataclass_fields__)), st.text(max_size=8)),
        plain,
        max_size=6,
    )
)
def test_any_settings_are_a_configuration_or_a_message(values: dict[Any, Any]) -> None:
    try:
        config = build_config(values)
    except ValueError as error:
        assert "can't be used" in str(error)
    else:
        assert build_config(config.to_dict()) == config
        assert all(math.isfinite(v) for v in config.to_dict().values() if isinstance(v, float))


@many
@given(
    st.one_of(
        st.binary(max_size=80),
        st.dictionaries(st.text(max_size=6), plain, max_size=3).map(lambda v: yaml.safe_dump(v).encode()),
    )
)
def test_any_file_is_a_configuration_or_a_message(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.yaml"
        path.write_bytes(content)
        try:
            load_config(path)
        except ValueError as error:
            assert str(path) in str(error)


@many
@given(st.text(max_size=30))
def test_any_override_is_a_pair_or_a_message(text: str) -> None:
    try:
        key, _ = parse_override(text)
    except ValueError as error:
        assert "key=value" in str(error)
    else:
        assert key == text.partition("=")[0].strip()


@many
@given(
    st.dictionaries(
        st.sampled_from(["name", "occupation", "place", "meets", "keywords", "length", "x"]),
        plain,
        max_size=4,
    )
)
def test_any_brief_is_one_or_a_message(values: dict[str, Any]) -> None:
    try:
        brief = Brief.from_dict(values)
    except ValueError:
        return
    assert Brief.from_dict(brief.to_dict()) == brief
    assert brief.header() == "" or brief.header().endswith("\n")


@some
@given(texts)
def test_what_is_told_of_a_text_is_in_its_range(text: str) -> None:
    found = structure(text)
    assert found["words"] >= 0 and found["paragraphs"] >= 0
    assert all(0 <= found[key] <= 1 for key in ("dialogue", "constant", "closed"))
    assert 0 <= repetition(text) <= 1
    assert 0 <= near_copied(text, BODIES) <= 1
    index = CopyIndex(BODIES)
    assert 0 <= index.copied_share(text) <= 1
    longest = index.longest(text)
    assert longest is None or text[longest.start : longest.end]
    for n in (4, 8):
        novelty = index.ngram_novelty(text, n)
        assert math.isnan(novelty) or 0 <= novelty <= 1
    assert detect_brief(text).to_dict() is not None
    assert reads_as_english(text) in (True, False)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(texts, min_size=1, max_size=3))
def test_any_texts_are_nearer_or_farther_and_never_neither(given_texts: list[str]) -> None:
    for votes in style_votes(given_texts, BODIES, equal=True).values():
        assert ((votes >= 0) & (votes <= 1)).all()
    cosines = stylometric(given_texts, BODIES, equal=True)
    assert ((cosines >= -1 - 1e-9) & (cosines <= 1 + 1e-9)).all()
    assert all(math.isfinite(value) for values in deltas(given_texts, BODIES) for value in values)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=3))
def test_any_texts_against_any_references_have_a_verdict_or_a_message(
    given_texts: list[str], references: list[str]
) -> None:
    try:
        card = score(given_texts, references)
    except ValueError as error:
        assert "empty" in str(error)
        return
    assert 0 <= card.verdict <= 1
    assert all(0 <= value <= 1 for text in card.texts for value in text.parts.values())
    json.dumps(card.to_dict(), allow_nan=False)
    assert len(card.sentences()) == 2 and str(card)
    assert copy_limit(references) >= 5


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(texts, min_size=1, max_size=4), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_briefs_of_any_texts_are_drawn(originals: list[str], n: int, seed: int) -> None:
    briefs = draw_briefs(originals, n, seed)
    assert len(briefs) == n
    assert draw_briefs(originals, n, seed) == briefs
