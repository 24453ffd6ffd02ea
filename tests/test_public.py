"""The public surface and the direction of imports: what may be used, and who may know whom."""

import ast
import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PUBLIC = {
    "data": [
        "Brief",
        "Fold",
        "Original",
        "build_dataset",
        "detect_brief",
        "draw_briefs",
        "folds",
        "load_originals",
    ],
    "inference": [
        "Checkpoint",
        "Sample",
        "Scorecard",
        "generate",
        "load",
        "load_metric",
        "perplexity",
        "score",
        "stream",
    ],
    "training": ["TrainConfig", "load_config", "train"],
}
"""Frozen: more may be added, these stay."""

KNOWS = {"data": {"data"}, "inference": {"data", "inference"}, "training": {"data", "inference", "training"}}

FILES = {package: sorted((ROOT / package).rglob("*.py")) for package in PUBLIC}
MODULES = sorted(
    file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for files in FILES.values()
    for file in files
    if file.parent.parent.name != "metrics"  # evaluate loads these by path
)


def imported(file: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere in it, in functions and for type checkers too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these_and_resolve(package: str) -> None:
    module = import_module(package)
    assert module.__all__ == PUBLIC[package] == sorted(PUBLIC[package])
    assert dir(module) == PUBLIC[package]
    for name in PUBLIC[package]:
        found = getattr(module, name)
        assert found.__name__ == name
        assert found.__module__.partition(".")[0] == package
        assert found.__doc__ and found.__doc__.strip()


@pytest.mark.parametrize("package", PUBLIC)
def test_a_name_that_is_none_is_refused_with_those_that_are(package: str) -> None:
    with pytest.raises(
        AttributeError, match=f"module '{package}' has no attribute 'nothing'; it has {PUBLIC[package][0]}"
    ):
        import_module(package).nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec(f"from {package} import nothing")


def test_no_module_hides_a_public_function() -> None:
    """Importing a module sets an attribute of its package: one named like a function would take its place."""
    for package, names in PUBLIC.items():
        modules = {file.stem for file in FILES[package] if file.parent == ROOT / package}
        assert modules.isdisjoint(names)


def test_public_functions_stay_functions_after_every_module_is_imported() -> None:
    import data.splits
    from data import folds

    assert folds is data.splits.folds
    for module in MODULES:
        if not module.endswith("__main__"):
            import_module(module)
    for package, names in PUBLIC.items():
        for name in names:
            assert callable(getattr(import_module(package), name)), name


def test_importing_the_packages_imports_nothing_heavy() -> None:
    program = (
        "import sys, data, inference, training; from data import Brief, Original, folds, load_originals; "
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# Who knows whom


@pytest.mark.parametrize("package", PUBLIC)
def test_imports_point_one_way(package: str) -> None:
    seen: set[str] = set()
    for file in FILES[package]:
        ours = {name for name in imported(file) if name.partition(".")[0] in PUBLIC}
        foreign = {name for name in ours if name.partition(".")[0] not in KNOWS[package]}
        assert not foreign, f"{file.relative_to(ROOT)} imports {foreign}"
        seen |= ours
    # The scan saw what it should have seen.
    assert len(FILES[package]) >= 5
    assert {name.partition(".")[0] for name in seen} == KNOWS[package]


def test_the_scan_finds_imports_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "import os\ndef f():\n    from training import job\nif 0:\n    import inference.runs as r\n", "utf-8"
    )
    assert imported(tmp_path / "x.py") == {"os", "training", "training.job", "inference.runs"}


def test_inference_reads_a_run_without_the_class_of_its_settings() -> None:
    """Not even by a name in a string."""
    for file in FILES["inference"]:
        assert "TrainConfig" not in file.read_text("utf-8")


def test_no_module_is_called_utils_or_common_or_like_a_dependency() -> None:
    names = {file.stem for files in FILES.values() for file in files}
    assert names.isdisjoint(
        {"utils", "common", "helpers", "evaluate", "datasets", "tokenizers", "transformers", "torch"}
    )


@pytest.mark.parametrize("package", PUBLIC)
def test_every_module_says_what_it_is_for(package: str) -> None:
    for file in FILES[package]:
        assert ast.get_docstring(ast.parse(file.read_text("utf-8"))), file.relative_to(ROOT)


def test_the_packages_that_are_installed_are_those_that_are_there() -> None:
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    there = {
        ".".join(f.parent.relative_to(ROOT).parts)
        for files in FILES.values()
        for f in files
        if f.name == "__init__.py"
    }
    assert set(listed) == there


# Examples


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_hold(module: str) -> None:
    assert doctest.testmod(import_module(module)).failed == 0


def test_there_are_examples() -> None:
    found = [
        t
        for module in MODULES
        for t in doctest.DocTestFinder(exclude_empty=True).find(import_module(module))
        if t.examples
    ]
    assert len(found) >= 8
