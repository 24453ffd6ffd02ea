"""Preferring a base's better paragraphs: each candidate costs what it would alone; what is rated higher becomes more probable."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from data.bases import Base
from data.brief import Brief
from data.dataset import encode, special_ids
from data.originals import load_originals
from data.stories import FOLDER, PARAGRAPHS, beat_line, told_header
from inference.checkpoints import load_weights
from inference.novelty import CopyIndex
from inference.telling import Paragraph
from tests.small import ROOT, few_stories, small_teaching
from training.__main__ import main
from training.base.adapt import adapt
from training.base.adapter_files import ADAPTER
from training.base.choices import Choice, RatedStory, _key, _noting, read_choices, tree, write_choices
from training.base.config import BaseConfig
from training.base.prefer import Preferring

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21


def rated_stories() -> list[RatedStory]:
    """Four stories of three beats; the better candidate of each speaks of ribbons, the worse one of nothing, and one has no rating."""
    found = []
    for story in few_stories()[:4]:
        choices = [
            Choice((text, "Nothing at all.", "A ribbon, and another ribbon.", ""), 0, (5, 1, 9, None))
            for text in story.paragraphs
        ]
        found.append(RatedStory(replace(story.brief, beats=story.beats), tuple(choices)))
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BaseConfig:
    """A base of two layers, an adapter to start from, and four rated stories."""
    folder = tmp_path_factory.mktemp("prefer")
    plain = replace(small_teaching(folder), tokens=600)
    start = adapt(plain, folder)
    write_choices(folder / "choices.jsonl.xz", rated_stories())
    return replace(
        plain,
        name="preferences",
        start=str(start),
        choices=str(folder / "choices.jsonl.xz"),
        tokens=12_000,
        learning_rate=5e-3,
    )


def test_each_candidate_costs_what_it_does_alone_behind_its_story(small: BaseConfig, tmp_path: Path) -> None:
    with Preferring(small, tmp_path / "run") as training, torch.no_grad():
        training.model.eval()
        story, tokenizer = rated_stories()[1], training.tokenizer
        grown = tree(story, tokenizer, lambda ratings: True)
        training.trees, training.by = [grown], [""]
        logs, counts = training._logs(0)
        assert [len(rated) for rated in grown.rated] == [3, 3, 3]  # not the one without a rating
        first, end = special_ids(tokenizer)
        before = [first, *encode(told_header(story.brief), tokenizer)]
        branch = 0
        for at, choice in enumerate(story.choices):
            before += encode(beat_line(story.brief.beats[at]), tokenizer)
            for text in choice.drawn[:3]:
                tokens = [*encode(text, tokenizer), end] if at == 2 else encode(text + PARAGRAPHS, tokenizer)
                scores = training.core(input_ids=torch.tensor([[*before, *tokens]])).logits[0, :-1].float()
                alone = -functional.cross_entropy(
                    scores[-len(tokens) :], torch.tensor(tokens), reduction="sum"
                )
                assert counts[branch] == len(tokens)
                assert float(logs[branch]) == pytest.approx(
                    float(alone), rel=0.02
                )  # bfloat16, on some processors
                branch += 1
            before += encode(choice.drawn[choice.taken] + PARAGRAPHS, tokenizer)
        assert branch == len(logs)


def margins(training: Preferring) -> list[float]:
    """By how much more the better of each pair gained than the worse."""
    training.model.eval()
    found: list[float] = []
    with torch.no_grad():
        for number, (pairs, reference) in enumerate(zip(training.pairs, training.reference, strict=True)):
            gained = training._logs(number)[0] - reference
            found += [float(gained[better] - gained[worse]) for better, worse, _ in pairs]
    training.model.train()
    return found


@torch.no_grad()
def loss_of_all(training: Preferring) -> float:
    return sum(map(float, training._losses([0, 1, 2, 3])))


def test_the_better_one_becomes_more_probable(small: BaseConfig, tmp_path: Path) -> None:
    with Preferring(small, tmp_path / "run") as training:
        assert margins(training) == pytest.approx([0.0] * 36, abs=1e-4)  # three pairs of each of twelve beats
        before = loss_of_all(training)
        while training.progress() < 1:
            training.step()
        assert loss_of_all(training) < before - 0.2
        assert min(margins(training)) > 1.0
        out = training.finish()
    about = json.loads((out / "training.json").read_text("utf-8"))
    assert about["beta"] == 0.1 and len(about["choices_sha256"]) == 64 and about["steps"] > 5


def test_a_pair_counts_by_its_difference_and_a_smaller_one_not_at_all(
    small: BaseConfig, tmp_path: Path
) -> None:
    with Preferring(replace(small, gap=4.5), tmp_path / "run") as training:
        # 9 and 1 fully; 5 and 1, and 9 and 5, differ by less than the gap.
        assert {weight for pairs in training.pairs for *_, weight in pairs} == {1.0}
        assert sum(map(len, training.pairs)) == 12
    write_choices(
        tmp_path / "close.jsonl",
        [RatedStory(one.brief, tuple(replace(c, ratings=(5, 3, 4.5, None)) for c in one.choices)) for one in rated_stories()],
    )  # fmt: skip
    with Preferring(replace(small, choices=str(tmp_path / "close.jsonl")), tmp_path / "other") as training:
        assert sorted({weight for pairs in training.pairs for *_, weight in pairs}) == [0.375, 0.5]


def test_a_damaged_run_is_named(tuned: BaseConfig, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "G" / "model" / "model.safetensors"
    weights = load_file(file)
    save_file(
        {name: tensor for name, tensor in weights.items() if "q_proj" not in name}, file, {"format": "pt"}
    )
    with pytest.raises(ValueError, match=r"G.model is damaged: .* weights are missing"):
        adapt(tuned, tmp_path)


def test_what_processes_share_adds_up_to_the_whole(
    small: BaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Preferring(small, tmp_path / "run") as training, torch.no_grad():
        whole = sum(map(float, training._losses([0, 1, 2])))
        parts: list[float] = []
        for rank in range(2):
            monkeypatch.setattr("training.processes.rank", lambda rank=rank: rank)
            monkeypatch.setattr("training.processes.count", lambda: 2)
            parts += map(float, training._losses([0, 1, 2]))
        assert len(parts) == 3 and sum(parts) == pytest.approx(whole, rel=1e-5)
        assert training._learn([0]) is None  # the second process has none of one story


@pytest.fixture
def tuned(small: BaseConfig, tmp_path: Path) -> BaseConfig:
    """The same with two of four stories told by a run "G", whose tuning changed every layer."""
    before = Path(str(small.start)).parent / "model"
    after = tmp_path / "runs" / "G" / "model"
    shutil.copytree(before, after)
    torch.manual_seed(1)
    weights = load_file(before / "model.safetensors")
    changed = {
        name: tensor + 0.1 * torch.randn_like(tensor) if "_proj" in name else tensor
        for name, tensor in weights.items()
    }
    save_file(changed, after / "model.safetensors", {"format": "pt"})
    stories = [replace(story, by="G") if at % 2 else story for at, story in enumerate(rated_stories())]
    write_choices(tmp_path / "tuned.jsonl", stories)
    return replace(small, choices=str(tmp_path / "tuned.jsonl"), tuned=str(tmp_path / "runs"))


def test_what_a_run_told_is_learned_on_top_of_its_tuning(tuned: BaseConfig, tmp_path: Path) -> None:
    with Preferring(tuned, tmp_path / "run") as training, torch.no_grad():
        assert training.by == ["", "G", "", "G"]
        training.model.eval()
        plain = load_weights(Base("", Path(str(tuned.start)).parent / "model"), training.dtype)
        other = load_weights(Base("", tmp_path / "runs" / "G" / "model"), training.dtype)
        for number, model in enumerate((plain, other, plain, other)):
            one = training.trees[number]
            at, start, count = one.branches[0]
            ids = torch.tensor([[*one.ids[: at + 1], *one.ids[start : start + count]]])
            scores = model(input_ids=ids).logits[0, -count - 1 : -1].float()
            alone = -functional.cross_entropy(scores, ids[0, -count:], reduction="sum")
            assert float(training.reference[number][0]) == pytest.approx(float(alone), rel=0.03)
        figures = training.measure()
        training._stand_on("G")
        assert training.measure() == figures  # of the base, whatever was looked at last


def test_a_run_that_is_gone_is_named(tuned: BaseConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tuned.jsonl has stories of the run G, and there is no .*train it"):
        adapt(replace(tuned, tuned=str(tmp_path / "nowhere")), tmp_path)
    assert not (tmp_path / "preferences").exists()
    adapt(tuned, tmp_path, steps=1)
    weights = tmp_path / "runs" / "G" / "model" / "model.safetensors"
    save_file({name: -tensor for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(ValueError, match="was made with another tuned_sha256"):
        adapt(tuned, tmp_path)


def test_a_run_of_another_base_is_named(tuned: BaseConfig, tmp_path: Path) -> None:
    model = tmp_path / "runs" / "G" / "model"
    wider = AutoConfig.from_pretrained(model)
    wider.intermediate_size *= 2
    AutoModelForCausalLM.from_config(wider).save_pretrained(model)
    with pytest.raises(ValueError, match=r"the run G in .* is of another base than .*; set base to its own"):
        adapt(tuned, tmp_path)


def test_what_tuned_runs_take_of_the_memory_is_counted(
    small: BaseConfig, tuned: BaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[float] = []
    monkeypatch.setattr("training.base.adapt.best_device", lambda: "cpu")
    monkeypatch.setattr(
        "training.base.adapt.check_memory", lambda base, factor, advice: counted.append(factor)
    )
    for number, config in enumerate((small, tuned)):
        Preferring(config, tmp_path / str(number)).close()
    assert counted[1] - counted[0] == pytest.approx(1)


def test_who_repeats_the_plot_loses_points(small: BaseConfig, tmp_path: Path) -> None:
    beats = ("a tired woman comes in and puts a red hat on the long table",)
    drawn = (
        "A tired woman comes in and puts a red hat on the long table.",  # all of its 4-grams
        "She laid her red hat on the long table and sighed.",  # three of eight
        "Hat.",
    )
    story = RatedStory(Brief(beats=beats), (Choice(drawn, 0, (8, 7, 3)),))
    with Preferring(small, tmp_path / "run") as training:
        plain = tree(story, training.tokenizer, lambda ratings: True)
        assert [rating for rating, _ in plain.rated[0]] == [8, 7, 3]
        stern = tree(story, training.tokenizer, lambda ratings: True, copying=4.0)
        assert [rating for rating, _ in stern.rated[0]] == pytest.approx([4.0, 7 - 4 * 3 / 8, 3.0])
    write_choices(tmp_path / "hat.jsonl", [story])
    for copying, best in ((0.0, 0), (4.0, 1)):
        config = replace(small, choices=str(tmp_path / "hat.jsonl"), copying=copying, imitate=0.0)
        with Preferring(config, tmp_path / f"copying-{copying}") as training:
            assert {better for better, *_ in training.pairs[0]} == set(range(best, 2))


def test_a_stories_run_is_kept(tmp_path: Path) -> None:
    stories = [replace(story, by="G") for story in rated_stories()[:1]]
    write_choices(tmp_path / "choices.jsonl", stories)
    assert read_choices(tmp_path / "choices.jsonl") == stories
    row = json.loads((tmp_path / "choices.jsonl").read_text("utf-8"))
    (tmp_path / "choices.jsonl").write_text(json.dumps(row | {"by": "../G"}) + "\n", "utf-8")
    with pytest.raises(ValueError, match=r"line 1: by must be the name of a run \(letters.*\), found '../G'"):
        read_choices(tmp_path / "choices.jsonl")


def test_stopped_and_continued_it_ends_the_same(tuned: BaseConfig, tmp_path: Path) -> None:
    whole = adapt(tuned, tmp_path / "one")
    adapt(tuned, tmp_path / "other", steps=3)
    parts = adapt(tuned, tmp_path / "other")
    assert (whole / "adapter_model.safetensors").read_bytes() == (
        parts / "adapter_model.safetensors"
    ).read_bytes()


def test_other_ratings_are_another_training(small: BaseConfig, tmp_path: Path) -> None:
    adapt(small, tmp_path, steps=1)
    write_choices(tmp_path / "other.jsonl", rated_stories()[:2])
    changed = replace(small, choices=str(tmp_path / "other.jsonl"))
    with pytest.raises(ValueError, match="was made with another choices, choices_sha256"):
        adapt(changed, tmp_path)


def test_another_adapter_in_its_place_is_another_training(small: BaseConfig, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(str(small.start), start)
    config = replace(small, start=str(start))
    adapt(config, tmp_path, steps=1)
    weights = load_file(start / ADAPTER)
    save_file({name: tensor * 2 for name, tensor in weights.items()}, start / ADAPTER, {"format": "pt"})
    with pytest.raises(ValueError, match="was made with another start_sha256"):
        adapt(config, tmp_path)


def test_it_does_not_go_on_as_a_training_of_stories(small: BaseConfig, tmp_path: Path) -> None:
    adapt(small, tmp_path, steps=1)
    with pytest.raises(ValueError, match="was made with another choices"):
        adapt(replace(small, choices=None), tmp_path)


def test_what_is_missing_is_said_before_anything_is_made(small: BaseConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no rated candidates at none.jsonl; draw some"):
        adapt(replace(small, choices="none.jsonl"), tmp_path)
    with pytest.raises(ValueError, match=r"there is no adapter in nowhere; set start to a folder"):
        adapt(replace(small, start="nowhere"), tmp_path)
    assert not (tmp_path / "preferences").exists()


def test_stories_that_are_too_long_are_left_out_and_said(
    small: BaseConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Preferring(small, tmp_path / "run") as training:
        lengths = sorted(len(one.ids) for one in training.trees)
    short = replace(small, tokens_per_step=lengths[1], context=50)
    capsys.readouterr()
    with Preferring(short, tmp_path / "short") as training:
        assert sorted(len(one.ids) for one in training.trees) == lengths[:2]
    assert "2 rated stories, 6 beats" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match=f"more than 60 tokens .*; set tokens_per_step to {lengths[0]} or more"
    ):
        adapt(replace(small, tokens_per_step=60, context=60), tmp_path)


def test_candidates_without_ratings_are_refused(small: BaseConfig, tmp_path: Path) -> None:
    bare = [
        RatedStory(one.brief, tuple(replace(c, ratings=(None,) * 4) for c in one.choices))
        for one in rated_stories()
    ]
    write_choices(tmp_path / "bare.jsonl", bare)
    with pytest.raises(
        ValueError, match=r"bare.jsonl has no beat whose candidates differ by 1.5 or more; rate"
    ):
        adapt(replace(small, choices=str(tmp_path / "bare.jsonl")), tmp_path)


def test_preferring_needs_the_adapter_that_drew(small: BaseConfig) -> None:
    with pytest.raises(ValueError, match="choices: needs the adapter that drew them; set start"):
        replace(small, start=None)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"ratings": [5, 11]}, "a rating must be a number from 0 to 10 or null, found 11"),
        ({"ratings": [5, "good"]}, "found 'good'"),
        ({"ratings": [5, math.nan]}, "found nan"),
        ({"ratings": [5]}, "2 candidates and 1 ratings; give each one, or null"),
        ({"taken": 2}, "taken must be a whole number below 2, found 2; count from 0"),
        ({"drawn": None}, "line 1: .*Correct that line"),
        ({"drawn": ["One.", 2]}, "a candidate must be a text"),
        ({"drawn": ["", "Two."]}, "goes on with is empty; take another one"),
        ({"taken": 0.0}, "taken must be a whole number below 2, found 0.0"),
        ({"ratings": [5, True]}, "found True"),
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path: Path, choice: dict[str, Any], said: str) -> None:
    whole = {"drawn": ["One.", "Two."], "taken": 0, "ratings": [5, None]}
    row = {"brief": {"beats": ["somebody comes"]}, "choices": [whole | choice]}
    (tmp_path / "choices.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    with pytest.raises(ValueError, match=said):
        read_choices(tmp_path / "choices.jsonl")


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    good = {"brief": {"beats": ["somebody comes"]}, "choices": []}
    one = {"drawn": ["One."], "taken": 0, "ratings": [5]}
    for line, said in (
        ('{"brief": }', "line 2: Expecting value"),
        ('{"choices": []}', "line 2: 'brief' is missing"),
        (json.dumps({**good, "choices": [one, one]}), "line 2: there are 1 beats and 2 choices"),
    ):
        (tmp_path / "choices.jsonl").write_text(f"{json.dumps(good)}\n{line}\n", "utf-8")
        with pytest.raises(ValueError, match=said):
            read_choices(tmp_path / "choices.jsonl")


def test_a_story_may_go_on_with_a_paragraph_that_was_cut() -> None:
    found: dict[str, list[Choice]] = {}
    noting = _noting(lambda brief, before, drawn: 1, found)
    brief = Brief(beats=("somebody comes", "somebody goes"))
    drawn = [Paragraph("One.", False, 0.0), Paragraph("Two.", False, 0.0), Paragraph("Three.", True, 0.0)]
    assert noting(brief, [], drawn) == noting(brief, ["Two."], drawn) == 1
    assert [one.drawn for one in found[_key(brief)]] == [("", "Two.", "Three.")] * 2


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there are no rated candidates at .*none.jsonl; draw some"):
        read_choices(tmp_path / "none.jsonl")
    (tmp_path / "half.jsonl.xz").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"half.jsonl.xz is damaged"):
        read_choices(tmp_path / "half.jsonl.xz")


def told(story: RatedStory) -> Iterable[str]:
    return (choice.drawn[choice.taken] for choice in story.choices)


def test_a_base_tells_and_all_of_its_candidates_are_kept(
    small: BaseConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "candidates.jsonl"
    config = tmp_path / "config.yaml"
    config.write_text(f"stories: {small.stories}\ntokens: 100\n", "utf-8")
    assert main(["base", "candidates", str(config), str(out), "--briefs", "4"]) == 0
    assert "paragraphs of 4 stories" in capsys.readouterr().out
    stories = read_choices(out)
    assert len(stories) == 4 and all(story.choices for story in stories)
    # Two with plots of the bank for briefs like the originals', two with the beats of stories for training.
    taught = {story.beats for story in few_stories() if not story.test}
    assert [story.brief.beats in taught for story in stories] == [False, False, True, True]
    for story in stories:
        assert len(story.choices) <= len(story.brief.beats)
        for choice in story.choices:
            assert len(choice.drawn) == 4 and choice.ratings == (None,) * 4
            assert choice.drawn[choice.taken]
    assert all(text for story in stories for text in told(story))
    assert main(["base", "candidates", str(config), str(out), "--briefs", "4"]) == 2
    assert "is there already, perhaps with ratings; name another file" in capsys.readouterr().err
    assert main(["base", "candidates", str(config), str(tmp_path / "x.jsonl"), "--briefs", "0"]) == 2


def test_the_projects_own_ratings() -> None:
    stories = read_choices(FOLDER / "choices.jsonl.xz")
    assert len(stories) == 67 and sum(len(story.choices) for story in stories) == 589
    assert Counter(story.by for story in stories) == {"": 36, "G": 7, "N": 7, "J": 6, "K": 6, "M": 5}
    originals = load_originals(ROOT / "data" / "seeds")
    index = CopyIndex([one.text for one in originals], [one.name for one in originals])
    for story in stories:
        assert isinstance(story.brief, Brief) and len(story.choices) <= len(story.brief.beats)
        span = index.longest(PARAGRAPHS.join(told(story)))
        assert span is None or span.words < 8
