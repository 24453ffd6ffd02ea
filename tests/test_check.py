"""What `python -m data check` finds: the counts of the very blocks that are trained, leaks and near-duplicates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.__main__ import main
from data.bases import resolve
from data.check import LEAK_WORDS, _middle_without, check, describe, oddities, overlap
from data.originals import Original, load_originals
from tests.small import NOIR, ROOT, SEEDS, VERSE, byte_tokenizer


def words(prefix: str, n: int) -> str:
    return " ".join(f"{prefix}{i}" for i in range(n))


def test_the_four_originals_lose_nothing_and_train_every_end() -> None:
    base = resolve("stories")
    result = check(load_originals(SEEDS), base.tokenizer(), base.context())
    assert (result.documents, result.folds, result.blocks) == (4, 4, 4)
    assert result.tokens_dropped == 0
    assert result.end_labels == 4
    assert result.tokens_trained == sum(result.tokens) + 4
    assert result.words == [383, 410, 382, 366]
    assert result.near_duplicates == result.leaks == []


def test_a_context_shorter_than_the_documents_means_more_blocks_and_the_same_tokens() -> None:
    originals, tokenizer = load_originals(SEEDS), resolve("stories").tokenizer()
    whole, cut = check(originals, tokenizer, 1024), check(originals, tokenizer, 100)
    assert cut.blocks > 4
    assert (cut.tokens_trained, cut.tokens_dropped, cut.end_labels) == (whole.tokens_trained, 0, 4)


def test_a_shared_span_counts_as_a_leak_from_twelve_words_on() -> None:
    assert LEAK_WORDS == 12
    leak = "The rain fell on the roofs of the town all through the"
    found = {}
    for n in (11, 12):
        span = " ".join(leak.split()[:n])
        pair = [
            Original("a", f"{words('a', 30)} {span} {words('b', 30)}"),
            Original("b", f"{words('c', 20)} {span.upper()} {words('d', 5)}"),
        ]
        found[n] = check(pair, byte_tokenizer(), 512).leaks
    assert found[11] == []
    (overlap_,) = found[12]
    assert (overlap_.first, overlap_.second, overlap_.longest_span) == ("a", "b", 12)
    assert overlap_.span == leak


def test_a_text_with_a_few_words_changed_is_a_near_duplicate_and_a_stranger_is_not() -> None:
    original = words("w", 200)
    changed = original.replace("w50 ", "x ").replace("w150 ", "y ")
    originals = [Original("a", original), Original("b", changed), Original("c", words("z", 200))]
    result = check(originals, byte_tokenizer(), 512)
    assert [(o.first, o.second) for o in result.near_duplicates] == [("a", "b")]
    # 196 runs of five each; ten of them hold a changed word.
    assert result.near_duplicates[0].jaccard == pytest.approx(186 / 206)


def test_overlap_of_texts_too_short_for_five_words() -> None:
    assert overlap(Original("a", "Haul away"), Original("b", "haul AWAY")).jaccard == 1
    assert overlap(Original("a", "Haul away"), Original("b", "heave ho")).jaccard == 0
    assert overlap(Original("a", "x y z"), Original("b", "q")).longest_span == 0


def test_the_longest_span_is_the_one_a_table_finds() -> None:
    import random

    random_ = random.Random(0)
    for _ in range(200):
        a, b = (random_.choices("abc", k=random_.randint(1, 14)) for _ in range(2))
        table = {(i, j): 0 for i in range(-1, len(a)) for j in range(-1, len(b))}
        for i in range(len(a)):
            for j in range(len(b)):
                table[i, j] = table[i - 1, j - 1] + 1 if a[i] == b[j] else 0
        found = overlap(Original("a", " ".join(a)), Original("b", " ".join(b)))
        assert found.longest_span == max(table.values())
        assert found.span in " ".join(a)
        assert len(found.span.split()) == found.longest_span


def test_the_table_names_what_it_found_and_a_single_text_has_no_folds() -> None:
    span = words("s", 12)
    originals = [Original("first", f"{span} {words('a', 9)}"), Original("second", f"{words('b', 9)} {span}")]
    lines = describe(check(originals, byte_tokenizer(), 512), originals)
    assert "first and second share 12 words" in lines
    alone = describe(check(originals[:1], byte_tokenizer(), 512), originals[:1])
    assert "no folds" in alone


# The command line


def test_the_command_checks_the_four_originals() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "data", "check", "data/seeds"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    rows = {
        line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[1].strip()
        for line in done.stdout.splitlines()
        if "  " in line
    }
    assert rows["tokens dropped"] == "0"
    assert rows["end-of-text labels"] == "4 of 4 documents"
    assert rows["documents"] == "4 (4 folds)"
    assert rows["near-duplicates"] == "0"
    assert rows["shared spans, 12+ words"] == "0"
    assert done.stderr == ""


def test_json_holds_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(SEEDS), "--json", "--context", "200"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens_dropped"] == 0
    assert found["end_labels"] == 4
    assert found["blocks"] > 4
    assert found["leaks"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no/such/folder"], "does not exist"),
        ([str(SEEDS), "--context", "1"], "at least 2 tokens"),
        ([str(SEEDS), "--base", "no/such/base"], "base: stories"),
    ],
)
def test_what_cannot_be_checked_is_one_line_of_error_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_every_problem_of_a_folder_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xe9")
    (tmp_path / "b.txt").write_bytes(b"")
    assert main(["check", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "a.txt is not UTF-8" in error
    assert "b is empty" in error


def odd(*texts: str, context: int = 1024, english_base: bool = True) -> list[str]:
    originals = [Original(f"t{i}", text) for i, text in enumerate(texts)]
    return oddities(originals, resolve("stories").tokenizer(), context, english_base)


def test_what_is_odd_but_legal_is_said_and_the_default_originals_are_not_odd() -> None:
    assert odd(*(original.text for original in load_originals(SEEDS))) == []
    assert odd(*(original.text for original in load_originals(NOIR))) == []
    assert odd(*(original.text for original in load_originals(VERSE))) == []


def test_a_text_of_a_word_one_far_longer_and_one_beyond_the_context_are_named() -> None:
    text = load_originals(NOIR)[0].text
    assert odd("Rain.", text, text[:-1])[0] == "t0 has 1 word: there is little to learn from it"
    others = [original.text for original in load_originals(NOIR)[1:]]
    long = "\n\n".join(original.text for original in load_originals(SEEDS))
    assert odd(others[0], long, others[1][:200], context=8192)[0].startswith(
        "t1 has 1,541 words and the others about "
    )
    (beyond,) = odd(text, context=64)
    assert "the context 64: it is trained in overlapping windows" in beyond


@pytest.mark.parametrize(
    "text",
    [
        "Elle s'assit à la terrasse du café et regarda passer les gens qui rentraient chez eux sous la pluie fine du soir, sans hâte.",
        "Sie setzte sich ans Fenster und sah den Leuten zu, die im Regen nach Hause gingen, und dachte an nichts, was noch kommen sollte.",
        "Она села у окна и смотрела, как люди идут домой под дождём, и не думала ни о чём, что ещё могло бы случиться этим вечером здесь.",
    ],
)
def test_another_language_is_told_what_kind_of_base_suits(text: str) -> None:
    (said,) = odd(text)
    assert "does not read as English" in said and "base: Qwen/" in said
    assert odd(text, english_base=False) == []


def test_originals_that_share_much_are_named() -> None:
    first, second = (original.text for original in load_originals(NOIR)[:2])
    (said,) = odd(first, f"{second} {' '.join(first.split()[:30])}")
    assert "t0 and t1 share 30 words in a row" in said


def test_the_command_says_what_is_odd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.txt").write_text("Rain.", "utf-8")
    assert main(["check", str(tmp_path)]) == 0
    assert "note: one has 1 word" in capsys.readouterr().err


@given(st.lists(st.integers(0, 9), min_size=1), st.data())
def test_the_usual_length_is_the_middle_of_the_others(lengths: list[int], data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(lengths))
    others = sorted(lengths)
    others.remove(one)
    assert _middle_without(sorted(lengths), one) == (others[len(others) // 2] if others else 0)
