"""Samples: reproducible, independent of their batch, as many and as asked for, and honest about how they ended."""

import html
import json
import warnings
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

import inference.drawing
from data.brief import Brief
from data.dataset import encode
from data.draw import draw_briefs
from data.originals import load_originals
from inference.checkpoints import Checkpoint, load
from inference.measured import measured
from inference.novelty import CopiedSpan, CopyIndex
from inference.sample import Sample, mark_spans
from inference.sampling import generate, generate_parts, stream
from tests.small import SEEDS, chain

BRIEFS = [
    Brief(name="Nadia Benali", occupation="piano tuner", keywords=("rain", "key"), length=380),
    Brief(),
    Brief(name="Ida"),
    Brief(place="a harbour café", meets="an old clarinettist"),
]


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    return load("tiny", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def coin() -> Checkpoint:
    """Half of its texts end after "b"; the other half say "c" for ever."""
    return chain({"": {"a": 1}, "a": {"b": 0.5, "c": 0.5}, "b": {"": 1}, "c": {"c": 1}})


def texts(samples: list[Sample]) -> list[str]:
    return [sample.text for sample in samples]


# Randomness


def test_the_same_seed_gives_the_same_texts_and_another_seed_others(tiny: Checkpoint) -> None:
    first = generate(tiny, n=3, seed=7, max_new_tokens=10)
    assert first == generate(tiny, n=3, seed=7, max_new_tokens=10)
    assert not set(texts(first)) & set(texts(generate(tiny, n=3, seed=8, max_new_tokens=10)))
    assert len(set(texts(first))) == 3


def test_more_samples_leave_the_first_ones_the_same(tiny: Checkpoint) -> None:
    few, many = (generate(tiny, n=n, seed=7, max_new_tokens=8) for n in (2, 5))
    assert texts(many)[:2] == texts(few)
    assert [sample.index for sample in many] == list(range(5))


def test_a_text_is_the_same_at_any_number_and_in_any_company() -> None:
    """To the letter, with a trained model: shapes are fixed, so that nothing is rounded otherwise."""
    base = load("stories", dtype="float32", device="cpu")
    long = Brief(keywords=[f"thing {i}" for i in range(30)])  # a prompt of another width
    briefs = [BRIEFS[0], long, BRIEFS[3], BRIEFS[1], BRIEFS[0], BRIEFS[2]]
    settings: dict[str, Any] = {
        "seed": 3,
        "max_new_tokens": 30,
        "temperature": 1.2,
        "min_p": 0.0,
        "plan": "none",
    }
    whole = generate(base, brief=briefs, batch_size=8, **settings)
    for size in (1, 4):
        assert texts(generate(base, brief=briefs, batch_size=size, **settings)) == texts(whole)
    assert texts(generate(base, brief=briefs[:1], **settings)) == texts(whole)[:1]
    parts = list(generate_parts(base, 1, briefs, size=4, **settings))
    assert [len(part) for part in parts] == [4, 2]
    assert [sample for part in parts for sample in part] == whole
    assert [*generate_parts(base, 1, briefs, size=4, done=4, **settings)] == parts[1:]


def test_a_sample_is_the_same_in_a_batch_of_one_and_of_four(tiny: Checkpoint) -> None:
    # Briefs of different lengths, so that rows of a batch are padded; no brief and no warper hides a difference.
    for settings in ({}, {"min_p": 0.0, "temperature": 1.0}, {"top_p": 0.9}):
        batches = [
            generate(tiny, brief=BRIEFS, seed=3, max_new_tokens=10, batch_size=size, **settings)
            for size in (1, 3, 4)
        ]
        assert texts(batches[0]) == texts(batches[1]) == texts(batches[2])


def test_temperature_0_ignores_the_seed_and_is_plain_greedy_generation() -> None:
    # an untrained model repeats itself, whatever the brief
    base = load("stories", dtype="float32", device="cpu")
    brief, settings = (
        BRIEFS[0],
        {"opening": "It rained", "temperature": 0, "max_new_tokens": 12, "guidance": 1},
    )
    (first,), (second,) = (generate(base, brief=brief, seed=seed, **settings) for seed in (1, 2))
    assert first.text == second.text
    ids = [0, *encode(brief.header(), base.tokenizer), *encode("It rained", base.tokenizer)]
    given = torch.tensor([ids])
    out = base.model.generate(
        given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=12
    )
    drawn = base.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    assert first.text == ("It rained" + drawn).rstrip()
    assert first.text != generate(base, **settings)[0].text


def test_the_global_random_state_is_neither_read_nor_moved(tiny: Checkpoint) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = generate(tiny, n=2, seed=7, max_new_tokens=6)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert generate(tiny, n=2, seed=7, max_new_tokens=6) == first


def test_the_models_own_sampling_settings_do_not_leak_in(tiny: Checkpoint) -> None:
    plain = generate(tiny, n=2, seed=7, max_new_tokens=8, temperature=1, top_p=1, min_p=0)
    stated = tiny.model.generation_config
    try:
        stated.do_sample, stated.top_k, stated.repetition_penalty = True, 1, 3.0
        assert generate(tiny, n=2, seed=7, max_new_tokens=8, temperature=1, top_p=1, min_p=0) == plain
    finally:
        stated.do_sample = stated.top_k = stated.repetition_penalty = None


# How many, and of what


@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_in_n_out(coin: Checkpoint, n: int) -> None:
    assert len(generate(coin, n=n, max_new_tokens=4, batch_size=2)) == n


def test_a_list_of_briefs_gives_n_each_in_its_order(tiny: Checkpoint) -> None:
    found = generate(tiny, n=2, brief=BRIEFS[:3], max_new_tokens=4)
    assert [sample.brief for sample in found] == [b for b in BRIEFS[:3] for _ in range(2)]
    assert len(set(texts(found))) == 6


def test_a_brief_may_be_a_mapping_and_stands_before_the_text() -> None:
    # After the brief's last line break comes "b", after the opening token alone "x".
    model = chain({"": {"x": 1}, "\n": {"b": 1}, "b": {"": 1}, "x": {"": 1}})
    (found,) = generate(model, brief={"name": "Ida", "length": 200})
    assert (found.brief, found.text) == (Brief(name="Ida", length=200), "b")
    assert generate(model, brief=Brief())[0].text == "x"
    with pytest.raises(ValueError, match="did you mean 'name'"):
        generate(model, brief={"nome": "Ida"})


def test_without_a_brief_and_without_a_run_there_is_none(tiny: Checkpoint) -> None:
    bare, empty = (generate(tiny, brief=b, seed=7, max_new_tokens=6) for b in (None, Brief()))
    assert bare == empty
    assert not bare[0].brief


@pytest.mark.parametrize("nothing", [None, {}, {"name": None}])
def test_where_the_originals_are_known_what_is_left_out_is_drawn(tiny: Checkpoint, nothing: object) -> None:
    known: dict[str, Any] = {"originals": load_originals(SEEDS), "max_new_tokens": 3, "seed": 5}
    drawn = generate(tiny, 3, nothing, **known)
    assert [s.brief for s in drawn] == draw_briefs([o.text for o in known["originals"]], 3, 5)
    given = generate(tiny, 3, name="Nadia Benali", **known)
    assert [s.brief.name for s in given] == ["Nadia Benali"] * 3
    assert [s.brief.place for s in given] == [s.brief.place for s in drawn]
    assert not generate(tiny, 1, Brief(), **known)[0].brief  # which asks for none


def test_a_prompt_that_is_too_long_is_refused_before_anything_is_drawn(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference.drawing, "continuations", None)
    with pytest.raises(ValueError, match="shorten them"):
        generate(tiny, brief=[*BRIEFS, Brief(keywords=[f"thing {i}" for i in range(800)])])


def test_what_the_user_wrote_or_allows_is_not_held_against_a_text(tiny: Checkpoint) -> None:
    texts_of = [
        "Colette took her seat at the counter and looked. Colette smiled.",
        "Marcel was late, and he knew it.",
    ]
    options: dict[str, Any] = {"originals": texts_of, "max_new_tokens": 3, "seed": 1}
    (own,) = generate(tiny, opening="Colette took her seat at the counter,", **options)
    assert own.scores["leaked_names"] == []
    assert own.scores["longest_copied_span"] == 7
    assert str(own.remark).startswith("did not end")
    long = {**options, "max_new_tokens": 40, "temperature": 0.0, "guard": 1}
    looped = chain({"": {"C": 1}, "C": {"o": 1}, "o": {" ": 1}, " ": {"C": 1}})  # "Co Co Co ..."
    copied = {**long, "brief": Brief(), "originals": ["Co Co Co Co said the hen, and we said Co."]}
    assert "Co Co" not in generate(looped, **copied)[0].text
    for allow in ("Co", ["Co"]):
        assert "Co Co Co Co" in generate(looped, allow=allow, **copied)[0].text


def test_an_opening_is_continued_and_part_of_the_text(coin: Checkpoint) -> None:
    chosen = chain({"": {"x": 1}, "é": {"b": 1}, "b": {"": 1}, "x": {"": 1}})
    (found,) = generate(chosen, opening="cafe\u0301")  # in NFC, as the originals are trained
    assert found.text == "caféb"
    assert found.tokens == 1
    assert generate(chosen)[0].text == "x"


# Ends


def test_a_text_that_ended_says_so_and_holds_no_end_token() -> None:
    (found,) = generate(chain({"": {"a": 1}, "a": {"b": 1}, "b": {"": 1}}))
    assert (found.text, found.ended_by_eos, found.tokens) == ("ab", True, 2)


def test_a_text_that_ran_out_of_room_says_so(coin: Checkpoint) -> None:
    endless = chain({"": {"a": 1}, "a": {"a": 1}}, context=16)
    (limited,), (whole,) = generate(endless, max_new_tokens=5), generate(endless)
    assert (limited.text, limited.ended_by_eos, limited.tokens) == ("aaaaa", False, 5)
    assert (whole.tokens, whole.ended_by_eos) == (
        15,
        False,
    )  # what the context holds beside the opening token


def test_rows_that_ended_early_take_nothing_from_the_others(coin: Checkpoint) -> None:
    found = generate(coin, n=16, max_new_tokens=6, batch_size=16)
    assert {(s.text, s.ended_by_eos, s.tokens) for s in found} == {("ab", True, 2), ("accccc", False, 6)}


def test_a_character_of_several_tokens_is_put_together_and_white_space_at_the_end_is_cut() -> None:
    marks = chain({"": {"a": 1}, "a": {"\n": 1}, "\n": {"": 1}})
    assert generate(marks)[0].text == "a"
    first, second = "é".encode()
    model = chain({"": {"a": 1}, "a": {"": 1}})
    with torch.no_grad():  # by hand, since half a character is no string
        weight = model.model.lm_head.weight.zero_()
        tokens = model.tokenizer("é", add_special_tokens=False)["input_ids"]
        for now, after in zip(
            [model.tokenizer.eos_token_id, *tokens], [*tokens, model.tokenizer.eos_token_id], strict=True
        ):
            weight[after, now] = 40.0
    assert len(tokens) == 2 == len({first, second})
    assert generate(model)[0].text == "é"


# Best of several


def test_best_of_chooses_one_that_ended_where_there_is_one(coin: Checkpoint) -> None:
    single = generate(coin, n=8, max_new_tokens=6)
    assert not all(sample.ended_by_eos for sample in single)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        best = generate(coin, n=8, best_of=10, max_new_tokens=6)
    assert len(best) == 8
    assert all(sample.ended_by_eos for sample in best)
    for i, sample in enumerate(best):
        assert 10 * i <= sample.index < 10 * (i + 1)


def test_where_none_passes_there_is_a_warning_and_one_text_less(coin: Checkpoint) -> None:
    endless = chain({"": {"a": 1}, "a": {"a": 1}}, context=16)
    message = r"none of 2 candidates passed, left out \(0: did not end within \d+ tokens; 1: did not end"
    with pytest.warns(UserWarning, match=message):
        found = generate(endless, best_of=2)
    assert found == []
    assert [(one.index, one.chosen) for one in found.refused] == [(0, False), (1, False)]
    with pytest.warns(UserWarning, match="the nearest to passing is returned all the same"):
        (flagged,) = generate(endless, best_of=2, strict=False)
    assert flagged.chosen
    assert "did not end" in str(flagged.remark)


# Streaming


@pytest.mark.parametrize("opening", [None, "It rained –"])
def test_the_streamed_pieces_are_the_generated_text(tiny: Checkpoint, opening: str | None) -> None:
    settings = {"brief": BRIEFS[0], "opening": opening, "seed": 7, "max_new_tokens": 14}
    pieces = list(stream(tiny, **settings))
    assert len(pieces) > 2
    assert "".join(pieces).rstrip() == generate(tiny, **settings)[0].text
    assert opening is None or pieces[0] == opening


def test_a_stream_ends_with_the_text_and_leaves_the_end_token_out() -> None:
    assert "".join(stream(chain({"": {"a": 1}, "a": {"b": 1}, "b": {"": 1}}))) == "ab"


def test_what_goes_wrong_while_streaming_reaches_the_caller(tiny: Checkpoint) -> None:
    with pytest.raises(ValueError, match="stream draws one text, found 2 briefs"):
        list(stream(tiny, brief=BRIEFS[:2]))
    with pytest.raises(ValueError, match="shorten them"):
        list(stream(tiny, opening="word " * 2000))
    with pytest.raises(ValueError, match="temperature"):
        list(stream(tiny, temperature=-1))


# What is refused


def sample(text: str) -> Sample:
    index_of_copies = CopyIndex(["She took a seat at the counter and looked."], ["Amélie"])
    return measured(Sample(text, Brief(), 0, 0, True, 9), index_of_copies)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n must be a whole number, at least 1, found 0"),
        ({"n": "3"}, "n must be a whole number"),
        ({"n": 2.0}, "n must be a whole number"),
        ({"best_of": "4"}, "best_of must be a whole number"),
        ({"guard": "on"}, "a copied run may have 1 word or more, found 'on'"),
        ({"guard": 0}, "guard=False sets no limit"),
        ({"brief": []}, "the list of briefs is empty"),
        ({"brief": "Nadia"}, "a brief is a mapping"),
        ({"brief": [5]}, "a brief is a mapping"),
        ({"originals": "One text."}, "found one string: put it in brackets"),
        ({"opening": "half \udcff"}, "half of a character at 5"),
        ({"name": "Ida", "brief": Brief(name="Eva")}, "give a brief, or its fields one by one"),
        ({"nome": "Ida"}, "did you mean 'name'"),
        ({"best_of": 0}, "best_of must be a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"max_new_tokens": 0}, "max_new_tokens must be a whole number, at least 1, found 0"),
        ({"max_new_tokens": -3}, "max_new_tokens must be"),
        ({"temperature": 99}, "temperature must be between"),
        ({"top_p": -0.5}, "top_p must be between"),
        ({"min_p": 1.5}, "min_p must be between"),
        ({"dtype": "int8"}, "unknown dtype"),
    ],
)
def test_settings_out_of_range_are_value_errors(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate("tiny", **settings)


def test_a_prompt_that_leaves_no_room_is_a_value_error(coin: Checkpoint) -> None:
    room = coin.context - 1
    assert generate(coin, opening="a" * (room - 1))[0].tokens == 1
    with pytest.raises(ValueError, match=f"take 64 of the model's {coin.context} tokens: shorten them"):
        generate(coin, opening="a" * room)
    with pytest.raises(ValueError, match="brief and opening take"):
        generate(coin, brief=Brief(name="N" * 80))


# What is known of a sample, and how it shows


def test_scores_of_a_model_alone_and_of_one_with_originals(coin: Checkpoint) -> None:
    (bare,) = generate(coin, opening="x y x y x y x y a", max_new_tokens=1)
    assert bare.scores == {"words": 9, "repetition": pytest.approx(3 / 6), "obeyed": {}}
    full = sample("Later she took a seat at the counter there.")
    assert full.scores["nearest"] == "Amélie"
    assert [full.text[s.start : s.end] for s in full.copied_spans] == ["she took a seat at the counter"]
    assert sample("One two").scores["novelty_4gram"] is None


def test_a_sample_is_plain_json(tiny: Checkpoint) -> None:
    for found in (
        sample("Later she took a seat at the counter there."),
        *generate(tiny, brief=BRIEFS[0], max_new_tokens=3),
    ):
        again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert again["text"] == found.text == str(found)
        assert again["brief"] == found.brief.to_dict()
        assert {"seed", "index", "ended_by_eos", "tokens", "scores", "copied_spans"} <= set(again)


def test_html_is_escaped_and_copied_spans_are_marked() -> None:
    text = "<script>alert(1)</script> & she took a seat"
    at = text.index("she")
    span = CopiedSpan(at, len(text), 4, 'A"><script>')
    found = Sample(text, Brief(name="<script>x"), 0, 0, True, 9, {"nearest": "<script>y"}, (span,))
    page = found._repr_html_()
    assert "<script" not in page
    assert html.escape("<script>alert(1)</script> & ") in page
    assert ">she took a seat</mark>" in page
    assert 'title="4 words in a row as in A&quot;' in page


def test_beats_are_shown_on_demand_below_the_fields() -> None:
    found = Sample("Text.", Brief(name="Ida", beats=["<b>Ida</b> comes in", "she sits"]), 0, 0, True, 9)
    page = found._repr_html_()
    fields, rest = page.split("</p>", 1)
    assert "Ida" in fields and "comes in" not in fields
    assert rest.startswith("<details ")
    assert (
        "<summary>beats</summary><ol><li>&lt;b&gt;Ida&lt;/b&gt; comes in</li><li>she sits</li></ol></details>"
        in rest
    )
    assert "<details" not in Sample("Text.", Brief(name="Ida"), 0, 0, True, 9)._repr_html_()


def test_marking_loses_no_character() -> None:
    import re

    text = "a < b, ‘c’\n\nd & e f"
    marked = mark_spans(text, [CopiedSpan(0, 5, 2, "x"), CopiedSpan(12, 14, 1, "y")])
    assert html.unescape(re.sub(r"</?mark[^>]*>", "", marked)) == text
    assert marked.count("<mark ") == 2
    assert mark_spans(text, []) == html.escape(text)


def test_settings_of_the_model_that_are_not_ours_change_nothing_and_stay_as_they_were(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A hub model may bring a repetition penalty; a run's model brings min_p, which greedy generation would remark on."""
    checkpoint = load("tiny", dtype="float32", device="cpu")
    settings = {"n": 2, "seed": 7, "max_new_tokens": 12, "temperature": 0.8, "top_p": 1.0, "min_p": 0.05}
    plain, own = generate(checkpoint, **settings), checkpoint.model.generation_config
    theirs = GenerationConfig(
        repetition_penalty=50.0, no_repeat_ngram_size=1, min_p=0.5, do_sample=True, eos_token_id=9
    )
    checkpoint.model.generation_config = theirs
    try:
        assert generate(checkpoint, **settings) == plain
        assert checkpoint.model.generation_config is theirs
        assert theirs.repetition_penalty == 50.0
    finally:
        checkpoint.model.generation_config = own
    assert "generation flags" not in "".join(capsys.readouterr())
