"""The second half of a run: that its figures are the files' own, and that its pages show what is there and nothing else."""

import html
import json
import math
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from data import Brief, detect_brief
from inference import perplexity, score
from inference.draws import BASE, FINAL, write_blind
from inference.plots import curves
from inference.report import write_report
from inference.runs import Run
from inference.summary import limits, memorising, read_metrics, table, verdict_sentences
from tests.small import NOIR
from training import TrainConfig, train

EVIL = "<script>alert(1)</script>"
QUOTED = '"><img src=x onerror=alert(2)>'


def read(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{path.name} has {constant}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def rows(run: Path, of: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "samples.jsonl").read_text("utf-8").split("\n") if line]
    return [row for row in found if of in (None, row["set"])]


def write_rows(run: Path, changed: list[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in changed]
    (run / "samples.jsonl").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


def source_of(path: Path) -> str:
    """The page to the character; read_text would make line feeds of carriage returns."""
    return path.read_bytes().decode("utf-8")


class Page(HTMLParser):
    """Tags with their attributes, and the text of every sheet."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._depth = 0
        self.feed(source_of(path))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if self._depth:
            self._depth += tag == "div"
        elif tag == "div" and dict(attrs).get("class") == "text":
            self._depth = 1
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._depth -= bool(self._depth) and tag == "div"

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.texts[-1] += data


SPLICED = 9
"""Words in a row of an original that `doctored` has in its first sample."""


@pytest.fixture(scope="session")
def doctored(few_words_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared run, reported again with hostile names and a first sample that has everything a text can have."""
    run = Path(shutil.copytree(few_words_run, tmp_path_factory.mktemp("doctored") / "tiny"))
    first, second, third = Run.open(run).originals[:3]
    rename_original(run, first.name, EVIL)
    rename_original(run, second.name, QUOTED)
    copied = " ".join(third.text.split()[10 : 10 + SPLICED])
    changed = rows(run)
    text = f"“He said {EVIL} & {QUOTED}.”\n\n  Été: {copied} \u2028then\x85nothing\u2029at\x0ball."
    spans = [
        {"start": text.index(said), "end": text.index(said) + len(said), "words": words, "source": QUOTED}
        for said, words in ((EVIL, 5), (copied, SPLICED))
    ]
    changed[0] |= {"text": text, "copied_spans": spans, "remark": EVIL, "ended_by_eos": True}
    changed[0]["brief"] = {"name": QUOTED, "place": EVIL, "keywords": [EVIL, QUOTED]}
    changed[1]["scores"]["nearest"] = EVIL
    changed[1]["ended_by_eos"] = False
    write_rows(run, changed)
    write_report(run)
    return run


@pytest.fixture
def copy(few_words_run: Path, tmp_path: Path) -> Path:
    """A small run to be changed, its fold models gone as they usually are."""
    run = Path(shutil.copytree(few_words_run, tmp_path / "copy"))
    shutil.rmtree(run / "folds")
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"keep_folds": False}), "utf-8")
    return run


def rename_original(run: Path, old: str, new: str) -> None:
    """As if the original had been called so from the beginning."""
    for name in ("originals.jsonl", "folds.json", "provenance.json", "samples.jsonl"):
        content = (
            (run / name).read_text("utf-8").replace(json.dumps(old), json.dumps(new, ensure_ascii=False))
        )
        (run / name).write_text(content, "utf-8", newline="\n")


# Figures


def test_the_held_out_figures_are_those_of_the_folds(few_words_run: Path) -> None:
    """At each fold's own steps; bits of all texts by bytes of all texts, and by tokens: no means of the folds' figures."""
    metrics, run = read(few_words_run / "metrics.json")["held_out"], Run.open(few_words_run)
    texts = {original.name: original.text for original in run.originals}
    assert len(metrics["folds"]) == len(texts) == 3
    assert len({fold["steps"] for fold in metrics["folds"]}) > 1
    sizes = {name: len(text.encode()) for name, text in texts.items()}
    for label in ("base", "tuned"):
        bits = 0.0
        for fold, reported in zip(read(few_words_run / "folds.json")["folds"], metrics["folds"], strict=True):
            (name,) = fold["originals"]
            step = fold["steps"] if label == "tuned" else 0
            value = next(point["held_out"] for point in fold["points"] if point["step"] == step)
            assert reported[f"bits_per_byte_{label}"] == value
            assert (reported["original"], reported["steps"]) == (name, fold["steps"])
            bits += value * sizes[name]
        tokens = perplexity(list(texts.values()), few_words_run)["tokens"]
        assert metrics[f"bits_per_byte_{label}"] == pytest.approx(bits / sum(sizes.values()), rel=1e-9)
        assert metrics[f"perplexity_{label}"] == pytest.approx(2 ** (bits / tokens), rel=1e-9)


def test_behind_a_brief_and_at_the_end_base_and_fold_model_stand_side_by_side(few_words_run: Path) -> None:
    metrics, run = read(few_words_run / "metrics.json")["held_out"], Run.open(few_words_run)
    texts = {original.name: original.text for original in run.originals}
    for label in ("base", "tuned"):
        behind, ends = [], []
        for fold in run.held_out["folds"]:
            model = "tiny" if label == "base" else run.fold_folder(fold["index"]) / "model"
            (text,) = (texts[name] for name in fold["originals"])
            found = detect_brief(text)
            brief = Brief(name=found.name, place=found.place)
            behind.append(perplexity([text], model, briefs=[brief])["bits_per_byte"])
            ends.append(perplexity([text], model)["end_nll"])
        assert metrics[f"bits_per_byte_with_brief_{label}"] == pytest.approx(
            statistics.mean(behind), rel=1e-4
        )
        assert metrics[f"end_nll_{label}"] == pytest.approx(statistics.mean(ends), rel=1e-4)


def test_the_base_of_the_folds_is_the_base_as_perplexity_measures_it(tiny_run: Path) -> None:
    """The folds looked through windows of 256 tokens, `perplexity` through the base's own context."""
    metrics, run = read(tiny_run / "metrics.json")["held_out"], Run.open(tiny_run)
    found = perplexity([original.text for original in run.originals], "tiny")
    assert max(found["texts"]["tokens"]) < run.config["context"]
    each = [fold["bits_per_byte_base"] for fold in metrics["folds"]]
    assert each == pytest.approx(found["texts"]["bits_per_byte"], rel=1e-5)
    assert metrics["perplexity_base"] == pytest.approx(found["perplexity"], rel=1e-4)


def longest_common_words(text: str, other: str) -> int:
    """By brute force, words as \\w says: none of these texts has an apostrophe where two words copied meet."""
    first, second = (re.findall(r"[\w’']+", t.casefold()) for t in (text, other))
    longest = 0
    for i in range(len(first)):
        for j in range(len(second)):
            k = 0
            while i + k < len(first) and j + k < len(second) and first[i + k] == second[j + k]:
                k += 1
            longest = max(longest, k)
    return longest


def test_the_longest_copied_spans_are_what_brute_force_finds(doctored: Path) -> None:
    originals, metrics = (
        [original.text for original in Run.open(doctored).originals],
        read(doctored / "metrics.json"),
    )
    spans = [max(longest_common_words(row["text"], o) for o in originals) for row in rows(doctored, FINAL)]
    assert spans[0] == SPLICED
    assert metrics["samples"]["longest_copied_span"] == {"max": SPLICED, "median": statistics.median(spans)}
    floor = [max(longest_common_words(row["text"], o) for o in originals) for row in rows(doctored, BASE)]
    assert metrics["base"]["longest_copied_span"] == {"max": max(floor)}


def test_the_originals_band_is_what_they_share_among_themselves(tiny_run: Path) -> None:
    texts = [original.text for original in Run.open(tiny_run).originals]
    shared = [longest_common_words(a, b) for a in texts for b in texts if a is not b]
    assert read(tiny_run / "metrics.json")["originals"]["longest_shared_span"] == max(shared)


def test_the_share_that_ended_is_counted_from_the_samples(doctored: Path) -> None:
    metrics = read(doctored / "metrics.json")
    assert [row["ended_by_eos"] for row in rows(doctored, FINAL)] == [True, False]
    assert metrics["samples"]["ended_by_eos"] == 0.5
    assert metrics["base"]["ended_by_eos"] == statistics.mean(
        row["ended_by_eos"] for row in rows(doctored, BASE)
    )


def test_the_samples_figures_are_those_of_score(tiny_run: Path) -> None:
    metrics, run = read(tiny_run / "metrics.json"), Run.open(tiny_run)
    card = score([row["text"] for row in rows(tiny_run, FINAL)], run.originals, model=tiny_run)
    floor = score([row["text"] for row in rows(tiny_run, BASE)], run.originals)

    def column(name: str) -> list[float]:
        return [text.metrics[name] for text in card.texts]

    samples = metrics["samples"]
    assert samples["n"] == len(card.texts) == run.config["samples"]
    for name in ("style", "similarity"):
        assert samples[name] == {
            "mean": pytest.approx(statistics.mean(column(name))),
            "min": pytest.approx(min(column(name))),
        }
        assert metrics["base"][name]["mean"] == pytest.approx(
            statistics.mean(t.metrics[name] for t in floor.texts)
        )
    assert samples["novelty_4gram"]["min"] == min(column("novelty_4gram"))
    assert samples["perplexity_tuned"] == pytest.approx(card.corpus["perplexity_tuned"])
    assert samples["perplexity_base"] == pytest.approx(
        perplexity([row["text"] for row in rows(tiny_run, FINAL)], "tiny")["perplexity"], rel=1e-4
    )
    assert metrics["verdict"] == pytest.approx(card.verdict)
    assert metrics["originals"]["style_band"] == [min(card.band["style"]), max(card.band["style"])]


def test_the_cross_fitted_style_is_against_the_text_that_the_fold_never_saw(tiny_run: Path) -> None:
    metrics, run = read(tiny_run / "metrics.json"), Run.open(tiny_run)
    assert [row["original"] for row in metrics["cross_fitted"]] == [
        original.name for original in run.originals
    ]
    for index, (row, original) in enumerate(zip(metrics["cross_fitted"], run.originals, strict=True)):
        card = score([sample["text"] for sample in rows(tiny_run, f"fold-{index}")], [original])
        assert row["n"] == len(card.texts) == 1
        # A vote that is nearly a tie may go either way with other texts beside it: one of 2,250.
        assert row["style_samples"] == pytest.approx(card.texts[0].metrics["style"], abs=1e-3)
        assert row["similarity_samples"] == pytest.approx(card.texts[0].metrics["similarity"], abs=1e-5)


def test_the_seconds_add_up(tiny_run: Path) -> None:
    seconds = read(tiny_run / "metrics.json")["seconds"]
    assert seconds["total"] == pytest.approx(
        seconds["train"] + seconds["generate"] + seconds["score"], abs=0.02
    )
    assert seconds["generate"] == pytest.approx(sum(row["seconds"] for row in rows(tiny_run)), abs=0.02)
    assert all(value > 0 for value in seconds.values())


def test_no_file_has_what_json_has_not(tiny_run: Path) -> None:
    for path in tiny_run.rglob("*.json"):
        read(path)
    for path in tiny_run.rglob("*.jsonl"):
        for line in path.read_text("utf-8").split("\n"):
            assert not line or read_line(line)


def read_line(line: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(line, parse_constant=refuse)


def test_samples_of_a_word_are_reported_and_never_as_nan(copy: Path) -> None:
    changed = rows(copy)
    for row in changed:
        row["text"], row["copied_spans"] = "Yes.", []
        row["scores"] |= {"words": 1, "novelty_4gram": None, "longest_copied_span": 0}
    write_rows(copy, changed)
    write_report(copy)
    metrics = read(copy / "metrics.json")
    assert metrics["samples"]["novelty_4gram"] == {"min": None, "mean": None}
    assert Page(copy / "report.html").texts == ["Yes.", "Yes."]
    assert "new 4-grams, least             -        -       -" in table(metrics)


# Reporting again


@pytest.mark.parametrize("which", ["final", "base"])
def test_a_set_of_nothing_but_empty_samples_is_refused_by_name(copy: Path, which: str) -> None:
    write_rows(copy, [{**row, "text": "" if row["set"] == which else row["text"]} for row in rows(copy)])
    before = (copy / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match=f"all samples of the {which} model are empty.*python -m data check"):
        write_report(copy)
    assert (copy / "metrics.json").read_bytes() == before


def test_reporting_again_draws_nothing_and_changes_nothing(copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    first = read(copy / "metrics.json")
    again = write_report(copy)
    after = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    assert set(after) == set(before)
    assert {name for name in before if before[name] != after[name]} <= {"metrics.json", "report.html"}
    assert first.pop("seconds") and again.pop("seconds")
    assert read_line(json.dumps(again)) == first


def test_drawing_again_draws_the_same_and_keeps_what_cannot_be_drawn_again(copy: Path) -> None:
    """The fold models are gone by then; their samples are the headline, and stay."""

    def drawn() -> list[dict[str, Any]]:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows(copy)]

    before = drawn()
    changed = rows(copy)
    changed[0]["text"] = "Not what the model wrote."
    write_rows(copy, changed)
    metrics = write_report(copy, redraw=True)
    assert drawn() == before
    assert len(metrics["cross_fitted"]) == 3


def test_only_a_finished_run_can_be_reported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a finished run: config\.yaml, provenance\.json"):
        write_report(tmp_path)
    with pytest.raises(ValueError, match=r"has no metrics\.json: write it with python -m inference report"):
        read_metrics(tmp_path)


# report.html


def test_the_report_needs_nothing_but_itself(tiny_run: Path) -> None:
    for name in ("report.html", "blind.html"):
        page = Page(tiny_run / name)
        source = (tiny_run / name).read_text("utf-8")
        assert {"script", "link", "iframe", "object", "embed", "img", "base"}.isdisjoint(
            tag for tag, _ in page.tags
        )
        for tag, attributes in page.tags:
            for key in ("src", "href", "xlink:href", "action", "data"):
                assert (attributes.get(key) or "#").startswith("#"), (tag, attributes)
            assert not [key for key in attributes if key.startswith("on")]
        assert "@import" not in source
        assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)'\"]*)", source))


def test_the_report_shows_every_final_sample_whole(tiny_run: Path) -> None:
    assert Page(tiny_run / "report.html").texts == [row["text"] for row in rows(tiny_run, FINAL)]


def test_the_report_has_a_plot_for_each_metric_and_the_curves_of_each_fold(tiny_run: Path) -> None:
    source = (tiny_run / "report.html").read_text("utf-8")
    assert source.count("<svg ") == 8
    for original in Run.open(tiny_run).originals:
        assert original.name in source
    assert "steps used" in source


def test_the_report_says_what_the_figures_say(tiny_run: Path) -> None:
    metrics, source = (
        read(tiny_run / "metrics.json"),
        html.unescape((tiny_run / "report.html").read_text("utf-8")),
    )
    for sentence in (
        *verdict_sentences(metrics),
        *limits(4),
        memorising(metrics, read(tiny_run / "folds.json")),
    ):
        assert sentence in source
    for fold in metrics["held_out"]["folds"]:
        assert f"{fold['bits_per_byte_base']:.4f}" in source
        assert f"{fold['bits_per_byte_tuned']:.4f}" in source
    record = read(tiny_run / "provenance.json")
    for original in record["originals"]:
        assert original["sha256"][:16] in source
    for setting in Run.open(tiny_run).config:
        assert f"<td>{setting}</td>" in source


def test_copied_spans_are_marked_with_their_original(doctored: Path) -> None:
    original = Run.open(doctored).originals[2]
    marked = re.findall(r'<mark title="([^"]*)">([^<]*)</mark>', source_of(doctored / "report.html"))
    assert [(html.unescape(title), html.unescape(text)) for title, text in marked] == [
        (f"5 words in a row as in {QUOTED}", EVIL),
        (f"{SPLICED} words in a row as in {QUOTED}", " ".join(original.text.split()[10 : 10 + SPLICED])),
    ]


@pytest.mark.parametrize("name", ["report.html", "blind.html"])
def test_nothing_that_a_text_a_name_or_a_brief_contains_becomes_markup(doctored: Path, name: str) -> None:
    page, (hostile, other) = Page(doctored / name), (row["text"] for row in rows(doctored, FINAL))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert {hostile, other} <= set(page.texts)


def test_hostile_names_are_shown_as_they_are(doctored: Path) -> None:
    source = source_of(doctored / "report.html")
    assert EVIL not in source and QUOTED not in source
    shown = html.unescape(source)
    for row in Run.open(doctored).held_out["folds"][:2]:
        assert f"<td>{row['originals'][0]}</td>" in shown
    assert f"name: {QUOTED}; place: {EVIL}; keywords: {EVIL}, {QUOTED}" in shown
    assert f"(nearest: {EVIL})" in shown


@pytest.mark.parametrize(
    "name", ["cost $5 or $6", "an $\\frac{$ of it", "漢字 かな", "a_b^c {d}", "été – «x»", "x" * 300, "a-->b"]
)
def test_an_original_of_any_name_has_its_curve(name: str) -> None:
    points = [{"step": step, "train": 2.0, "held_out": 2.0} for step in (0, 2)]
    svg = curves([{"originals": [name], "steps": 2, "points": points}], 2)
    written = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    assert f">{name[:28]}</text>" in html.unescape(written)


def test_a_sample_may_contain_what_python_takes_for_a_line_break(doctored: Path) -> None:
    """R19: JSON leaves these characters as they are, and only a line feed ends a row."""
    assert set("\u2028\u2029\x85") <= set(rows(doctored)[0]["text"])
    assert Run.open(doctored).samples() == rows(doctored)


# blind.html


def test_the_blind_page_has_every_original_and_sample_and_its_key_is_right(tiny_run: Path) -> None:
    originals = [original.text for original in Run.open(tiny_run).originals]
    samples = [row["text"] for row in rows(tiny_run, FINAL)]
    shown, key = Page(tiny_run / "blind.html").texts, read(tiny_run / "blind-key.json")
    assert Counter(shown) == Counter(originals + samples)
    assert list(key) == [str(number) for number in range(1, len(shown) + 1)]
    for number, text in enumerate(shown, start=1):
        assert key[str(number)] == ("original" if text in originals else "sample")


def test_the_blind_page_gives_nothing_away(tiny_run: Path) -> None:
    source = (tiny_run / "blind.html").read_text("utf-8")
    for original in Run.open(tiny_run).originals:
        assert original.name not in source
    sheets = re.findall(r"<h2>.*?</article>", source, re.S)
    bare = {
        re.sub(r"<h2>\d+</h2>", "", re.sub(r'(<div class="text">).*?(</div>)', r"\1\2", s, flags=re.S))
        for s in sheets
    }
    assert len(sheets) == 6 and len(bare) == 1


def test_the_blind_order_is_the_seeds_and_not_the_files(tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1, 2, 0):
        entries = write_blind(tmp_path, ["a", "b", "c", "d"], ["e", "f", "g"], seed)
        orders.append([text for _, text in entries])
        kinds = ["original" if text in "abcd" else "sample" for text in orders[-1]]
        assert list(read(tmp_path / "blind-key.json").values()) == kinds
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


# Words


def metrics_with(base: float, *tuned: float, **samples: Any) -> dict[str, Any]:
    folds = [
        {"original": str(i), "bits_per_byte_base": base, "bits_per_byte_tuned": t, "steps": 4}
        for i, t in enumerate(tuned)
    ]
    return {
        "held_out": {
            "folds": folds,
            "bits_per_byte_base": base if tuned else None,
            "bits_per_byte_tuned": statistics.mean(tuned) if tuned else None,
            "bits_per_byte_control": 2.125 if tuned else None,
        },
        "chosen_steps": 4,
        "cross_fitted": [
            {"style_base": 0.1, "style_control": 0.2, "style_samples": 0.3 + i, "style_originals": 0.8}
            for i in range(len(tuned))
        ],
        "recalled": {"base": [0, 0], "tuned": [7, 2], "of": 32},
        "control": {
            "style": {"mean": 0.4},
            "stylometry": {"mean": 0.2},
            "similarity": {"mean": 0.3},
            "n": 4,
            "longest_copied_span": {"max": 3},
            "novelty_4gram_equal": {"min": 0.96},
            "ended_by_eos": 0.5,
            "with_leaked_names": 1,
            "verdict": 0.2,
        }
        if tuned
        else None,
        "verdict": 0.4,
        "samples": {
            "n": 8,
            "ended_by_eos": 0.75,
            "with_leaked_names": 2,
            "style": {"mean": 0.61},
            "stylometry": {"mean": 0.51},
            "similarity": {"mean": 0.5},
            "longest_copied_span": {"max": 5},
            "novelty_4gram_equal": {"min": 0.9},
            **samples,
        },
        "originals": {
            "style_band": [0.7, 0.9] if tuned else None,
            "stylometry_band": [0.6, 0.8] if tuned else None,
            "similarity_band": [0.4, 0.6] if tuned else None,
            "novelty_4gram_band": [0.97, 0.99] if tuned else None,
            "longest_shared_span": 6 if tuned else None,
        },
        "base": {
            "style": {"mean": 0.3},
            "stylometry": {"mean": 0.1},
            "similarity": {"mean": 0.2},
            "n": 8,
            "longest_copied_span": {"max": 4},
            "novelty_4gram_equal": {"min": 0.95},
            "ended_by_eos": 1.0,
            "with_leaked_names": 0,
            "verdict": 0.1,
        },
    }


@pytest.mark.parametrize(
    ("tuned", "said"),
    [
        ((1.999, 1.998), "taught the model hardly anything"),
        ((1.97, 1.96), "taught the model a little"),
        ((1.8, 1.7), "taught the model clearly something"),
        ((2.001, 2.001), "nothing general about their manner was learned"),
        ((2.2, 2.3), "nothing general about their manner was learned"),
    ],
)
def test_the_verdict_says_how_much_was_learned(tuned: tuple[float, ...], said: str) -> None:
    first, _ = verdict_sentences(metrics_with(2.0, *tuned))
    assert said in first
    assert "2.000" in first
    assert f"{statistics.mean(tuned):.3f}" in first


def test_the_verdict_has_the_sign_of_the_change_and_counts_the_folds_that_got_worse() -> None:
    gained, _ = verdict_sentences(metrics_with(2.0, 1.8, 2.1))
    assert "-2.5%" in gained
    assert "of 2 that were held out in turn, 1 got worse" in gained
    lost, _ = verdict_sentences(metrics_with(2.0, 2.2, 2.2))
    assert "+10.0%" in lost
    same, _ = verdict_sentences(metrics_with(2.0, 2.0, 2.0))
    assert "hardly anything" in same
    assert "none got worse" in same


def test_without_folds_the_verdict_claims_nothing() -> None:
    first, second = verdict_sentences(metrics_with(2.0))
    assert first.startswith("Nothing was held out")
    assert "one original has no range" in second
    assert "share up to" not in second


def test_the_second_sentence_has_style_band_ends_and_copies() -> None:
    _, second = verdict_sentences(metrics_with(2.0, 1.9))
    for said in (
        "8 samples have style 0.61",
        "base 0.30, the same tuning on other texts 0.40,",
        "0.70 to 0.90",
        "6 of them came to an end",
        "is 5",
        "up to 6",
    ):
        assert said in second


@pytest.mark.parametrize(
    ("train_share", "said"),
    [
        (0.30, "is learning the texts by heart"),
        (0.59, "is learning the texts by heart"),
        (0.61, "has begun to memorise the texts"),
        (0.84, "has begun to memorise the texts"),
        (0.86, "has memorised hardly anything"),
        (1.00, "has memorised hardly anything"),
    ],
)
def test_memorising_is_named_by_what_the_trained_texts_still_cost(train_share: float, said: str) -> None:
    """R9, at the steps that were used and not at the end of the curve."""
    points = [
        {"step": 0, "train": 2.0, "held_out": 2.0},
        {"step": 4, "train": 2.0 * train_share, "held_out": 1.9},
        {"step": 8, "train": 0.1, "held_out": 3.0},
    ]
    held_out = {"folds": [{"points": points, "steps": 4}] * 2, "minimum": 2}
    words = memorising(metrics_with(2.0, 1.9), held_out)
    assert said in words
    assert f"costs {train_share:.0%} of what it cost the base, and the one held out 95%" in words
    assert "takes 4 updates; the held-out curve is lowest at 2." in words


def test_without_folds_there_is_nothing_to_say_about_memory() -> None:
    assert memorising(metrics_with(2.0), {"folds": [], "minimum": None}).startswith("No text was held out")


def test_the_table_has_base_control_tuned_and_originals_in_this_order() -> None:
    lines = {line[:24].strip(): line[24:].split() for line in table(metrics_with(2.0, 1.9, 1.95)).split("\n")}
    assert lines[""] == ["base", "control", "tuned", "originals"]
    assert lines["held-out bits per byte"] == ["2.000", "2.125", "1.925", "-"]
    assert lines["style"] == ["0.30", "0.40", "0.61", "0.70", "to", "0.90"]
    assert lines["longest copied span"] == ["4", "3", "5", "6"]
    assert lines["ended"] == ["8/8", "2/4", "6/8", "-"]
    assert lines["names leaked"] == ["0/8", "1/4", "2/8", "-"]
    assert lines["style, unseen original"] == ["0.10", "0.20", "0.80", "0.80"]
    assert lines["new 4-grams, least"] == ["0.95", "0.96", "0.90", "0.97", "to", "0.99"]
    assert lines["recalled, of 32 tokens"] == ["0", "-", "7", "-"]
    assert lines["verdict"] == ["0.10", "0.20", "0.40", "-"]
    bare = {line[:24].strip(): line[24:].split() for line in table(metrics_with(2.0)).split("\n")}
    assert "held-out bits per byte" not in bare
    assert bare["style"] == ["0.30", "-", "0.61", "-"]


def test_the_limits_count_the_texts() -> None:
    assert "4 texts are too few for significance" in limits(4)[0]
    assert "1 text is too few" in limits(1)[0]
    assert any("can't be held out" in limit for limit in limits(1))
    assert not any("can't be held out" in limit for limit in limits(2))


def test_what_the_noir_texts_leave_is_finite(tiny_run: Path) -> None:
    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [n for item in value.values() for n in numbers(item)]
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if isinstance(value, float) else []

    assert all(math.isfinite(n) for n in numbers(read(tiny_run / "metrics.json")))
    assert len(Run.open(tiny_run).originals) == len(list(NOIR.glob("*.txt")))


def test_the_chosen_stand_beside_the_unselected_with_what_spoke_against_the_others(
    few_words_run: Path, tiny: Callable[..., TrainConfig]
) -> None:
    originals = Run.open(few_words_run).config["originals"]
    run = Run.open(train(tiny(originals=originals, best_of=2), report=True))
    sets = {name: [row for row in run.samples() if row["set"] == name] for name in ("final", "chosen")}
    plain = [row["text"] for row in Run.open(few_words_run).samples() if row["set"] == "final"]
    assert [row["text"] for row in sets["final"]] == plain  # the figures stay those of unselected ones
    assert [row["index"] for row in sets["chosen"]] == [0, 1, 2, 3]
    assert sum(row["chosen"] for row in sets["chosen"]) == 2
    assert all(row["remark"] for row in sets["chosen"])  # two untrained layers never end
    metrics = json.loads((run.path / "metrics.json").read_text("utf-8"))
    assert (metrics["chosen"]["of"], metrics["chosen"]["remarks"], metrics["chosen"]["n"]) == (4, 2, 2)
    page = (run.path / "report.html").read_text("utf-8")
    assert "Chosen among 4 candidates, 2 for each brief" in page
    assert "did not end within so many tokens (2)" in page
    assert "Of 2 briefs no candidate passed; the nearest to passing is shown with its remark." in page
    assert "<th>chosen</th>" in page
    shown = table(metrics).split("\n")
    assert shown[0].split() == ["base", "control", "tuned", "chosen", "originals"]
    assert shown[-1].split()[-2] == f"{metrics['chosen']['verdict']:.2f}"
