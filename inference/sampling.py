"""Draws new texts from a model: `generate` and `stream`.

One text a sample; each is told what it copied from the originals when the model came from a run, and what it keeps to of its
brief (`inference.measured`). The calls alone: how a call's texts are drawn is `inference.drawing`'s, gates and ranks are
`inference.choosing`'s, figures against a scale `inference.scoring`'s.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm
from transformers import PreTrainedModel, TextIteratorStreamer

from data.brief import FIELDS, Brief
from data.originals import Original
from data.stories import PARAGRAPHS
from inference import exported
from inference.checkpoints import Checkpoint, load
from inference.drawing import BriefLike, Drawing, Settings
from inference.sample import Samples

Source = str | Path | Checkpoint | PreTrainedModel


def generate(
    source: Source,
    n: int = 1,
    brief: BriefLike | Sequence[BriefLike] | None = None,
    opening: str | None = None,
    best_of: int = 1,
    seed: int = 0,
    *,
    strict: bool = True,
    temperature: float | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    guidance: float | None = None,
    max_new_tokens: int | None = None,
    guard: bool | int = True,
    originals: Sequence[str | Original] | None = None,
    allow: Sequence[str] = (),
    batch_size: int = 8,
    dtype: str = "auto",
    backend: str = "torch",
    plan: str | None = None,
    draws: int | None = None,
    progress: bool | None = None,
    **fields: Any,
) -> Samples:
    """``n`` new texts from ``source`` (whatever `load` takes); a list of briefs gives ``n`` each, in its order.

    The brief's fields may also be given one by one (``name=``, ``occupation=``, ``place=``, ``meets=``, ``keywords=``, ``length=``).
    Where the originals are known, those of the run or ``originals``, what a brief leaves out is drawn, as their kind has it, no
    protagonist twice and none of theirs; ``Brief()`` is no brief at all. ``opening`` is continued and part of the text.

    ``best_of`` candidates are drawn for each text, and one chosen that passes the gates and comes nearest to the manner while
    unlike the others (`inference.choosing`); with 1 nothing is chosen, and each sample has its ``remark``. Where no candidate
    passes there is a warning and one text less; with ``strict=False`` the nearest to passing, remark and all. The others are in
    ``refused`` of what is returned.

    ``guard`` refuses, while drawing, to go on with a run of words from an original that has as many as the originals share among
    themselves (`copy_limit`), or as many as the number given; False sets no limit. Names in the brief and words of ``allow``
    are never refused. ``guidance`` is how often a brief counts (1..10; 1: once, in two thirds of the time): the higher, the
    more of it is in the text, and the less fluent that gets (`inference.guidance`); a text with a plan is guided
    only where that is asked for. ``temperature`` 0 is greedy. Unset settings come
    from the model's generation config, else from `inference.decoding.DEFAULTS`. Sample i depends on its brief and (``seed``, i) alone:
    not on ``n``, not on ``batch_size`` (texts at once, of which a guided one takes two rows), on the same machine, number of threads
    and versions (`inference.rows`); which candidate is chosen depends on the others too. ``backend`` "onnx" draws with ONNX Runtime
    where that is installed, about twice as fast on a CPU (`inference.exported`); a text now and then is another one.
    ``plan`` is whose plot a text is told from (`inference.plans`): the brief's ``beats`` where it has some. Without them: "auto", the
    default, takes a plot of the bank with "stories" and what was tuned on it, else none; "bank" and "model" do so with any model;
    "none" leaves given beats out too. ``draws`` paragraphs are drawn for each beat, 4 by default, and one is taken
    (`inference.paragraphs`), at six tenths of the temperature. Which plot a text gets depends on the texts before it too, since none
    comes twice. A text with a plan is drawn by torch, and is the same in any company where the model is float32 on a CPU.
    ``progress`` shows a bar, by default where somebody looks.

    Raises ValueError for settings out of range or a prompt that leaves no room in the context.
    """
    settings = Settings(
        best_of=best_of, seed=seed, strict=strict, temperature=temperature, top_p=top_p, min_p=min_p,
        guidance=guidance, max_new_tokens=max_new_tokens, guard=guard, allow=allow, batch_size=batch_size, backend=backend,
        plan=plan, draws=draws,
    )  # fmt: skip
    drawing = Drawing(_loaded(source, dtype, backend), originals, opening, settings)
    briefs = drawing.briefs(brief, fields, n)
    with _bar(len(briefs) * best_of, progress) as bar:
        return drawing.part(briefs, 0, bar)


def generate_parts(
    source: Source,
    n: int,
    brief: BriefLike | Sequence[BriefLike] | None = None,
    *,
    size: int = 64,
    done: int = 0,
    **options: Any,
) -> Iterator[Samples]:
    """The samples of ``generate(source, n, brief, **options)`` by ``size`` texts at a time, beyond the first ``done``: for
    thousands, which are written down as they come.

    With ``best_of`` each part is chosen by itself. Raises ValueError as `generate` does, at the call.
    """
    fields = {key: options.pop(key) for key in FIELDS if key in options}
    opening, originals = options.pop("opening", None), options.pop("originals", None)
    dtype, progress, settings = (
        options.pop("dtype", "auto"),
        options.pop("progress", None),
        Settings(**options),
    )
    drawing = Drawing(_loaded(source, dtype, settings.backend), originals, opening, settings)
    briefs = drawing.briefs(brief, fields, n)

    def parts() -> Iterator[Samples]:
        with _bar(len(briefs) * drawing.settings.best_of, progress) as bar:
            bar.update(done * drawing.settings.best_of)
            drawing.pass_over(briefs[:done])
            for start in range(done, len(briefs), size):
                yield drawing.part(briefs[start : start + size], start, bar)

    return parts()


def stream(
    source: Source,
    brief: BriefLike | None = None,
    opening: str | None = None,
    seed: int = 0,
    *,
    temperature: float | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    guidance: float | None = None,
    max_new_tokens: int | None = None,
    guard: bool | int = True,
    originals: Sequence[str | Original] | None = None,
    allow: Sequence[str] = (),
    dtype: str = "auto",
    backend: str = "torch",
    plan: str | None = None,
    draws: int | None = None,
    **fields: Any,
) -> Iterator[str]:
    """The text of ``generate(source, n=1, ...)`` in pieces as they are drawn, ``opening`` first; one that is told from beats by
    paragraphs, each as soon as it is chosen."""
    settings = Settings(
        seed=seed, temperature=temperature, top_p=top_p, min_p=min_p, guidance=guidance, max_new_tokens=max_new_tokens,
        guard=guard, allow=allow, backend=backend, plan=plan, draws=draws,
    )  # fmt: skip
    drawing = Drawing(_loaded(source, dtype, backend), originals, opening, settings)
    found = drawing.briefs(brief, fields, 1)
    if len(found) > 1:
        raise ValueError(f"stream draws one text, found {len(found)} briefs: use generate")
    if drawing.opening:
        yield drawing.opening
    (planned,) = drawing.planner.plan(found, [0])
    yield from _told(drawing, planned) if planned[1] != "none" else _drawn(drawing, planned[0])


def _drawn(drawing: Drawing, brief: Brief) -> Iterator[str]:
    """The pieces of a text as they are drawn."""
    streamer = TextIteratorStreamer(drawing.checkpoint.tokenizer, skip_prompt=True, skip_special_tokens=True)
    work = partial(drawing.tokens, [brief], [0], drawing.guard([brief]), streamer)
    yield from _pieces(streamer, work, streamer.end)


def _told(drawing: Drawing, planned: tuple[Brief, str]) -> Iterator[str]:
    """The paragraphs of a text as they are chosen, without the opening."""
    ready: SimpleQueue[str | None] = SimpleQueue()
    left = threading.Event()

    def shown(_: int, paragraph: str) -> None:
        if left.is_set():
            raise GeneratorExit  # nobody reads on
        ready.put(paragraph)

    said = drawing.opening
    text = said.rpartition(PARAGRAPHS)[0]
    work = partial(drawing.told, [planned], [0], shown=shown)
    try:
        for paragraph in _pieces(iter(ready.get, None), work, lambda: ready.put(None)):
            before, text = text, f"{text}{PARAGRAPHS}{paragraph}" if text else paragraph
            yield text[max(len(before), len(said)) :]
    finally:
        left.set()


def _pieces(pieces: Iterator[str], work: Callable[[], Any], end: Callable[[], None]) -> Iterator[str]:
    """What ``work`` gives into ``pieces`` in a thread of its own, up to ``end``, which is called also where it fails."""
    failure: list[BaseException] = []

    def working() -> None:
        try:
            work()
        except BaseException as error:  # an exception of the thread belongs to the caller
            failure.append(error)
        end()

    thread = threading.Thread(target=working, daemon=True)
    thread.start()
    yield from (piece for piece in pieces if piece)
    thread.join()
    if failure:
        raise failure[0]


def _bar(total: int, progress: bool | None) -> "tqdm[Any]":
    looked_at = sys.stderr.isatty() or "ipykernel" in sys.modules
    shown = looked_at and parent_process() is None if progress is None else progress
    return tqdm(total=total, desc="sampling", unit="text", disable=not shown, leave=False)


def _loaded(source: Source, dtype: str, backend: str) -> Checkpoint:
    """The model; what ``backend`` can't run is refused before anything is drawn."""
    if backend != "onnx":
        return load(source, dtype=dtype)
    if dtype not in ("auto", "float32"):
        raise ValueError(f'backend "onnx" draws in float32, found dtype {dtype!r}: leave it out')
    exported.installed()
    checkpoint = load(source, dtype="float32", device="cpu")
    exported.exported(checkpoint)
    return checkpoint
