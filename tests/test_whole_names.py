"""A begun name is not begun again behind a space; nothing else is kept from being drawn."""

import pytest
import torch

from data.bases import resolve
from data.brief import Brief
from data.dataset import encode
from inference.whole_names import WholeNames, capitalised
from tests.small import byte_tokenizer

TOKENIZER = resolve("tiny").tokenizer()
FERGAL = Brief(name="Fergal Pereira", place="a café in Paris", meets="an old sailor")


def refused(text: str, *briefs: Brief) -> list[set[str]]:
    """What may not come next behind ``text``, for each of ``briefs``."""
    names, scores = WholeNames(TOKENIZER, briefs), torch.zeros(len(briefs), len(TOKENIZER))
    for token in encode(text, TOKENIZER):
        found = names(torch.tensor([[token]] * len(briefs)), scores)
    assert (scores == 0).all()  # the caller's own stay
    return [{TOKENIZER.decode([token]) for token in row.isinf().nonzero()[:, 0].tolist()} for row in found]


def test_behind_the_beginning_of_a_name_it_is_not_begun_again() -> None:
    beginning = TOKENIZER.decode(encode("Fergal", TOKENIZER)[:1])
    assert beginning != "Fergal"  # else this test shows nothing
    (words,) = refused(f"She left.\n\n{beginning}", FERGAL)
    assert words and all(word.startswith(" ") and "Fergal".startswith(word.strip()) for word in words)
    assert TOKENIZER.decode(encode(" Fergal", TOKENIZER)[:1]) in words


def test_a_beginning_that_is_a_word_of_its_own_is_no_name() -> None:
    assert TOKENIZER.decode(encode("Andrea", TOKENIZER)[:1]) == "And"
    assert refused("She left.\n\nAnd", Brief(name="Andrea Costa")) == [set()]


def test_the_newest_token_is_enough_to_follow_a_name() -> None:
    brief, ids = Brief(name="Llewellyn"), encode("\nLlewellyn", TOKENIZER)
    assert len(ids) > 3
    names, seen = WholeNames(TOKENIZER, [brief]), []
    for token in ids:
        found = names(torch.tensor([[token]]), torch.zeros(1, len(TOKENIZER)))
        seen.append(bool(found.isinf().any()))
    assert seen == [
        False,
        *[True] * (len(ids) - 2),
        False,
    ]  # behind the line break and behind all of it nothing is refused


@pytest.mark.parametrize("text", ["She left.", "She left.\n\nFergal", "She saw Fergal", "F", "F\n"])
def test_anywhere_else_all_may_be_drawn(text: str) -> None:
    brief = Brief(name="Bruna Costa") if text == "F" else FERGAL
    assert refused(text, brief) == [set()]


def test_where_a_space_is_a_token_it_may_be_drawn() -> None:
    tokenizer = byte_tokenizer()
    ids = torch.tensor([encode("A", tokenizer)])
    scores = torch.zeros(1, len(tokenizer))
    assert torch.equal(WholeNames(tokenizer, [FERGAL])(ids, scores), scores)


def test_each_row_has_the_names_of_its_own_brief_and_keeps_them() -> None:
    beginning = TOKENIZER.decode(encode("Fergal", TOKENIZER)[:1])
    briefs = [Brief(), FERGAL, Brief(name="Bruna Costa"), FERGAL]
    assert [bool(words) for words in refused(beginning, *briefs)] == [False, True, False, True]
    names = WholeNames(TOKENIZER, briefs)
    names.keep([2, 3])
    assert len(names(torch.tensor([[5], [5]]), torch.zeros(2, len(TOKENIZER)))) == 2
    ids = torch.tensor([encode(beginning, TOKENIZER)] * 2)
    assert names(ids, torch.zeros(2, len(TOKENIZER))).isinf().any(dim=1).tolist() == [False, True]


def test_names_are_the_capitalised_words_of_a_brief() -> None:
    assert capitalised(FERGAL) == {"Fergal", "Pereira", "Paris"}
    assert capitalised(Brief()) == set()
    beats = ["The owner asks Nadia's friend", "She sits down", "They say “Yes” in Paris", "don't"]
    assert capitalised(Brief(beats=beats)) == {"Nadia", "Paris"}


def test_a_name_is_not_left_in_its_middle() -> None:
    """However it was begun: "G" and "len" are no tokens of "Glenn"."""
    glenn = Brief(name="Glenn Velarde", meets="Ann, a cook")
    for begun in ("She left.\n\nGlen", "She saw Glen", "Glen"):
        (words,) = refused(begun, glenn)
        assert {" V", ".", ",", "\n"} <= words and "n" not in words and "'" not in words
    for whole in ("Glenn", "She saw Ann", "an", "A glen", "She saw Annabel", "Glenda"):
        assert refused(f"She left.\n\n{whole}", glenn) == [set()]
    assert refused("She left.\n\nWill", Brief(name="Willa")) == [set()]
