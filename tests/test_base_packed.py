"""Rows packed into one sequence: each is computed as if it were alone."""

import random

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedModel

from data.dataset import IGNORE
from tests.small import llama_folder
from training.base.packed import pack

LENGTHS = (17, 1, 2, 40, 9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    folder = llama_folder(tmp_path_factory.mktemp("base") / "llama")
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert loaded.config.num_attention_heads == 2 * loaded.config.num_key_value_heads
    return loaded


def rows(seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Rows of `LENGTHS`, of which the second half of each is learned."""
    rng = random.Random(seed)
    made = [[rng.randrange(250) for _ in range(length)] for length in LENGTHS]
    return [(ids, [IGNORE] * (len(ids) // 2) + ids[len(ids) // 2 :]) for ids in made]


def packed(model: PreTrainedModel, given: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Logits (T, V) of all rows, computed together."""
    batch = pack(given)
    before = model.config._attn_implementation
    model.set_attn_implementation("packed")
    try:
        found: torch.Tensor = model(
            input_ids=batch["input_ids"],
            position_ids=batch["position_ids"],
            lengths=batch["lengths"],
            use_cache=False,
        ).logits[0]
    finally:
        model.set_attn_implementation(before)
    return found


def test_packing_numbers_each_row_from_its_beginning_and_shifts_its_labels() -> None:
    batch = pack([([5, 6, 7], [-100, 6, 7]), ([8, 9], [-100, 9])])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["labels"].tolist() == [[6, 7, IGNORE, 9, IGNORE]]
    assert batch["lengths"] == [3, 2]


def test_logits_are_those_of_each_row_alone(model: PreTrainedModel) -> None:
    given = rows()
    with torch.no_grad():
        together = packed(model, given).split(LENGTHS)
        for (ids, _), found in zip(given, together, strict=True):
            torch.testing.assert_close(found, model(input_ids=torch.tensor([ids])).logits[0])


def test_loss_and_gradients_are_the_sums_over_the_rows_alone(model: PreTrainedModel) -> None:
    given = rows()

    def gradients(loss: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(loss, list(model.parameters())))

    together = functional.cross_entropy(packed(model, given), pack(given)["labels"][0], reduction="sum")
    alone = sum(
        functional.cross_entropy(
            model(input_ids=torch.tensor([ids])).logits[0, :-1], torch.tensor(labels[1:]), reduction="sum"
        )
        for ids, labels in given
        if len(ids) > 1
    )
    assert isinstance(alone, torch.Tensor)
    torch.testing.assert_close(together, alone)
    for found, wanted in zip(gradients(together), gradients(alone), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changed", range(len(LENGTHS)))
def test_changing_a_row_changes_no_other_to_the_bit(model: PreTrainedModel, changed: int) -> None:
    given, others = rows(0), rows(1)
    mixed = [*given[:changed], others[changed], *given[changed + 1 :]]
    with torch.no_grad():
        before, after = packed(model, given).split(LENGTHS), packed(model, mixed).split(LENGTHS)
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [at != changed for at in range(len(LENGTHS))]


def test_no_token_sees_a_later_one(model: PreTrainedModel) -> None:
    given = rows()
    ids = given[3][0]
    mixed = [*given[:3], ([*ids[:30], *rows(1)[3][0][30:]], ids), given[4]]
    with torch.no_grad():
        before, after = packed(model, given), packed(model, mixed)
    start = sum(LENGTHS[:3])
    assert torch.equal(before[: start + 30], after[: start + 30])
    assert not torch.equal(before[start + 30], after[start + 30])


def test_in_bfloat16_a_row_is_computed_by_itself_too(model: PreTrainedModel) -> None:
    small = AutoModelForCausalLM.from_pretrained(model.name_or_path, dtype=torch.bfloat16).eval()
    given = rows()
    with torch.no_grad():
        together, exact = packed(small, given), packed(model, given)
        changed = packed(small, [*given[:-1], ([7] * LENGTHS[-1], [7] * LENGTHS[-1])])
    assert torch.equal(together[: -LENGTHS[-1]], changed[: -LENGTHS[-1]])
    torch.testing.assert_close(together.float(), exact, rtol=0.1, atol=0.1)
