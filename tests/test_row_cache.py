"""Rows at places of their own: each is what the model says of its tokens alone, whatever lies beside it."""

import copy
from collections.abc import Sequence

import pytest
import torch
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from inference import packed_weights
from inference.cache import has_full_attention
from inference.checkpoints import load
from inference.row_cache import RowCache, takes_rows
from tests.small import llama_folder

TEXTS = [[5, 6, 7], list(range(3, 40)), [9], list(range(20, 95)), [4, 4, 4, 4, 8]]
MORE = [[11, 12, 13], [14, 15, 16], [17, 18, 19], [21, 22, 23], [31, 32, 33]]


def scores_of(model: PreTrainedModel, tokens: Sequence[int]) -> torch.Tensor:
    with torch.inference_mode():
        scores: torch.Tensor = model(input_ids=torch.tensor([list(tokens)])).logits[0, -1]
    return scores


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return load(str(llama_folder(tmp_path_factory.mktemp("model") / "llama")), dtype="float32").model


def test_each_row_says_what_the_model_says_of_its_tokens(model: PreTrainedModel) -> None:
    cache = RowCache(model, 6, 2)
    for number, text in enumerate(TEXTS):
        torch.testing.assert_close(cache.read(number, text), scores_of(model, text))
    for at in range(3):
        tokens = [MORE[row // 2][at] + row % 2 if row < 10 else None for row in range(12)]
        found = cache.step(tokens)
        for row in range(10):
            own = [token + row % 2 for token in MORE[row // 2][: at + 1]]
            torch.testing.assert_close(found[row], scores_of(model, [*TEXTS[row // 2], *own]))
    assert cache.common == [*map(len, TEXTS), 0] and cache.own == [3] * 10 + [0] * 2


def test_a_row_that_waits_stays_as_it_is(model: PreTrainedModel) -> None:
    cache = RowCache(model, 2, 2)
    for text in range(2):
        cache.read(text, TEXTS[text])
    cache.step([50, None, None, None])
    cache.step([51, None, None, None])
    found = cache.step([52, 59, 60, None])
    torch.testing.assert_close(found[0], scores_of(model, [*TEXTS[0], 50, 51, 52]))
    torch.testing.assert_close(found[1], scores_of(model, [*TEXTS[0], 59]))
    torch.testing.assert_close(found[2], scores_of(model, [*TEXTS[1], 60]))


def test_a_text_goes_on_with_what_is_taken_of_a_row(model: PreTrainedModel) -> None:
    cache = RowCache(model, 2, 4)
    cache.read(0, TEXTS[1])
    cache.read(1, TEXTS[0])
    cache.step([50, 51, 52, 53, 80, 81, None, None])
    cache.step([54, 55, 56, None, 82, 83, None, None])
    cache.take(1, 2)
    assert cache.common == [len(TEXTS[1]) + 2, len(TEXTS[0])] and cache.own == [0] * 4 + [2, 2, 0, 0]
    found = cache.step([60, 61, 62, None, 84, None, None, None])
    torch.testing.assert_close(found[2], scores_of(model, [*TEXTS[1], 51, 55, 62]))
    torch.testing.assert_close(found[4], scores_of(model, [*TEXTS[0], 80, 82, 84]))
    cache.take(2, 0)  # nothing of it: what was drawn is forgotten
    torch.testing.assert_close(cache.read(0, [70, 71]), scores_of(model, [*TEXTS[1], 51, 55, 70, 71]))
    cache.keep([1, 0])
    found = cache.step([85, None, None, None, 72, None, None, None])
    torch.testing.assert_close(found[0], scores_of(model, [*TEXTS[0], 80, 82, 84, 85]))
    torch.testing.assert_close(found[4], scores_of(model, [*TEXTS[1], 51, 55, 70, 71, 72]))
    cache.clear(0)
    torch.testing.assert_close(cache.read(0, TEXTS[3]), scores_of(model, TEXTS[3]))


def test_the_room_grows_with_the_longest_text_and_the_longest_row(model: PreTrainedModel) -> None:
    cache = RowCache(model, 2, 2)
    cache.read(0, TEXTS[0])
    long = [3 + number % 90 for number in range(300)]
    cache.read(1, long)
    for token in long[:270]:
        found = cache.step([token, None, 10, None])
    torch.testing.assert_close(found[0], scores_of(model, [*TEXTS[0], *long[:270]]))
    torch.testing.assert_close(found[2], scores_of(model, [*long, *[10] * 270]))


def test_the_model_stays_as_it_was(model: PreTrainedModel) -> None:
    before = scores_of(model, TEXTS[1])
    cache = RowCache(model, 1, 4)
    cache.read(0, TEXTS[1])
    cache.step([5, 6, 7, 8])
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(scores_of(model, TEXTS[1]), before)


def test_layers_without_full_attention_are_refused() -> None:
    sliding = MistralForCausalLM(
        MistralConfig(
            vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, sliding_window=8,
        )
    )  # fmt: skip
    assert not takes_rows(sliding)
    with pytest.raises(ValueError, match=r"layers without full attention, or .*: stories can't be told"):
        RowCache(sliding, 1, 4)
    assert takes_rows(GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=16, n_layer=1, n_head=2)))


def test_a_model_that_asks_for_its_attention_by_name_is_refused() -> None:
    falcon = FalconForCausalLM(
        FalconConfig(vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    assert has_full_attention(falcon) and falcon.config._attn_implementation == "sdpa"
    assert not takes_rows(falcon)


def test_half_the_digits_cost_no_more_than_with_torchs_own_attention(model: PreTrainedModel) -> None:
    half = copy.deepcopy(model).to(torch.bfloat16)
    cache = RowCache(half, 2, 2)
    long = [3 + number % 90 for number in range(300)]
    cache.read(0, long)
    found = cache.step([9, 10, None, None])
    exact, plain = (scores_of(one, [*long, 9]) for one in (model, half))
    assert (found[0].float() - exact).abs().max() < 2 * (plain.float() - exact).abs().max() + 0.02


def scores_beside(
    model: PreTrainedModel, order: Sequence[int], there: int, steps: int
) -> dict[int, list[torch.Tensor]]:
    """For each of the texts ``order`` of `LONG`, in a cache of ``there``, what follows it and single tokens of one of its rows."""
    cache = RowCache(model, there, 4)
    vocabulary = model.config.vocab_size
    found = {
        number: [cache.read(text, [id % vocabulary for id in LONG[number]])]
        for text, number in enumerate(order)
    }
    for at in range(steps):
        tokens: list[int | None] = [None] * there * 4
        for text, number in enumerate(order):
            # Two rows go on, one of them for longer; odd texts stop early.
            if number % 2 == 0 or at < 3:
                tokens[4 * text : 4 * text + 2] = [(100 * number + at) % vocabulary, 7 if at < 3 else None]
        step = cache.step(tokens)
        for text, number in enumerate(order):
            if number % 2 == 0 or at < 3:
                found[number].append(step[4 * text])
    return found


LONG = [
    torch.randint(2000, 40000, (count,), generator=torch.Generator().manual_seed(count)).tolist()
    for count in (40, 230, 511, 700, 90, 330)
]
COMPANIES = (((5,), 1), ((3, 2, 1, 0), 5))
"""Which texts there are in which places, and places in all."""


def test_rows_round_alike_in_any_place(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a neighbour's row is longer than what is looked at of one's own."""
    monkeypatch.setattr(packed_weights, "SMALL", 0)
    together = scores_beside(model, range(6), 6, 70)
    for order, there in (*COMPANIES, ((4, 0), 2), ((1,), 1)):
        for number, found in scores_beside(model, order, there, 70).items():
            assert all(map(torch.equal, found, together[number])), (number, order)


@pytest.mark.slow
def test_rows_of_the_real_base_round_alike_in_any_place(real_base: object) -> None:
    model = load("stories", dtype="float32", device="cpu").model
    together = scores_beside(model, range(6), 6, 3)
    for order, there in COMPANIES:
        for number, found in scores_beside(model, order, there, 3).items():
            assert all(map(torch.equal, found, together[number])), (number, order)
