"""Token blocks: one document a block, its end trained, nothing lost, whatever the tokenizer's special tokens are."""

import doctest
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from transformers import DataCollatorForSeq2Seq

import data.dataset
from data.bases import Base, resolve
from data.brief import Brief
from data.dataset import IGNORE, blocks, build_dataset, encode, special_ids, windows
from data.originals import Original, load_originals
from data.splits import folds
from tests.small import NASTY, SEEDS, byte_tokenizer

BYTES = byte_tokenizer()
TOKENIZERS = {
    "pad is eos": byte_tokenizer(pad="<eos>"),
    "pad of its own": byte_tokenizer(pad="<pad>"),
    "bos, eos and pad": byte_tokenizer(bos="<bos>", pad="<pad>"),
    "bos and pad are eos": byte_tokenizer(bos="<eos>", pad="<eos>"),
}


def originals(*texts: str) -> list[Original]:
    return [Original(f"o{i}", text) for i, text in enumerate(texts)]


def collated(rows: Any, tokenizer: Any) -> dict[str, Any]:
    """As `training.finetune` collates."""
    return dict(
        DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORE, pad_to_multiple_of=8)(list(rows))
    )


# R5: the end of text is trained whatever the padding token is


@pytest.mark.parametrize("name", TOKENIZERS)
def test_each_document_trains_its_end_once_and_no_padding(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    texts = ["a", "a longer one", "the longest of them all, by far"]
    dataset = build_dataset(originals(*texts), tokenizer, context=64)["train"]
    batch = collated(dataset, tokenizer)
    assert batch["input_ids"].shape[1] % 8 == 0
    for text, ids, labels, mask in zip(
        texts,
        batch["input_ids"].tolist(),
        batch["labels"].tolist(),
        batch["attention_mask"].tolist(),
        strict=True,
    ):
        length = len(text) + 2
        assert labels[0] == IGNORE
        assert labels[1:length] == [*encode(text, tokenizer), tokenizer.eos_token_id]
        assert labels[1:length] == ids[1:length]
        assert set(labels[length:]) <= {IGNORE}
        assert set(ids[length:]) <= {tokenizer.pad_token_id}
        assert mask == [1] * length + [0] * (len(mask) - length)
        assert labels.count(tokenizer.eos_token_id) == 1


def test_the_four_originals_train_four_ends_under_the_base() -> None:
    tokenizer = resolve("stories").tokenizer()
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == tokenizer.bos_token_id
    found = load_originals(SEEDS)
    batch = collated(build_dataset(found, tokenizer, context=1024)["train"], tokenizer)
    ends = (batch["labels"] == tokenizer.eos_token_id).sum(dim=1)
    assert ends.tolist() == [1, 1, 1, 1]
    trained = (batch["labels"] != IGNORE).sum().item()
    assert trained == sum(len(encode(o.text, tokenizer)) + 1 for o in found)


def test_what_is_written_like_a_special_token_is_text() -> None:
    tokenizer = TOKENIZERS["bos, eos and pad"]
    text = "one<eos>two<pad><bos>"
    assert not {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id} & set(
        encode(text, tokenizer)
    )
    assert tokenizer.decode(encode(text, tokenizer)) == text
    (block,) = blocks(text, tokenizer, 64)
    assert block["labels"].count(tokenizer.eos_token_id) == 1
    base = resolve("stories").tokenizer()
    assert base.eos_token_id not in encode("one<|endoftext|>two", base)


# R6: documents never share a block


def test_a_block_holds_one_document_alone() -> None:
    texts = ["first " * 9, "second " * 30, "third"]
    dataset = build_dataset(originals(*texts), BYTES, context=40)["train"]
    assert len(dataset) > len(texts)
    for row in dataset:
        decoded = BYTES.decode(row["input_ids"]).replace("<eos>", "")
        assert decoded in texts[row["document"]]
    assert sorted(set(dataset["document"])) == [0, 1, 2]


# R7: nothing is dropped


@given(st.integers(0, 300), st.integers(2, 80))
def test_windows_predict_every_token_once_with_half_a_context_before_it(n: int, context: int) -> None:
    found = list(windows(n, context))
    predicted = [p for w in found for p in range(w.first, w.end)]
    assert predicted == list(range(1, n))
    for number, window in enumerate(found):
        assert 0 < window.end - window.start <= context
        assert window.end <= n
        assert window.first - window.start >= (1 if number == 0 else context // 2)
    assert found or n < 2


@pytest.mark.parametrize("context", [-1, 0, 1])
def test_a_context_in_which_nothing_can_be_predicted_is_refused(context: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 tokens, found {context}"):
        list(windows(10, context))


@given(
    st.integers(1, 120),
    st.integers(2, 60),
    st.one_of(st.none(), st.text(alphabet="abé ", min_size=1, max_size=40)),
)
def test_every_token_of_a_document_of_any_length_is_a_label_exactly_once(
    length: int, context: int, name: str | None
) -> None:
    text = "".join(chr(33 + i % 90) for i in range(length))
    brief = Brief(name=name)
    ids = [BYTES.eos_token_id, *encode(brief.header(), BYTES), *encode(text, BYTES), BYTES.eos_token_id]
    expected = ids[len(ids) - length - 1 :]
    labels = []
    for block in blocks(text, BYTES, context, brief):
        assert len(block["input_ids"]) == len(block["labels"]) <= context
        kept = [(i, label) for i, label in enumerate(block["labels"]) if label != IGNORE]
        assert kept
        # A label stands where its token stands: the model shifts by itself; and never first, where nothing is before it.
        assert all(i > 0 and block["input_ids"][i] == label for i, label in kept)
        at = next(i for i in range(len(ids)) if ids[i : i + len(block["input_ids"])] == block["input_ids"])
        assert at >= 0
        labels += [label for _, label in kept]
    assert labels == expected


def test_the_originals_lose_nothing_in_a_context_of_any_size() -> None:
    tokenizer = resolve("stories").tokenizer()
    found = load_originals(SEEDS)
    for context in (2, 17, 128, 500, 1024):
        dataset = build_dataset(found, tokenizer, context=context)["train"]
        trained: dict[int, list[int]] = {i: [] for i in range(4)}
        for row in dataset:
            trained[row["document"]] += [label for label in row["labels"] if label != IGNORE]
        for i, original in enumerate(found):
            assert trained[i][-1] == tokenizer.eos_token_id
            assert tokenizer.decode(trained[i][:-1]) == original.text


# Briefs


def test_a_brief_stands_before_the_text_and_carries_no_loss() -> None:
    brief = Brief(name="Nadia Benali", keywords=("rain", "key"), length=380)
    (block,) = blocks("Nadia wept.", BYTES, 200, brief)
    assert BYTES.decode(block["input_ids"]) == f"<eos>{brief.header()}Nadia wept.<eos>"
    header = 1 + len(brief.header())
    assert block["labels"][:header] == [IGNORE] * header
    assert BYTES.decode(block["labels"][header:]) == "Nadia wept.<eos>"


def test_a_brief_longer_than_the_context_leaves_no_block_without_a_label() -> None:
    found = blocks("Short.", BYTES, 16, Brief(keywords=("rain", "key", "harbour", "lantern", "ticket")))
    assert BYTES.decode([t for b in found for t in b["labels"] if t != IGNORE]) == "Short.<eos>"


def test_no_brief_and_an_empty_brief_are_the_same() -> None:
    assert blocks("Text.", BYTES, 64, None) == blocks("Text.", BYTES, 64, Brief())


# The dataset


def test_a_fold_gives_two_disjoint_splits_and_bare_held_out_texts() -> None:
    texts = originals("one", "two", "three")
    briefs = [Brief(name="A"), None, Brief(name="C")]
    dataset = build_dataset(texts, BYTES, context=64, fold=folds(texts)[2], briefs=briefs)
    assert isinstance(dataset, DatasetDict)
    assert {name: split["document"][:] for name, split in dataset.items()} == {
        "train": [0, 1],
        "held_out": [2],
    }
    decoded = [BYTES.decode(ids) for split in dataset.values() for ids in split["input_ids"]]
    assert decoded == [f"<eos>{briefs[0].header()}one<eos>", "<eos>two<eos>", "<eos>three<eos>"]
    for split in dataset.values():
        assert split.column_names == ["input_ids", "labels", "document"]


def test_without_a_fold_all_originals_are_trained() -> None:
    dataset = build_dataset(originals("one", "two"), BYTES, context=64)
    assert list(dataset) == ["train"]
    assert dataset["train"]["document"][:] == [0, 1]


def test_briefs_must_be_as_many_as_originals() -> None:
    with pytest.raises(ValueError, match="each of 2 originals, found 1"):
        build_dataset(originals("a", "b"), BYTES, context=8, briefs=[None])


# Tokenizers


def test_documents_open_with_bos_where_there_is_one_and_with_eos_elsewhere() -> None:
    for tokenizer in (BYTES, *TOKENIZERS.values()):
        opening, end = special_ids(tokenizer)
        assert end == tokenizer.eos_token_id
        assert opening == (end if tokenizer.bos_token_id is None else tokenizer.bos_token_id)
        (block,) = blocks("x", tokenizer, 8)
        assert block["input_ids"][0] == opening
        assert block["input_ids"][-1] == end
    assert special_ids(TOKENIZERS["bos, eos and pad"])[0] != TOKENIZERS["bos, eos and pad"].eos_token_id


def test_a_bos_with_the_id_nought_is_a_bos() -> None:
    tokenizer = byte_tokenizer(bos="!")  # the first of the bytes
    assert tokenizer.bos_token_id == 0
    assert special_ids(tokenizer) == (0, tokenizer.eos_token_id) != (0, 0)


def test_a_tokenizer_without_an_end_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"no end-of-text token.*add_special_tokens"):
        blocks("x", byte_tokenizer(bos="<bos>", eos=None), 8)


def test_a_tokenizer_without_padding_pads_with_its_end_and_still_trains_it(tmp_path: Path) -> None:
    BYTES.save_pretrained(tmp_path)
    tokenizer = Base("saved", tmp_path).tokenizer()
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    batch = collated(build_dataset(originals("a", "abcdefghijk"), tokenizer, context=64)["train"], tokenizer)
    assert Counter(batch["labels"].flatten().tolist())[tokenizer.eos_token_id] == 2


def test_special_tokens_that_a_tokenizer_adds_by_itself_are_not_added_twice() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer(bos="<bos>")
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", bos), ("<eos>", eos)]
    )
    assert tokenizer("x")["input_ids"][0] == bos
    (block,) = blocks("x", tokenizer, 8)
    assert block["input_ids"] == [bos, *encode("x", tokenizer), eos]
    assert len(encode(NASTY, tokenizer)) == len(NASTY.encode())


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(data.dataset).failed == 0
