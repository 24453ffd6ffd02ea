"""A begun name is not begun again behind a space; nothing else is kept from being drawn."""

import pytest
import torch

from data.bases import resolve
from data.brief import Brief
from data.dataset import encode
from inference.whole_names import WholeNames, capitalised

TOKENIZER = resolve("tiny").tokenizer()
ABIGAIL = Brief(name="Abigail Pereira", place="a café in Paris", meets="an old sailor")


def refused(text: str, *briefs: Brief) -> list[set[str]]:
    """What may not come next behind ``text``, for each of ``briefs``."""
    ids = torch.tensor([encode(text, TOKENIZER)] * len(briefs))
    scores = torch.zeros(len(briefs), len(TOKENIZER))
    found = WholeNames(TOKENIZER, briefs)(ids, scores)
    assert (scores == 0).all()  # the caller's own stay
    return [{TOKENIZER.decode([token]) for token in row.isinf().nonzero()[:, 0].tolist()} for row in found]


def test_behind_the_beginning_of_a_name_it_is_not_begun_again() -> None:
    beginning = TOKENIZER.decode(encode("Abigail", TOKENIZER)[:1])
    assert beginning != "Abigail"  # else this test shows nothing
    (words,) = refused(f"She left.\n\n{beginning}", ABIGAIL)
    assert words and all(word.startswith(" ") and "Abigail".startswith(word.strip()) for word in words)
    assert TOKENIZER.decode(encode(" Abigail", TOKENIZER)[:1]) in words


@pytest.mark.parametrize("text", ["She left.", "She left.\n\nAbigail", "She saw Abigail", "Ab", "A\n"])
def test_anywhere_else_all_may_be_drawn(text: str) -> None:
    brief = Brief(name="Bruna Costa") if text == "Ab" else ABIGAIL
    assert refused(text, brief) == [set()]


def test_each_row_has_the_names_of_its_own_brief_and_keeps_them() -> None:
    beginning = TOKENIZER.decode(encode("Abigail", TOKENIZER)[:1])
    briefs = [Brief(), ABIGAIL, Brief(name="Bruna Costa"), ABIGAIL]
    assert [bool(words) for words in refused(beginning, *briefs)] == [False, True, False, True]
    names = WholeNames(TOKENIZER, briefs)
    names.keep([2, 3])
    ids = torch.tensor([encode(beginning, TOKENIZER)] * 2)
    assert names(ids, torch.zeros(2, len(TOKENIZER))).isinf().any(dim=1).tolist() == [False, True]


def test_names_are_the_capitalised_words_of_a_brief() -> None:
    assert capitalised(ABIGAIL) == {"Abigail", "Pereira", "Paris"}
    assert capitalised(Brief()) == set()
