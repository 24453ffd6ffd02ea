"""Small real parts that several tests share: a byte tokenizer, models of chosen or of random weights, a few stories."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.brief import Brief
from data.stories import Story, write_stories
from inference.checkpoints import Checkpoint
from training.base.config import BaseConfig

ROOT = Path(__file__).parents[1]
SEEDS = ROOT / "data" / "seeds"
NOIR = ROOT / "tests" / "corpora" / "noir"
VERSE = ROOT / "tests" / "corpora" / "verse"
PLAYS = ROOT / "tests" / "corpora" / "plays"

NASTY = (
    "  « L’été », dit-elle – “à demain” — ‘peut-être’… 1\u202f000 € de Cœur, n't .\n"
    "\tTab, two  spaces  , ﬁ, ½, Ĳ, straße, naïve\u00a0café\n\n"
    "漢字 かな ру́сский עברית हिन्दी 👩‍👩‍👧 🇫🇷 a\u200bb\n"
    "<|endoftext|> </s> <pad> [UNK] ## --- name: x"
)
"""What a tokenizer or a cleaning step is likely to lose."""


def write_few_words(folder: Path) -> Path:
    """Three texts of 22 words in a new folder, for runs whose texts don't matter."""
    folder.mkdir()
    for path in sorted(NOIR.glob("*.txt"))[:3]:
        (folder / path.name).write_text(" ".join(path.read_text("utf-8").split()[:22]) + "\n", "utf-8")
    return folder


def few_words_settings(texts: Path, output_dir: Path) -> dict[str, Any]:
    """Settings under which those texts do choose more than no steps, and not the same for each fold."""
    return {
        "originals": str(texts),
        "output_dir": str(output_dir),
        "dtype": "float32",
        "warmup_steps": 0,
        "learning_rate": 1.5e-3,
        "briefs": 0.0,
    }


def write_light_configs(folder: Path) -> None:
    """Copy the presets to ``folder``. Those that commands and notebooks of the documentation name take a fraction of their time."""
    shutil.copytree(ROOT / "configs", folder)
    for name in ("quick.yaml", "paris-cafe.yaml"):
        settings = yaml.safe_load((folder / name).read_text("utf-8"))
        settings |= {"samples": min(2, settings["samples"]), "draws": 2, "beats": 0.0}
        settings |= {key: min(4, settings[key]) for key in ("steps", "max_steps") if key in settings}
        (folder / name).write_text(yaml.safe_dump(settings), "utf-8")


def byte_tokenizer(*, bos: str | None = None, eos: str | None = "<eos>", pad: str | None = None):
    """One token a byte, special tokens as given after them."""
    vocabulary = {mark: i for i, mark in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"bos_token": bos, "eos_token": eos, "pad_token": pad}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{key: token for key, token in special.items() if token}
    )


def bpe_tokenizer(texts: Sequence[str], size: int = 400, end: str | None = None) -> PreTrainedTokenizerFast:
    """Bytes and the pairs that are most common in ``texts``, as tokenizers of large models are made. ``end``: one token that begins
    and ends a text; without it there are two."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [end] if end else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=end or "<bos>", eos_token=end or "<eos>"
    )


def chain(follow: Mapping[str, Mapping[str, float]], context: int = 64) -> Checkpoint:
    """A real model that is a Markov chain over bytes: ``follow["a"]["b"]`` is the probability of b after a.

    "" is the beginning and the end. The residual stream is the one-hot current token; attention and MLP add nothing.
    """
    tokenizer = byte_tokenizer()
    size = len(tokenizer)

    def token(mark: str) -> int:
        return tokenizer.eos_token_id if mark == "" else tokenizer.encode(mark, add_special_tokens=False)[-1]

    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=context,
        rms_norm_eps=1e-12,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    logits = torch.full((size, size), -40.0)  # (now, next)
    for now, after in follow.items():
        assert math.isclose(sum(after.values()), 1), f"after {now!r} the probabilities must add up to 1"
        for mark, probability in after.items():
            logits[token(now), token(mark)] = math.log(probability)
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.copy_(logits.T / math.sqrt(size))
    return Checkpoint(model, tokenizer, "chain", context)


def llama_folder(folder: Path, tokenizer: Any = None, *, context: int = 1024, seed: int = 0) -> Path:
    """A model folder with an untrained Llama of two layers, of which two query heads share one of keys; bytes are its tokens."""
    tokenizer = tokenizer or byte_tokenizer(bos="<bos>", pad="<pad>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def few_stories(test: int = 1) -> list[Story]:
    """Six stories of three paragraphs with their beats, the last ``test`` of them for testing."""
    people = [
        ("Nadia Benali", "piano tuner", "fork", "she"),
        ("Tomasz Wilczek", "tram driver", "lamp", "he"),
        ("Odile Marchand", "florist", "ribbon", "she"),
        ("Ingrid Larsen", "baker", "basket", "she"),
        ("Petr Novák", "clockmaker", "key", "he"),
        ("Colette Vasseur", "nurse", "letter", "she"),
    ]
    found = []
    for at, (name, work, thing, pronoun) in enumerate(people):
        given = name.split()[0]
        text = (
            f"{name} came into the café with a {thing}.\n\n“It’s late,” said {given} softly.\n\n"
            f"The {thing} lay on the table when {pronoun} left, and {given} forgot it."
        )
        brief = Brief(name=name, occupation=work, place="a small café", keywords=(thing,))
        beats = (f"{given}, a {work}, comes in", f"{given} says it is late", f"the {thing} is forgotten")
        found.append(Story(text, brief, beats, f"flowing/{at % 2}", at >= len(people) - test))
    return found


def small_teaching(folder: Path) -> BaseConfig:
    """A base of two layers, five stories to learn and one for testing, in ``folder``."""
    llama_folder(folder / "llama")
    write_stories(folder / "stories.jsonl.xz", few_stories())
    return BaseConfig(
        base=str(folder / "llama"),
        stories=str(folder / "stories.jsonl.xz"),
        rank=4,
        alpha=32.0,
        learning_rate=1e-2,
        tokens_per_step=600,
        tokens=10_000,
        context=700,
        measured=1,
    )


def write_part(file: Path, stories: Sequence[Story]) -> None:
    """Write ``stories`` as a writer hands them in: ``file`` is part-NN.txt, and their beats go into beats-NN.txt beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("===\n".join(f"{s.brief.header()}{s.text}\n" for s in stories), "utf-8")
    if any(story.beats for story in stories):
        plans = ("".join(f"- {beat}\n" for beat in story.beats) for story in stories)
        file.with_name(file.name.replace("part-", "beats-")).write_text("===\n".join(plans), "utf-8")
