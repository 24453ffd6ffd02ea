"""One tuning: what moves, what repeats, what accumulation must not change, and what the look at the live model sees."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import PreTrainedModel

import training.finetune
from data.bases import resolve
from data.dataset import IGNORE
from data.originals import Original
from inference import perplexity
from inference.checkpoints import load_weights
from inference.likelihood import summarise, token_nll
from tests.small import NOIR
from training import load_config
from training.attention import blocked_attention, fits
from training.config import TrainConfig
from training.finetune import finetune, hardware, looks
from training.plan import Plan
from training.resumable import Checkpoints, ResumableTrainer, update_of

BASE = resolve("tiny")
TOKENIZER = BASE.tokenizer()
CONTEXT = 64
ROOM = 256
"""Tokens with room for a brief, a beat and some of a replayed story: in fewer none of it would be learned."""
TEXTS = [path.read_text("utf-8").strip() for path in sorted(NOIR.glob("*.txt"))]
UNEVEN = ["No.", TEXTS[0][:60], "I waited by the phone.", TEXTS[1][:200]]

Weights = Mapping[str, torch.Tensor]


def config(**overrides: Any) -> TrainConfig:
    defaults = {
        "dtype": "float32",
        "batch_size": 4,
        "micro_batch_size": 4,
        "warmup_steps": 0,
        "context": CONTEXT,
        "refill_names": False,
        "briefs": 0.0,
    }
    return load_config("configs/tiny.yaml", {**defaults, **overrides})


def plan(texts: list[str], settings: TrainConfig | None = None, **overrides: Any) -> Plan:
    originals = [Original(str(i), text) for i, text in enumerate(texts)]
    settings = settings or config(**overrides)
    return Plan(originals, TOKENIZER, settings.context, settings)


def tuned(texts: list[str], steps: int, look: Callable[..., Any] | None = None, **overrides: Any) -> Weights:
    return finetune(BASE, plan(texts, **overrides), steps, look=look).state_dict()


def largest_difference(first: Weights, second: Weights) -> float:
    assert list(first) == list(second)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# Weights


def test_a_few_steps_move_every_parameter() -> None:
    before, after = load_weights(BASE).state_dict(), tuned(UNEVEN, 2)
    assert list(after) == list(before)
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert all(torch.isfinite(value).all() for value in after.values())


def test_tuning_makes_its_texts_more_probable() -> None:
    model = finetune(BASE, plan(UNEVEN), 10)
    before, after = (
        summarise(UNEVEN, token_nll(UNEVEN, m, TOKENIZER, CONTEXT)) for m in (load_weights(BASE), model)
    )
    assert after["bits_per_byte"] < 0.9 * before["bits_per_byte"]
    assert after["end_nll"] < before["end_nll"]


def test_the_same_tuning_gives_the_same_weights_to_the_bit() -> None:
    assert largest_difference(tuned(TEXTS[:2], 3), tuned(TEXTS[:2], 3)) == 0


def test_another_seed_sees_the_texts_in_another_order() -> None:
    assert len(plan(TEXTS).rows(2)) > 4
    assert largest_difference(tuned(TEXTS, 2, seed=0), tuned(TEXTS, 2, seed=1)) > 1e-4


def test_no_steps_are_the_base() -> None:
    assert largest_difference(tuned(UNEVEN, 0), load_weights(BASE).state_dict()) == 0


def test_what_was_done_before_does_not_matter() -> None:
    first = tuned(UNEVEN, 1, lora_rank=2)
    torch.rand(17)
    assert largest_difference(tuned(UNEVEN, 1, lora_rank=2), first) == 0


@pytest.mark.parametrize("micro_batch_size", [1, 2])
@pytest.mark.parametrize(
    "texts", [UNEVEN, [*UNEVEN, TEXTS[2][:200], "Yes."]], ids=["full batches", "a last one of few"]
)
def test_accumulation_gives_what_the_whole_batch_gives(micro_batch_size: int, texts: list[str]) -> None:
    """R10. The texts differ in length tenfold: a mean over batches of their means would be another loss."""
    lengths = [len(row["input_ids"]) for row in plan(texts, batch_size=len(texts)).rows(1)]
    assert max(lengths) > 10 * min(lengths)
    # Adam moves a weight whose gradient is nothing but rounding as far as any other, so the rate is kept small.
    whole = tuned(texts, 3, learning_rate=1e-5)
    assert largest_difference(whole, load_weights(BASE).state_dict()) > 2e-5
    parts = tuned(texts, 3, learning_rate=1e-5, micro_batch_size=micro_batch_size)
    assert largest_difference(whole, parts) < 1e-6


def test_the_loss_is_the_mean_over_all_labels_of_the_update() -> None:
    """One update without momentum worth speaking of, against AdamW's first step on a gradient computed by hand."""
    model = load_weights(BASE)
    labels = sum(int((row != IGNORE).sum()) for row in map(torch.tensor, plan(UNEVEN).rows(1)["labels"]))
    for row in plan(UNEVEN).rows(1):
        ids, wanted = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        logits = model(input_ids=ids).logits  # (1, T, V)
        (
            cross_entropy(logits[0, :-1], wanted[0, 1:], ignore_index=IGNORE, reduction="sum") / labels
        ).backward()
    before, after = load_weights(BASE).state_dict(), tuned(UNEVEN, 1, max_grad_norm=0, micro_batch_size=1)
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        expected = before[name] - 1e-3 * gradient / (gradient.abs() + 1e-8)
        assert torch.allclose(after[name], expected, atol=2e-6), name


def test_scores_are_worked_out_where_there_are_labels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a brief nothing is asked for; the loss is that of all scores."""
    settings = {"briefs": 1.0, "context": ROOM, "learning_rate": 1e-4, "micro_batch_size": 2, "lora_rank": 2}
    texts, places = TEXTS[:3], []
    own = torch.nn.functional.cross_entropy

    def counting(scores: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        places.append(len(scores))
        return own(scores, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", counting)
    few = tuned(texts, 2, **settings)
    shown, places = places, []
    monkeypatch.setattr(ResumableTrainer, "_takes_places", False)
    every = tuned(texts, 2, **settings)
    assert len(shown) == len(places) > 0 and all(a < b for a, b in zip(shown, places, strict=True))
    assert largest_difference(few, load_weights(BASE).state_dict()) > 0
    assert largest_difference(few, every) < 1e-5


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_gradient_checkpointing_changes_memory_and_nothing_else(lora_rank: int) -> None:
    plain = tuned(UNEVEN, 2, lora_rank=lora_rank, learning_rate=1e-4)
    saving = tuned(UNEVEN, 2, lora_rank=lora_rank, learning_rate=1e-4, gradient_checkpointing=True)
    assert largest_difference(plain, load_weights(BASE).state_dict()) > 1e-6
    assert largest_difference(plain, saving) < 1e-6


def test_adapters_train_and_are_merged_away() -> None:
    before, after = load_weights(BASE).state_dict(), tuned(UNEVEN, 3, lora_rank=2, learning_rate=1e-2)
    assert list(after) == list(before)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    linear = {name for name in before if "proj" in name}
    assert moved == linear
    difference = after["model.layers.0.mlp.up_proj.weight"] - before["model.layers.0.mlp.up_proj.weight"]
    assert int(torch.linalg.matrix_rank(difference, rtol=1e-3)) == 2


def test_a_tuned_model_is_ready_to_write() -> None:
    model = finetune(BASE, plan(UNEVEN, gradient_checkpointing=True), 1)
    assert isinstance(model, PreTrainedModel)
    assert "forward" not in vars(model)  # accelerate's wrapper would come along
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_is_left_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    settings = config(dtype=dtype)
    monkeypatch.chdir(tmp_path)
    finetune(BASE, plan(UNEVEN, settings), 1)
    assert list(tmp_path.iterdir()) == []


# Steps


def test_a_step_means_the_same_whatever_the_horizon() -> None:
    seen: dict[int, Weights] = {}

    def look(step: int, model: PreTrainedModel) -> None:
        seen[step] = {name: value.clone() for name, value in model.state_dict().items()}

    tuned(TEXTS, 6, look, warmup_steps=1, eval_every=1)
    for steps in (1, 2, 4):
        assert largest_difference(tuned(TEXTS, steps, warmup_steps=1), seen[steps]) == 0


@pytest.mark.parametrize(
    ("warmup_steps", "expected"), [(0, [1.0] * 5), (1, [0.5] + [1.0] * 4), (3, [0.25, 0.5, 0.75, 1.0, 1.0])]
)
def test_the_rate_rises_from_the_first_update_on_and_is_constant_then(
    warmup_steps: int, expected: list[float], tmp_path: Path
) -> None:
    settings = config(warmup_steps=warmup_steps, learning_rate=1e-3)
    finetune(BASE, plan(UNEVEN, settings), 5, board=tmp_path / "board")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "board")).Reload()
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates == pytest.approx([1e-3 * share for share in expected])


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_half_way_is_between_the_base_and_where_the_tuning_goes_on_from(lora_rank: int) -> None:
    settings: dict[str, Any] = {"lora_rank": lora_rank, "learning_rate": 1e-2, "eval_every": 1}
    seen: list[float] = []

    def look(step: int, model: PreTrainedModel) -> None:
        nll = token_nll(TEXTS[:1], model, TOKENIZER, CONTEXT)
        seen.append(summarise(TEXTS[:1], nll)["bits_per_byte"])

    start, whole = load_weights(BASE).state_dict(), tuned(TEXTS, 3, **settings)
    half = tuned(TEXTS, 3, look, interpolation=0.5, **settings)
    between = {name: (start[name] + whole[name]) / 2 for name in start}
    assert largest_difference(half, between) < 1e-6
    assert largest_difference(half, whole) > 1e-4
    assert seen[-1] == pytest.approx(bits_of(half), abs=1e-6)


def bits_of(weights: Weights) -> float:
    model = load_weights(BASE)
    model.load_state_dict(weights)
    return float(summarise(TEXTS[:1], token_nll(TEXTS[:1], model, TOKENIZER, CONTEXT))["bits_per_byte"])


@pytest.mark.parametrize(
    ("eval_every", "steps", "chosen", "expected"),
    [
        (2, 6, None, [0, 2, 4, 6]),
        (2, 5, None, [0, 2, 4, 5]),
        (10, 3, None, [0, 3]),
        (4, 8, 3, [0, 3, 4, 8]),
    ],
)
def test_the_looks_are_at_the_base_every_so_often_at_the_end_and_where_the_user_will_stop(
    eval_every: int, steps: int, chosen: int | None, expected: list[int]
) -> None:
    settings = config(eval_every=eval_every, steps=chosen)
    assert sorted(looks(settings, steps)) == expected
    seen: list[int] = []
    done: list[int] = []
    finetune(
        BASE,
        plan(UNEVEN[:1], settings),
        steps,
        look=lambda step, model: seen.append(step),
        on_step=lambda: done.append(1),
    )
    assert seen == expected
    assert len(done) == steps


# The look


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_the_look_at_step_0_is_the_base_in_full_precision_whatever_training_uses(lora_rank: int) -> None:
    """One definition of perplexity: what a fold sees before its first update is `inference.perplexity` of the base."""
    found: dict[int, dict[str, Any]] = {}

    def look(step: int, model: PreTrainedModel) -> None:
        assert not torch.is_autocast_enabled("cpu")
        found[step] = summarise(UNEVEN, token_nll(UNEVEN, model, TOKENIZER, 1024))

    model = finetune(
        BASE,
        plan(UNEVEN, dtype="bfloat16", lora_rank=lora_rank, learning_rate=1e-2),
        2,
        look=look,
    )
    assert found[0] == perplexity(UNEVEN, "tiny")
    after = summarise(UNEVEN, token_nll(UNEVEN, model, TOKENIZER, 1024))
    # Merging adapters rounds; whole weights are the very same.
    assert found[2]["bits_per_byte"] == pytest.approx(after["bits_per_byte"], rel=1e-6 if lora_rank else 0)
    assert found[2]["bits_per_byte"] < found[0]["bits_per_byte"]


def test_training_itself_uses_the_arithmetic_it_was_told() -> None:
    coarse, fine = tuned(UNEVEN, 1, dtype="bfloat16"), tuned(UNEVEN, 1, dtype="float32")
    assert largest_difference(coarse, fine) > 1e-5


def test_looking_changes_nothing() -> None:
    def look(step: int, model: PreTrainedModel) -> None:
        token_nll(UNEVEN, model, TOKENIZER, CONTEXT)

    assert largest_difference(tuned(TEXTS, 3, look, eval_every=1), tuned(TEXTS, 3)) == 0


# Where


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="device: cuda is not there on this machine; set device: auto"):
        hardware(TrainConfig(device="cuda"))


def test_device_and_arithmetic_are_the_ones_asked_for() -> None:
    assert hardware(config(device="cpu", dtype="float32")) == ("cpu", torch.float32)
    assert hardware(config(device="cpu", dtype="bfloat16")) == ("cpu", torch.bfloat16)
    device, dtype = hardware(config(dtype="auto"))
    assert device in {"cuda", "mps", "cpu"}
    assert dtype in {torch.float32, torch.bfloat16}


def test_the_fast_attention_is_taken_where_it_fits_and_gone_afterwards() -> None:
    """In bfloat16 on a CPU it learns what torch's own does, to the rounding; the looks are torch's own."""
    settings = {"dtype": "bfloat16", "device": "cpu", "learning_rate": 1e-2}
    seen: list[str] = []

    def look(step: int, model: PreTrainedModel) -> None:
        seen.append(model.config._attn_implementation)

    model = finetune(BASE, plan(TEXTS, **settings), 3, look=look)
    assert set(seen) == {model.config._attn_implementation} == {"sdpa"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.finetune, "fits", lambda *_: False)
        plain = finetune(BASE, plan(TEXTS, **settings), 3)
    assert largest_difference(model.state_dict(), plain.state_dict()) > 0
    costs = [
        summarise(TEXTS, token_nll(TEXTS, m, TOKENIZER, CONTEXT))["nll"]
        for m in (load_weights(BASE), plain, model)
    ]
    assert abs(costs[2] - costs[1]) < 0.01 * (costs[0] - costs[1])


def test_the_fast_attention_is_for_plain_causal_models_on_a_cpu() -> None:
    model = load_weights(BASE)
    assert fits(model, "cpu", torch.bfloat16)
    assert not fits(model, "cuda", torch.bfloat16)
    assert not fits(model, "cpu", torch.float32)
    for change in ({"use_sliding_window": True}, {"attention_dropout": 0.1}, {"model_type": "gpt2"}):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in change.items():
                patch.setattr(model.config, name, value, raising=False)
            assert not fits(model, "cpu", torch.bfloat16), change


@pytest.mark.parametrize("shared", [1, 3])
def test_the_fast_attention_is_torchs_own_forth_and_back(shared: int) -> None:
    """Also where several queries share a head of keys and values, and where the last block is not full."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 150, 16) for heads in (6, 6 // shared, 6 // shared))
    upstream = torch.randn(2, 150, 6, 16)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [x.detach().clone().requires_grad_() for x in (query, key, value)]
        if dtype == torch.bfloat16:
            out = blocked_attention(torch.nn.Module(), *leaves)[0].float()
        else:
            out = scaled_dot_product_attention(*leaves, is_causal=True, enable_gqa=True).transpose(1, 2)
        (out * upstream).sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for exact, fast in zip(*found, strict=True):
        assert (exact - fast).norm() < 0.01 * exact.norm()


# What is switched on


@pytest.mark.parametrize(
    "switch",
    [
        {"dropout": 0.2}, {"neftune": 5.0}, {"goldfish": 3}, {"replay": 2, "context": ROOM}, {"briefs": 1.0},
        {"refill_names": True}, {"layer_decay": 0.5}, {"weight_decay": 10.0}, {"interpolation": 0.5},
    ],
    ids=lambda switch: next(iter(switch)),
)  # fmt: skip
@pytest.mark.parametrize("lora_rank", [0, 2])
def test_every_switch_changes_what_is_learned_and_gives_the_same_again(
    switch: dict[str, Any], lora_rank: int
) -> None:
    settings: dict[str, Any] = {"lora_rank": lora_rank, "learning_rate": 1e-2, "warmup_steps": 0}
    texts = [TEXTS[0][:200], TEXTS[1][:200]]
    plain, first, second = (tuned(texts, 2, **settings, **s) for s in ({}, switch, switch))
    assert largest_difference(first, second) == 0
    assert largest_difference(first, plain) > 1e-6
    assert list(first) == list(load_weights(BASE).state_dict())


def test_dropout_is_gone_when_the_tuning_is_over() -> None:
    model = finetune(BASE, plan(UNEVEN, dropout=0.5), 1)
    assert not [module for module in model.modules() if module._forward_hooks]
    model.train()
    ids = torch.arange(9)[None]
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_lower_layers_learn_slower_by_the_factor_and_no_parameter_is_left_out() -> None:
    before = load_weights(BASE).state_dict()
    # The first update of Adam moves every weight by the rate, as far as its gradient is no rounding.
    moved = {
        name: float((value - before[name]).abs().quantile(0.9))
        for name, value in tuned(UNEVEN, 1, layer_decay=0.5, learning_rate=1e-3, weight_decay=0.0).items()
        if value.ndim > 1
    }
    for name, size in moved.items():
        below = 3 if "embed" in name or "lm_head" in name else 1 if "layers.1." in name else 2
        assert size == pytest.approx(1e-3 * 0.5**below, rel=0.1), name


# Interruptions


def checkpoints(folder: Path, said: list[str]) -> Checkpoints:
    return Checkpoints(folder, 0.0, said.append)


def interrupted_at(step: int) -> Callable[..., None]:
    def look(at: int, _: PreTrainedModel) -> None:
        if at == step:
            raise KeyboardInterrupt

    return look


DROPOUT = {"lora_rank": 2, "lora_dropout": 0.3, "learning_rate": 1e-2}


@pytest.mark.parametrize(
    "setting",
    [
        {"micro_batch_size": 2},
        {"batch_size": 2, "micro_batch_size": 2, "refill_names": True, "replay": 2, "context": ROOM},
        {**DROPOUT, "interpolation": 0.5},
    ],
)
@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_tuning_that_was_interrupted_ends_with_the_weights_of_an_unbroken_one(
    setting: dict[str, Any], step: int, tmp_path: Path
) -> None:
    """In the middle of an epoch and at its border, with accumulation, and with random numbers in every update."""
    settings = config(eval_every=1, warmup_steps=2, **setting)
    whole = finetune(BASE, plan(UNEVEN, settings), 6).state_dict()
    said: list[str] = []
    kept = checkpoints(tmp_path, said)
    with pytest.raises(KeyboardInterrupt):
        finetune(BASE, plan(UNEVEN, settings), 6, look=interrupted_at(step), checkpoints=kept)
    done = update_of(kept.newest())
    assert done == step - 1
    steps: list[int] = []
    seen: list[int] = []
    resumed = finetune(BASE, plan(UNEVEN, settings), 6,
        look=lambda at, _: seen.append(at), on_step=lambda: steps.append(1), checkpoints=kept,
    )  # fmt: skip
    assert largest_difference(whole, resumed.state_dict()) == 0
    assert len(steps) == 6 and seen == list(range(done + 1 if done else 0, 7))
    assert not said


def test_two_checkpoints_are_kept_and_none_of_them_is_a_pickle(tmp_path: Path) -> None:
    finetune(BASE, plan(UNEVEN), 5, checkpoints=checkpoints(tmp_path, []))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["update-3", "update-4"]
    for folder in tmp_path.iterdir():
        assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    "damaged", ["tensors.safetensors", "state.json", "trainer_state.json", "sha256.json"]
)
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    damaged: str, how: str, tmp_path: Path
) -> None:
    whole = tuned(UNEVEN, 5, eval_every=1)
    said: list[str] = []
    kept = checkpoints(tmp_path / "fold-0", said)
    finetune(BASE, plan(UNEVEN), 5, checkpoints=kept)
    file = tmp_path / "fold-0" / "update-4" / damaged
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 1]) + content[middle + 1 :] if how == "changed" else b""
        file.write_bytes(content[:middle] + flipped)
    model = finetune(BASE, plan(UNEVEN), 5, checkpoints=kept)
    found = {"cut": "expected sha256", "changed": "expected sha256", "gone": "no such file"}[how]
    if damaged == "sha256.json" and how == "cut":
        found = "can't be read"
    (line,) = said
    assert line.startswith("checkpoint update-4 of fold-0 is damaged (") and damaged.split(".")[0] in line
    assert found in line and line.endswith("): the one before is taken")
    assert largest_difference(whole, model.state_dict()) == 0


def test_where_all_checkpoints_are_damaged_it_begins_anew_and_keeps_the_new_ones(tmp_path: Path) -> None:
    whole = tuned(UNEVEN, 5, eval_every=1)
    said: list[str] = []
    kept = checkpoints(tmp_path, said)
    finetune(BASE, plan(UNEVEN), 5, checkpoints=kept)
    for folder in tmp_path.iterdir():
        (folder / "state.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        finetune(BASE, plan(UNEVEN, eval_every=1), 5, look=interrupted_at(3), checkpoints=kept)
    assert [line.rpartition(": ")[2] for line in said] == [
        "the one before is taken",
        "the tuning begins anew",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["update-1", "update-2"]
    assert largest_difference(whole, finetune(BASE, plan(UNEVEN), 5, checkpoints=kept).state_dict()) == 0
    assert len(said) == 2


@pytest.mark.parametrize(
    ("eval_every", "at"), [(1, 2), (5, 3), (5, 5)], ids=["a look", "a checkpoint", "the end"]
)
def test_weights_that_are_no_numbers_end_the_tuning_and_are_not_kept(
    eval_every: int, at: int, tmp_path: Path
) -> None:
    """As a gradient that overflows leaves them, at a loss that was still fine."""
    done: list[int] = []
    looked: list[int] = []

    def spoil() -> None:
        done.append(1)
        if len(done) == at:
            next(iter(live[0].parameters())).data[0, 0] = float("nan")

    live: list[PreTrainedModel] = []

    def look(step: int, model: PreTrainedModel) -> None:
        live[:] = [model]
        looked.append(step)

    kept = Checkpoints(tmp_path, 0.0 if eval_every == 5 and at == 3 else 1000.0, print)
    with pytest.raises(
        ValueError, match=f"diverged: its weights are no numbers at update {at}.*--set learning_rate="
    ):
        finetune(BASE, plan(UNEVEN, eval_every=eval_every), 5, look=look, on_step=spoil, checkpoints=kept)
    assert max(looked) < at
    assert f"update-{at}" not in {path.name for path in tmp_path.glob("*")}


def test_ctrl_c_lets_the_update_be_finished_and_saved_and_the_second_one_does_not_wait(
    tmp_path: Path,
) -> None:
    settings = config(eval_every=1, checkpoint_seconds=1000)
    whole = finetune(BASE, plan(UNEVEN, settings), 4).state_dict()
    kept = Checkpoints(tmp_path, settings.checkpoint_seconds, print)
    finished: list[int] = []

    def once(step: int, _: PreTrainedModel) -> None:
        finished.append(step)
        if step == 2:
            signal.raise_signal(signal.SIGINT)
            finished.append(step)  # it was not cut off here

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        finetune(BASE, plan(UNEVEN, settings), 4, look=once, checkpoints=kept)
    assert signal.getsignal(signal.SIGINT) is before
    assert finished == [0, 1, 2, 2] and [path.name for path in tmp_path.iterdir()] == ["update-2"]
    resumed = finetune(BASE, plan(UNEVEN, settings), 4, checkpoints=kept)
    assert largest_difference(whole, resumed.state_dict()) == 0

    def twice(step: int, _: PreTrainedModel) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one waited")

    with pytest.raises(KeyboardInterrupt):
        finetune(
            BASE,
            plan(UNEVEN, settings),
            4,
            look=twice,
            checkpoints=checkpoints(tmp_path / "b", []),
        )


def test_ctrl_c_in_the_last_update_loses_nothing(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, 1000, print)

    def last(step: int, _: PreTrainedModel) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        finetune(BASE, plan(UNEVEN), 3, look=last, checkpoints=kept)
    looked: list[int] = []
    resumed = finetune(BASE, plan(UNEVEN), 3, look=lambda at, _: looked.append(at), checkpoints=kept)
    assert largest_difference(tuned(UNEVEN, 3), resumed.state_dict()) == 0
    assert not looked


# TensorBoard


def events(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: {e.step: e.value for e in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


def test_the_board_shows_losses_and_looks_and_each_update_once(tmp_path: Path) -> None:
    settings = config(eval_every=2)
    kept = checkpoints(tmp_path / "checkpoints", [])

    def look(step: int, model: PreTrainedModel) -> dict[str, float]:
        if step == 4 and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            raise KeyboardInterrupt
        return {"bits_per_byte/held_out": step / 10}

    def tune() -> None:
        finetune(BASE, plan(UNEVEN, settings), 6, look=look, checkpoints=kept, board=tmp_path / "board")

    with pytest.raises(KeyboardInterrupt):
        tune()
    tune()
    found = events(tmp_path / "board")
    assert found["bits_per_byte/held_out"] == pytest.approx({0: 0.0, 2: 0.2, 4: 0.4, 6: 0.6})
    assert list(found["train/loss"]) == [1, 2, 3, 4, 5, 6]
    assert {path.name for path in (tmp_path / "board").iterdir()} <= {
        f"events.out.tfevents.{i:04d}" for i in range(9)
    }  # and not the machine's name
    assert found["train/loss"][6] < found["train/loss"][1]
    assert {"train/learning_rate", "train/grad_norm"} <= set(found)
