"""Embedding similarity: known order, invariances, nothing truncated, files checked, no network."""

import doctest
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inference import similarity as module
from inference.similarity import DIMENSION, embed, similarity, windows

SEA = "The trawler left the harbour before dawn, and the nets went over the side into the cold water."
BOAT = "At sunrise the fishing boat sailed out to sea and the crew lowered their nets."
TAX = "The committee amended the second paragraph of the income tax act."


@pytest.fixture
def fresh_encoder() -> Iterator[None]:
    module._encoder.cache_clear()
    yield
    module._encoder.cache_clear()


@pytest.mark.parametrize(
    ("words", "most", "lengths"),
    [
        (0, 150, []),
        (1, 150, [1]),
        (150, 150, [150]),
        (151, 150, [75, 76]),
        (380, 150, [126, 127, 127]),
        (5, 1, [1] * 5),
    ],
)
def test_windows_are_as_few_and_even_as_can_be(words: int, most: int, lengths: list[int]) -> None:
    text = " ".join(f"w{i}" for i in range(words))
    cut = windows(text, most)
    assert [len(window.split()) for window in cut] == lengths
    assert " ".join(cut) == text


def test_windows_keep_what_is_between_their_words() -> None:
    assert doctest.testmod(module).failed == 0
    assert windows("  one,\n\ntwo — three  ", 150) == ["one,\n\ntwo — three"]
    with pytest.raises(ValueError, match="not 0"):
        windows("one", 0)


def test_embeddings_have_unit_length_and_no_words_give_zero() -> None:
    vectors = embed([SEA, "", " \n", "\x00\x01", "é"])
    assert vectors.shape == (5, DIMENSION)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0, 0, 1], abs=1e-6)
    assert embed([]).shape == (0, DIMENSION)


def test_similarity_knows_content() -> None:
    cosines = similarity([SEA, ""], [SEA, BOAT, TAX])
    assert cosines.shape == (2, 3)
    assert cosines[0, 0] == pytest.approx(1, abs=1e-6)
    assert cosines[0, 1] > 0.5 > 0.2 > cosines[0, 2]
    assert cosines[1].tolist() == [0, 0, 0]
    assert np.abs(cosines).max() <= 1


def test_batch_size_and_neighbours_change_no_value_and_runs_repeat() -> None:
    texts = [SEA * 10, TAX, "one", BOAT * 3]
    together = embed(texts)
    assert embed(texts, batch_size=1) == pytest.approx(together, abs=1e-5)
    assert embed(texts, batch_size=2) == pytest.approx(together, abs=1e-5)
    assert np.vstack([embed([text]) for text in texts]) == pytest.approx(together, abs=1e-5)
    assert (embed(texts) == together).all()


def test_a_text_is_the_mean_of_its_windows() -> None:
    text = " ".join([SEA] * 6 + [TAX] * 6)
    mean = embed(windows(text)).mean(axis=0)
    assert embed([text])[0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


@pytest.mark.parametrize("filler", ["antidisestablishmentarian ", "海洋"])
def test_what_the_model_could_not_read_at_once_counts_too(filler: str) -> None:
    """Long words, or no spaces: a window of more than 256 word pieces, of which the model drops the end."""
    window = filler * 130
    assert len(windows(window + TAX)) == 1
    assert len(module._pieces([window])[0]) > 1
    cosines = similarity([window + TAX, window + SEA], [TAX])
    assert cosines[0, 0] > cosines[1, 0] + 0.05


def test_equals_the_embedding_that_the_models_authors_define() -> None:
    """Mean over the tokens of transformers' own tokenizer and model, then unit length."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(module._model_folder(), local_files_only=True)
    with torch.inference_mode():
        batch = tokenizer([SEA], return_tensors="pt")
        hidden = module._encoder().model(**batch).last_hidden_state[0]
    expected = torch.nn.functional.normalize(hidden.mean(dim=0), dim=0).numpy()
    assert embed([SEA])[0] == pytest.approx(expected, abs=1e-5)


def test_another_weight_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_encoder: None
) -> None:
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(module._model_folder() / name, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    monkeypatch.setattr(module, "_model_folder", lambda: tmp_path)
    with pytest.raises(
        ValueError, match=r"model\.safetensors is not .* expected sha256 53aa5117\w+, found \w{64}\."
    ):
        embed([SEA])
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="found no such file"):
        embed([SEA])


def test_loads_without_a_network_and_leaves_the_switches_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fresh_encoder: None
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "0")
    before = dict(os.environ)
    assert embed([SEA]).shape == (1, DIMENSION)
    assert dict(os.environ) == before
    assert capfd.readouterr().err == ""


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="found one string"):
        embed(SEA)
    with pytest.raises(ValueError, match="references is a list"):
        similarity([SEA], TAX)
    with pytest.raises(ValueError, match="not 0"):
        embed([SEA], batch_size=0)
