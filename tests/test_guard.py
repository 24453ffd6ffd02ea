"""No copied run is longer than it may be, whatever the pieces it is made of, and nothing else is touched."""

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.bases import resolve
from data.brief import Brief
from data.dataset import encode
from data.originals import load_originals
from inference import generate, stream
from inference.guard import CopyGuard
from inference.novelty import CopyIndex, copy_limit
from tests.small import SEEDS, bpe_tokenizer, byte_tokenizer

TEXTS = [original.text for original in load_originals(SEEDS)]
TOKENIZERS = {"stories": resolve("stories").tokenizer(), "bytes": byte_tokenizer()}


def parrot(
    texts: list[str], heard: str, tokenizer: Any, most: int, free: tuple[str, ...] = (), seed: int = 0
) -> str:
    """What somebody says who wants to repeat ``heard`` word by word, and goes on with it wherever the guard steps in."""
    guard = CopyGuard(CopyIndex(texts), tokenizer, most, [free])
    wanted, said, rng = encode(heard, tokenizer), [0], torch.Generator().manual_seed(seed)
    for token in wanted:
        scores = torch.rand(1, len(tokenizer), generator=rng)
        scores[0, list(guard.pieces.special)] = -1.0
        scores[0, token] = 5.0
        before = scores.clone()
        found = guard(torch.tensor([said]), scores)
        assert scores.equal(before)  # the caller's own
        untouched = found[0] > -torch.inf
        assert found[0][untouched].equal(before[0][untouched]) and untouched.any()
        said.append(int(found[0].argmax()))
    return str(tokenizer.decode(said[1:]))


def longest(text: str, texts: list[str]) -> int:
    span = CopyIndex(texts).longest(text)
    return span.words if span else 0


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("most", [1, 3, 6])
def test_a_parrot_is_stopped_at_the_limit(most: int, tokenizer: Any) -> None:
    for number, text in enumerate(TEXTS):
        heard = text[:500]
        said = parrot(TEXTS, heard, tokenizer, most, seed=number)
        assert longest(heard, TEXTS) > 40
        assert longest(said, TEXTS) <= most
        assert said != heard


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize(
    "change", [str.upper, str.title, lambda t: t.replace(" ", ", "), lambda t: t.replace("'", "’"), lambda t: t.replace(" ", "\n\n")],
    ids=["upper", "title", "commas", "apostrophes", "paragraphs"],
)  # fmt: skip
def test_case_punctuation_and_apostrophes_are_no_way_around_it(change: Any, tokenizer: Any) -> None:
    text = "Ada didn't see l'été from the baker's window, and it wasn't Ada's fault that nobody else did."
    assert longest(change(text), [text]) == len(text.split())
    assert longest(parrot([text], change(text), tokenizer, 3), [text]) <= 3


def test_a_capital_that_is_no_token_is_no_way_around_it() -> None:
    """Of é there is a token, of É the two bytes alone."""
    tokenizer = bpe_tokenizer(["un été, l’été, cet été-là"] * 20)
    assert [len(encode(form, tokenizer)) for form in ("é", "É")] == [1, 2]
    assert longest(parrot(["un bel été"], "UN BEL ÉTÉ", tokenizer, 2), ["un bel été"]) == 2


def test_what_is_not_copied_is_said_as_it_was_meant() -> None:
    for tokenizer in TOKENIZERS.values():
        for heard in ("“Nobody,” said the crow; 12 boats went by – naïvely…", TEXTS[0].split(".")[0][:30]):
            said = parrot(TEXTS, heard, tokenizer, 12)
            assert said == heard


def test_free_words_may_go_on() -> None:
    text = "the old man said Nadia Benali was late for the boat"
    tokenizer = TOKENIZERS["stories"]
    assert "Nadia" not in parrot([text], text, tokenizer, 4)
    said = parrot([text], text, tokenizer, 4, free=("nadia", "BENALI"))
    assert said.startswith("the old man said Nadia Benali")
    assert "was" not in said.split()[6:7]


words_of_few = st.lists(
    st.sampled_from(["a", "an", "and", "I", "I'd", "été", "so", "some"]), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(originals=st.lists(words_of_few, min_size=1, max_size=3), heard=words_of_few, most=st.integers(1, 4))
def test_whatever_the_originals_and_whatever_is_repeated(
    originals: list[list[str]], heard: list[str], most: int
) -> None:
    texts = [" ".join(original) for original in originals]
    for tokenizer in TOKENIZERS.values():
        said = parrot(texts, " ".join(heard), tokenizer, most, seed=len(heard))
        assert longest(said, texts) <= most


def test_an_opening_that_is_copied_is_not_gone_on_with() -> None:
    opening = " ".join(TEXTS[0].split()[:9])
    for guard in (False, True):
        (sample,) = generate(
            "stories",
            opening=opening,
            brief=Brief(),
            originals=TEXTS,
            guard=guard,
            temperature=0,
            max_new_tokens=40,
        )
        assert sample.text.startswith(opening)
        if guard:
            assert longest(sample.text, TEXTS) <= 9
            assert longest(sample.text[len(opening) :], TEXTS) <= copy_limit(TEXTS)


def test_samples_obey_whatever_is_beside_them_and_say_how_often_they_were_stopped() -> None:
    brief = [Brief()] * 3
    options: dict[str, Any] = {"originals": TEXTS, "seed": 5, "max_new_tokens": 60, "temperature": 0.6}
    free = generate("stories", brief=brief, guard=False, **options)
    kept = generate("stories", brief=brief, guard=2, **options)
    assert max(longest(sample.text, TEXTS) for sample in free) > 2
    assert all(longest(sample.text, TEXTS) <= 2 for sample in kept)
    assert all(sample.scores["refused_runs"] > 0 for sample in kept)
    assert all("refused_runs" not in sample.scores for sample in free)
    alone = generate("stories", brief=brief, guard=2, batch_size=1, **options)
    assert [sample.text for sample in alone] == [sample.text for sample in kept]
    streamed = "".join(stream("stories", brief=Brief(), guard=2, **options))
    assert streamed.rstrip() == kept[0].text


def test_without_a_run_nothing_is_known_that_could_be_copied() -> None:
    (sample,) = generate("stories", brief=Brief(), max_new_tokens=5)
    assert "refused_runs" not in sample.scores


def test_a_limit_of_no_words_is_refused() -> None:
    with pytest.raises(
        ValueError, match="a copied run may have 1 word or more, found 0; guard=False sets no limit"
    ):
        generate("stories", brief=Brief(), originals=TEXTS, guard=0, max_new_tokens=5)


def test_random_texts_are_left_alone_at_any_limit_they_keep() -> None:
    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(50)]
    for _ in range(5):
        heard = " ".join(rng.choices(vocabulary, k=40))
        assert parrot(TEXTS, heard, TOKENIZERS["stories"], 1) == heard
