"""Tokens a second while texts are drawn: `generate` with guard and gates, plain batched `model.generate`, and one text after another.

All in one run, on the same weights, prompts, number type and most tokens; where `make onnx` installed it, `backend="onnx"` too. What
counts is the tokens before a text ends.
"""

import os
import platform
import time
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from data.brief import Brief
from data.dataset import encode
from data.originals import load_originals
from inference import generate, load
from inference.checkpoints import Checkpoint
from inference.drawing import BACKENDS
from inference.exported import NEEDED
from inference.sample import Samples

ROOT = Path(__file__).parents[2]
BRIEF = Brief(
    name="Nadia Benali",
    occupation="piano tuner",
    place="a café by the canal",
    meets="an old clarinettist",
    length=380,
)
REPEATS = 2


def drawn(checkpoint: Checkpoint, n: int, tokens: int, texts: list[str], **options: Any) -> Samples:
    return generate(
        checkpoint, n=n, brief=BRIEF, batch_size=n * options.get("best_of", 1), max_new_tokens=tokens, originals=texts,
        strict=False, min_p=0.05, guidance=1, **options,
    )  # fmt: skip


def ours(*what: Any, **options: Any) -> int:
    return sum(sample.tokens for sample in drawn(*what, **options).candidates)


def plain(checkpoint: Checkpoint, n: int, tokens: int) -> int:
    end = checkpoint.tokenizer.eos_token_id
    ids = torch.tensor([[end, *encode(BRIEF.header(), checkpoint.tokenizer)]] * n)
    config = GenerationConfig(
        do_sample=True,
        temperature=0.8,
        min_p=0.05,
        top_k=0,
        max_new_tokens=tokens,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.inference_mode():
        rows = checkpoint.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)[
            :, ids.shape[1] :
        ]
    return sum(len(row) if end not in row else row.index(end) for row in rows.tolist())


def rate(draw: Callable[[], int]) -> float:
    """Best of a few: tokens a second."""
    found = []
    for _ in range(REPEATS):
        before = time.perf_counter()
        found.append(draw() / (time.perf_counter() - before))
    return max(found)


@pytest.mark.filterwarnings("ignore:none of")
def test_tokens_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [original.text for original in load_originals(ROOT / "data" / "seeds")]
    tokens = 100  # a vignette has 500
    checkpoint = load("stories", dtype="float32", device="cpu")
    onnx = all(find_spec(name) for name in NEEDED)
    if onnx:
        before = time.perf_counter()
        drawn(checkpoint, 1, 1, texts, backend="onnx")
        with capsys.disabled():
            print(f"\nexported in {time.perf_counter() - before:.1f} s")
    with capsys.disabled():
        print(
            f"\n{date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, float32"
        )
        for n in (1, 8, 32):
            alone = rate(lambda n=n: sum(plain(checkpoint, 1, tokens) for _ in range(min(n, 2))))  # type: ignore[misc]
            batched = rate(lambda n=n: plain(checkpoint, n, tokens))  # type: ignore[misc]
            own = rate(lambda n=n: ours(checkpoint, n, tokens, texts))  # type: ignore[misc]
            line = f"{n} texts: ours {own:.0f} tokens a second, plain batched {batched:.0f}, one by one {alone:.0f}"
            if n > 1:
                chosen = rate(lambda n=n: ours(checkpoint, n // 4, tokens, texts, best_of=4))  # type: ignore[misc]
                line += f"; ours with best_of 4, gates and choice {chosen:.0f}"
            if onnx:
                exported = rate(lambda n=n: ours(checkpoint, n, tokens, texts, backend="onnx"))  # type: ignore[misc]
                pairs = zip(
                    *(drawn(checkpoint, n, tokens, texts, backend=backend) for backend in BACKENDS),
                    strict=True,
                )
                same = sum(mine.text == theirs.text for mine, theirs in pairs)
                line += f'; backend="onnx" {exported:.0f}, {same} of {n} texts the same'
            print(line)
            if n > 1:
                assert own >= 0.9 * batched
