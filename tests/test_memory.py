"""How much of a text comes back from its beginning, against what generation itself gives back."""

import torch

from data.dataset import encode, special_ids
from data.originals import load_originals
from inference.checkpoints import Checkpoint, load
from inference.memory import PROBED, recalled
from inference.metrics import load_metric
from tests.small import SEEDS, chain


def alphabet(wrong: dict[str, str] | None = None) -> Checkpoint:
    """A model that says the alphabet over and over, but for what it is told otherwise."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    follow = dict(zip(letters, letters[1:] + "a", strict=True)) | (wrong or {})
    return chain({"": {"a": 1.0}} | {now: {then: 1.0} for now, then in follow.items()}, context=256)


def test_a_text_known_by_heart_comes_back_whole_and_an_unknown_one_not_at_all() -> None:
    known = "abcdefghijklmnopqrstuvwxyz" * 4
    assert recalled([known, "zyx" * 30], alphabet()) == [PROBED, 0]
    # It says e after c: of the text's tokens from the 33rd on (g) it gives g to z and a to c, 23, and no more.
    assert recalled([known], alphabet({"c": "e", "e": "f"})) == [23]


def test_of_a_short_text_the_first_half_is_given() -> None:
    assert recalled(["abcdefghij", "abcdexyzab", "a", "b"], alphabet()) == [5, 0, 1, 0]


def greedy(model: Checkpoint, ids: list[int], n: int) -> list[int]:
    """The ``n`` tokens that generation itself puts after ``ids``."""
    opening, end = special_ids(model.tokenizer)
    prompt = torch.tensor([[opening, *ids]])
    with torch.inference_mode():
        out = model.model.generate(  # type: ignore[operator]
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            min_new_tokens=n,
            max_new_tokens=n,
            pad_token_id=end,
        )
    return out[0, 1 + len(ids) :].tolist()


def test_it_is_what_greedy_generation_gives_back() -> None:
    base = load("stories", dtype="float32")
    originals = [original.text for original in load_originals(SEEDS)]
    beginning = encode(originals[0], base.tokenizer)[:PROBED]
    own = base.tokenizer.decode([*beginning, *greedy(base, beginning, PROBED)])
    texts = [own, "She smiled. " * 20, *originals]
    expected = []
    for text in texts:
        ids = encode(text, base.tokenizer)[: 2 * PROBED]
        given = min(PROBED, len(ids) // 2)
        pairs = zip(greedy(base, ids[:given], len(ids) - given), ids[given:], strict=True)
        same = [a == b for a, b in pairs]
        expected.append(same.index(False) if False in same else len(same))
    assert recalled(texts, base) == expected
    assert expected[0] > PROBED // 2  # else the comparison says little
    found = load_metric("memory").compute(predictions=texts, model=base)
    assert found == {"recalled": max(expected), "recalled_tokens": expected}
