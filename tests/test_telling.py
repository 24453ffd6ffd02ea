"""Stories told from beats: one paragraph a beat, the beats' lines in their places, the same text in any company."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from data.brief import Brief
from data.stories import plan_header
from inference import telling
from inference.checkpoints import Checkpoint
from inference.decoding import Decoding
from inference.telling import Told, tell
from tests.small import byte_tokenizer, chain, few_stories

FREE = Decoding(temperature=1.0, top_p=1.0, min_p=0.0)
STORIES = few_stories()
BRIEFS = [Brief(), *(story.brief for story in STORIES[:5]), Brief(name="Ida", length=200)]
PLANS = [
    ("she comes in", "she sits", "she leaves"),
    STORIES[0].beats,
    ("it rains",),
    tuple(f"beat {number}" for number in range(6)),
    ("l’été — “un”", "deux"),
    STORIES[4].beats[:2],
    ("one", "two", "three", "four", "five"),
]
WORDS: Mapping[str, Mapping[str, float]] = {
    "\n": {"a": 0.5, "b": 0.5},
    "a": {"a": 0.4, "b": 0.3, " ": 0.15, "\n": 0.1, "": 0.05},
    "b": {"b": 0.2, "a": 0.4, " ": 0.2, "\n": 0.2},
    " ": {"a": 0.6, "b": 0.4},
}
"""A writer of short paragraphs that would now and then end in the middle."""


@pytest.fixture(scope="module")
def writer() -> Checkpoint:
    """`WORDS` with attention, so that what comes next depends a little on everything before."""
    checkpoint = chain(WORDS, context=1024)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        attention = checkpoint.model.model.layers[0].self_attn
        for weight in (attention.v_proj.weight, attention.o_proj.weight):
            weight.normal_(0, 0.05, generator=generator)
    return checkpoint


def rows_of(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled with every row as the model saw it, prompt and all, by `tell`."""
    seen: list[str] = []
    real = telling.continuations

    def listening(model: PreTrainedModel, prompts: list[list[int]], *rest: object) -> list[list[int]]:
        found = real(model, prompts, *rest)  # type: ignore[arg-type]
        end = checkpoint.tokenizer.eos_token_id
        for prompt, row in zip(prompts, found, strict=True):
            drawn = row[: row.index(end) + 1] if end in row else row
            seen.append(checkpoint.tokenizer.decode([*prompt[1:], *drawn]))
        return found

    monkeypatch.setattr(telling, "continuations", listening)
    return seen


def test_each_beat_has_a_paragraph_behind_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = chain(WORDS, context=2048)
    seen = rows_of(checkpoint, monkeypatch)
    found = tell(checkpoint, BRIEFS, PLANS, decoding=FREE, batch_size=len(PLANS))
    assert [len(told.paragraphs) for told in found] == [len(beats) for beats in PLANS]
    assert all(told.ended and re.fullmatch(r"[ab ]+(\n\n[ab ]+)*", told.text) for told in found)
    wanted = {
        plan_header(brief, beats)
        + "\n\n".join(f"> {beat}\n{part}" for beat, part in zip(beats, told.paragraphs, strict=True))
        for brief, beats, told in zip(BRIEFS, PLANS, found, strict=True)
    }
    assert {re.sub(r" *(\n?<eos>|(?=\n\n))", "", row) for row in seen} == wanted


def test_no_story_ends_before_its_last_beat() -> None:
    ending = chain({"\n": {"a": 1.0}, "a": {"a": 0.1, "": 0.8, "\n": 0.1}}, context=2048)
    for told, beats in zip(tell(ending, BRIEFS, PLANS, decoding=FREE), PLANS, strict=True):
        assert len(told.paragraphs) == len(beats) and told.ended
    greedy = Decoding(temperature=0.0, top_p=1.0, min_p=0.1)
    always = chain({"\n": {"a": 1.0}, "a": {"a": 0.01, "": 0.97, "\n": 0.02}}, context=2048)
    (told,) = tell(always, [Brief()], [("one", "two", "three")], decoding=greedy)
    assert told == Told(("a", "a", "a"), True)


def test_no_paragraph_is_empty_and_none_is_taken_for_the_line_of_a_beat() -> None:
    blank = {"\n": {"\n": 0.4, " ": 0.2, "": 0.2, ">": 0.2}, " ": {"\n": 0.5, "": 0.3, ">": 0.2}}
    quoting = chain({**blank, ">": {" ": 0.3, "\n": 0.6, "": 0.1}}, context=2048)
    found = [tell(quoting, BRIEFS, PLANS, decoding=FREE, seed=seed) for seed in range(2)]
    for told, beats in zip((told for one in found for told in one), PLANS * 2, strict=True):
        assert len(told.paragraphs) == len(beats) and told.ended
        assert all(re.fullmatch(r">[> ]*", part) for part in told.paragraphs)


def test_the_same_seed_tells_the_same_at_any_batch_size(writer: Checkpoint) -> None:
    together = tell(writer, BRIEFS, PLANS, decoding=FREE, seed=3)
    assert together != tell(chain(WORDS, context=1024), BRIEFS, PLANS, decoding=FREE, seed=3)
    assert tell(writer, BRIEFS, PLANS, decoding=FREE, seed=3, batch_size=2) == together
    assert tell(writer, BRIEFS[:1], PLANS[:1], decoding=FREE, seed=3) == together[:1]
    other = tell(writer, BRIEFS, PLANS, decoding=FREE, seed=4)
    assert sum(a == b for a, b in zip(together, other, strict=True)) < 2  # a short one may be the same


def test_rows_that_leave_early_do_not_disturb_the_others(writer: Checkpoint) -> None:
    """Nine stories of one to nine beats: rows leave the batch by fours, each with its own lines."""
    plans = [tuple(f"b{number}" for number in range(count)) for count in range(1, 10)]
    briefs = [Brief()] * len(plans)
    together = tell(writer, briefs, plans, decoding=FREE, seed=5)
    assert [len(told.paragraphs) for told in together] == list(range(1, 10))
    assert tell(writer, briefs, plans, decoding=FREE, seed=5, batch_size=1) == together


def test_a_greedy_story_ignores_the_seed_and_global_random_numbers_are_left_alone(writer: Checkpoint) -> None:
    greedy = Decoding(temperature=0.0, top_p=1.0, min_p=0.1)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    short = replace(writer, context=160)
    first, second, free = (
        tell(short, BRIEFS[:1], PLANS[2:3], decoding=decoding, seed=seed)
        for decoding, seed in ((greedy, 0), (greedy, 1), (FREE, 1))
    )
    assert first == second != free
    assert torch.equal(torch.rand(1), expected)


def test_a_story_that_the_context_cuts_has_not_ended() -> None:
    endless = chain({"\n": {"a": 1.0}, "a": {"a": 1.0}}, context=256)
    (told,) = tell(endless, [Brief()], [("one", "two")], decoding=FREE)
    assert not told.ended and len(told.paragraphs) == 1 and set(told.text) == {"a"}
    assert len(told.text) > 100


def test_plans_without_beats_or_room_are_refused(writer: Checkpoint) -> None:
    with pytest.raises(ValueError, match="plan 2 has no beats; give it one line for each paragraph"):
        tell(writer, BRIEFS[:2], [PLANS[0], ()], decoding=FREE)
    long = tuple(f"number {number} is a rather long beat" for number in range(80))
    with pytest.raises(
        ValueError, match=r"plan 1 have \d+ tokens and the model sees 1024 at once; give fewer"
    ):
        tell(writer, BRIEFS[:1], [long], decoding=FREE)
    with pytest.raises(ValueError, match="one plan for each of 2 briefs, found 1"):
        tell(writer, BRIEFS[:2], PLANS[:1], decoding=FREE)


def test_a_token_that_holds_a_break_and_more_ends_the_paragraph() -> None:
    """Llama 3 and others have such tokens: ".\\n\\n" is one."""
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([".\n\n"])
    end, letter, dot, break_ = (
        tokenizer.convert_tokens_to_ids(token) for token in ("<eos>", "a", ".\n\n", "Ċ")
    )
    assert set(telling._breaks(tokenizer)) == {dot, break_}
    lines, row = telling._Lines(tokenizer, ("one", "two")), [break_]  # the prompt's last
    for free in (letter, dot, letter, letter, dot):
        lines.follow(row[-1], end)
        while lines.wanted is not None:
            row.append(lines.wanted)
            lines.follow(row[-1], end)
        row.append(free)
    lines.follow(row[-1], end)
    assert lines.wanted == end
    assert tokenizer.decode(row[1:]) == "a.\n\n> two\naa.\n\n"
    assert lines.read([*row[1:], end], end) == Told(("a.", "aa."), True)
