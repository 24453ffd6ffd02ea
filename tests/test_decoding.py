"""The draw itself: the right distribution, warpers that exclude, and randomness that is each row's own."""

from collections import Counter

import pytest
import torch
from transformers import LogitsProcessorList

from inference.checkpoints import load
from inference.decoding import DEFAULTS, Decoding, RowNoise, row_seed

PROBABILITIES = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03])
CHI_SQUARE_4 = 18.47
"""Critical value for four degrees of freedom at p = 0.001."""


def draw(decoding: Decoding, logits: torch.Tensor, rows: int, steps: int = 1, seed: int = 0) -> torch.Tensor:
    """Drawn tokens (rows, steps) where every step has the same ``logits`` (V,)."""
    processors = LogitsProcessorList([*decoding.warpers(), *decoding.noise(seed, range(rows))])
    scores = logits.expand(rows, -1)
    return torch.stack([processors(None, scores).argmax(dim=-1) for _ in range(steps)], dim=1)


def chi_square(drawn: torch.Tensor, expected: torch.Tensor) -> float:
    counts = torch.bincount(drawn.flatten(), minlength=len(expected)).double()
    return float((((counts - expected * counts.sum()) ** 2) / (expected * counts.sum())).sum())


def plain(temperature: float = 1.0, top_p: float = 1.0, min_p: float = 0.0) -> Decoding:
    return Decoding(temperature, top_p, min_p)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_first_draws_of_many_rows_have_the_distribution(seed: int) -> None:
    drawn = draw(plain(), PROBABILITIES.log(), rows=4000, seed=seed)
    assert chi_square(drawn, PROBABILITIES) < CHI_SQUARE_4


def test_the_later_draws_of_one_row_have_it_too() -> None:
    drawn = draw(plain(), PROBABILITIES.log(), rows=2, steps=3000)
    for row in drawn:
        assert chi_square(row, PROBABILITIES) < CHI_SQUARE_4


def test_a_wide_vocabulary_is_drawn_fairly() -> None:
    # Above some size torch fills a tensor in another way.
    wide = torch.full((6000,), -torch.inf)
    wide[[3, 999, 2500, 4444, 5999]] = PROBABILITIES.log()
    drawn = draw(plain(), wide, rows=1, steps=2000).flatten()
    places = torch.tensor([{3: 0, 999: 1, 2500: 2, 4444: 3, 5999: 4}[int(token)] for token in drawn])
    assert chi_square(places, PROBABILITIES) < CHI_SQUARE_4


def test_rows_and_steps_are_independent() -> None:
    drawn = draw(plain(), torch.zeros(4), rows=400, steps=10)
    uniform = torch.full((16,), 1 / 16)
    critical = 37.7  # 15 degrees of freedom, p = 0.001
    assert chi_square(drawn[:-1] * 4 + drawn[1:], uniform) < critical  # neighbouring rows
    assert chi_square(drawn[:, :-1] * 4 + drawn[:, 1:], uniform) < critical  # neighbouring steps
    other = draw(plain(), torch.zeros(4), rows=400, steps=10, seed=1)
    assert chi_square(drawn * 4 + other, uniform) < critical  # neighbouring seeds


def test_temperature_sharpens_and_flattens_as_defined() -> None:
    for temperature in (0.5, 2.0):
        expected = torch.softmax(PROBABILITIES.log() / temperature, dim=0)
        drawn = draw(plain(temperature), PROBABILITIES.log(), rows=1, steps=4000)
        assert chi_square(drawn, expected) < CHI_SQUARE_4


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_p": 0.5}, {0}),
        ({"top_p": 0.7}, {0, 1}),
        ({"min_p": 0.2}, {0, 1, 2}),
        ({"min_p": 0.1}, {0, 1, 2, 3}),
        ({"min_p": 1.0}, {0}),
        ({"top_p": 0.0}, {0}),
        ({"top_p": 0.9, "min_p": 0.4}, {0, 1}),
    ],
)
def test_what_top_p_and_min_p_exclude_is_never_drawn_and_all_else_is(
    settings: dict[str, float], kept: set[int]
) -> None:
    drawn = draw(plain(**settings), PROBABILITIES.log(), rows=1, steps=3000)
    assert set(Counter(drawn.flatten().tolist())) == kept


def test_a_row_draws_the_same_whatever_rows_are_beside_it() -> None:
    scores = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    together = RowNoise(7, [0, 1, 2, 3, 4, 5])(None, scores)
    for i in range(6):
        assert torch.equal(RowNoise(7, [i])(None, scores[i : i + 1])[0], together[i])
    assert torch.equal(RowNoise(7, [4, 2])(None, scores[[4, 2]]), together[[4, 2]])
    assert not torch.equal(RowNoise(8, [0])(None, scores[:1])[0], together[0])


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw(plain(), torch.zeros(9), rows=3, steps=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw(plain(), torch.zeros(9), rows=3, steps=5), first)


def test_temperature_0_adds_no_noise_and_leaves_the_best_the_best() -> None:
    greedy = Decoding(0, 0.5, 0.5)
    assert greedy.noise(0, [0]) == []
    assert draw(greedy, PROBABILITIES.log(), rows=1).item() == PROBABILITIES.argmax()


def test_half_precision_scores_are_drawn_in_float32() -> None:
    noisy = RowNoise(0, [0])(None, torch.zeros(1, 5, dtype=torch.bfloat16))
    assert noisy.dtype == torch.float32
    assert noisy.isfinite().all()
    excluded = RowNoise(0, [0])(None, torch.tensor([[0.0, -torch.inf]]))
    assert excluded[0, 1] == -torch.inf


def test_row_seeds_are_63_bits_and_all_different() -> None:
    seeds = {row_seed(seed, index) for seed in range(-5, 45) for index in range(100)}
    assert len(seeds) == 5000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert row_seed(1, 11) != row_seed(11, 1)


def test_settings_come_from_the_caller_then_the_model_then_the_defaults() -> None:
    model = load("tiny", dtype="float32").model
    assert Decoding.choose(model, None, None, None) == Decoding(**DEFAULTS)
    stated = model.generation_config
    try:
        stated.temperature, stated.min_p = 0.6, 0.0
        assert Decoding.choose(model, None, None, None) == Decoding(0.6, 1.0, 0.0, 2.0)
        assert Decoding.choose(model, 0, 0.9, None, 1) == Decoding(0.0, 0.9, 0.0, 1.0)
    finally:
        stated.temperature = stated.min_p = None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((-0.1, None, None), r"temperature must be between 0 and 10, found -0\.1"),
        ((11, None, None), "temperature must be between 0 and 10, found 11"),
        ((float("nan"), None, None), "temperature"),
        ((None, 1.1, None), "top_p must be between 0 and 1"),
        ((None, None, -1), "min_p must be between 0 and 1"),
        ((None, None, None, 0.5), "guidance must be between 1 and 10, found 0.5"),
        ((-1, 2, 3), "temperature .*; top_p .*; min_p .*"),
    ],
)
def test_settings_out_of_range_are_all_named(settings: tuple[float | None, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Decoding.choose(load("tiny", dtype="float32").model, *settings)
