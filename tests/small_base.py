"""A small real base for the tests, made on the spot: a Llama of 0.7 million weights that read the openings of 1,500 stories.

It knows common words and their order, ends its texts and takes briefs, all badly. It lies where set-up puts the base of this
project, so that whatever asks for the base gets it, in this process and in those that a test starts. Made once, and again when
this file or the stories change.
"""

import hashlib
import os
import random
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.adapted import ADAPTER_FILES, STORIES
from data.dataset import IGNORE, blocks
from data.model_cache import cache_folder, key_of, make
from data.packaged import SMOLLM2
from data.stories import PARAGRAPHS, read_stories
from inference.bank import prepare
from training.base.rows import asked

ROOT = Path(__file__).parents[1]
STORIES_FILE = ROOT / "data" / "stories" / "stories.jsonl.xz"
MADE = ROOT / ".pytest_cache"
"""Git ignores it, and `make clean` empties it."""

END = "<|endoftext|>"
VOCABULARY, CONTEXT = 3000, 1024
STEPS, RATE = 1500, 3e-3
PARTS = 4
"""Most paragraphs of a story that are read, so that more stories are. The text ends after them."""


def install() -> Path:
    """Set XDG_CACHE_HOME to a folder with the base, which the first process makes; return the base's own folder."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + STORIES_FILE.read_bytes()).hexdigest()[:12]
    home = MADE / f"small-base-{digest}"
    os.environ["XDG_CACHE_HOME"] = str(home)
    stamp = key_of(STORIES / file for file in ADAPTER_FILES)
    prepare()  # the bank's index lies beside the base
    return make(
        cache_folder() / f"stories-{SMOLLM2.sha256[:8]}-{stamp}", lambda _, into: _train(into), room=0
    )


def _train(folder: Path) -> None:
    """Train the model and write it to ``folder``."""
    stories = [s for s in read_stories(STORIES_FILE) if not s.test]
    tokenizer = _tokenizer([s.text for s in stories])
    rng = random.Random(0)
    order = rng.sample(stories, STEPS)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(_config(tokenizer))
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.05)
        for step, whole in enumerate(order):
            parts = whole.text.split(PARAGRAPHS)[: rng.randint(1, PARTS)]
            story = replace(whole, text=PARAGRAPHS.join(parts))
            row = blocks(story.text, tokenizer, CONTEXT, asked(story) if rng.random() < 0.7 else None)[0]
            ids, labels = (torch.tensor([row[key]]) for key in ("input_ids", "labels"))
            logits = model(input_ids=ids).logits[0, :-1]
            functional.cross_entropy(logits, labels[0, 1:], ignore_index=IGNORE).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 10) * (1 - step / STEPS)
            optimizer.step()
            optimizer.zero_grad()
    model.generation_config.update(do_sample=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Bytes and their commonest neighbours; documents begin and end with one token, as with SmolLM2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END)


def _config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
