"""Names of the originals' people in new texts: all forms, nobody else's, and none that was asked for."""

from data.brief import Brief
from data.originals import load_originals
from inference.leaks import leaked_names, names_in
from inference.measured import measured
from inference.novelty import CopyIndex
from inference.sample import Sample
from tests.small import SEEDS

TEXTS = [
    "Ada Moreau met Jean-Pierre by the river. Mrs. Moreau smiled, and Ada sat down.",
    "Rose Berger sold bread. Rose was tired.",
]


def test_first_names_and_surnames_of_all_people_count_and_titles_do_not() -> None:
    names = names_in(TEXTS)
    assert names == {"Ada", "Moreau", "Jean-Pierre", "Rose", "Berger"}


def test_a_leak_is_a_whole_word_that_nobody_asked_for() -> None:
    names = names_in(TEXTS)
    text = "Moreau's dog ran to Adamo. “Ada,” said Jean-Pierre, “moreau is a name.”"
    assert leaked_names(text, names) == ["Moreau", "Ada", "Jean-Pierre"]
    assert leaked_names(text, names, Brief(name="Ada Moreau")) == ["Jean-Pierre"]
    assert leaked_names(text, names, Brief(beats=["it rains", "Ada's dog meets Moreau"])) == ["Jean-Pierre"]
    assert leaked_names("Nobody came.", names) == []
    assert leaked_names("", names) == []


def test_every_sample_of_a_run_carries_its_leaks() -> None:
    texts = [original.text for original in load_originals(SEEDS)]
    sample = Sample("Colette and Nadia drank tea.", Brief(), 0, 0, True, 6)
    assert measured(sample, CopyIndex(texts), names_in(texts)).scores["leaked_names"] == ["Colette"]
    assert "leaked_names" not in measured(sample, None).scores


def test_apostrophes_and_capitals_hide_no_name() -> None:
    names = {"O’Brien", "Moreau", "Ada"}
    assert leaked_names("Then O'Brien came. MOREAU left, and Ada’s hat.", names) == [
        "O’Brien",
        "Moreau",
        "Ada",
    ]
    assert leaked_names("Ada's hat.", names, Brief(place="Ada’s café")) == []
    assert leaked_names("She said moreau in low letters.", names) == []
    assert leaked_names("Then Moreau came.", names, own="Moreau is my cat") == []
