"""Products by packed weights: those of the model, rounded alike in any batch, by a twin that leaves the model as it was."""

import copy
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from inference import packed_weights
from inference.decoding import SMALL
from inference.packed_weights import packed

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch comes without oneDNN"
)


@pytest.fixture(scope="module")
def model() -> Any:
    """Large enough to be packed, with biases in some of its layers and two queries to one head of keys."""
    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = Qwen2ForCausalLM(Qwen2Config(vocab_size=120_000, num_key_value_heads=2, **shape)).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    assert made.num_parameters() >= SMALL
    return made


@torch.inference_mode()
def scores(model: Any, rows: int) -> torch.Tensor:
    """Of ``rows`` (B, 5) of ids, the same first ones each time, what comes next (B, V)."""
    ids = torch.arange(60).reshape(12, 5)[:rows]
    found: torch.Tensor = model(input_ids=ids, logits_to_keep=1).logits[:, 0]
    return found


def test_the_scores_are_the_models_own(model: Any) -> None:
    plain = scores(model, 12)
    twins = scores(packed(model), 12)
    assert not torch.equal(twins, plain)  # other sums: it has been at work
    torch.testing.assert_close(twins, plain, rtol=1e-4, atol=1e-5)


def test_a_row_is_rounded_alike_whatever_lies_beside_it(model: Any) -> None:
    twin = packed(model)
    together = scores(twin, 12)
    for rows in (1, 2, 3, 5, 8, 11):
        assert torch.equal(scores(twin, rows), together[:rows])


def test_the_model_stays_as_it_was_and_shares_its_weights(model: Any) -> None:
    plain = scores(model, 4)
    twin = packed(model)
    assert model.config._attn_implementation == "sdpa"
    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert {parameter.data_ptr() for parameter in twin.parameters()} == own
    assert torch.equal(scores(model, 4), plain)


def test_bfloat16_is_packed_where_the_processor_multiplies_it(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("this processor emulates bfloat16")
    coarse = copy.deepcopy(model).to(torch.bfloat16)
    twin = packed(coarse)
    assert twin is not coarse
    together = scores(twin, 12)
    torch.testing.assert_close(together, scores(coarse, 12), rtol=0.05, atol=0.05)
    for rows in (1, 4, 8):
        assert torch.equal(scores(twin, rows), together[:rows])
    monkeypatch.setattr(packed_weights, "best_dtype", lambda device: torch.float32)
    assert packed(coarse) is coarse


def test_small_models_and_other_number_formats_are_left_alone(model: Any) -> None:
    tiny = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
        )
    )
    for other in (tiny, copy.deepcopy(model).to(torch.float16)):
        assert packed(other) is other
