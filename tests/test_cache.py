"""The chunked key-value cache: same text as with transformers' own, and only where that is what it replaces."""

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache, GPT2Config, MistralConfig

from inference.cache import CHUNK, ChunkedLayer, chunked_cache
from inference.checkpoints import load


@pytest.mark.parametrize("rows", [1, 3])
def test_same_tokens_as_with_the_cache_of_transformers(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.cache.CHUNK", 16)
    model = load("stories", dtype="float32").model  # an untrained one hardly looks back
    ids = torch.randint(1, 1000, (rows, 5), generator=torch.Generator().manual_seed(0))
    # over two borders of chunks
    settings = {"max_new_tokens": 41, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    ours = model.generate(ids, past_key_values=chunked_cache(model), **settings)
    theirs = model.generate(ids, past_key_values=DynamicCache(config=model.config), **settings)
    assert ours.shape == (rows, 46)
    assert torch.equal(ours, theirs)


def test_a_layer_returns_all_it_was_given_without_copying_it_each_time() -> None:
    layer, given = ChunkedLayer(), torch.randn(2, 3, CHUNK + 4, 8)
    for start, stop in ((0, 7), (7, 8), (8, CHUNK), (CHUNK, CHUNK + 4)):
        keys, values = layer.update(given[:, :, start:stop], -given[:, :, start:stop])
        assert torch.equal(keys, given[:, :, :stop])
        assert torch.equal(values, -given[:, :, :stop])
        assert layer.get_seq_length() == stop
        if stop == 7:
            room = keys.untyped_storage().data_ptr()
        if stop == 8:
            assert keys.untyped_storage().data_ptr() == room


def test_models_with_other_kinds_of_layers_keep_their_own_cache() -> None:
    small = {"vocab_size": 20, "num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    sliding = AutoModelForCausalLM.from_config(MistralConfig(**small, **heads, sliding_window=4))
    assert chunked_cache(sliding) is None
    gpt2 = AutoModelForCausalLM.from_config(GPT2Config(vocab_size=20, n_layer=2, n_embd=8, n_head=2))
    cache = chunked_cache(gpt2)
    assert cache is not None
    assert len(cache.layers) == 2
