"""Perplexity and bits per byte: values known beforehand, values computed by hand, and what must change nothing."""

import math
import unicodedata
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from data.bases import resolve
from data.brief import Brief
from data.dataset import encode, special_ids
from data.originals import load_originals
from inference import likelihood
from inference.checkpoints import Checkpoint, load
from inference.likelihood import perplexity, token_nll
from tests.small import SEEDS, byte_tokenizer, chain

BYTES = byte_tokenizer()
TEXTS = [
    "The café was shut.",
    "Rain.",
    "A longer text – of more words than the other two have together, é è ê.",
]
FIGURES = ("perplexity", "bits_per_byte", "nll", "tokens", "bytes", "end_nll")


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    return load("tiny", dtype="float32", device="cpu")


def shortened(checkpoint: Checkpoint, context: int) -> Checkpoint:
    return Checkpoint(checkpoint.model, checkpoint.tokenizer, checkpoint.id, context)


def gpt2(folder: Path) -> GPT2LMHeadModel:
    """A live model in training, with dropout, whose tokenizer lies in ``folder``."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=257, n_positions=64, n_embd=32, n_layer=1, n_head=2))
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    found: GPT2LMHeadModel = AutoModelForCausalLM.from_pretrained(folder).train()
    assert found.config.resid_pdrop > 0
    return found


# Known values


@pytest.mark.parametrize("vocabulary", [257, 300, 1000])
def test_a_model_that_finds_all_tokens_equally_likely_has_the_vocabulary_as_perplexity(
    vocabulary: int,
) -> None:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    found = perplexity(TEXTS, Checkpoint(model, BYTES, "uniform", 32))
    size = sum(len(text.encode()) for text in TEXTS)
    assert found["bytes"] == found["tokens"] == size  # a token a byte
    assert found["perplexity"] == pytest.approx(vocabulary, rel=1e-6)
    assert found["bits_per_byte"] == pytest.approx(math.log2(vocabulary), rel=1e-6)
    assert found["nll"] == pytest.approx(math.log(vocabulary), rel=1e-6)
    assert found["end_nll"] == pytest.approx(math.log(vocabulary), rel=1e-6)
    assert found["texts"]["perplexity"] == pytest.approx([vocabulary] * 3, rel=1e-6)


def test_bits_per_byte_are_bits_per_token_times_tokens_by_bytes(tiny: Checkpoint) -> None:
    found = perplexity(TEXTS, tiny)
    assert found["tokens"] == sum(len(encode(text, tiny.tokenizer)) for text in TEXTS) != found["bytes"]
    expected = math.log2(found["perplexity"]) * found["tokens"] / found["bytes"]
    assert found["bits_per_byte"] == pytest.approx(expected, rel=1e-9)


def test_a_chain_of_known_probabilities() -> None:
    model = chain({"": {"a": 1}, "a": {"b": 0.5, "a": 0.5}, "b": {"": 0.25, "a": 0.75}})
    found = perplexity(["aab", "ab"], model)
    # a|begin 1, a|a 1/2, b|a 1/2; a|begin 1, b|a 1/2; the end after b, 1/4 each, is told apart
    assert found["texts"]["bits_per_byte"] == pytest.approx([2 / 3, 1 / 2], rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(3 / 5, rel=1e-5)
    assert found["perplexity"] == pytest.approx(2 ** (3 / 5), rel=1e-5)
    assert found["end_nll"] == pytest.approx(math.log(4), rel=1e-5)
    assert (found["tokens"], found["bytes"]) == (5, 5)


def test_the_end_is_told_apart_and_costs_the_text_nothing() -> None:
    ends, goes_on = (chain({"": {"a": 1}, "a": {"": p, "a": 0.5, "b": 0.5 - p}}) for p in (0.4, 0.001))
    first, second = perplexity(["aaa"], ends), perplexity(["aaa"], goes_on)
    assert first["nll"] == pytest.approx(second["nll"], rel=1e-5)
    assert first["end_nll"] == pytest.approx(-math.log(0.4), rel=1e-4)
    assert second["end_nll"] == pytest.approx(-math.log(0.001), rel=1e-4)


def test_an_original_under_the_base_as_plain_transformers_have_it() -> None:
    text = load_originals(SEEDS)[0].text
    model = AutoModelForCausalLM.from_pretrained(resolve("stories").path, dtype=torch.float32).eval()
    checkpoint = load("stories", dtype="float32", device="cpu")
    ids = [0, *checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"], 0]
    assert len(ids) < checkpoint.context
    with torch.inference_mode():
        log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)  # (T, V)
    nats = -log_p[range(len(ids) - 1), ids[1:]]  # (T - 1,)
    found = perplexity([text], checkpoint)
    assert found["nll"] == pytest.approx(float(nats[:-1].mean()), rel=1e-5)
    assert found["end_nll"] == pytest.approx(float(nats[-1]), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(
        float(nats[:-1].sum()) / math.log(2) / len(text.encode()), rel=1e-5
    )
    assert found["perplexity"] < len(checkpoint.tokenizer) / 4  # it has learnt something


# Windows


@pytest.mark.parametrize("context", [2, 5, 16, 33])
def test_a_text_longer_than_the_context_scores_each_token_once_with_half_a_context_before_it(
    tiny: Checkpoint, context: int
) -> None:
    text = "She took a seat at the counter – again – and the rain went on, on and on."
    ids = [0, *encode(text, tiny.tokenizer), 0]
    assert len(ids) > 16
    expected = []
    for p in range(1, len(ids)):
        # The first window predicts all but its first token; each later one starts half a context before its first.
        step = context - context // 2
        start = 0 if p < context else context + (p - context) // step * step - context // 2
        with torch.inference_mode():
            log_p = torch.log_softmax(tiny.model(torch.tensor([ids[start:p]])).logits[0, -1], dim=-1)
        expected.append(-float(log_p[ids[p]]))
    (found,) = token_nll([text], tiny.model, tiny.tokenizer, context)
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    figures = perplexity([text], shortened(tiny, context))
    assert figures["tokens"] == len(ids) - 2
    assert figures["nll"] == pytest.approx(sum(expected[:-1]) / (len(ids) - 2), rel=1e-5)


# What changes nothing


def test_batch_size_and_order_change_no_figure(tiny: Checkpoint) -> None:
    model = shortened(tiny, 24)  # several windows of several lengths
    texts = [o.text[:300] for o in load_originals(SEEDS)] + TEXTS
    whole = perplexity(texts, model, batch_size=8)
    for batch_size in (1, 3, 100):
        other = perplexity(texts, model, batch_size=batch_size)
        for key in FIGURES:
            assert other[key] == pytest.approx(whole[key], rel=1e-5)
            assert other["texts"][key] == pytest.approx(whole["texts"][key], rel=1e-5)
    turned = perplexity(texts[::-1], model)
    for key in FIGURES:
        assert turned[key] == pytest.approx(whole[key], rel=1e-5)
        assert turned["texts"][key][::-1] == pytest.approx(whole["texts"][key], rel=1e-5)
    alone = [perplexity([text], model)["bits_per_byte"] for text in texts]
    assert alone == pytest.approx(whole["texts"]["bits_per_byte"], rel=1e-5)


def test_memory_for_logits_is_bounded_and_changes_no_figure(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = perplexity(TEXTS, tiny)
    seen: list[tuple[int, ...]] = []
    most = 40 * len(tiny.tokenizer)
    hook = tiny.model.register_forward_hook(lambda module, given, out: seen.append(tuple(out.logits.shape)))
    monkeypatch.setattr(likelihood, "LOGITS_AT_ONCE", most)
    try:
        assert perplexity(TEXTS, tiny)["nll"] == pytest.approx(whole["nll"], rel=1e-5)
    finally:
        hook.remove()
    assert len(seen) > 1
    assert all(rows == 1 or rows * tokens * size <= most for rows, tokens, size in seen)


def test_the_corpus_figures_are_weighted_by_tokens_and_bytes() -> None:
    model = chain({"": {"a": 1 - 1e-6, "b": 1e-6}, "a": {"a": 0.9, "": 0.1}, "b": {"b": 1e-3, "": 0.999}})
    found = perplexity(["a" * 40, "bb"], model)
    each = found["texts"]
    assert found["nll"] == pytest.approx((40 * each["nll"][0] + 2 * each["nll"][1]) / 42, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(found["nll"]), rel=1e-6)
    assert found["perplexity"] < 2 < 1000 < sum(each["perplexity"]) / 2  # the mean of texts would mislead
    assert found["bits_per_byte"] == pytest.approx(
        (40 * each["bits_per_byte"][0] + 2 * each["bits_per_byte"][1]) / 42, rel=1e-6
    )
    assert found["tokens"] == sum(each["tokens"]) == 42


def test_dropout_is_off_and_a_model_in_training_goes_on_training(tmp_path: Path) -> None:
    live = gpt2(tmp_path)
    first = torch.cat(token_nll(TEXTS, live, BYTES, 64))
    assert live.training
    assert torch.equal(first, torch.cat(token_nll(TEXTS, live, BYTES, 64)))
    evaluated = perplexity(TEXTS, tmp_path)["nll"]
    assert perplexity(TEXTS, live)["nll"] == pytest.approx(evaluated, rel=1e-6)
    assert live.training
    assert all(module.training for module in live.modules())
    live.eval()
    perplexity(TEXTS, live)
    assert not live.training


def test_the_live_weights_are_scored_and_not_those_on_the_disk(tmp_path: Path) -> None:
    live = gpt2(tmp_path)
    before = perplexity(TEXTS, live)["nll"]
    with torch.no_grad():
        live.transformer.wte.weight.mul_(3)
    assert abs(perplexity(TEXTS, live)["nll"] - before) > 0.01
    assert next(live.parameters()).grad is None


def test_special_tokens_of_their_own_are_used_by_position() -> None:
    config = LlamaConfig(
        vocab_size=260, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    tokenizer = byte_tokenizer(bos="<bos>", pad="<pad>")
    ids = [tokenizer.bos_token_id, *encode("Rain.", tokenizer), tokenizer.eos_token_id]
    with torch.inference_mode():
        log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    expected = [-float(log_p[p - 1, ids[p]]) for p in range(1, len(ids))]
    (found, _) = token_nll(["Rain.", "A longer one beside it."], model, tokenizer, 64)
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_the_text_is_scored_in_nfc_and_without_white_space_around_it(tiny: Checkpoint) -> None:
    composed = "L’été à Paris"
    raw = "\ufeff" + unicodedata.normalize("NFD", composed) + "\r\n\n"
    assert perplexity([raw], tiny) == perplexity([composed], tiny)
    assert perplexity([composed], tiny)["bytes"] == len(composed.encode())


# What is refused


@pytest.mark.parametrize("texts", [[], [""], ["fine", " \n"], ["fine", "", "fine"]])
def test_nothing_to_score_is_a_value_error(tiny: Checkpoint, texts: list[str]) -> None:
    with pytest.raises(ValueError, match="is empty"):
        perplexity(texts, tiny)


def test_one_string_is_not_a_list(tiny: Checkpoint) -> None:
    with pytest.raises(ValueError, match="put it in brackets"):
        perplexity("text", tiny)


def test_behind_a_brief_the_text_is_conditioned_on_it_and_the_brief_costs_nothing() -> None:
    base = load("stories", dtype="float32")
    text, brief = load_originals(SEEDS)[0].text, Brief(name="Amélie Kaczmarek", place="a café")
    found = perplexity([text, text], base, briefs=[brief, Brief()])
    opening, end = special_ids(base.tokenizer)
    header, ids = encode(brief.header(), base.tokenizer), encode(text, base.tokenizer)
    row = torch.tensor([[opening, *header, *ids, end]])
    with torch.inference_mode():
        nll = cross_entropy(base.model(input_ids=row).logits[0, :-1], row[0, 1:], reduction="none")
    assert found["texts"]["nll"][0] == pytest.approx(float(nll[len(header) : -1].mean()), rel=1e-4)
    assert found["texts"]["end_nll"][0] == pytest.approx(float(nll[-1]), rel=1e-3)
    assert found["texts"]["tokens"] == [len(ids)] * 2
    assert found["texts"]["nll"][1] == pytest.approx(perplexity([text], base)["nll"], rel=1e-5)
    assert found["texts"]["nll"][0] != found["texts"]["nll"][1]
    with pytest.raises(ValueError, match="a brief for each of 1 texts, found 2"):
        perplexity([text], base, briefs=[brief, brief])
