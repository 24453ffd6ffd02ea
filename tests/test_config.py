"""Every setting: what is accepted, what is refused, and that the refusal says what to type instead."""

import ast
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from data.bases import DEFAULT
from training import config as module
from training.config import TrainConfig, build_config, load_config, name_from
from training.settings import parse_override

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
PRESETS = sorted(CONFIGS.glob("*.y*ml"))


def problems(values: dict[Any, Any]) -> list[str]:
    with pytest.raises(ValueError) as caught:
        build_config(values)
    return [line.removeprefix("- ") for line in str(caught.value).split("\n")[1:]]


# Presets


def test_the_presets_are_those_that_the_readme_may_name() -> None:
    assert [str(path.relative_to(CONFIGS)) for path in PRESETS] == [
        "paris-cafe.yaml",
        "quick.yaml",
        "qwen3-0.6b-lora.yaml",
        "smollm2-135m.yaml",
        "smollm2.yaml",
        "tiny.yaml",
    ]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_loads_and_says_what_it_is_for(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert (ROOT / config.originals).is_dir()
    assert path.read_text("utf-8").startswith("# ")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_configuration_written_with_all_its_defaults_reads_back_the_same(
    path: Path, tmp_path: Path
) -> None:
    config = load_config(path)
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(config.to_dict()), "utf-8")
    assert set(config.to_dict()) == {field.name for field in dataclasses.fields(TrainConfig)}
    assert load_config(tmp_path / "all.yaml") == config


def test_the_presets_mean_what_their_names_promise() -> None:
    presets = {path.stem: load_config(path) for path in PRESETS}
    assert presets["tiny"].base == "tiny"
    assert TrainConfig().base == DEFAULT == "stories"
    assert {presets[name].base for name in ("paris-cafe", "quick")} <= {DEFAULT, "embedded"}
    assert presets["paris-cafe"].hold_out and presets["paris-cafe"].steps is None
    assert not presets["quick"].hold_out and presets["quick"].steps
    assert presets["qwen3-0.6b-lora"].lora_rank > 0
    assert presets["smollm2-135m"].lora_rank == 0


# Fields


def test_every_field_has_a_sentence_right_under_it() -> None:
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "TrainConfig").body
    sentences = {}
    for statement, below in itertools.pairwise(body):
        if isinstance(statement, ast.AnnAssign):
            said = (
                below.value.value
                if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                else ""
            )
            sentences[ast.unparse(statement.target)] = said
    assert list(sentences) == [field.name for field in dataclasses.fields(TrainConfig)]
    assert [name for name, said in sentences.items() if len(said) < 20 or not said.endswith(".")] == []


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().seed = 1  # type: ignore[misc]


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n", "utf-8")
    assert load_config(tmp_path / "empty.yaml") == TrainConfig()


@pytest.mark.parametrize(
    ("written", "read"),
    [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("1E-4", 1e-4), (".0001", 1e-4), ("'0.5'", 0.5)],
)
def test_a_rate_may_be_written_as_people_write_it(tmp_path: Path, written: str, read: float) -> None:
    (tmp_path / "rate.yaml").write_text(f"learning_rate: {written}\n", "utf-8")
    found = load_config(tmp_path / "rate.yaml").learning_rate
    assert isinstance(found, float) and found == read


def test_a_whole_number_is_taken_where_a_fraction_is_asked_for() -> None:
    found = build_config({"lora_alpha": 32, "temperature": 0}).to_dict()
    assert (found["lora_alpha"], found["temperature"]) == (32.0, 0.0)
    assert all(isinstance(found[key], float) for key in ("lora_alpha", "temperature"))


# Refusals


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("learning_rat", "learning_rate"),
        ("max-steps", "max_steps"),
        ("Seed", "seed"),
        ("lr_warmup_steps", "warmup_steps"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(key: str, nearest: str) -> None:
    assert problems({key: 1}) == [f"{key}: unknown key; did you mean {nearest}?"]


@pytest.mark.parametrize("key", ["zzz", 7, None])
def test_an_unknown_key_that_is_near_to_none_is_refused_with_all_of_them(key: Any) -> None:
    (line,) = problems({key: 1})
    assert line.startswith(f"{key}: unknown key; known are name, originals, ")
    assert all(field.name in line for field in dataclasses.fields(TrainConfig))


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("seed", "seven", "int"),
        ("seed", True, "int"),
        ("seed", False, "int"),
        ("seed", 1.5, "int"),
        ("seed", None, "int"),
        ("max_steps", "8", "int or null"),
        ("steps", True, "int or null"),
        ("steps", "many", "int or null"),
        ("context", 256.0, "int or null"),
        ("learning_rate", "fast", "float"),
        ("learning_rate", True, "float"),
        ("temperature", [0.8], "float"),
        ("hold_out", 1, "bool"),
        ("hold_out", "maybe", "bool"),
        ("name", 3, "str"),
        ("originals", ["a", "b"], "str"),
        ("base_revision", 3, "str or null"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key: str, value: Any, wanted: str) -> None:
    assert problems({key: value}) == [f"{key}: must be {wanted}, found {value!r}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("name", ".hidden"),
        ("name", "../elsewhere"),
        ("name", "two words"),
        ("name", "line\n"),
        ("device", "tpu"),
        ("dtype", "float16"),
        ("seed", -1),
        ("seed", 2**32),
        ("steps", -1),
        ("max_steps", 0),
        ("eval_every", 0),
        ("learning_rate", 0.0),
        ("learning_rate", 1.0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("warmup_steps", -1),
        ("weight_decay", -0.1),
        ("weight_decay", math.nan),
        ("max_grad_norm", -1.0),
        ("batch_size", 0),
        ("replay", -1),
        ("briefs", 1.1),
        ("goldfish", 1),
        ("neftune", -1.0),
        ("dropout", 1.0),
        ("layer_decay", 0.0),
        ("checkpoint_seconds", -1.0),
        ("context", 7),
        ("lora_rank", -1),
        ("lora_alpha", 0.0),
        ("lora_dropout", 1.0),
        ("samples", 0),
        ("samples_per_fold", -1),
        ("temperature", -0.1),
        ("temperature", 10.1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("guidance", 0.9),
        ("guidance", 10.1),
    ],
)
def test_a_value_out_of_range_is_refused(key: str, value: Any) -> None:
    found = problems({key: value})
    assert any(line.startswith(f"{key}: must be ") and line.endswith(f"found {value!r}") for line in found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "été-2"),
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("steps", 0),
        ("steps", None),
        ("max_steps", 1),
        ("warmup_steps", 0),
        ("context", 8),
        ("samples_per_fold", 0),
        ("temperature", 0.0),
        ("top_p", 1.0),
        ("min_p", 0.0),
        ("guidance", 1.0),
        ("max_grad_norm", 0.0),
    ],
)
def test_the_ends_of_a_range_are_accepted(key: str, value: Any) -> None:
    assert getattr(build_config({key: value}), key) == value


def test_every_number_has_a_range() -> None:
    ruled = {name for name, *_ in module._RULES}
    numbers = {
        field.name
        for field in dataclasses.fields(TrainConfig)
        if "int" in str(field.type) or "float" in str(field.type)
    }
    assert numbers <= ruled


def test_without_held_out_texts_the_steps_must_be_given() -> None:
    (line,) = problems({"hold_out": False})
    assert line.startswith("steps: nothing chooses them without hold_out")
    assert build_config({"hold_out": False, "steps": 3}).steps == 3


def test_all_problems_come_in_one_error(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "learning_rat: 1\nzzz: 2\nseed: seven\nhold_out: 1\nmax_steps: 0\nbatch_size: 4\nmicro_batch_size: 0\n",
        "utf-8",
    )
    with pytest.raises(ValueError) as caught:
        load_config(path)
    first, *lines = str(caught.value).split("\n")
    assert first == f"{path} can't be used:"
    assert sorted(line.split(":")[0] for line in lines) == [
        "- hold_out",
        "- learning_rat",
        "- max_steps",
        "- micro_batch_size",
        "- seed",
        "- zzz",
    ]


# Files and overrides


def test_overrides_replace_what_the_file_says() -> None:
    found = load_config(CONFIGS / "tiny.yaml", {"seed": 5, "steps": 1})
    assert (found.name, found.seed, found.steps) == ("tiny", 5, 1)


def test_an_unknown_override_is_refused_like_a_key_of_the_file() -> None:
    with pytest.raises(ValueError, match="max_step: unknown key; did you mean max_steps"):
        load_config(CONFIGS / "tiny.yaml", {"max_step": 8})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("max_steps=8", ("max_steps", 8)),
        ("steps=null", ("steps", None)),
        ("hold_out=false", ("hold_out", False)),
        ("name=été", ("name", "été")),
        ("originals=a=b", ("originals", "a=b")),
        (" seed = 3 ", ("seed", 3)),
    ],
)
def test_an_override_of_the_command_line_is_read_as_yaml(text: str, read: tuple[str, Any]) -> None:
    assert parse_override(text) == read


@pytest.mark.parametrize("text", ["max_steps", "=8", "", "name=[unclosed", "name={a"])
def test_an_override_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"--set takes key=value, found .* --set max_steps=8"):
        parse_override(text)


@pytest.mark.parametrize(
    ("originals", "name"),
    [
        ("texts/noir", "noir"),
        ("my texts/Été noir/", "Été-noir"),
        ("shanties.jsonl", "shanties"),
        ("one.txt", "one"),
        ("someone/data.set", "data.set"),
        ("(...)", "unnamed"),
    ],
)
def test_a_run_is_called_after_its_texts(originals: str, name: str) -> None:
    assert name_from(originals) == name


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_whatever_the_texts_are_called_the_run_can_be_called(originals: str) -> None:
    assert build_config({"name": name_from(originals)})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: [1, 2\n", "is not YAML"),
        (b"seed: 1\n  name: x\n", "is not YAML"),
        (b"name: caf\xe9\n", "is not YAML"),
        (b"- seed\n", "must hold 'key: value' lines, found list"),
        (b"seed\n", "must hold 'key: value' lines, found str"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_by_name(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_config(path)
    message = str(caught.value)
    assert str(path) in message and said in message and "\n" not in message


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfseed: 3\r\n")
    assert load_config(tmp_path / "bom.yaml").seed == 3


def test_a_missing_file_names_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"no configuration at .*tinny\.yaml\. Did you mean .*tiny\.yaml\?"):
        load_config(CONFIGS / "tinny.yaml")


@pytest.mark.parametrize("path", ["nowhere/none.yaml", "configs"])
def test_a_missing_file_without_a_near_one_points_to_the_presets(path: str) -> None:
    with pytest.raises(ValueError, match=r"no configuration at .* The presets are in configs/\."):
        load_config(path)


@pytest.mark.parametrize("text", ["name: 2026-11-31", "max_steps: 2024-13-01"])
def test_a_date_that_does_not_exist_is_named_with_its_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "dated.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"dated\.yaml is not YAML"):
        load_config(path)
    with pytest.raises(ValueError, match="whose value is not YAML"):
        parse_override(text.replace(": ", "="))


def test_a_number_of_three_hundred_digits_is_out_of_range() -> None:
    (line,) = problems({"learning_rate": int("9" * 310)})
    assert line.startswith("learning_rate: must be float")


@pytest.mark.parametrize(
    ("originals", "settings", "expected"),
    [
        (4, {}, 10), (40, {}, 30), (400, {}, 120), (4, {"max_steps": 3}, 3), (400, {"max_steps": 500}, 500), (4, {"steps": 30}, 30),
        (40, {"batch_size": 8}, 15),
    ],
)  # fmt: skip
def test_more_originals_are_tuned_for_longer_unless_told(
    originals: int, settings: dict[str, int], expected: int
) -> None:
    assert build_config(settings).horizon(originals) == expected
