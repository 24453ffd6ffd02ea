"""Rows at places of their own: each is what the model says of its tokens alone, whatever lies beside it."""

from collections.abc import Sequence

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM, PreTrainedModel

from inference.checkpoints import load
from inference.packed_weights import packed
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
    cache = RowCache(model, 8)
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(cache.read(row, text), scores_of(model, text))
    for at in range(3):
        tokens = [MORE[row][at] if row < len(TEXTS) else None for row in range(8)]
        found = cache.step(tokens)
        for row, text in enumerate(TEXTS):
            torch.testing.assert_close(found[row], scores_of(model, [*text, *MORE[row][: at + 1]]))
    assert cache.lengths == [len(text) + 3 for text in TEXTS] + [0] * 3


def test_a_row_that_waits_stays_as_it_is(model: PreTrainedModel) -> None:
    cache = RowCache(model, 4)
    for row in range(2):
        cache.read(row, TEXTS[row])
    cache.step([50, None, None, None])
    cache.step([51, None, None, None])
    found = cache.step([52, 60, None, None])
    torch.testing.assert_close(found[0], scores_of(model, [*TEXTS[0], 50, 51, 52]))
    torch.testing.assert_close(found[1], scores_of(model, [*TEXTS[1], 60]))


def test_rows_are_copied_cut_and_kept(model: PreTrainedModel) -> None:
    cache = RowCache(model, 4)
    cache.read(0, TEXTS[1])
    cache.copy(0, [0, 1, 2])
    cache.step([50, 51, 52, None])
    cache.step([53, 54, 55, None])
    base = len(TEXTS[1])
    cache.copy(1, [0, 1, 2], start=base)
    torch.testing.assert_close(cache.step([60, 61, 62, None])[2], scores_of(model, [*TEXTS[1], 51, 54, 62]))
    cache.cut(2, base + 1)
    torch.testing.assert_close(cache.read(2, [70, 71]), scores_of(model, [*TEXTS[1], 51, 70, 71]))
    cache.keep([2, 3, 0, 1])
    found = cache.step([72, None, 73, None])
    torch.testing.assert_close(found[0], scores_of(model, [*TEXTS[1], 51, 70, 71, 72]))
    torch.testing.assert_close(found[2], scores_of(model, [*TEXTS[1], 51, 54, 60, 73]))


def test_the_room_grows_with_the_longest_row(model: PreTrainedModel) -> None:
    cache = RowCache(model, 4)
    cache.read(0, TEXTS[0])
    long = [3 + number % 90 for number in range(300)]
    cache.read(1, long)
    found = cache.step([9, 10, None, None])
    torch.testing.assert_close(found[0], scores_of(model, [*TEXTS[0], 9]))
    torch.testing.assert_close(found[1], scores_of(model, [*long, 10]))


def test_layers_without_full_attention_are_refused() -> None:
    sliding = MistralForCausalLM(
        MistralConfig(
            vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, sliding_window=8,
        )
    )  # fmt: skip
    assert not takes_rows(sliding)
    with pytest.raises(ValueError, match=r"layers without full attention \(sdpa\): stories can't be told"):
        RowCache(sliding, 4)
    assert takes_rows(GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=16, n_layer=1, n_head=2)))


@pytest.mark.slow
def test_rows_of_the_real_base_round_alike_in_any_place(real_base: object) -> None:
    model = packed(load("stories", dtype="float32", device="cpu").model)
    generator = torch.Generator().manual_seed(0)
    texts = [
        torch.randint(2000, 40000, (count,), generator=generator).tolist()
        for count in (40, 230, 511, 700, 90, 330)
    ]

    def scores(order: Sequence[int], rows: int) -> dict[int, list[torch.Tensor]]:
        cache = RowCache(model, rows)
        found = {number: [cache.read(row, texts[number])] for row, number in enumerate(order)}
        for at in range(3):
            tokens = [
                100 * number + at if row < len(order) else None
                for row, number in enumerate([*order, *[0] * rows][:rows])
            ]
            step = cache.step(tokens)
            for row, number in enumerate(order):
                found[number].append(step[row])
        return found

    together = scores(range(6), 8)
    for order, rows in (((5,), 4), ((4, 0), 4), ((3, 2, 1, 0), 4), ((5, 4, 3, 2, 1, 0), 16)):
        for number, found in scores(order, rows).items():
            assert all(map(torch.equal, found, together[number])), (number, order)
