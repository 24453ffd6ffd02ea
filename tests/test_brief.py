"""The brief and its text format: what is kept, what is refused, and that header and body come apart as they were joined."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.brief import Brief, parse_vignettes

FULL = Brief(
    name="Nadia Benali",
    occupation="piano tuner",
    place="a café by the Canal Saint-Martin",
    meets="an old clarinettist",
    keywords=["rain", "key"],
    length=380,
)
HEADER = """name: Nadia Benali
occupation: piano tuner
place: a café by the Canal Saint-Martin
meets: an old clarinettist
keywords: rain, key
length: 380
---
"""

lines = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30).filter(
    lambda text: "---" not in unicodedata.normalize("NFC", text)
)
briefs = st.builds(
    Brief,
    name=st.none() | lines,
    occupation=st.none() | lines,
    place=st.none() | lines,
    meets=st.none() | lines,
    keywords=st.lists(lines, max_size=4),
    length=st.none() | st.integers(1, 100_000),
)


def test_header_is_the_format_the_base_was_trained_in():
    assert FULL.header() == HEADER


def test_header_has_only_given_fields_in_a_fixed_order():
    assert Brief(length=90, name="Ann").header() == "name: Ann\nlength: 90\n---\n"
    assert Brief().header() == ""


@given(briefs, st.text(max_size=80))
def test_parse_undoes_header(brief, body):
    if brief:
        assert Brief.parse(brief.header() + body) == (brief, body)


@given(briefs)
def test_from_dict_undoes_to_dict(brief):
    assert Brief.from_dict(brief.to_dict()) == brief
    assert bool(brief) == bool(brief.to_dict()) == bool(brief.header())


def test_to_dict_has_only_given_fields():
    assert Brief(name="Ann", keywords="rain").to_dict() == {"name": "Ann", "keywords": ["rain"]}
    assert Brief().to_dict() == {}
    assert not Brief(name="  ", keywords=[""])


def test_text_is_nfc_with_single_spaces():
    brief = Brief(name="  Ame\u0301lie \t  Ng ", keywords="rain,  old   key ,, rain,RAIN")
    assert brief.name == "Am\u00e9lie Ng"
    assert brief.keywords == ("rain", "old key")


@pytest.mark.parametrize("keywords", ["rain, key", ["rain", "key"], ("rain", "key"), iter(["rain", "key"])])
def test_keywords_come_in_many_forms(keywords):
    assert Brief(keywords=keywords).keywords == ("rain", "key")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Ann\nBell"}, "line break"),
        ({"name": "Ann\u2028Bell"}, "line break"),
        ({"place": "a\x00café"}, "control character"),
        ({"meets": "a man --- old"}, "'---'"),
        ({"keywords": ["rain", "a\nb"]}, "line break"),
        ({"keywords": 7}, "keywords must be words"),
        ({"keywords": [7]}, "must be text"),
        ({"occupation": ["baker"]}, "must be text"),
        ({"length": 0}, "1 to 100000"),
        ({"length": 100_001}, "1 to 100000"),
        ({"length": True}, "whole number"),
        ({"length": 380.0}, "whole number"),
        ({"length": "380"}, "whole number"),
    ],
)
def test_bad_values_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Brief.from_dict(fields)


def test_all_problems_are_said_at_once():
    with pytest.raises(ValueError, match=r"name must be one line.*length must be 1 to 100000.*found -3"):
        Brief(name="a\nb", length=-3)


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ValueError, match=r"'ocupation'; did you mean 'occupation'\?"):
        Brief.from_dict({"ocupation": "baker"})
    with pytest.raises(ValueError, match="it has name, occupation"):
        Brief.from_dict({"zzz": 1})
    with pytest.raises(ValueError, match="a brief is a mapping"):
        Brief.from_dict(["name"])  # type: ignore[arg-type]


def test_none_in_a_mapping_is_not_given():
    assert Brief.from_dict({"name": None, "keywords": None, "length": None}) == Brief()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No header at all.",
        "Chorus: haul away, boys\nMate: haul away home\n\nAnd so we sailed.",
        "name: what is in it?\nA rose by any other would be a rose.\n---\nThe end.",
        "Refrain: heave\n---\nSecond verse.",
        "---\nA dividing line first.",
        "name: Ann",
        "\n\n  An indented beginning.\n",
    ],
)
def test_text_without_a_header_is_not_eaten(text):
    assert Brief.parse(text) == (Brief(), text)


def test_parse_takes_what_people_type():
    text = "\ufeff\r\nName:  Ann Bell\r\nplace:\r\nKeywords: rain,key\r\nlength: 90\r\n--- \r\nShe came."
    assert Brief.parse(text) == (Brief(name="Ann Bell", keywords=("rain", "key"), length=90), "She came.")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("name: Ann\nocupation: baker\n---\n", "did you mean 'occupation'"),
        ("name: Ann\nname: Bea\n---\n", "stands twice"),
        ("name: Ann\nlength: long\n---\n", "found 'long'"),
        ("name: Ann\nlength: 0\n---\n", "1 to 100000"),
    ],
)
def test_a_broken_header_is_an_error(header, said):
    with pytest.raises(ValueError, match=said):
        Brief.parse(header + "Text.")


def test_vignettes_are_records_of_header_and_body():
    text = (
        "===\nname: Ann Bell\nkeywords: rain, key\n---\nIt rained.\n\nShe left.\n"
        "===\nname: none\noccupation: none (a cat)\nmeets: nobody\nplace: a roof\n---\nPurr.\n"
    )
    assert parse_vignettes(text) == [
        (Brief(name="Ann Bell", keywords=("rain", "key")), "It rained.\n\nShe left."),
        (Brief(place="a roof"), "Purr."),
    ]
    assert parse_vignettes("\n") == []
    with pytest.raises(ValueError, match="vignette 2 has no header"):
        parse_vignettes("===\nname: Ann\n---\nOne.\n===\nTwo.")


def test_importing_the_brief_imports_nothing_heavy():
    code = "import sys, data.brief; print([m for m in ('torch', 'numpy', 'yaml', 'data.detect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
