"""Adapters of a tuning: what was kept on the way is the tuning itself, and what makes them fast changes nothing but rounding."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import training.finetune
import training.job
from data.bases import Base, resolve
from data.memory import TOKENS_AS_WEIGHTS
from data.originals import Original
from inference.checkpoints import load_weights
from inference.likelihood import summarise, token_nll
from inference.runs import Run
from tests.small import NOIR
from training import TrainConfig, load_config, train
from training.adapters import adapter_bytes, layer_of, with_adapter
from training.begin import _texts_as_weights
from training.finetune import finetune
from training.frozen_layers import FrozenLayers
from training.kept import Kept
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


def test_no_fold_is_tuned_twice(tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three folds, three texts alone, the final model and the control; the folds' models are made of what was kept."""
    done: list[int] = []
    real = training.job.finetune

    def counted(base: Base, plan: Plan, steps: int, **options: Any) -> PreTrainedModel:
        done.append(steps)
        return real(base, plan, steps, **options)

    monkeypatch.setattr(training.job, "finetune", counted)
    run = train(tiny(lora_rank=2, steps=1, keep_folds=True))
    chosen = [fold["steps"] for fold in Run.open(run).held_out["folds"]]
    assert chosen == [1, 1, 1]
    assert len([steps for steps in done if steps]) == 3 + 3 + 2
    name, base = "model.layers.0.mlp.up_proj.weight", load_weights(resolve("tiny")).state_dict()
    for i, steps in enumerate(chosen):
        fold = load_weights(Base("", run / "folds" / str(i) / "model")).state_dict()
        assert torch.equal(fold[name], base[name]) == (steps == 0)
    assert not list(run.glob("folds/*/step-*"))


def test_a_damaged_adapter_is_said_and_the_fold_tuned_again(tmp_path: Path) -> None:
    said: list[str] = []
    kept = Kept(tmp_path, said.append)

    def keep(step: int, model: PreTrainedModel) -> None:
        if step:
            model.save_pretrained(kept.snapshot(0, step))
            kept.finished(kept.snapshot(0, step))

    finetune(BASE, plan(), 1, look=keep)
    assert kept.weights_at(BASE, 0, 1) is not None and not said
    settings = kept.snapshot(0, 1) / "adapter_config.json"
    settings.write_text(settings.read_text("utf-8")[:40], "utf-8")
    assert kept.weights_at(BASE, 0, 1) is None
    assert re.fullmatch(
        r"the adapter in .*step-1 is damaged \(.*\): the fold is tuned again up to there", said[0]
    )


def test_the_size_of_an_adapter_is_what_peft_saves(tmp_path: Path) -> None:
    def keep(step: int, model: PreTrainedModel) -> None:
        model.save_pretrained(tmp_path / str(step))

    sizes = []
    for layers in (0, 1):
        shown = plan(lora_layers=layers)
        finetune(BASE, shown, 1, look=keep)
        sizes.append((tmp_path / "1" / "adapter_model.safetensors").stat().st_size)
        assert 0.8 * sizes[-1] < adapter_bytes(BASE, shown.config) <= sizes[-1]
    assert sizes[1] < 0.6 * sizes[0]


def test_memory_counts_the_longest_rows_that_are_there_at_once() -> None:
    def asked(**settings: Any) -> float:
        config = plan(context=64, **settings).config
        return _texts_as_weights(config, [Original("a", TEXTS[0]), Original("b", "Short.")], BASE)

    one = asked(micro_batch_size=1)
    assert one == pytest.approx(64 / TOKENS_AS_WEIGHTS)  # a window of a long text
    assert asked(micro_batch_size=2) == pytest.approx(2 * one)
    assert asked(micro_batch_size=1, dtype="bfloat16") == pytest.approx(one / 2)
    assert asked(micro_batch_size=1, gradient_checkpointing=True) < one / 2


def test_layers_without_adapters_stay_and_run_once_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is kept of them the tuning is the one without."""
    shown, frozen = plan(lora_layers=1, batch_size=2, micro_batch_size=1), FrozenLayers()
    before = load_weights(BASE)
    layers = before.config.num_hidden_layers
    seen: list[float] = []

    def look(step: int, model: PreTrainedModel) -> None:
        nlls = token_nll(TEXTS[:1], model, TOKENIZER, CONTEXT, batch_size=1)
        seen.append(summarise(TEXTS[:1], nlls)["bits_per_byte"])

    first = finetune(BASE, shown, 2, look=look, frozen=frozen)
    missed = frozen.missed
    # Two updates of two rows, and the rows of a look, of which there are three.
    assert frozen.found == 2 * (missed - 4) > 0
    again = finetune(BASE, shown, 2, look=look, frozen=frozen)
    assert frozen.missed == missed and seen[:3] == seen[3:]
    monkeypatch.setattr(FrozenLayers, "of", lambda self, model, count: nullcontext())
    plain = finetune(BASE, shown, 2)
    moved = set()
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, again.state_dict()[name])
        torch.testing.assert_close(weights, plain.state_dict()[name], rtol=1e-4, atol=1e-6)
        if not torch.equal(weights, before.state_dict()[name]):
            moved.add(layer_of(name))
    assert moved == {layers - 1}


def test_the_folds_of_a_run_share_what_they_have_in_common(
    tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most rows of a fold were another's before: they are the same, and so is what the frozen layers make of them."""
    seen: dict[int, FrozenLayers] = {}
    of = FrozenLayers.of

    def noted(self: FrozenLayers, model: PreTrainedModel, count: int) -> AbstractContextManager[None]:
        seen[id(self)] = self
        assert count == model.config.num_hidden_layers - 1
        return of(self, model, count)

    monkeypatch.setattr(FrozenLayers, "of", noted)
    train(
        tiny(
            base="stories", lora_rank=2, lora_layers=1, max_steps=3, batch_size=2, micro_batch_size=1, dtype="float32",
            samples_control=0, samples_per_fold=0,
        )
    )  # fmt: skip
    (frozen,) = seen.values()
    assert frozen.found > frozen.missed > 0


def test_what_is_kept_of_frozen_layers_is_bounded_and_for_whole_rows_alone() -> None:
    width = load_weights(BASE).config.hidden_size
    model, frozen = load_weights(BASE).eval(), FrozenLayers(most_bytes=6 * 4 * width)  # a row and a half
    rows = [torch.arange(start, start + 4)[None] for start in (5, 9, 13)]
    plain = [model(input_ids=row).logits.detach() for row in rows]
    with frozen.of(model, 1), torch.inference_mode():
        for row, wanted in zip(rows, plain, strict=True):
            assert torch.equal(model(input_ids=row).logits, wanted)
        assert torch.equal(model(input_ids=rows[2]).logits, plain[2])
        assert (frozen.found, frozen.missed) == (1, 3)
        assert torch.equal(model(input_ids=rows[0]).logits, plain[0])
        assert (frozen.found, frozen.missed) == (1, 4)  # each had pushed the one before out
        masked = model(input_ids=rows[2], attention_mask=torch.tensor([[0, 1, 1, 1]])).logits
        assert not torch.allclose(masked[:, -1], plain[2][:, -1])
        positions = torch.arange(40, 44)[None]
        model(input_ids=rows[0], position_ids=positions)
        assert torch.equal(model(input_ids=torch.cat(rows[:2])).logits[:1], plain[0])
        assert (frozen.found, frozen.missed) == (1, 4)
    assert torch.equal(model(input_ids=rows[0]).logits, plain[0])
    assert not any("forward" in vars(layer) for layer in model.get_decoder().layers)
