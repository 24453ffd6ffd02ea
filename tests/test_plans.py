"""Whose plot a text is told from: the user's, the bank's, the base's own, or none."""

import warnings
from collections.abc import Sequence

import pytest
import torch

from data.brief import Brief
from data.draw import draw_briefs
from data.originals import load_originals
from inference import plans, sampling
from inference.checkpoints import Checkpoint, load
from inference.plans import Planner, soundness, tells_from_beats, write_beats, write_plans
from inference.sampling import generate, generate_parts, stream
from tests.small import chain

GIVEN = Brief(
    name="Ada Moreau", length=60, beats=["Ada comes into the café", "Ada sits down", "Ada goes home"]
)


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return load("stories", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def briefs() -> list[Brief]:
    return draw_briefs([original.text for original in load_originals("data/seeds")], 4, 3)


def kinds(planner: Planner, briefs: Sequence[Brief]) -> list[str]:
    return [kind for _, kind in planner.plan(briefs, range(len(briefs)))]


def test_auto_takes_what_was_given_else_the_bank_else_none(base: Checkpoint, briefs: list[Brief]) -> None:
    assert tells_from_beats(base)
    assert kinds(Planner(base, "auto", 0), [GIVEN, briefs[0], Brief()]) == ["given", "bank", "none"]
    assert kinds(Planner(base, "auto", 0, opening=True), [GIVEN, briefs[0]]) == ["given", "none"]
    other = chain({"a": {"a": 1.0}})
    assert not tells_from_beats(other)
    assert kinds(Planner(other, "auto", 0), [GIVEN, briefs[0]]) == ["given", "none"]
    assert kinds(Planner(base, "none", 0), [GIVEN, briefs[0]]) == ["none", "none"]
    (planned, _), *_ = Planner(base, "none", 0).plan([GIVEN], [0])
    assert planned == Brief(name="Ada Moreau", length=60)


def test_no_plot_comes_twice_and_texts_passed_over_count(base: Checkpoint, briefs: list[Brief]) -> None:
    same = [briefs[0]] * 5
    together = [brief.beats for brief, _ in Planner(base, "bank", 4).plan(same, range(5))]
    assert len(set(together)) == 5
    later = Planner(base, "bank", 4)
    later.pass_over(same[:3], range(3))
    assert [brief.beats for brief, _ in later.plan(same[3:], [3, 4])] == together[3:]


def test_beats_that_were_asked_for_must_be_given(base: Checkpoint, briefs: list[Brief]) -> None:
    with pytest.raises(ValueError, match=r'plan="given" needs beats: give beats='):
        Planner(base, "given", 0).plan(briefs[:1], [0])
    with pytest.raises(ValueError, match="unknown plan 'banks': choose auto, given, bank, model or none"):
        generate(base, plan="banks")


def test_the_base_writes_plans_and_beats_that_are_lines(base: Checkpoint, briefs: list[Brief]) -> None:
    written = write_plans(base, briefs[:2], [0, 1], 5, draws=4)
    assert written == write_plans(base, briefs[:2], [0, 1], 5, draws=4)
    assert all(Brief(beats=beats).beats == beats for beats in written)
    paragraphs = ["Ada Moreau came into the café out of the rain.", "She sat down by the window and smiled."]
    lines = write_beats(base, paragraphs, 5)
    assert lines == write_beats(base, paragraphs, 5) and len(lines) == 2
    assert all("\n" not in line for line in lines)


def test_what_is_written_depends_on_its_own_front_alone(base: Checkpoint, briefs: list[Brief]) -> None:
    paragraphs = ["Ada came in.", "She sat down by the window and smiled at the rain.", "It was late."] * 5
    together = write_beats(base, paragraphs, 5)
    assert write_beats(base, paragraphs[:1], 5) == together[:1] and any(together)
    # No room in what the base sees at once: no line, and the others as ever.
    long = " ".join(["rain"] * 3000)
    assert write_beats(base, [*paragraphs[:2], long], 5) == [*together[:2], ""]
    assert write_beats(base, [], 5) == []


def test_the_beat_that_says_most_of_a_paragraph_and_least_beside_it_is_taken(
    base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    paragraph = "Ada came in out of the rain, shook her umbrella and sat down by the window."
    lines = [
        "Ada sits down",  # true, and leaves most of it out
        "Ada comes in out of the rain and sits down by the window",
        "Ada comes in out of the rain and sits down by the window with a violin, a dog and two tickets",
        "Ada and Zoe come in out of the rain, shake an umbrella and sit down by the window",  # whom nobody knows
    ]
    _, end = plans.special_ids(base.tokenizer)
    rows = [[*base.tokenizer.encode(line, add_special_tokens=False), end] for line in lines]
    monkeypatch.setattr(plans, "_written", lambda *_: [rows])
    assert write_beats(base, [paragraph], 0, draws=4) == [lines[1]]
    rows[1] = rows[1][:-1]  # one that did not come to its end is none
    assert write_beats(base, [paragraph], 0, draws=4) == [lines[2]]


def test_a_plan_ends_where_the_base_ends_it() -> None:
    assert plans._beats("- one\n- two three\n---\n> one\nText") == ["one", "two three"]
    for broken in (
        "- one\n- two",
        "one\n---\n",
        "- one\n\n- two\n---",
        "---\n",
        "- \n---",
        "- a\n" * 30 + "---",
    ):
        assert plans._beats(broken) == []
    checkpoint = chain({"\n": {"-": 1.0}, "-": {"-": 1.0}}, context=64)
    ends = plans._PlanEnds(checkpoint.tokenizer, 2, 0)
    scores = torch.zeros(2, len(checkpoint.tokenizer))
    row = [checkpoint.tokenizer.encode(text) for text in ("a\n---", "a-----")]
    for tokens in zip(*row, strict=False):
        last = ends(torch.tensor([[token] for token in tokens]), scores)
    assert last[0].argmax() == 0 and last[0].isfinite().sum() == 1
    assert last[1].isfinite().all()


def test_the_soundest_plan_is_about_whom_it_should_be_and_says_something_new() -> None:
    brief = Brief(name="Ada Moreau", occupation="baker", meets="an old man", length=180)
    good = (
        "Ada, a baker, opens her shop",
        "an old man comes in",
        "Ada gives him bread",
        "he thanks her and goes home",
    )
    assert soundness(brief, good) == pytest.approx(0.0)
    for worse in (
        good[:2],
        tuple(beat.replace("Ada", "Ida") for beat in good),
        (good[0], good[1], good[1], good[1]),
        (*good, *good),
        ("Elle entre dans le café et pose son étui", *good[1:]),
    ):
        assert soundness(brief, worse) < soundness(brief, good)


def test_a_text_is_told_from_its_beats(base: Checkpoint) -> None:
    (sample,) = generate(base, brief=GIVEN, seed=2)
    assert sample.plan == "given" and sample.to_dict()["plan"] == "given"
    assert sample.brief.beats == GIVEN.beats and sample.text.count("\n\n") == 2
    (fields,) = generate(base, seed=2, **GIVEN.to_dict())
    assert fields.text == sample.text
    assert "<details" in sample._repr_html_() and "Ada sits down" in sample._repr_html_()
    (other,) = generate(base, brief=GIVEN, seed=2, draws=1)
    assert other.text != sample.text


def test_told_and_plain_texts_of_one_call_are_those_of_calls_of_their_own(
    base: Checkpoint, briefs: list[Brief]
) -> None:
    asked = [GIVEN, briefs[0], Brief(), briefs[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = generate(base, brief=asked, seed=7, max_new_tokens=150)
        parts = [
            s for part in generate_parts(base, 1, asked, size=3, seed=7, max_new_tokens=150) for s in part
        ]
        rest = [
            s
            for part in generate_parts(base, 1, asked, size=1, done=2, seed=7, max_new_tokens=150)
            for s in part
        ]
        few = generate(base, brief=asked, seed=7, max_new_tokens=150, batch_size=1)
    assert [sample.plan for sample in together] == ["given", "bank", "none", "bank"]
    for other in (parts, few):
        assert [s.text for s in other] == [s.text for s in together]
    assert [s.text for s in rest] == [s.text for s in together[2:]]


def test_streaming_gives_the_paragraphs_of_the_same_text(base: Checkpoint) -> None:
    (sample,) = generate(base, brief=GIVEN, seed=2)
    pieces = list(stream(base, brief=GIVEN, seed=2))
    assert "".join(pieces) == sample.text and len(pieces) == 3
    (begun,) = generate(base, brief=GIVEN, seed=2, opening="Ada Moreau came in.\n\nShe sat")
    pieces = list(stream(base, brief=GIVEN, seed=2, opening="Ada Moreau came in.\n\nShe sat"))
    assert begun.text.startswith("Ada Moreau came in.\n\nShe sat") and "".join(pieces) == begun.text
    assert pieces[0] == "Ada Moreau came in.\n\nShe sat"


def test_a_failure_while_streaming_is_the_callers(base: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(sampling.Drawing, "told", fail)
    with pytest.raises(RuntimeError, match="broken"):
        list(stream(base, brief=GIVEN, seed=2))


def test_doubtful_beats_are_warned_of_by_line(base: Checkpoint) -> None:
    brief = Brief(name="Ada Moreau", beats=["Ada comes in", "Elle entre dans le café et pose son étui"])
    with pytest.warns(UserWarning, match="beat 2 does not read as English"):
        generate(base, brief=brief, seed=0, max_new_tokens=8, guard=False)


def test_what_is_told_copies_no_original(base: Checkpoint) -> None:
    """What it says without a guard, it may not say with one."""
    (free,) = generate(base, brief=GIVEN, seed=1)
    again = {
        guard: generate(base, brief=GIVEN, seed=1, originals=[free.text], guard=guard)[0]
        for guard in (False, 3)
    }
    assert again[False].text == free.text and again[False].scores["longest_copied_span"] > 20
    assert again[3].scores["longest_copied_span"] <= 3 and again[3].scores["refused_runs"] > 3
    assert again[3].text.count("\n\n") == 2


def test_streaming_without_a_plan_leaves_the_beats_out(base: Checkpoint) -> None:
    (sample,) = generate(base, brief=GIVEN, seed=2, plan="none", max_new_tokens=30)
    assert sample.plan == "none" and not sample.brief.beats
    assert "".join(stream(base, brief=GIVEN, seed=2, plan="none", max_new_tokens=30)).rstrip() == sample.text


def test_what_can_not_be_told_is_said_before_anything_is_drawn(base: Checkpoint) -> None:
    with pytest.raises(ValueError, match="opening has 4 paragraphs, and there are beats for 3"):
        generate_parts(base, 1, GIVEN, opening="a\n\nb\n\nc\n\nd")
    with pytest.raises(ValueError, match='plan="given" needs beats'):
        generate_parts(base, 1, Brief(name="Ada"), plan="given")


def test_a_stream_that_nobody_reads_on_ends(base: Checkpoint) -> None:
    pieces = stream(base, brief=GIVEN, seed=2)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # a generator
    assert "".join(stream(base, brief=GIVEN, seed=2)) == generate(base, brief=GIVEN, seed=2)[0].text
