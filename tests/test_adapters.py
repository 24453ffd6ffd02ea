"""Adapters of a tuning: what was kept on the way is the tuning itself, and what makes them fast changes nothing but rounding."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import training.finetune
from data.bases import resolve
from data.originals import Original
from inference.checkpoints import load_weights
from inference.likelihood import summarise, token_nll
from tests.small import NOIR
from training import load_config
from training.adapters import with_adapter
from training.finetune import finetune
from training.plan import Plan

BASE = resolve("stories")
TOKENIZER = BASE.tokenizer()
CONTEXT = 64
TEXTS = [path.read_text("utf-8").strip() for path in sorted(NOIR.glob("*.txt"))]


def plan(**settings: Any) -> Plan:
    defaults = {
        "dtype": "float32",
        "lora_rank": 4,
        "learning_rate": 1e-2,
        "eval_every": 1,
        "context": CONTEXT,
    }
    originals = [Original(str(i), text) for i, text in enumerate(TEXTS)]
    return Plan(originals, TOKENIZER, CONTEXT, load_config("configs/tiny.yaml", {**defaults, **settings}))


@pytest.mark.parametrize("interpolation", [1.0, 0.5])
def test_an_adapter_kept_on_the_way_gives_the_weights_of_a_tuning_that_ends_there(
    tmp_path: Path, interpolation: float
) -> None:
    def keep(step: int, model: PreTrainedModel) -> None:
        if step:
            model.save_pretrained(tmp_path / str(step))

    settings = {"interpolation": interpolation}
    finetune(BASE, plan(**settings), 3, look=keep)
    assert not (
        tmp_path / "2" / "model.safetensors"
    ).exists()  # a hundredth of the weights, and no copy of them
    kept = with_adapter(load_weights(BASE), tmp_path / "2").state_dict()
    ended = finetune(BASE, plan(**settings), 2).state_dict()
    assert list(kept) == list(ended)
    assert all(torch.equal(kept[name], ended[name]) for name in kept)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fast_products_and_fast_attention_learn_what_peft_and_torch_do(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide products in float32, blocked attention in bfloat16."""
    settings = {"dtype": dtype, "device": "cpu"}
    taken: list[str] = []
    for name in ("wide_products", "attention"):
        real = getattr(training.finetune, name)
        monkeypatch.setattr(
            training.finetune, name, lambda *a, real=real, name=name: taken.append(name) or real(*a)
        )
    fast = finetune(BASE, plan(**settings), 4)
    assert set(taken) == {"wide_products" if dtype == "float32" else "attention"}
    with monkeypatch.context() as patch:
        patch.setattr(training.finetune, "fits", lambda *_: False)
        patch.setattr(training.finetune, "wide_products", lambda _: nullcontext())
        plain = finetune(BASE, plan(**settings), 4)
    costs = [
        summarise(TEXTS, token_nll(TEXTS, model, TOKENIZER, CONTEXT))["nll"]
        for model in (load_weights(BASE), plain, fast)
    ]
    assert costs[1] < costs[0]
    assert abs(costs[2] - costs[1]) < 0.02 * (costs[0] - costs[1])
