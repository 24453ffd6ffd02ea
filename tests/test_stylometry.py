"""Stylometric features by hand-counted values and invariances; the style figure by its properties."""

import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from data.brief import parse_vignettes
from inference.scale import stylometric
from inference.stylometry import FEATURES, Z_LIMIT, Stylometry, contrast, features

ORIGINALS = [path.read_text("utf-8") for path in sorted(Path(__file__).parents[1].glob("data/seeds/*.txt"))]
TEXT = """\
Anna Weiss opened the door, smiling softly. She didn't look at Mr. Brown; the rain had stopped!

"Who is it?" he asked. "It's me."

As the light faded, Anna waited... And nobody came. Silence.
"""
# 17 + 7 + 10 words in 2 + 2 + 3 sentences: 7, 10 | 5, 2 | 6, 3, 1.


def value(text: str, name: str) -> float:
    return float(features(text)[FEATURES.index(name)])


def rate(count: float) -> float:
    return 100 * count / 34


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sentence_mean", 34 / 7),
        ("sentence_q1", 2.5),
        ("sentence_q3", 6.5),
        ("sentence_sd", np.std([7, 10, 5, 2, 6, 3, 1])),
        ("sentence_short", 5 / 7),
        ("sentence_long", 0),
        ("paragraph_mean", 34 / 3),
        ("paragraph_count", rate(3)),
        ("paragraph_variation", np.std([17, 7, 10]) / (34 / 3)),
        ("dialogue", 5 / 34),
        ("comma", rate(2)),
        ("semicolon", rate(1)),
        ("colon", 0),
        ("question", rate(1)),
        ("exclamation", rate(1)),
        ("ellipsis", rate(1)),
        ("first_person", rate(1)),  # me
        ("second_person", 0),
        ("third_person", rate(4)),  # she, it, he, it's
        ("articles", rate(3)),
        ("prepositions", rate(1)),  # at
        ("coordinators", rate(1)),
        ("subordinators", rate(2)),  # who, as
        ("past_auxiliaries", rate(2)),  # did(n't), had
        ("present_auxiliaries", rate(2)),  # is, (it)'s
        ("negation", rate(2)),  # n't, nobody
        ("contractions", rate(2)),
        ("ed_words", rate(5)),  # opened, stopped, asked, faded, waited
        ("ing_words", rate(1)),
        ("ly_words", rate(1)),
        ("capitalised", rate(4)),  # Weiss, Mr, Brown, Anna
        ("participial_tails", 1 / 7),
        ("fragments", 1 / 7),  # Silence.
        ("opens_pronoun", 2 / 7),  # She, It('s); "he asked" begins no sentence
        ("opens_coordinator", 1 / 7),
        ("opens_adverbial", 1 / 7),
        ("opens_name", 1 / 7),
        ("opens_ing", 0),
    ],
)
def test_values_counted_by_hand(name: str, expected: float) -> None:
    assert value(TEXT, name) == pytest.approx(expected)


def test_there_are_so_many_features_and_each_has_one_name() -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 45
    assert features(TEXT).shape == (45,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\n ",
        "...",
        "\x00\x07",
        "word",
        "!" * 5_000,
        "—",
        "“",
        "'",
        "\U0001f600",
        "Сегодня утром он не пришёл. Почему?",
        "彼は来なかった。「なぜ？」",
        "नमस्ते दुनिया।",
        "مرحبا؟ نعم.",
        "<p>a</p>" * 50,
        "a\n" * 500,
    ],
)
def test_any_string_has_finite_features_z_and_style(text: str) -> None:
    assert np.isfinite(features(text)).all()
    assert np.isfinite(contrast().z([text])).all()
    assert -1 <= stylometric([text], ORIGINALS)[0] <= 1


def test_no_words_no_features_no_style() -> None:
    assert not features("... — !").any()
    assert not contrast().z(["", "\n"]).any()
    assert stylometric(["", TEXT], ["", ""]).tolist() == [0, 0]


def test_no_topic_is_seen() -> None:
    """Other content words of the same length, capitals and endings give the very same figures."""
    text = "Marta sold the old violin near the bridge. Marta smiled, humming a slow tune."
    other = "Pedro told the dry lawyer near the palace. Pedro talked, cooking a thin soup."
    assert features(text) == pytest.approx(features(other))


@pytest.mark.parametrize("form", ["curly", "NFD", "CRLF-free ends"])
def test_typography_changes_nothing(form: str) -> None:
    same = {
        "curly": TEXT.replace("'", "\u2019").replace('"Who', "\u201cWho").replace('it?"', "it?\u201d")
        .replace('"It', "\u201cIt").replace('me."', "me.\u201d").replace("...", "\u2026"),
        "NFD": unicodedata.normalize("NFD", TEXT),
        "CRLF-free ends": f"\n\n{TEXT}\n\n\n",
    }[form]  # fmt: skip
    assert features(same) == pytest.approx(features(TEXT))


def test_rates_do_not_depend_on_length() -> None:
    once, thrice = features(ORIGINALS[0]), features("\n\n".join([ORIGINALS[0]] * 3))
    for i, name in enumerate(FEATURES):
        # Quartiles fall between others; windows and names reach across the seams.
        if name not in ("sentence_q1", "sentence_q3", "mattr_50", "opens_name"):
            assert thrice[i] == pytest.approx(once[i]), name


@pytest.mark.parametrize(
    "paragraph",
    [
        "“One two three,” she said.",
        '"One two three," she said.',
        "«One two three», she said.",
        "‘One two three,’ she said.",
        "'One two three,' she said.",
        "„One two three“, she said.",
    ],
)
def test_speech_in_quotation_marks_of_every_kind_is_dialogue(paragraph: str) -> None:
    assert value(paragraph, "dialogue") == pytest.approx(3 / 5)


def test_dashes_are_speech_at_the_head_of_a_paragraph_only_and_apostrophes_never() -> None:
    assert value("— Come in.\n\nShe came — slowly.", "dialogue") == pytest.approx(2 / 5)
    assert value("The dogs' bowls and the cats' beds were Tom's.", "dialogue") == 0


def test_all_dashes_count_and_hyphens_and_ranges_do_not() -> None:
    assert value("a — b – c - d -- e", "dash") == pytest.approx(100 * 4 / 5)
    assert value("well-known 1914–18", "dash") == 0


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('"Hello!" he said. "Who?" she asked.', 2),
        ("Dr. J. B. Stone met Mrs. Hall. It was I. He left.", 3),
        ("He waited... and went. “Now.” Then?! Yes", 4),
        ("No full stop\n\nat all", 2),
        ("It cost 3.50 at 10.30 p.m. on Sunday.", 1),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    words = len(text.replace("3.50", "3 50").replace("10.30", "10 30").replace("p.m.", "p m").split())
    assert value(text, "sentence_mean") == pytest.approx(words / sentences)


def test_mattr_is_the_mean_over_windows_of_fifty_words() -> None:
    random_ = random.Random(1)
    tokens = random_.choices([f"w{i}" for i in range(80)], k=300)
    naive = np.mean([len(set(tokens[i : i + 50])) / 50 for i in range(251)])
    assert value(" ".join(tokens), "mattr_50") == pytest.approx(naive)
    assert value("a b a b", "mattr_50") == 0.5
    assert value(" ".join(tokens[:50]), "mattr_50") == pytest.approx(len(set(tokens[:50])) / 50)


def test_z_is_standardised_on_the_fitted_texts_and_clipped() -> None:
    fitted = Stylometry.fit(ORIGINALS)
    z = fitted.z(ORIGINALS)
    assert z.shape == (4, 45)
    assert z.mean(axis=0) == pytest.approx(np.zeros(45), abs=1e-9)
    assert fitted.z(["; " * 1_000 + "a"]).max() == Z_LIMIT
    assert abs(fitted.z([TEXT, "word", "!"])).max() <= Z_LIMIT
    assert fitted.z([]).shape == (0, 45)


def test_a_measure_that_never_varied_is_dropped_and_one_event_is_at_most_one_sd() -> None:
    same = Stylometry.fit(["The sun rose over the hill."] * 3)
    z = same.z(["The unbelievably bright sun (a star) rose."])[0]
    assert z[FEATURES.index("word_letters")] == 0
    assert same.z(["The sun rose over (the) hill."])[0][FEATURES.index("parenthesis")] == pytest.approx(1)


def test_stylometry_is_a_cosine() -> None:
    assert stylometric([ORIGINALS[0]], [ORIGINALS[0]])[0] == pytest.approx(1)
    assert stylometric(ORIGINALS, ORIGINALS[::-1]) == pytest.approx(stylometric(ORIGINALS, ORIGINALS))
    assert stylometric([TEXT, ORIGINALS[1]], ORIGINALS)[1] == pytest.approx(
        stylometric([ORIGINALS[1]], ORIGINALS)[0]
    )


def test_each_original_is_nearer_to_the_other_three_than_any_contrast_text() -> None:
    files = sorted((Path(__file__).parents[1] / "data" / "contrast").glob("*.txt"))
    others = [text for path in files for _, text in parse_vignettes(path.read_text("utf-8"))]
    assert len(others) == 110
    contrasted = stylometric(others, ORIGINALS)
    assert abs(contrasted.mean()) < 0.1
    for i, original in enumerate(ORIGINALS):
        own = stylometric([original], ORIGINALS[:i] + ORIGINALS[i + 1 :])[0]
        assert own > max(0.85, contrasted.max() + 0.2)


def test_the_contrast_set_is_fitted_once() -> None:
    assert contrast() is contrast()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="at least two texts"):
        Stylometry.fit([TEXT, ""])
    with pytest.raises(ValueError, match="at least two texts"):
        Stylometry.fit(TEXT)
    with pytest.raises(ValueError, match="at least one reference"):
        stylometric([TEXT], [])
    with pytest.raises(ValueError, match="list of texts"):
        stylometric(TEXT, [TEXT])
