"""Stories told from beats: one paragraph a beat, the beats' lines in their places, the same text in any company."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from data.brief import Brief
from data.stories import told_header
from inference import telling
from inference.checkpoints import Checkpoint
from inference.decoding import Decoding
from inference.row_cache import RowCache
from inference.telling import Paragraph, Telling, Told, tell
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


def asked(briefs: Sequence[Brief] = BRIEFS, plans: Sequence[Sequence[str]] = PLANS) -> list[Brief]:
    """The briefs with their beats."""
    return [replace(brief, beats=tuple(beats)) for brief, beats in zip(briefs, plans, strict=True)]


def rows_of(monkeypatch: pytest.MonkeyPatch) -> list[RowCache]:
    """Filled with the cache of every call of `tell`, which notes all tokens that a row was given."""
    seen: list[RowCache] = []

    class Listening(RowCache):
        def __init__(self, model: PreTrainedModel, texts: int, each: int, *tuned: Any) -> None:
            super().__init__(model, texts, each, *tuned)
            self.said: list[list[int]] = [[] for _ in range(texts)]
            self.added: list[list[int]] = [[] for _ in range(texts * each)]
            seen.append(self)

        def read(self, text: int, tokens: Sequence[int]) -> torch.Tensor:
            self.said[text] = [*self.said[text][: self.common[text]], *tokens]
            return super().read(text, tokens)

        def step(self, tokens: Sequence[int | None]) -> torch.Tensor:
            for row, token in enumerate(tokens):
                if token is not None:
                    self.added[row] = [*self.added[row][: self.own[row]], token]
            return super().step(tokens)

        def take(self, row: int, count: int) -> None:
            text = row // self.each
            self.said[text] = [*self.said[text][: self.common[text]], *self.added[row][:count]]
            super().take(row, count)

        def keep(self, texts: Sequence[int]) -> None:
            self.said = [self.said[text] for text in texts]
            self.added = [self.added[text * self.each + row] for text in texts for row in range(self.each)]
            super().keep(texts)

    monkeypatch.setattr(telling, "RowCache", Listening)
    return seen


def test_each_beat_has_a_paragraph_behind_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = chain(WORDS, context=2048)
    seen = rows_of(monkeypatch)
    for brief in asked():
        (told,) = tell(checkpoint, [brief], Telling(FREE, draws=3))
        assert len(told.paragraphs) == len(brief.beats) and told.ended
        assert re.fullmatch(r"[ab ]+(\n\n[ab ]+)*", told.text)
        row = checkpoint.tokenizer.decode(seen[-1].said[0][1:])
        before = told_header(brief) + "".join(
            f"> {beat}\n{part}\n\n" for beat, part in zip(brief.beats, told.paragraphs[:-1], strict=False)
        )
        assert re.sub(r" *(?=\n\n)", "", row).startswith(f"{before}> {brief.beats[-1]}\n")


@pytest.mark.parametrize("draws", [1, 3, 4])
def test_rows_leave_only_where_fewer_are_left(monkeypatch: pytest.MonkeyPatch, draws: int) -> None:
    seen = rows_of(monkeypatch)
    kept: list[tuple[int, int]] = []
    monkeypatch.setattr(
        RowCache,
        "keep",
        lambda self, texts, own=RowCache.keep: (
            kept.append((len(self.common), len(texts))) or own(self, texts)
        ),
    )
    checkpoint = chain(WORDS, context=2048)
    tell(checkpoint, asked(), Telling(FREE, draws=draws))
    assert len(seen) == 1 and all(after < before for before, after in kept)
    assert kept or draws == 1


def test_the_chosen_paragraph_is_the_one_that_is_gone_on_with() -> None:
    """What comes after it is what would come if it had been the only one; the choice sees what there is."""
    checkpoint = chain(WORDS, context=2048)
    seen: list[tuple[Brief, tuple[str, ...], list[str]]] = []

    def longest(brief: Brief, before: Sequence[str], drawn: Sequence[Paragraph]) -> int:
        seen.append((brief, tuple(before), [one.text for one in drawn]))
        return max(range(len(drawn)), key=lambda at: len(drawn[at].text))

    (brief,) = asked(BRIEFS[:1], PLANS[:1])
    (told,) = tell(checkpoint, [brief], Telling(FREE, draws=4, choose=longest))
    assert [before for _, before, _ in seen] == [told.paragraphs[:at] for at in range(3)]
    assert all(len(texts) == 4 and len(set(texts)) > 1 and one == brief for one, _, texts in seen)
    assert all(max(texts, key=len) == part for (_, _, texts), part in zip(seen, told.paragraphs, strict=True))
    one = tell(checkpoint, [brief], Telling(FREE))[0]
    assert len(told.text) > len(one.text) and told.paragraphs[0] != one.paragraphs[0]


def test_no_story_ends_before_its_last_beat() -> None:
    ending = chain({"\n": {"a": 1.0}, "a": {"a": 0.1, "": 0.8, "\n": 0.1}}, context=2048)
    for told, beats in zip(tell(ending, asked(), Telling(FREE)), PLANS, strict=True):
        assert len(told.paragraphs) == len(beats) and told.ended
    greedy = Decoding(temperature=0.0, top_p=1.0, min_p=0.1)
    always = chain({"\n": {"a": 1.0}, "a": {"a": 0.01, "": 0.97, "\n": 0.02}}, context=2048)
    (told,) = tell(always, [Brief(beats=("one", "two", "three"))], Telling(greedy, draws=4))
    assert told == Told(("a", "a", "a"), True, tokens=3)


def test_no_paragraph_is_empty_and_none_is_taken_for_the_line_of_a_beat() -> None:
    blank = {"\n": {"\n": 0.4, " ": 0.2, "": 0.2, ">": 0.2}, " ": {"\n": 0.5, "": 0.3, ">": 0.2}}
    quoting = chain({**blank, ">": {" ": 0.3, "\n": 0.6, "": 0.1}}, context=2048)
    found = [tell(quoting, asked(), Telling(FREE, seed=seed, draws=1 + seed)) for seed in range(2)]
    for told, beats in zip((told for one in found for told in one), PLANS * 2, strict=True):
        assert len(told.paragraphs) == len(beats) and told.ended
        assert all(re.fullmatch(r">[> ]*", part) for part in told.paragraphs)


def test_the_same_seed_tells_the_same_at_any_batch_size(writer: Checkpoint) -> None:
    telling = Telling(FREE, seed=3, draws=2, rows=32, choose=lambda brief, before, drawn: len(before) % 2)
    together = tell(writer, asked(), telling)
    assert together != tell(chain(WORDS, context=1024), asked(), telling)
    for rows in (2, 4, 8, 12):
        assert tell(writer, asked(), replace(telling, rows=rows)) == together
    assert tell(writer, asked()[:1], telling) == together[:1]
    assert tell(writer, asked()[::-1], telling, indices=range(len(PLANS))[::-1]) == together[::-1]
    other = tell(writer, asked(), replace(telling, seed=4))
    assert sum(a == b for a, b in zip(together, other, strict=True)) < 2  # a short one may be the same


def test_stories_take_the_rows_of_those_that_are_told(
    writer: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine stories of one to nine beats in the rows of two, of four and of all."""
    briefs = [Brief(beats=[f"b{number}" for number in range(count)]) for count in range(1, 10)]
    seen = rows_of(monkeypatch)
    together = tell(writer, briefs, Telling(FREE, seed=5, rows=36, draws=4))
    assert [len(told.paragraphs) for told in together] == list(range(1, 10))
    assert len(seen[-1].said) < 36  # told ones have left
    for rows in (8, 16):
        assert tell(writer, briefs, Telling(FREE, seed=5, rows=rows, draws=4)) == together
        assert len(seen[-1].said) <= rows


def test_a_paragraph_is_shown_as_soon_as_it_is_chosen(writer: Checkpoint) -> None:
    shown: list[tuple[int, str]] = []
    found = tell(writer, asked(), Telling(FREE), shown=lambda *what: shown.append(what))
    for number, told in enumerate(found):
        assert [text for at, text in shown if at == number] == list(told.paragraphs)


def test_each_story_is_reported_when_it_is_told(writer: Checkpoint) -> None:
    there: list[int] = []
    shown: list[tuple[int, str]] = []
    found = tell(
        writer,
        asked(),
        Telling(FREE, draws=2, rows=2),  # one after another
        shown=lambda *what: shown.append(what),
        finished=lambda: there.append(len(shown)),
    )
    ends = list(accumulate(len(told.paragraphs) for told in found))
    assert len(ends) > 1 and there == ends


def test_guidance_counts_what_brief_and_beats_make_probable() -> None:
    """Without attention nothing depends on the brief, so that guidance changes nothing; with it, it does."""
    plain = chain(WORDS, context=1024)
    free = Telling(FREE, seed=2, draws=2)
    assert tell(plain, asked(), replace(free, decoding=replace(FREE, guidance=3.0))) == tell(
        plain, asked(), free
    )


def test_guided_stories_are_the_same_at_any_batch_size(writer: Checkpoint) -> None:
    guided = Telling(replace(FREE, guidance=3.0), seed=2, draws=2)
    together = tell(writer, asked(), guided)
    assert together != tell(writer, asked(), replace(guided, decoding=FREE))
    for rows in (4, 8):
        assert tell(writer, asked(), replace(guided, rows=rows)) == together


def test_a_story_goes_on_with_its_opening(writer: Checkpoint) -> None:
    (brief,) = asked(BRIEFS[:1], PLANS[:1])
    telling = Telling(FREE, opening="aab\n\nba", draws=2)
    (told,) = tell(writer, [brief], telling)
    assert told.text.startswith("aab\n\nba") and len(told.paragraphs) == 3 and len(told.text) > 10
    with pytest.raises(
        ValueError, match="opening has 4 paragraphs, and there are beats for 3; give a beat for each"
    ):
        tell(writer, [brief], replace(telling, opening="a\n\nb\n\na\n\nb"))


def test_a_paragraph_that_does_not_end_is_cut_behind_a_sentence() -> None:
    """At its share of the length, not at the end of the context."""
    endless = chain(
        {"\n": {"a": 1.0}, "a": {"a": 0.9, ".": 0.1}, ".": {" ": 1.0}, " ": {"a": 1.0}}, context=1024
    )
    seen: list[Paragraph] = []

    def first(brief: Brief, before: Sequence[str], drawn: Sequence[Paragraph]) -> int:
        seen.extend(drawn)
        return 0

    (told,) = tell(endless, [Brief(beats=("one", "two"), length=40)], Telling(FREE, draws=2, choose=first))
    assert len(told.paragraphs) == 2 and not told.ended
    assert all(not one.whole and one.text.endswith(".") and len(one.text) <= 70 for one in seen)


def test_a_story_has_no_more_tokens_than_it_may(writer: Checkpoint) -> None:
    (whole,) = tell(writer, asked(BRIEFS[:1], PLANS[3:4]), Telling(FREE))
    most = whole.tokens - 2
    (cut,) = tell(writer, asked(BRIEFS[:1], PLANS[3:4]), Telling(FREE, most=most))
    assert cut.tokens <= most and not cut.ended and whole.text.startswith(cut.text[:20])


def test_a_greedy_story_ignores_the_seed_and_global_random_numbers_are_left_alone(writer: Checkpoint) -> None:
    greedy = Decoding(temperature=0.0, top_p=1.0, min_p=0.1)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    short = replace(writer, context=160)
    first, second, free = (
        tell(short, asked(BRIEFS[:1], PLANS[2:3]), Telling(decoding, seed=seed))
        for decoding, seed in ((greedy, 0), (greedy, 1), (FREE, 1))
    )
    assert first == second != free
    assert torch.equal(torch.rand(1), expected)


def test_a_story_that_the_context_cuts_has_not_ended() -> None:
    endless = chain({"\n": {"a": 1.0}, "a": {"a": 1.0}}, context=256)
    (told,) = tell(endless, [Brief(beats=("one", "two"), length=400)], Telling(FREE))
    assert not told.ended and len(told.paragraphs) == 1 and set(told.text) == {"a"}
    assert len(told.text) > 100


def test_briefs_without_beats_or_room_are_refused(writer: Checkpoint) -> None:
    with pytest.raises(ValueError, match="a story needs beats: give one line for each paragraph, beats="):
        tell(writer, [asked()[0], Brief(name="Ida")], Telling(FREE))
    long = [f"number {number} is " + "a rather long beat " * 14 for number in range(20)]
    with pytest.raises(
        ValueError, match=r"beats and opening have \d+ tokens, and the model sees 1024 at once, 64 of which"
    ):
        tell(writer, [Brief(beats=long)], Telling(FREE))


def test_a_token_that_holds_a_break_and_more_ends_the_paragraph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama 3 and others have such tokens: ".\\n\\n" is one."""
    checkpoint = chain({"\n": {"a": 1.0}, "a": {"a": 0.5, "b": 0.5}, "b": {"b": 1.0}}, context=512)
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([".\n\n"])
    dot, break_, b = (tokenizer.convert_tokens_to_ids(token) for token in (".\n\n", "Ċ", "b"))
    assert set(telling.breaks(tokenizer)) == {dot, break_}
    model = checkpoint.model
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():  # what follows "b" is the new token
        model.lm_head.weight[dot] = model.lm_head.weight[b]
        model.lm_head.weight[dot] += 0.3 * model.lm_head.weight[b].abs()
    seen = rows_of(monkeypatch)
    (told,) = tell(replace(checkpoint, tokenizer=tokenizer), [Brief(beats=("one", "two"))], Telling(FREE))
    assert told.ended and all(re.fullmatch(r"[ab]+\.", part) for part in told.paragraphs)
    said = tokenizer.decode(seen[-1].said[0])
    assert f"> one\n{told.paragraphs[0]}\n\n> two\n" in said
