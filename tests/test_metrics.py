"""Our metrics as `evaluate` modules: from any working directory, without a network, equal to the direct functions."""

import os
from pathlib import Path

import evaluate
import pytest

from data.originals import load_originals
from inference.checkpoints import load
from inference.delta import deltas
from inference.imposters import style_votes
from inference.likelihood import perplexity
from inference.metrics import NAMES, load_metric
from inference.near import near_copied
from inference.novelty import CopyIndex, repetition
from inference.scale import content, stylometric
from inference.scoring import score
from inference.structure import structure
from inference.stylometry import contrast_texts
from tests.small import ROOT, SEEDS

ORIGINALS = [original.text for original in load_originals(SEEDS)]
TEXTS = [ORIGINALS[0][:400], contrast_texts()[0][:400], "Xyzzy"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_there_is_a_module_for_every_name_and_no_other() -> None:
    folder = ROOT / "inference" / "metrics"
    assert sorted(path.parent.name for path in folder.glob("*/*.py")) == sorted(NAMES)
    for name in NAMES:
        metric = load_metric(name)
        assert isinstance(metric, evaluate.Metric)
        assert metric.description
        assert "predictions" in metric.inputs_description
        assert metric.features.keys() == {"predictions"}
    assert os.listdir() == []  # nothing is left where the user is


def test_perplexity_equals_the_direct_function() -> None:
    tiny = load("tiny", dtype="float32")
    found = load_metric("perplexity").compute(predictions=TEXTS, model=tiny, batch_size=2)
    direct = perplexity(TEXTS, tiny)
    texts = found.pop("texts")
    assert found == pytest.approx({key: direct[key] for key in direct if key != "texts"}, rel=1e-5)
    for key, values in direct["texts"].items():
        assert texts[key] == pytest.approx(values, rel=1e-5)


def test_perplexity_takes_a_model_by_name() -> None:
    found = load_metric("perplexity").compute(predictions=["Rain."], model="tiny")
    assert found["perplexity"] == pytest.approx(perplexity(["Rain."], "tiny")["perplexity"], rel=1e-5)


def test_novelty_equals_the_direct_functions() -> None:
    index = CopyIndex(ORIGINALS)
    found = load_metric("novelty").compute(predictions=TEXTS, originals=ORIGINALS)
    longest = [row["longest_copied_span"] for row in found["texts"]]
    assert longest == [index.longest(TEXTS[0]).words, index.longest(TEXTS[1]).words, 0]
    assert found["longest_copied_span"] == max(longest) > 50
    for n in (4, 5, 8):
        known = [index.ngram_novelty(text, n) for text in TEXTS[:2]]
        assert [row[f"novelty_{n}gram"] for row in found["texts"]] == [*known, None]
        assert found[f"novelty_{n}gram"] == pytest.approx(sum(known) / 2)
    for key, function in (
        ("copied_8", index.copied_share),
        ("near_copied", lambda text: near_copied(text, ORIGINALS)),
        ("repetition", repetition),
    ):
        values = [function(text) for text in TEXTS]
        assert [row[key] for row in found["texts"]] == values
        assert found[key] == pytest.approx(sum(values) / 3)
    assert found["texts"][0]["copied_8"] > 0.9
    assert load_metric("novelty").compute(predictions=["Xyzzy"], originals=ORIGINALS)["novelty_4gram"] is None


def test_similarity_and_style_equal_the_direct_functions() -> None:
    found = load_metric("similarity").compute(predictions=TEXTS, originals=ORIGINALS)
    assert found["similarities"] == pytest.approx(content(TEXTS, ORIGINALS).tolist(), abs=1e-5)
    assert found["similarity"] == pytest.approx(content(TEXTS, ORIGINALS).mean(), abs=1e-5)
    found = load_metric("style").compute(predictions=TEXTS, originals=ORIGINALS)
    assert found["styles"] == pytest.approx(style_votes(TEXTS, ORIGINALS, equal=True)["style"].tolist())
    votes = style_votes(TEXTS, ORIGINALS, equal=True)
    assert found["style"] == pytest.approx(votes["style"].mean())
    for family, values in found["families"].items():
        assert values == pytest.approx(votes[family].tolist())
    card = score(TEXTS, ORIGINALS)
    assert found["same_hand"] == pytest.approx([text.metrics["same_hand"] for text in card.texts])
    assert "same_hand" not in load_metric("style").compute(predictions=TEXTS, originals=ORIGINALS[:1])


def test_the_other_metrics_equal_the_direct_functions() -> None:
    found = load_metric("stylometry").compute(predictions=TEXTS, originals=ORIGINALS)
    assert found["stylometries"] == pytest.approx(stylometric(TEXTS, ORIGINALS, equal=True).tolist())
    found = load_metric("delta").compute(predictions=TEXTS, originals=ORIGINALS)
    burrows, cosine = deltas(TEXTS, ORIGINALS)
    assert found["burrows_deltas"] == pytest.approx(burrows.tolist())
    assert found["cosine_delta"] == pytest.approx(cosine.mean())
    found = load_metric("structure").compute(predictions=TEXTS)
    assert found["texts"] == [structure(text) for text in TEXTS]
    assert found["words"] == pytest.approx(sum(len(text.split()) for text in TEXTS) / 3)
    found = load_metric("diversity").compute(predictions=ORIGINALS, originals=ORIGINALS)
    assert found["n"] == 4
    assert found["texts"] == found["originals"]
    assert 1 < found["texts"]["vendi"] < 4


def test_metrics_combine_and_each_takes_what_it_needs() -> None:
    combined = evaluate.combine([load_metric("novelty"), load_metric("style"), load_metric("perplexity")])
    found = combined.compute(predictions=TEXTS, originals=ORIGINALS, model="tiny")
    alone = load_metric("style").compute(predictions=TEXTS, originals=ORIGINALS)
    assert found["style"] == pytest.approx(alone["style"])
    assert {"longest_copied_span", "novelty_4gram", "style", "perplexity", "bits_per_byte"} <= set(found)


def test_texts_added_one_after_another_count_together() -> None:
    metric = load_metric("novelty")
    metric.add(prediction=TEXTS[0])
    metric.add_batch(predictions=TEXTS[1:])
    found = metric.compute(originals=ORIGINALS)
    assert found == load_metric("novelty").compute(predictions=TEXTS, originals=ORIGINALS)


@pytest.mark.parametrize(
    ("name", "message"),
    [("perplexty", "did you mean 'perplexity'"), ("bleu", "there are delta, diversity")],
)
def test_an_unknown_name_is_met_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_metric(name)
