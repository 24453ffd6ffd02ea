"""Products by packed weights: those of the model, rounded alike in any batch, in the own thread and for that time alone."""

import copy
import threading
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from inference import packed_weights as module
from inference.decoding import SMALL
from inference.packed_weights import packed_weights

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch comes without oneDNN"
)


@pytest.fixture(scope="module")
def model() -> Any:
    """Large enough to be packed, with biases in some of its layers."""
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
    with packed_weights(model):
        packed = scores(model, 12)
    assert not torch.equal(packed, plain)  # other sums: it has been at work
    torch.testing.assert_close(packed, plain, rtol=1e-4, atol=1e-5)
    assert torch.equal(scores(model, 12), plain)


def test_a_row_is_rounded_alike_whatever_lies_beside_it(model: Any) -> None:
    with packed_weights(model):
        together = scores(model, 12)
        for rows in (1, 2, 3, 5, 8, 11):
            assert torch.equal(scores(model, rows), together[:rows])


def test_another_thread_notices_nothing(model: Any) -> None:
    plain, seen = scores(model, 4), []
    with packed_weights(model):
        other = threading.Thread(target=lambda: seen.append(scores(model, 4)))
        other.start()
        other.join()
    assert torch.equal(seen[0], plain)


def test_an_error_meanwhile_leaves_the_model_as_it_was(model: Any) -> None:
    plain = scores(model, 4)
    with pytest.raises(KeyError), packed_weights(model):
        raise KeyError
    assert torch.equal(scores(model, 4), plain)


def test_small_models_and_other_number_formats_are_left_alone(model: Any, monkeypatch) -> None:
    monkeypatch.setattr(module, "_Packed", None)  # to be called is an error
    tiny = Qwen2Config(
        vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    for other in (Qwen2ForCausalLM(tiny), Qwen2ForCausalLM(tiny).to(torch.bfloat16)):
        with packed_weights(other):
            pass
    with pytest.raises(TypeError), packed_weights(model):
        pass
    with packed_weights(copy.deepcopy(model).to(torch.bfloat16)):
        pass
