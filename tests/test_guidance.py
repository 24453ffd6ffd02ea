"""Guidance: the formula, texts that stay the same in any company while rows leave, and more of the brief in the text."""

import re
from collections.abc import Callable, Sequence

import pytest
import torch

from data.brief import Brief, read_vignettes
from data.originals import load_originals
from inference.checkpoints import Checkpoint, load
from inference.decoding import Decoding
from inference.exported import NEEDED
from inference.guidance import Guided
from inference.likelihood import perplexity
from inference.sample import Sample
from inference.sampling import generate, stream
from tests.small import ROOT, SEEDS
from training.config import TrainConfig
from training.job import train

BRIEFS = [
    Brief(name="Nadia Benali", occupation="piano tuner", keywords=("rain", "key"), length=380),
    Brief(),
    Brief(name="Ida"),
    Brief(place="a harbour café", meets="an old clarinettist"),
    Brief(keywords=tuple(f"thing {i}" for i in range(30))),  # a prompt of another width
    Brief(name="Ida Voss", length=300),
]


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return load("stories", dtype="float32", device="cpu")


def texts(samples: Sequence[Sample]) -> list[str]:
    return [sample.text for sample in samples]


def test_what_the_brief_adds_counts_as_often_as_is_asked_among_what_it_leaves_probable() -> None:
    with_brief = torch.tensor([[0.5, 0.3, 0.19, 0.01], [0.7, 0.1, 0.1, 0.1]]).log()
    without = torch.tensor([[0.5, 0.1, 0.39, 0.01], [0.25, 0.25, 0.25, 0.25]]).log()
    decoding = Decoding(temperature=0.5, top_p=1.0, min_p=0.01, guidance=3.0)
    guided = Guided(3.0, 0.5, decoding.warpers(), [])
    found = guided(torch.zeros(4, 1), torch.cat([with_brief, without]))
    assert torch.equal(found[:2], found[2:])
    # p * (p / q) ** 2, at the temperature; 0.01 has (0.01 / 0.5) ** 2 of the best one's share and is cut.
    expected = ((with_brief + 2 * (with_brief - without)) / 0.5).exp()
    expected[0, 3] = 0
    assert torch.allclose(found[:2].softmax(dim=-1), expected / expected.sum(dim=-1, keepdim=True), atol=1e-6)


def test_texts_that_have_ended_leave_with_both_of_their_rows() -> None:
    decoding = Decoding(temperature=1.0, top_p=1.0, min_p=0.0, guidance=2.0)
    guided, (alone,) = Guided(2.0, 1.0, [], decoding.noise(0, [0, 1, 2])), decoding.noise(0, [0, 1, 2])
    scores, ids = torch.randn(6, 9, generator=torch.Generator().manual_seed(0)), torch.zeros(6, 1)
    assert torch.equal(guided(ids, scores)[3:], alone(ids, 2 * scores[:3] - scores[3:]))
    guided.keep([0, 2, 3, 5])
    alone.keep([0, 2])
    scores = scores[:4]
    assert torch.equal(guided(ids, scores)[:2], alone(ids, 2 * scores[:2] - scores[2:]))


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_guided_text_is_the_same_at_any_number_and_in_any_company(base: Checkpoint, backend: str) -> None:
    if backend == "onnx":
        for name in NEEDED:
            pytest.importorskip(name)
    settings = {"seed": 3, "max_new_tokens": 24, "backend": backend, "plan": "none"}
    together = texts(generate(base, brief=BRIEFS, batch_size=8, **settings))
    for size in (1, 2):
        assert texts(generate(base, brief=BRIEFS, batch_size=size, **settings)) == together
    assert texts(generate(base, brief=BRIEFS[:1], **settings)) == together[:1]
    pieces = stream(base, brief=BRIEFS[0], **settings)
    assert "".join(pieces).rstrip() == together[0]
    once = texts(generate(base, brief=BRIEFS, guidance=1, **settings))
    same = [a == b for a, b in zip(together, once, strict=True)]
    assert same[1] and sum(same) < 3  # what has no brief is not guided


UNSEEN = [brief for brief, _ in read_vignettes(ROOT / "tests" / "vignettes")]


def test_a_guided_text_owes_more_to_its_brief(base: Checkpoint) -> None:
    """By the model's own account: how much likelier the brief makes a text than it is without one."""

    def owed(guidance: float) -> float:
        settings = {"batch_size": 12, "max_new_tokens": 60, "plan": "none"}
        drawn = texts(generate(base, brief=UNSEEN[:12], guidance=guidance, **settings))
        briefed, bare = (perplexity(drawn, base, briefs=briefs) for briefs in (UNSEEN[:12], [Brief()] * 12))
        return float(bare["nll"] - briefed["nll"])

    assert owed(2.0) > 1.3 * owed(1.0) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("real_base")
def test_more_of_the_brief_is_in_a_guided_text() -> None:
    """The base of this project, on briefs that it has not seen: words of the brief, its name apart, in a text's beginning."""
    briefs = UNSEEN[:16]

    def said(guidance: float) -> int:
        settings = {"batch_size": 16, "max_new_tokens": 70, "plan": "none"}
        samples = generate("stories", brief=briefs, guidance=guidance, **settings)
        asked = [(b.occupation, b.place, b.meets, *b.keywords) for b in briefs]
        wanted = [set(re.findall(r"\w{4,}", " ".join(filter(None, fields)).casefold())) for fields in asked]
        found = [set(re.findall(r"\w+", sample.text.casefold())) for sample in samples]
        return sum(len(own & of) for own, of in zip(wanted, found, strict=True))

    assert said(2.0) > said(1.0)


def test_a_greedy_draw_is_guided_too_and_by_default(base: Checkpoint) -> None:
    settings = {"brief": BRIEFS[0], "temperature": 0, "max_new_tokens": 25, "plan": "none"}
    (default,), (twice,), (once,) = (
        generate(base, seed=seed, guidance=g, **settings) for seed, g in ((1, None), (2, 2), (3, 1))
    )
    assert default.text == twice.text != once.text


def test_a_run_says_how_much_and_its_model_does_so_alone(tiny: Callable[..., TrainConfig]) -> None:
    run = train(tiny(guidance=3.0, hold_out=False, steps=0))
    settings = {"brief": BRIEFS[0], "seed": 5, "max_new_tokens": 12}
    asked = texts(generate(run, guidance=3.0, **settings))
    assert texts(generate(run, **settings)) == texts(generate(run / "model", **settings)) == asked
    assert texts(generate(run, guidance=1.0, **settings)) != asked


@pytest.mark.slow
def test_whole_guided_texts_are_guarded_and_the_same_in_batches_of_any_size(base: Checkpoint) -> None:
    """Until they end, so that rows leave: of each text both."""
    originals = [original.text for original in load_originals(SEEDS)]
    settings = {"n": 12, "seed": 2, "originals": originals, "guard": 2, "max_new_tokens": 700}
    together = generate(base, batch_size=12, **settings)
    assert len({sample.tokens for sample in together}) > 6 and all(s.scores["refused_runs"] for s in together)
    assert generate(base, batch_size=5, **settings) == together
