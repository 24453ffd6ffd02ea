"""Tokens a second while texts are drawn: `generate` with guard and gates, plain batched `model.generate`, and one text after another.

All in one run, on the same weights, prompts, number type and most tokens; what counts is the tokens before a text ends. The
SmolLM2-135M here is its shape with random weights; what a step costs does not depend on them.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from data.bases import resolve
from data.brief import Brief
from data.dataset import encode
from data.originals import load_originals
from inference import generate, load
from inference.checkpoints import Checkpoint
from tests.benchmarks.bench_finetune import smollm2  # noqa: F401  a fixture

ROOT = Path(__file__).parents[2]
BRIEF = Brief(
    name="Nadia Benali",
    occupation="piano tuner",
    place="a café by the canal",
    meets="an old clarinettist",
    length=380,
)
REPEATS = 2


def ours(checkpoint: Checkpoint, n: int, tokens: int, texts: list[str], best_of: int = 1) -> int:
    drawn = generate(
        checkpoint,
        n=n // best_of,
        brief=BRIEF,
        best_of=best_of,
        strict=False,
        batch_size=n,
        max_new_tokens=tokens,
        originals=texts,
    )
    return sum(sample.tokens for sample in drawn.candidates)


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
@pytest.mark.parametrize("which", ["embedded", "SmolLM2-135M's shape"])
def test_tokens_a_second(which: str, smollm2: str, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    texts = [original.text for original in load_originals(ROOT / "data" / "seeds")]
    tokens = 300 if which == "embedded" else 100  # a vignette has 500
    checkpoint = load("embedded" if which == "embedded" else smollm2, dtype="float32", device="cpu")
    assert resolve("embedded").path.exists()
    with capsys.disabled():
        print(
            f"\n{date.today()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {which}, float32"
        )
        for n in (1, 8, 32):
            alone = rate(lambda n=n: sum(plain(checkpoint, 1, tokens) for _ in range(min(n, 2))))  # type: ignore[misc]
            batched = rate(lambda n=n: plain(checkpoint, n, tokens))  # type: ignore[misc]
            own = rate(lambda n=n: ours(checkpoint, n, tokens, texts))  # type: ignore[misc]
            line = f"{n} texts: ours {own:.0f} tokens a second, plain batched {batched:.0f}, one by one {alone:.0f}"
            if n > 1 and which == "embedded":
                line += f"; ours with best_of 4, gates and choice {rate(lambda n=n: ours(checkpoint, n, tokens, texts, 4)):.0f}"  # type: ignore[misc]
            print(line)
            if n > 1:
                assert own >= 0.9 * batched


def test_beside_onnx_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A yardstick where it is installed (`pip install onnxruntime-genai onnx onnx-ir`): the same weights, exported, no guard."""
    runtime = pytest.importorskip("onnxruntime_genai")
    base, tokens = resolve("embedded"), 300
    subprocess.run(
        [
            *(sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(base.path), "-e", "cpu"),
            *("-p", "fp32", "-o", str(tmp_path / "onnx"), "-c", str(tmp_path)),
        ],
        check=True,
        capture_output=True,
    )
    model, checkpoint = (
        runtime.Model(str(tmp_path / "onnx")),
        load("embedded", dtype="float32", device="cpu"),
    )
    end = checkpoint.tokenizer.eos_token_id
    prompt = [end, *encode(BRIEF.header(), checkpoint.tokenizer)]

    def exported(n: int) -> int:
        parameters = runtime.GeneratorParams(model)
        parameters.set_search_options(
            do_sample=True, temperature=0.8, top_p=0.95, batch_size=n, max_length=len(prompt) + tokens
        )
        generator = runtime.Generator(model, parameters)
        generator.append_tokens(np.array([prompt] * n, dtype=np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        rows = [list(generator.get_sequence(i))[len(prompt) :] for i in range(n)]
        return sum(len(row) if end not in row else row.index(end) for row in rows)

    texts = [original.text for original in load_originals(ROOT / "data" / "seeds")]
    for n in (1, 8, 32):
        own, theirs = (
            rate(lambda n=n: ours(checkpoint, n, tokens, texts)),  # type: ignore[misc]
            rate(lambda n=n: exported(n)),  # type: ignore[misc]
        )
        with capsys.disabled():
            print(
                f"\n{n} texts: ours {own:.0f} tokens a second, ONNX Runtime {runtime.__version__} {theirs:.0f}"
            )
