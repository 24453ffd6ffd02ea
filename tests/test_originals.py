"""Reading originals: what is kept to the character, what is normalised, and every way a folder can be wrong."""

import json
import time
import unicodedata
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from data.bases import Base, resolve
from data.brief import Brief
from data.dataset import encode
from data.originals import Original, ignored, load_originals, load_texts, normalise
from tests.small import NASTY, SEEDS

VERSE = "Oh, haul away\n    and roll her down,\n  and haul\n\n    once more for the bell"


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / (name if "." in name else f"{name}.txt")
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return folder


def problem(source: str | Path) -> str:
    with pytest.raises(ValueError) as caught:
        load_originals(source)
    return str(caught.value)


# What is read


def test_the_four_originals_are_read_in_order_and_their_sources_are_not_one_of_them() -> None:
    found = load_originals(SEEDS)
    assert [o.name for o in found] == sorted(path.stem for path in SEEDS.glob("*.txt"))
    assert len(found) == 4
    assert [o.words for o in found] == [383, 410, 382, 366]
    for original in found:
        raw = (SEEDS / f"{original.name}.txt").read_text("utf-8")
        # Nothing is gone but spaces: the words and the paragraphs are the file's own.
        assert [p.split() for p in original.text.split("\n\n")] == [p.split() for p in raw.split("\n\n")]
        assert not any(p.startswith(" ") for p in original.text.split("\n"))


def test_a_folder_is_read_in_the_order_of_its_names_whatever_their_endings(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{"b.md": "two", "c.TXT": "three", "a.txt": "one", "notes.pdf": b"%PDF", ".hidden.txt": "x"},
    )
    write(tmp_path, **{"README.md": "about", "Licence.txt": "free", "sources.md": "by me"})
    (tmp_path / "deeper").mkdir()
    write(tmp_path / "deeper", d="four")
    assert [(o.name, o.text) for o in load_originals(tmp_path)] == [
        ("a", "one"),
        ("b", "two"),
        ("c", "three"),
    ]


@pytest.mark.parametrize("name", ["song.txt", "song.md", "SONG.TXT"])
def test_a_single_file_is_one_original(tmp_path: Path, name: str) -> None:
    write(tmp_path, **{name: "Haul away.\n", "other.txt": "no"})
    assert load_originals(tmp_path / name) == [Original(Path(name).stem, "Haul away.")]
    assert load_originals(str(tmp_path / name))[0].text == "Haul away."


def test_jsonl_rows_keep_their_order_and_their_fields(tmp_path: Path) -> None:
    rows = [
        {"text": "zwei\r\n", "name": "z", "source": "a book", "licence": "CC0"},
        {"text": "eins", "length": 3},
    ]
    lines = "\ufeff" + "\r\n\n".join(json.dumps(row) for row in rows) + "\n"
    write(tmp_path, **{"songs.jsonl": lines})
    first, second = load_originals(tmp_path / "songs.jsonl")
    assert first == Original("z", "zwei", "a book", "CC0")
    assert second == Original("songs-003", "eins")


def test_the_beats_of_a_brief_are_kept(tmp_path: Path) -> None:
    beats = ["Nadia comes in", "she sits down"]
    (tmp_path / "rain.txt").write_text("It rained.", "utf-8")
    (tmp_path / "rain.yaml").write_text("name: Nadia\nbeats:\n- Nadia comes in\n- she sits down\n", "utf-8")
    (found,) = load_originals(tmp_path)
    assert found.brief == Brief(name="Nadia", beats=beats)
    row = {"text": "It rained.", "brief": {"beats": beats}}
    (tmp_path / "rain.jsonl").write_text(json.dumps(row), "utf-8")
    (found,) = load_originals(tmp_path / "rain.jsonl")
    assert found.brief == Brief(beats=beats)


def test_a_line_separator_inside_a_json_string_ends_no_row(tmp_path: Path) -> None:
    write(tmp_path, **{"s.jsonl": json.dumps({"text": "one\u2028two\u0085three"}, ensure_ascii=False)})
    assert load_originals(tmp_path / "s.jsonl")[0].text == "one\u2028two\u0085three"


def test_a_saved_dataset_is_read_and_of_several_splits_the_training_one(tmp_path: Path) -> None:
    train = Dataset.from_dict({"text": ["b ’s", "a\r\nc"], "name": ["x", None]})
    train.save_to_disk(tmp_path / "one")
    DatasetDict(test=Dataset.from_dict({"text": ["no"]}), train=train).save_to_disk(tmp_path / "two")
    for folder in ("one", "two"):
        assert [o.text for o in load_originals(tmp_path / folder)] == ["b ’s", "a\nc"]
    assert [o.name for o in load_originals(tmp_path / "one")] == ["x", "one-001"]


def test_the_hash_is_of_the_normalised_text(tmp_path: Path) -> None:
    write(tmp_path, a="café\r\n", b="cafe\u0301 \n\n")
    first, second = load_texts(tmp_path)
    assert first.sha256 == second.sha256
    assert len(first.sha256) == 64
    assert first.sha256 != Original("c", "cafe").sha256


# R19: what no reader sees is normalised, everything else is kept


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("cafe\u0301", "café"),
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("\ufeffText", "Text"),
        ("\n\n \nText\n\n  \n", "Text"),
        ("One.\n\n Two.\n\nThree.", "One.\n\nTwo.\n\nThree."),
        (" One.\n\nTwo.\n\nThree.", "One.\n\nTwo.\n\nThree."),
        ("One.\n\n  Two.\n\nThree.", "One.\n\n  Two.\n\nThree."),  # two spaces are meant
        ("One.\n\n\tTwo.\n\nThree.", "One.\n\n\tTwo.\n\nThree."),
        ("One\n two\nthree\nfour.", "One\n two\nthree\nfour."),  # inside a paragraph: a line of verse
        (VERSE, VERSE),
        (" a\n b\n\n c\n d", " a\n b\n\n c\n d"),  # indentation is the form
    ],
)
def test_normalising_changes_this_and_keeps_that(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@pytest.mark.parametrize(
    "text", ["é ç œ “ ” ‘ ’ « » – — … ½ ß ﬁ", NASTY.strip(), VERSE, "a  b   c\td", "x\n\n\n\ny"]
)
def test_characters_spaces_and_line_breaks_are_kept_exactly(tmp_path: Path, text: str) -> None:
    write(tmp_path, text=text + "\n")
    assert load_originals(tmp_path)[0].text == unicodedata.normalize("NFC", text)


@given(st.text(alphabet=" \n\t\r\u00a0ae\u0301é’—.", max_size=60))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    kept = unicodedata.normalize("NFC", text)
    assert [c for c in once if not c.isspace()] == [c for c in kept if not c.isspace()]


def test_every_character_survives_the_tokenizer() -> None:
    tokenizer = resolve("stories").tokenizer()
    for text in [*(o.text for o in load_originals(SEEDS)), NASTY, VERSE]:
        assert tokenizer.decode(encode(text, tokenizer)) == text


@given(st.text(max_size=40))
def test_any_string_survives_the_tokenizer(text: str) -> None:
    tokenizer = _tokenizer()
    assert tokenizer.decode(encode(text, tokenizer)) == text


@pytest.mark.slow
def test_the_real_tokenizer_loses_control_characters_that_no_original_may_have(
    real_base: Path, tmp_path: Path
) -> None:
    """SmolLM2 has no token for 21 bytes. Six are characters; the others begin characters that are not assigned, or none at all."""
    tokenizer = Base("stories", real_base).tokenizer()
    characters = [chr(point) for point in range(0x20000) if not 0xD800 <= point < 0xE000]
    ids = tokenizer(characters, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    found = tokenizer.batch_decode(ids)
    lost = [text for text, back in zip(characters, found, strict=True) if text != back]
    assert lost == ["\x04", "\x06", "\x13", "\x14", "\x16", "\x1d"]
    for text in [*(o.text for o in load_originals(SEEDS)), NASTY, VERSE]:
        assert tokenizer.decode(encode(text, tokenizer)) == text
    for text in lost:
        assert "control character" in problem(write(tmp_path, text=f"Rain{text}fell."))


def _tokenizer(known: list[object] = []) -> object:  # noqa: B006  read once: the default is the memory
    if not known:
        known.append(resolve("stories").tokenizer())
    return known[0]


# What is wrong


def test_an_empty_folder_and_one_of_other_files_say_what_was_found(tmp_path: Path) -> None:
    assert "found an empty folder" in problem(tmp_path)
    write(tmp_path, **{"a.docx": b"PK", "SOURCES.md": "s"})
    message = problem(tmp_path)
    assert "a.docx" in message
    assert ".txt or .md" in message


@pytest.mark.parametrize("content", ["", "\n \n\t", "\ufeff", "\ufeff\r\n"])
def test_an_empty_file_is_named(tmp_path: Path, content: str) -> None:
    assert "hollow is empty" in problem(write(tmp_path, hollow=content))


def test_a_file_that_is_not_utf8_is_named_with_the_byte_and_its_place(tmp_path: Path) -> None:
    message = problem(write(tmp_path, latin="Le café".encode("latin-1")))
    assert "latin.txt is not UTF-8: byte 0xe9 at offset 6" in message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_recognised(tmp_path: Path, encoding: str) -> None:
    assert "wide.txt is UTF-16" in problem(write(tmp_path, wide="\ufeffDear".encode(encoding)))


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\x07"])
def test_control_characters_are_no_text(tmp_path: Path, control: str) -> None:
    message = problem(write(tmp_path, binary=f"ab{control}c"))
    assert "binary is not plain text" in message
    assert "at character 2" in message


def test_half_of_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, **{"s.jsonl": r'{"text": "ab\ud83d"}'})
    assert "at character 2" in problem(tmp_path / "s.jsonl")


def test_the_same_text_twice_is_refused_as_an_original_but_may_be_scored(tmp_path: Path) -> None:
    write(tmp_path, a="Le café", b="Le cafe\u0301\n", c="other")
    message = problem(tmp_path)
    assert "b is the same text as a" in message
    assert "c is" not in message
    assert [o.name for o in load_texts(tmp_path)] == ["a", "b", "c"]


def test_all_problems_come_in_one_error(tmp_path: Path) -> None:
    write(tmp_path, a="", b=b"\xff\xfea\x00", c=b"ab\xe9", d="x\x00", e="same", f="same", g="fine")
    lines = problem(tmp_path).splitlines()
    assert lines[0] == f"{tmp_path} can't be used:"
    assert [line[2] for line in lines[1:]] == list("abcdf")


def test_what_is_not_read_can_be_told(tmp_path: Path) -> None:
    write(tmp_path, a="One.")
    for name in ("b.docx", "c.text", ".hidden", "SOURCES.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    assert ignored(tmp_path) == ["b.docx", "c.text", "sub"]
    assert ignored(tmp_path / "sub") == ignored("some/dataset") == []


def test_a_path_that_is_not_there_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shanties").mkdir()
    assert f"Did you mean {tmp_path / 'shanties'}?" in problem(tmp_path / "shantys")
    assert f"The nearest folder that exists is {tmp_path}." in problem(tmp_path / "no" / "such" / "place")
    monkeypatch.chdir(tmp_path)
    assert "Did you mean shanties?" in problem("shantie")
    # Looks like an id too, but there is such a folder here: a slip, for which no hub is asked.
    (tmp_path / "shanties" / "texts").mkdir()
    assert "Did you mean shanties/texts?" in problem("shanties/text")


def test_an_id_that_the_hub_does_not_give_is_one_clear_error(
    no_network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub's client tries again and again
    assert "no originals at 'nobody-here/no-such-texts'" in problem("nobody-here/no-such-texts")
    no_network.clear()


def test_another_ending_is_refused(tmp_path: Path) -> None:
    write(tmp_path, **{"story.docx": b"PK\x03\x04"})
    assert "found the ending '.docx'" in problem(tmp_path / "story.docx")


def test_wrong_rows_of_a_jsonl_are_named_by_their_lines(tmp_path: Path) -> None:
    lines = [
        '{"text": "fine"}',
        '{"body": "x", "id": 3}',
        "{oops}",
        "",
        "[1]",
        '{"text": 5}',
        '{"text": " "}',
    ]
    write(tmp_path, **{"s.jsonl": "\n".join(lines)})
    found = problem(tmp_path / "s.jsonl").splitlines()[1:]
    assert found[0].startswith('- line 2 has no "text" (found body, id)')
    assert found[1].startswith("- line 3 is not JSON")
    assert "column 2" in found[1]
    assert found[2].startswith('- line 5 has no "text" (found list)')
    assert found[3].startswith('- line 6 has no "text"')
    assert found[4].startswith("- s-007 is empty")
    assert len(found) == 5


def test_a_jsonl_that_is_empty_or_not_utf8_says_so(tmp_path: Path) -> None:
    write(tmp_path, **{"empty.jsonl": "\n\n", "latin.jsonl": '{"text": "é"}'.encode("latin-1")})
    assert "the file is empty" in problem(tmp_path / "empty.jsonl")
    assert "not UTF-8: offset 10" in problem(tmp_path / "latin.jsonl")


def test_a_dataset_without_texts_names_its_columns(tmp_path: Path) -> None:
    Dataset.from_dict({"body": ["a"]}).save_to_disk(tmp_path / "d")
    assert 'row 0 has no "text" (found body)' in problem(tmp_path / "d")


def test_a_control_character_is_refused_in_an_original_but_may_be_scored(tmp_path: Path) -> None:
    """Models of bytes do write them; what `generate` wrote can be scored from its file."""
    path = tmp_path / "new.jsonl"
    path.write_text(json.dumps({"text": "It rained\x00 and\x04 rained."}), "utf-8")
    assert "not plain text: control character '\\x00' at character 9" in problem(path)
    assert [original.text for original in load_texts(path)] == ["It rained\x00 and\x04 rained."]
