"""The brief and its text format: what is kept, what is refused, and that header and body come apart as they were joined."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.brief import FIELDS, Brief, parse_vignettes
from data.stories import plan_header, plan_lines

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
    beats=st.lists(lines.map("{}x".format), max_size=4),  # a beat is not empty
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
def test_beats_stand_in_the_header_as_in_a_plan(brief):
    if brief.beats:
        assert brief.header() == plan_header(brief) + plan_lines(brief.beats)
        assert brief.header().startswith(plan_header(brief))


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
        ({"beats": 7}, "beats must be lines of text, found 7; type"),
        ({"beats": {"one": "two"}}, "beats must be lines of text"),
        ({"beats": {"one", "two"}}, "beats must be lines of text"),
        ({"beats": b"one"}, "beats must be lines of text"),
        ({"beats": ["one", 7]}, "beat 2 must be text, found 7; type"),
        ({"beats": ["one", {"Nadia": "comes in"}]}, "beat 2 must be text"),
        ({"beats": ["one", None]}, "beat 2 must be text"),
        ({"beats": ["one", ""]}, "beat 2 is empty, found ''; type"),
        ({"beats": ["one", " 2. "]}, "beat 2 is empty"),
        ({"beats": "one\n\nthree"}, "beat 2 is empty"),
        ({"beats": ["one", "two\nthree"]}, "beat 2 must be one line, found a line break"),
        ({"beats": ["a\x00café"]}, "beat 1 holds a control character"),
        ({"beats": ["she waits --- and goes"]}, "beat 1 must not contain '---'"),
        ({"beats": ["one", "so " * 61]}, "beat 2 must be at most 60 words, found 61; type"),
        ({"beats": ["she waits"] * 21}, "beats must be at most 20 lines, found 21; type"),
        ({"beats": "she waits\n" * 500}, "beats must be at most 20 lines, found 500; type"),
    ],
)
def test_bad_values_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Brief.from_dict(fields)


def test_all_problems_are_said_at_once():
    with pytest.raises(ValueError, match=r"name must be one line.*length must be 1 to 100000.*found -3"):
        Brief(name="a\nb", length=-3)
    with pytest.raises(
        ValueError, match=r"length must be 1 to 100000.*beat 1 is empty.*beat 3 must be one line"
    ):
        Brief(length=0, beats=["", "two", "three\nfour"])


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ValueError, match=r"'ocupation'; did you mean 'occupation'\?"):
        Brief.from_dict({"ocupation": "baker"})
    with pytest.raises(ValueError, match="it has name, occupation"):
        Brief.from_dict({"zzz": 1})
    with pytest.raises(ValueError, match="a brief is a mapping"):
        Brief.from_dict(["name"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'beats'"):
        Brief.from_dict({"beat": ["one"]})


def test_none_in_a_mapping_is_not_given():
    assert Brief.from_dict({"name": None, "keywords": None, "length": None, "beats": None}) == Brief()


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
        "beats:\n- one\nand then",
        "beats:\n- one\n\n- two\n---\n",
        "- one\nbeats:\n---\n",
        "place: a quay\n- one\n---\n",
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
        ("beats:\n- one\nbeats:\n- two\n---\n", "'beats' stands twice"),
        ("beats:\n- one\n-\n---\n", "beat 2 is empty"),
        ("name: Ann\nbeat: one\n---\n", "did you mean 'beats'"),
    ],
)
def test_a_broken_header_is_an_error(header, said):
    with pytest.raises(ValueError, match=said):
        Brief.parse(header + "Text.")


BEATS = ("Nadia comes in", "she sits down")


def test_beats_are_the_last_field():
    brief = Brief(name="Nadia Benali", length=380, beats=BEATS)
    assert FIELDS[-1] == "beats"
    assert brief.header() == (
        "name: Nadia Benali\nlength: 380\nbeats:\n- Nadia comes in\n- she sits down\n---\n"
    )
    assert brief.to_dict() == {"name": "Nadia Benali", "length": 380, "beats": list(BEATS)}
    assert Brief(beats=["Nadia comes in"]).header() == "beats:\n- Nadia comes in\n---\n"
    assert Brief(beats=BEATS) and not Brief(beats=[])
    assert hash(brief) == hash(Brief.from_dict(brief.to_dict()))


@pytest.mark.parametrize(
    "beats",
    [
        BEATS,
        list(BEATS),
        iter(BEATS),
        "Nadia comes in\nshe sits down",
        "\n\n  Nadia comes  in\r\nshe sits down\n \n",
        "- Nadia comes in\n- she sits down",
        ["1. Nadia comes in", "* she sits down"],
        ["- - Nadia comes in", " 12.  she\tsits down "],
    ],
)
def test_beats_come_in_many_forms(beats):
    assert Brief(beats=beats).beats == BEATS


def test_beats_are_kept_as_they_are_otherwise():
    beats = (
        "Nadia waits",
        "Nadia waits",
        "1984. It rains",
        "-5 degrees",
        "3.5 hours",
        "name: Nadia",
        "cafe\u0301",
    )
    assert Brief(beats=beats).beats == (*beats[:-1], "caf\u00e9")
    assert Brief(beats="").beats == Brief(beats=" \n ").beats == ()
    assert len(Brief(beats=["so " * 60] * 20).beats) == 20


def test_beats_in_a_header_end_at_the_next_key():
    text = "Beats:\r\n- Nadia comes in\r\n-  she sits down \r\nname: Nadia\r\n---\r\n- a line"
    assert Brief.parse(text) == (Brief(name="Nadia", beats=BEATS), "- a line")
    assert Brief.parse("beats: Nadia comes in\n- she sits down\n---\n")[0].beats == BEATS
    assert Brief.parse("name: Nadia\nbeats:\n---\nText.") == (Brief(name="Nadia"), "Text.")


def test_vignettes_keep_their_beats():
    ((brief, body),) = parse_vignettes(
        "name: Nadia\nbeats:\n- Nadia comes in\n- she sits down\n---\n- Yes.\n"
    )
    assert (brief, body) == (Brief(name="Nadia", beats=BEATS), "- Yes.")


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
