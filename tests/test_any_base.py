"""Any base: architectures and tokenizers of every kind go the whole way, and what comes out is a plain model.

The models are small and their weights random: what is tested is that nothing here knows one family of models.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    pipeline,
)

from data import load_originals
from data.dataset import encode
from inference import generate, load, perplexity, score
from inference.likelihood import token_nll
from inference.runs import Run
from tests.small import NOIR, byte_tokenizer
from training import TrainConfig, train

Make = Callable[..., TrainConfig]


def sentencepiece() -> PreTrainedTokenizerFast:
    """Of the kind that SentencePiece makes: a unigram model over text whose spaces are ▁, with a BOS of its own."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([original.text for original in load_originals(NOIR)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}

BASES: dict[str, tuple[Callable[[], Any], Callable[..., Any]]] = {
    "GPT-2, end as padding": (
        lambda: byte_tokenizer(eos="<eos>", pad="<eos>"),
        lambda **k: GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **k),
    ),
    "SmolLM2's shape, no padding": (
        lambda: byte_tokenizer(bos="<eos>"),
        lambda **k: LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True, **k),
    ),
    "Qwen3, no beginning": (
        lambda: byte_tokenizer(pad="<pad>"),
        lambda **k: Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=8, **k),
    ),
    "GPT-NeoX": (lambda: byte_tokenizer(bos="<bos>", pad="<pad>"), lambda **k: GPTNeoXConfig(**SMALL, **k)),
    "Gemma 2, soft caps and windows": (
        lambda: byte_tokenizer(bos="<bos>", pad="<pad>"),
        lambda **k: Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, sliding_window=64, **k),
    ),
    "Llama, SentencePiece": (sentencepiece, lambda **k: LlamaConfig(**SMALL, num_key_value_heads=4, **k)),
}


def saved(name: str, folder: Path) -> Path:
    make, config = BASES[name]
    tokenizer = make()
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(vocab_size=len(tokenizer), **ids))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("lora_rank", [0, 4], ids=["all weights", "adapters"])
@pytest.mark.parametrize("name", BASES)
def test_a_base_goes_from_texts_to_scores(name: str, lora_rank: int, tiny: Make, tmp_path: Path) -> None:
    base = saved(name, tmp_path / "base")
    settings = tiny(
        base=str(base),
        lora_rank=lora_rank,
        context=128,
        max_steps=2,
        eval_every=1,
        samples=1,
        samples_per_fold=1,
        steps=2,
        checkpoint_seconds=0.0,
    )
    looks: list[int] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        looks.append(1)
        if len(looks) == 3:  # after the first fold's first updates and a checkpoint
            raise KeyboardInterrupt
        return token_nll(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("training.job.token_nll", interrupted)
        train(settings)
    checkpoints = Path(settings.output_dir) / f".{settings.name}.partial" / "checkpoints" / "fold-0"
    assert [path.name for path in checkpoints.iterdir()] == ["update-1"]
    run = train(settings, existing="resume", report=True)
    unbroken = train(replace(settings, output_dir=str(tmp_path / "unbroken")))
    whole, parts = (load_file(folder / "model" / "model.safetensors") for folder in (unbroken, run))
    assert list(whole) == list(parts) and all(torch.equal(whole[key], parts[key]) for key in whole)
    assert (unbroken / "folds.json").read_bytes() == (run / "folds.json").read_bytes()
    opened = Run.open(run)
    assert opened.held_out["chosen_steps"] == 2
    tuned, untuned = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (run / "model", base)
    )
    assert list(tuned) == list(untuned)  # adapters are merged away
    assert any(not torch.equal(tuned[key].float(), untuned[key].float()) for key in tuned)
    texts = [original.text for original in opened.originals]
    assert perplexity(texts, run)["nll"] < perplexity(texts, base)["nll"]
    assert encode(texts[0], load(run).tokenizer) == encode(texts[0], load(base).tokenizer)
    samples = generate(run, n=2, seed=1, max_new_tokens=24)
    assert samples == generate(run, n=2, seed=1, max_new_tokens=24)
    assert len(score(samples, opened.originals, model=run).texts) == 2
    assert (run / "report.html").exists()
    written = pipeline("text-generation", model=str(run / "model"))("Rain", max_new_tokens=4)
    assert written[0]["generated_text"].startswith("Rain")
