"""What each original alone teaches the others: the very figures of a tuning on it, and the words for them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from data.bases import resolve
from inference.checkpoints import load_weights
from inference.likelihood import summarise, token_nll
from inference.runs import Run
from inference.summary import teaching
from training import TrainConfig, train
from training.config import build_config
from training.finetune import finetune
from training.influence import UPDATES, influence
from training.plan import Plan

Make = Callable[..., TrainConfig]


def test_the_share_is_that_of_each_text_under_the_base() -> None:
    bits = {None: [1.0, 2.0], 0: [0.5, 2.2], 1: [1.1, 1.0]}
    assert influence(2, bits.__getitem__) == [pytest.approx([-0.5, 0.1]), pytest.approx([0.1, -0.5])]


def test_a_run_says_what_a_tuning_on_one_of_its_texts_does_to_the_others(few_words_run: Path) -> None:
    run = Run.open(few_words_run)
    found = run.held_out["influence"]
    texts = [original.text for original in run.originals]
    base = resolve(run.config["base"])
    tokenizer, context = base.tokenizer(), run.config["context"]

    def bits(model: object) -> list[float]:
        return list(summarise(texts, token_nll(texts, model, tokenizer, context))["texts"]["bits_per_byte"])  # type: ignore[arg-type]

    before = bits(load_weights(base))
    alone = Plan(run.originals[1:2], tokenizer, context, build_config(run.config))
    after = bits(finetune(base, alone, UPDATES))
    assert found[1] == pytest.approx([a / b - 1 for a, b in zip(after, before, strict=True)])
    assert all(
        found[i][i] == min(found[i]) < 0 for i in range(3)
    )  # nothing is learned as well as what is shown
    metrics = json.loads((few_words_run / "metrics.json").read_text("utf-8"))
    assert metrics["influence"] == found
    page = (few_words_run / "report.html").read_text("utf-8")
    assert "What each original teaches" in page
    for row in found:
        for value in row:
            assert f"{100 * value:+.2f}%" in page


@pytest.mark.parametrize(
    "settings", [{"hold_out": False, "steps": 1}, {}], ids=["nothing held out", "one text"]
)
def test_without_folds_there_is_none(settings: dict[str, object], tiny: Make, few_words: Path) -> None:
    if not settings:
        for path in sorted(few_words.iterdir())[1:]:
            path.unlink()
    run = train(tiny(originals=str(few_words), samples_per_fold=0, **settings))
    assert Run.open(run).held_out["influence"] is None


def test_the_words_name_who_helps_most_and_who_stands_apart() -> None:
    names = ["a", "b", "c"]
    said = teaching([[-0.3, -0.02, -0.02], [-0.01, -0.4, 0.0], [0.02, 0.04, -0.5]], names)
    assert "a teaches most about the others (-2.00% bits per byte on average) and c least (+3.00%)" in said
    assert "stands apart" in said
    friendly = teaching([[-0.3, -0.02], [-0.01, -0.4]], names[:2])
    assert "a teaches most about the others (-2.00%" in friendly and "b least (-1.00%)." in friendly
    assert "stands apart" not in friendly
