"""Settings of teaching a base: the presets are valid, and everything that is wrong is said at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.small import ROOT
from training.base.config import BaseConfig, load_base_config

PRESETS = sorted((ROOT / "configs" / "base").glob("*.yaml"))


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_a_preset_is_valid_and_named_as_its_file(file: Path) -> None:
    config = load_base_config(file)
    assert config.name == file.stem
    assert (ROOT / config.stories).is_file()
    assert sum(config.forms.values()) == pytest.approx(1)
    sources = {"flowing", "plain", "simple", "warm"}
    assert set(config.sources) <= sources and set(config.bare) - {""} <= sources
    assert config.test_source in {None, "flowing", "warm"}  # the others have no beats


def test_there_is_a_preset_that_needs_no_hub() -> None:
    assert {file.stem for file in PRESETS} >= {"stories"}
    assert load_base_config(ROOT / "configs" / "base" / "stories.yaml").base == "smollm2"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    config = BaseConfig(
        minutes=2.0,
        sources={"plain": 0.5, "warm": 2.5},
        bare={"": 0.1, "warm": 0.5},
        test_source="warm",
        start="data/base_models/stories",
    )
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps(config.to_dict()), "utf-8")
    assert load_base_config(file) == config
    assert load_base_config(file, {"rank": 8, "minutes": None, "tokens": 5}).tokens == 5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"minutes": None}, "tokens, minutes: give one of the two, found None and None"),
        ({"tokens": 5}, "tokens, minutes: give one of the two, found 5 and 1.0"),
        ({"tokens": 0, "minutes": None}, "tokens: must be at least 1, or null, found 0"),
        ({"minutes": 0}, "minutes: must be above 0, or null, found 0"),
        ({"minutes": "long"}, "minutes: must be float or null, found 'long'"),
        ({"ranks": 3}, "ranks: unknown key; did you mean rank"),
        ({"rank": 0}, "rank: must be at least 1, found 0"),
        ({"rank": 4.5}, "rank: must be int, found 4.5"),
        ({"alpha": 0}, "alpha: must be above 0"),
        ({"learning_rate": 1}, "learning_rate: must be above 0 and below 1"),
        ({"warmup": 0.6}, "warmup: must not be above hold, found 0.6 and 0.5"),
        ({"hold": 1.5}, "hold: must be from 0 to 1, found 1.5"),
        ({"final": -0.1}, "final: must be from 0 to 1"),
        ({"renamed": 2}, "renamed: must be from 0 to 1"),
        ({"context": 8}, "context: must be at least 32"),
        ({"tokens_per_step": 0}, "tokens_per_step: must be at least 1"),
        ({"clip": 0}, "clip: must be above 0"),
        ({"forms": {"tale": 1.0}}, "forms: must be shares from 0 to 1 of story, plan, told, beat"),
        ({"forms": {"story": 0.0}}, "forms: must be .* one of them above 0"),
        ({"forms": {"story": 1.5}}, "forms: must be shares from 0 to 1"),
        ({"forms": {}}, "forms: must be"),
        ({"forms": ["story"]}, "forms: must be 'str: float' lines"),
        ({"sources": {"plain": -1}}, "sources: must be from 0 to 100 for each"),
        ({"sources": {"plain": 101}}, "sources: must be from 0 to 100 for each"),
        ({"bare": {"": 1.5}}, "bare: must be shares from 0 to 1"),
        ({"bare": 0.12}, "bare: must be 'str: float' lines"),
        ({"test_source": 3}, "test_source: must be str or null, found 3"),
        ({"seed": -1}, "seed: must be from 0 to 4294967295"),
        ({"seed": True}, "seed: must be int, found True"),
        ({"name": "../out"}, "name: must be letters"),
        ({"start": 3}, "start: must be str or null, found 3"),
        ({"save_minutes": -1}, "save_minutes: must be at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps({"minutes": 1.0, **values}), "utf-8")
    with pytest.raises(ValueError, match=said):
        load_base_config(file)


def test_everything_wrong_is_said_in_one_error_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    wrong = {"ranks": 3, "rank": 0, "alpha": "strong", "forms": {"tale": 1.0}, "warmup": 0.9, "tokens": 5}
    file.write_text(json.dumps({**wrong, "minutes": 5}), "utf-8")
    with pytest.raises(ValueError) as caught:
        load_base_config(file, {"seed": -1})
    first, *lines = str(caught.value).split("\n")
    assert first == f"{file} can't be used:"
    assert sorted(line.removeprefix("- ").partition(":")[0] for line in lines) == sorted(
        ["ranks", "rank", "alpha", "forms", "seed", "tokens, minutes"]
    )


def test_a_missing_file_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no configuration at .*storys.yaml. Did you mean .*stories.yaml"):
        load_base_config(ROOT / "configs" / "base" / "storys.yaml")
