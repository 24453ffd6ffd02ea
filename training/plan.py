"""What each update of a tuning sees: the originals in a new order every epoch, their names filled anew, now and then behind
their brief, with stories of the base's beside them.

Everything derives from the random seed, the epoch and the document, so an interrupted tuning goes on with the very rows that it
would have had. Knows no model; `training.finetune` trains what is planned here.
"""

import hashlib
import math
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from data.brief import Brief
from data.dataset import IGNORE, Block, blocks, fits_beats, special_ids, to_dataset, told_block
from data.detect import detect_brief, people
from data.originals import Original
from data.plots import PLOTS, with_finer_beats
from data.slots import Slot, fill, find_names, find_scene, find_slots, rename
from data.stories import FOLDER, STORIES, Story, read_stories
from training import processes
from training.base.rows import Rows
from training.config import TrainConfig

if TYPE_CHECKING:
    from datasets import Dataset

REPLAYED_FORMS = {"story": 0.5, "told": 0.5}
"""How often a story is replayed behind its brief alone, and with its beats (`training.base.rows`)."""

GOLDFISH_CONTEXT = 13
"""Tokens that decide whether the next one is learned (Hans et al. 2024, arXiv 2406.10209)."""


@dataclass(frozen=True)
class Plan:
    """The rows of a tuning of ``originals``, in order: ``per_update`` of them make an update."""

    originals: Sequence[Original]
    tokenizer: Any
    context: int
    config: TrainConfig
    beats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the hash of an original one line for each of its paragraphs, where it has any."""

    @cached_property
    def own(self) -> int:
        """Blocks of originals in an update: no more than there are, so that few are not seen twice at once."""
        once = sum(len(self._blocks(original.text, None)) for original in self.originals)
        return min(self.config.batch_size, once)

    @property
    def per_update(self) -> int:
        """Rows of an update, replayed ones included; a multiple of the processes that share them."""
        rows, shares = self.own + self.config.replay, processes.count()
        return -(-rows // shares) * shares

    def rows(self, updates: int) -> "Dataset":
        """The rows of the first ``updates`` updates: ``input_ids``, ``labels``, and ``document``, -1 for what is replayed and for the
        empty rows that make an update come out even among several processes; else one would be seen twice."""
        own, replayed = self._own(), self._replayed()
        found: list[dict[str, Any]] = []
        empty = {"input_ids": [special_ids(self.tokenizer)[1]], "labels": [IGNORE], "document": -1}
        for _ in range(updates):
            found += [next(own) for _ in range(self.own)]
            found += [next(replayed) for _ in range(self.config.replay)]
            found += [empty] * (self.per_update - self.own - self.config.replay)
        return to_dataset(found)

    def _own(self) -> Iterator[dict[str, Any]]:
        """Blocks of the originals, epoch after epoch without end."""
        epoch = 0
        while True:
            order = list(range(len(self.originals)))
            self._rng("order", epoch).shuffle(order)
            for position in order:
                for block in self._document(self.originals[position], epoch):
                    yield {**block, "document": position}
            epoch += 1

    def _document(self, original: Original, epoch: int) -> list[Block]:
        """One original as an epoch shows it."""
        rng = self._rng(original.sha256, epoch)
        # In turn, from a drawn beginning: half of the epochs are every other one, for each text.
        share, begin = self.config.briefs, self._rng(f"{original.sha256} briefs", 0).random()
        times = math.floor((epoch + 1) * share + begin)
        behind = times > math.floor(epoch * share + begin)
        brief = _brief(original) if behind else None
        if brief is not None:
            own = brief.beats if fits_beats(original.text, brief.beats) else ()
            told = own or self.beats.get(original.sha256, ())
            brief = replace(brief, beats=told if self._told(times) else ())
        text = original.text
        slots: tuple[Slot, ...] = ()
        if self.config.refill_names:
            slots = (*_slots(text), *_unsaid(_brief(original), text))
        if self.config.refill_scenes:
            slots += tuple(slot for slot in _scene(text) if slot.word not in {known.word for known in slots})
        if slots:
            text, mapping = fill(text, slots, rng, self._names)
            brief = brief and rename(brief, mapping)
        if brief is not None:
            beats, brief = brief.beats, some_fields(replace(brief, beats=()), rng)
            if beats:
                block = told_block(text, self.tokenizer, replace(brief, beats=beats))
                if len(block["input_ids"]) <= self.context:
                    return [goldfish(block, self.config.goldfish)]
        return [goldfish(block, self.config.goldfish) for block in self._blocks(text, brief)]

    def _told(self, times: int) -> bool:
        """Whether showing number ``times`` of an original behind its brief has beats too."""
        share = self.config.beats
        return math.floor(times * share) > math.floor((times - 1) * share)

    def _replayed(self) -> Iterator[dict[str, Any]]:
        """Stories as the base was taught them, none twice before all came; of a longer one what the context has room for."""
        room, seed = self.context, self.config.seed
        rows = Rows(
            _stories(), self.tokenizer, REPLAYED_FORMS, bare={}, finer=0.5, context=sys.maxsize, seed=seed
        )
        for ids, labels in rows.after(0):
            yield {"input_ids": ids[:room], "labels": labels[:room], "document": -1}

    def _blocks(self, text: str, brief: Brief | None) -> list[Block]:
        return blocks(text, self.tokenizer, self.context, brief)

    @cached_property
    def _names(self) -> frozenset[str]:
        """All names of the originals: none is given to anybody."""
        return frozenset(
            word for original in self.originals for name in people(original.text) for word in name.split()
        ) | {slot.word for original in self.originals for slot in _unsaid(_brief(original), original.text)}

    def _rng(self, what: str, epoch: int) -> random.Random:
        return random.Random(f"{self.config.seed}:{what}:{epoch}")


def some_fields(brief: Brief, rng: random.Random) -> Brief:
    """A random choice of the fields, one at least, so that any subset is understood; all of them in a third of the cases."""
    fields = brief.to_dict()
    share = rng.choice((0.4, 0.7, 1.0))
    kept = {key: value for key, value in fields.items() if rng.random() < share}
    if fields and not kept:
        key = rng.choice(list(fields))
        kept = {key: fields[key]}
    return Brief.from_dict(kept)


def goldfish(block: Block, one_in: int) -> Block:
    """``block`` with one label in ``one_in`` left out, always the same ones after the same words; 0 leaves all.

    A text can then not be learned by heart, since some of its tokens were never asked for (Hans et al. 2024).
    """
    if not one_in:
        return block
    ids = block["input_ids"]
    labels = [
        IGNORE if at >= GOLDFISH_CONTEXT and _hash(ids[at - GOLDFISH_CONTEXT : at]) % one_in == 0 else label
        for at, label in enumerate(block["labels"])
    ]
    labels[-1] = block["labels"][-1]  # the end is always learned
    return {"input_ids": ids, "labels": labels}


def _hash(ids: Sequence[int]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(list(ids)).encode(), digest_size=8).digest(), "big")


@cache
def _slots(text: str) -> tuple[Slot, ...]:
    return find_slots(text)


@cache
def _unsaid(brief: Brief, text: str) -> tuple[Slot, ...]:
    """Slots for the names that a brief has and its text has not: a surname that the story leaves out."""
    known = {slot.word for slot in _slots(text)}
    return tuple(slot for slot in find_names(brief) if slot.word not in known)


@cache
def _scene(text: str) -> tuple[Slot, ...]:
    return find_scene(text)


def _brief(original: Original) -> Brief:
    return original.brief or _detected(original.text)


@cache
def _detected(text: str) -> Brief:
    return detect_brief(text)


@cache
def _stories() -> list[Story]:
    """Those with beats that are for training."""
    stories = with_finer_beats(list(read_stories(FOLDER / STORIES)), FOLDER / PLOTS)
    return [story for story in stories if story.beats and not story.test]
