"""The wide products of adapters: peft's own values and gradients, and layers that they don't fit left alone."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from training import products
from training.products import frozen_product, numpy_products, wide_products

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21

IDS = torch.arange(24).view(2, 12) % 19


@pytest.fixture(params=[False, True], ids=["torch", "NumPy"], autouse=True)
def amd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """On either kind of processor, with three threads, of which some get no row of a small product."""
    monkeypatch.setattr(products, "is_amd", lambda: request.param)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield request.param
    torch.set_num_threads(before)


def adapted(bias: bool = False, **options: Any) -> Any:
    """A Llama with an adapter on every layer that is no longer what peft starts with."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=19, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, attention_bias=bias,
    )  # fmt: skip
    settings: dict[str, Any] = {"r": 3, "lora_alpha": 7.5, "target_modules": "all-linear", **options}
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)
    return model


def outcome(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradient of each trained parameter."""
    model.zero_grad()
    logits = model(input_ids=IDS).logits
    logits.square().sum().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def replaced(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_values_and_gradients_are_those_of_peft(amd: bool) -> None:
    model = adapted()
    logits, gradients = outcome(model)
    with wide_products(model):
        assert len(replaced(model)) == 14 + amd  # all seven of both layers, and the head
        found, own = outcome(model)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    assert own.keys() == gradients.keys()
    for name in own:
        torch.testing.assert_close(own[name], gradients[name], rtol=1e-3, atol=1e-4)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_afterwards_everything_is_as_before_also_after_an_error() -> None:
    model = adapted()
    before, times = outcome(model), products._times
    for error in (False, True):
        with pytest.raises(KeyError) if error else nullcontext(), wide_products(model):
            outcome(model)
            if error:
                raise KeyError
        assert replaced(model) == [] and products._times is times
    logits, gradients = outcome(model)
    assert torch.equal(logits, before[0])
    assert all(torch.equal(gradients[name], before[1][name]) for name in gradients)


def test_layers_with_a_bias_are_left_alone(amd: bool) -> None:
    model = adapted(bias=True)
    logits, _ = outcome(model)
    with wide_products(model):
        names = replaced(model)
        found, _ = outcome(model)
    assert len(names) == 6 + amd and all(".mlp." in name or name.endswith("lm_head") for name in names)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)


def test_layers_with_dropout_are_left_alone(amd: bool) -> None:
    model = adapted(lora_dropout=0.5)
    assert any(isinstance(module, Linear) for module in model.modules())
    with wide_products(model):
        assert [name.rpartition(".")[2] for name in replaced(model)] == ["lm_head"] * amd


def test_layers_without_an_adapter_multiply_so_too_and_trained_ones_do_not(amd: bool) -> None:
    model = adapted(target_modules=["q_proj"])
    logits, gradients = outcome(model)
    with wide_products(model):
        assert len(replaced(model)) == (14 + 1 if amd else 2)
        found, own = outcome(model)
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    for name in own:
        torch.testing.assert_close(own[name], gradients[name], rtol=1e-3, atol=1e-4)
    for parameter in model.parameters():
        parameter.requires_grad = True
    with wide_products(model):
        assert replaced(model) == []


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_frozen_weight_gets_no_gradient_and_its_input_the_right_one(rows: int) -> None:
    weight = torch.randn(5, 4, requires_grad=True)
    x = torch.randn(rows, 4, requires_grad=True)
    with numpy_products() if products.is_amd() else nullcontext():
        value = frozen_product(x, weight)
        value.square().sum().backward()
    wanted = x.detach() @ weight.detach().T
    torch.testing.assert_close(value.detach(), wanted)
    torch.testing.assert_close(x.grad, 2 * wanted @ weight.detach())
    assert weight.grad is None
