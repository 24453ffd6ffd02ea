"""Runs a model through ONNX Runtime, where that is installed: the same weights and the same draws in less time.

The model is exported once a process by the builder of onnxruntime-genai, in float32, and stepped with ONNX Runtime itself, so
that the processors of `inference.decoding` and `inference.guard` draw as they do from transformers. Shapes are fixed as in
`inference.rows`. Sums are rounded in another order than torch's, so now and then a text parts from torch's at a close call.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from inference.checkpoints import Checkpoint
from inference.decoding import few_threads
from inference.rows import Processor, RowProcessor, filled, filling, worth_leaving

NEEDED = ("onnxruntime", "onnxruntime_genai", "onnx", "onnx_ir")
"""Modules of `requirements-onnx.lock`."""


class Exported:
    """An exported decoder: ids in, scores of the next token out; keys and values in buffers that are written in place.

    ``folder`` holds ``model.onnx`` and may go afterwards; ``head`` is the width of one attention head. Raises ValueError for a model
    that keeps something else than keys and values.
    """

    def __init__(self, folder: Path, head: int, threads: int) -> None:
        onnxruntime: Any = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait by spinning are a tenth faster alone, and slow as soon as anything else runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        inputs = {node.name: node.shape for node in self._session.get_inputs()}
        past = [name for name in inputs if name.startswith("past_key_values.")]
        if not past or set(inputs) != {"input_ids", "attention_mask", *past}:
            raise ValueError(f"it wants {', '.join(name for name in inputs if name not in past)}")
        self._names = [(name, name.replace("past_key_values", "present")) for name in past]
        self._heads, self._head = inputs[past[0]][1], head

    def begin(self, rows: int, room: int) -> "Steps":
        """Empty keys and values for so many rows of at most ``room`` tokens each."""
        shape = (rows, self._heads, room, self._head)
        # Zeros take memory when they are written to, so unused room costs nothing.
        return Steps(self._session, self._names, [torch.zeros(shape) for _ in self._names])


class Steps:
    """The state of one batch. Rows are padded on the right, and each has a length of its own."""

    def __init__(self, session: Any, names: list[tuple[str, str]], states: list[torch.Tensor]) -> None:
        self._session, self._names, self._states = session, names, states
        self.lengths = np.zeros(len(states[0]), np.int64)

    def __call__(self, ids: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        """Scores (B, V) of what comes after ``ids`` (B, T), of which row i has the first ``lengths[i]``."""
        binding = self._session.io_binding()
        self.lengths = self.lengths + lengths
        there = np.arange(max(self.lengths.max(), ids.shape[1])) < self.lengths[:, None]
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids))
        binding.bind_cpu_input("attention_mask", there.astype(np.int64))
        for (past, present), state in zip(self._names, self._states, strict=True):
            place = ("cpu", 0, np.float32, tuple(state.shape), state.data_ptr())
            binding.bind_input(past, *place)
            binding.bind_output(present, *place)
        binding.bind_output("logits")
        self._session.run_with_iobinding(binding)
        scores = binding.get_outputs()[-1].numpy()
        return torch.from_numpy(scores[np.arange(len(ids)), lengths - 1])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        chosen = list(rows)
        self._states = [state[chosen] for state in self._states]
        self.lengths = self.lengths[chosen]


_EXPORTED: "WeakKeyDictionary[PreTrainedModel, tuple[tuple[int, int], Exported]]" = WeakKeyDictionary()


def exported(checkpoint: Checkpoint) -> Exported:
    """The exported model of ``checkpoint``, made at the first call for its present weights.

    Raises ValueError where ONNX Runtime is not installed, or its builder does not know the architecture.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ValueError(
            f'backend "onnx" needs {", ".join(missing)}, not installed here: make onnx, or leave the backend at "torch"'
        )
    model = checkpoint.model
    if model.device.type != "cpu":
        raise ValueError(
            f'backend "onnx" runs on the CPU, and the model lies on {model.device}: leave it at "torch"'
        )
    threads = torch.get_num_threads()
    # Whoever goes on tuning a model writes to its parameters, and torch counts that.
    state = (sum(parameter._version for parameter in model.parameters()), threads)
    known = _EXPORTED.get(model)
    if known is None or known[0] != state:
        known = _EXPORTED[model] = (state, _export(checkpoint, threads))
    return known[1]


def _head(model: PreTrainedModel) -> int:
    config = model.config
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _export(checkpoint: Checkpoint, threads: int) -> Exported:
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "model", Path(work) / "onnx"
        checkpoint.model.save_pretrained(source)
        checkpoint.tokenizer.save_pretrained(source)
        builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-e", "cpu", "-p", "fp32"]
        done = subprocess.run(
            [*builder, "-i", str(source), "-o", str(target), "-c", str(Path(work) / "cache")],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        try:
            if done.returncode:
                raise ValueError((done.stderr.strip().splitlines() or ["no message"])[-1])
            return Exported(target, _head(checkpoint.model), threads)
        except ValueError as error:
            kind = type(checkpoint.model).__name__
            raise ValueError(
                f'backend "onnx" can\'t run {checkpoint.id} ({kind}): {error}. Leave the backend at "torch"'
            ) from None


@torch.inference_mode()
def continuations(
    checkpoint: Checkpoint,
    prompts: Sequence[Sequence[int]],
    width: int,
    most: int,
    end: int,
    processors: Sequence[Processor],
    streamer: BaseStreamer | None = None,
) -> list[list[int]]:
    """As `inference.rows.continuations`, by the exported model. Raises ValueError as `exported` does."""
    model = exported(checkpoint)
    rows = filled(prompts)
    ids = np.array([row + [end] * (width - len(row)) for row in rows])
    lengths = np.array([len(row) for row in rows])
    steps = model.begin(len(rows), width + most)
    there = list(range(len(prompts)))  # whose the first rows of the batch are
    drawn: list[list[int]] = [[] for _ in prompts]
    left = set(there)
    if streamer:
        streamer.put(torch.tensor(rows[:1]))
    with few_threads(checkpoint.model):  # torch's own, for what the processors do
        for _ in range(most):
            last: Any = torch.from_numpy(ids[: len(there), -1:])
            scores: Any = steps(ids, lengths)[: len(there)]
            for processor in processors:
                scores = processor(last, scores)
            tokens = scores.argmax(dim=-1)
            if streamer:
                streamer.put(tokens[:1])
            ids, lengths = np.full((len(ids), 1), end), np.ones(len(ids), np.int64)
            ids[: len(there), 0] = tokens
            for row, token in zip(there, tokens.tolist(), strict=True):
                drawn[row].append(token)
                if token == end:
                    left.discard(row)
            if not left:
                break
            if worth_leaving(len(left), len(ids)):
                still = [i for i, row in enumerate(there) if row in left]
                there = [there[i] for i in still]
                for processor in processors:
                    if isinstance(processor, RowProcessor):
                        processor.keep(still)
                kept = filling(still, len(ids))
                steps.keep(kept)
                ids, lengths = ids[kept], lengths[kept]
    if streamer:
        streamer.end()
    return drawn
