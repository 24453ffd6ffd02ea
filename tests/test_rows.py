"""Rows of a batch: they leave it when they have ended, and none of the others notices."""

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from data.brief import Brief
from data.dataset import encode, special_ids
from inference.cache import CHUNK, ChunkedLayer
from inference.checkpoints import load
from inference.decoding import Decoding
from inference.rows import ROWS, batches, continuations, padded


def test_prompts_are_padded_to_few_widths_and_batches_hold_one_of_them() -> None:
    assert [padded(n, 1024) for n in (1, 64, 65, 500, 513, 1000)] == [64, 64, 128, 512, 513, 1000]
    assert padded(3, 64) == 3  # more than half of a short context would be padding
    assert batches([64, 128, 64, 64, 128, 64], 3) == [[0, 2, 3], [1, 4], [5]]
    assert batches([], 3) == []


def test_a_row_is_the_same_when_those_beside_it_have_left(monkeypatch) -> None:
    """With the trained model; its comma is made the end, so that rows end soon and at many different times."""
    base = load("stories", dtype="float32", device="cpu")
    comma = encode(",", base.tokenizer)[0]
    names = [f"Ida Voss {i}" for i in range(16)]
    prompts = [[0, *encode(Brief(name=name).header(), base.tokenizer)] for name in names]
    sizes = []
    real = base.model.generate

    def generate(**options):
        sizes.append(len(options["input_ids"]))
        return real(**options)

    monkeypatch.setattr(base.model, "generate", generate)
    decoding = Decoding(temperature=1.0, top_p=1.0, min_p=0.0)

    def drawn(some: list[int]) -> list[list[int]]:
        rows = continuations(base.model, [prompts[i] for i in some], 64, 40, comma, decoding.noise(3, some))
        return [row[: row.index(comma) + 1] if comma in row else row for row in rows]

    together = drawn(list(range(16)))
    assert sizes[0] == 16 and sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 2
    assert all(size % ROWS == 0 for size in sizes)
    assert len({len(row) for row in together}) > 5
    alone = [drawn([i])[0] for i in range(16)]
    assert together == alone


@pytest.mark.slow
def test_the_base_of_set_up_draws_a_text_the_same_in_any_batch_by_several_threads(real_base) -> None:
    base = load("stories", dtype="float32", device="cpu")
    _, end = special_ids(base.tokenizer)
    prompts = [[0, *encode(Brief(name=f"Ida Voss {i}").header(), base.tokenizer)] for i in range(9)]
    decoding = Decoding(temperature=0.8, top_p=1.0, min_p=0.1)

    def drawn(some: list[int]) -> list[list[int]]:
        return continuations(base.model, [prompts[i] for i in some], 64, 48, end, decoding.noise(3, some))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = drawn(list(range(9)))
        assert [drawn([0])[0], *drawn([3, 8])] == [together[0], together[3], together[8]]
    finally:
        torch.set_num_threads(before)


def test_rows_are_taken_out_of_a_cache_that_goes_on_growing() -> None:
    ours, plain = ChunkedLayer(), DynamicLayer()
    generator = torch.Generator().manual_seed(0)
    rows = torch.tensor([3, 0])
    for length in (5, 1, CHUNK, 1):
        states = torch.randn(2, 4, 2, length, 8, generator=generator)
        ours.update(*states)
        plain.update(*states)
    for layer in (ours, plain):
        layer.batch_select_indices(rows)
    more = torch.randn(2, 2, 2, 1, 8, generator=generator)
    for mine, theirs in zip(ours.update(*more), plain.update(*more), strict=True):
        assert torch.equal(mine, theirs)
