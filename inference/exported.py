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

from inference.cache import chunked_cache
from inference.checkpoints import Checkpoint
from inference.decoding import few_threads
from inference.rows import ROWS, Processor, RowProcessor, filled, filling, worth_leaving

NEEDED = ("onnxruntime", "onnxruntime_genai", "onnx", "onnx_ir")
"""Modules of `requirements-onnx.lock`."""


class Exported:
    """An exported decoder: ids in, scores of the next token out; keys and values in buffers that are written in place.

    ``folder`` holds ``model.onnx`` and may go afterwards; ``head`` is the width of one attention head. Raises ValueError for a model
    that keeps something else than keys and values.
    """

    def __init__(self, folder: Path, head: int, threads: int) -> None:
        onnxruntime: Any = import_module("onnxruntime")
        onnxruntime.disable_telemetry_events()  # which its builds for Windows send
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
        return Steps(self._session, self._names, [_zeros(shape) for _ in self._names])


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """NumPy's take memory only where they are written to, so that room which is not used costs nothing; torch's take all."""
    return np.zeros(shape, np.float32)


class Steps:
    """The state of one batch. Rows are padded on the right, and each has a length of its own."""

    def __init__(self, session: Any, names: list[tuple[str, str]], states: list[np.ndarray]) -> None:
        self._session, self._names, self._states = session, names, states
        self.lengths = np.zeros(len(states[0]), np.int64)

    def __call__(self, ids: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
        """Scores (B, V) of what comes after ``ids`` (B, T), of which row i has the first ``lengths[i]``."""
        self.lengths = self.lengths + lengths
        # A prompt's scores come for every place of it: by few rows at once they don't fill the memory.
        at_once = len(ids) if ids.shape[1] == 1 else ROWS
        parts = [slice(i, i + at_once) for i in range(0, len(ids), at_once)]
        return torch.from_numpy(
            np.concatenate([self._part(ids[part], lengths[part], part) for part in parts])
        )

    def _part(self, ids: np.ndarray, lengths: np.ndarray, rows: slice) -> np.ndarray:
        binding, own = self._session.io_binding(), self.lengths[rows]
        there = np.arange(max(own.max(), ids.shape[1])) < own[:, None]
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids))
        binding.bind_cpu_input("attention_mask", there.astype(np.int64))
        for (past, present), state in zip(self._names, self._states, strict=True):
            part = state[rows]
            place = ("cpu", 0, np.float32, part.shape, part.ctypes.data)
            binding.bind_input(past, *place)
            binding.bind_output(present, *place)
        binding.bind_output("logits")
        self._session.run_with_iobinding(binding)
        scores: np.ndarray = binding.get_outputs()[-1].numpy()
        return scores[np.arange(len(ids)), lengths - 1]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone."""
        chosen, used = list(rows), int(self.lengths.max())
        for i, state in enumerate(self._states):
            self._states[i] = _zeros((len(chosen), *state.shape[1:]))
            self._states[i][:, :, :used] = state[chosen, :, :used]
        self.lengths = self.lengths[chosen]


_EXPORTED: "WeakKeyDictionary[PreTrainedModel, tuple[tuple[Any, ...], Exported]]" = WeakKeyDictionary()


def installed() -> None:
    """Raises ValueError where something of `NEEDED` is missing."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ValueError(
            f'backend "onnx" needs {", ".join(missing)}, not installed here: make onnx (or pip install --no-deps '
            '--require-hashes -r requirements-onnx.lock), or leave the backend at "torch"'
        )


def exported(checkpoint: Checkpoint) -> Exported:
    """The exported model of ``checkpoint``, made at the first call for its present weights: on the way these lie on the disk for
    temporary files twice, in float32.

    Raises ValueError where ONNX Runtime is not installed, or can't run the architecture.
    """
    installed()
    model = checkpoint.model
    if model.device.type != "cpu":
        raise ValueError(
            f'backend "onnx" runs on the CPU, and the model lies on {model.device}: leave it at "torch"'
        )
    threads = torch.get_num_threads()
    # Whoever goes on tuning a model writes to its parameters, and torch counts that.
    state = (threads, *((parameter.data_ptr(), parameter._version) for parameter in model.parameters()))
    known = _EXPORTED.get(model)
    if known is None or known[0] != state:
        known = _EXPORTED[model] = (state, _export(checkpoint, threads))
    return known[1]


def _head(model: PreTrainedModel) -> int:
    """Width of a head, which the exported graph leaves open."""
    config = model.config
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _export(checkpoint: Checkpoint, threads: int) -> Exported:
    kind = type(checkpoint.model).__name__
    refused = f'backend "onnx" can\'t run {checkpoint.id} ({kind}): %s. Leave the backend at "torch"'
    if chunked_cache(checkpoint.model) is None:
        raise ValueError(refused % "it keeps something else than all keys and values")
    # Windows can't delete what is still mapped.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
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
        if done.returncode:
            raise ValueError(refused % (done.stderr.strip().splitlines() or ["no message"])[-1])
        try:
            return Exported(target, _head(checkpoint.model), threads)
        except Exception as error:
            said = (str(error).strip().splitlines() or ["no message"])[0]
            raise ValueError(refused % f"{type(error).__name__}: {said}") from error


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
