"""The README's commands and code run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import write_light_configs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run_readme(folder: Path) -> str:
    """All shell blocks and the Python blocks as one, in the README's order, in a folder that has only configs/ and data/seeds."""
    write_light_configs(folder / "configs")
    shutil.copytree(ROOT / "data" / "seeds", folder / "data" / "seeds")
    first, last, cards = blocks("bash")
    # Four cards and a model of the hub are not here; two processes and the two-layer model are.
    cards = cards.replace("--num_processes 4", "--num_processes 2").replace("smollm2-135m.yaml", "tiny.yaml")
    code = "\n".join(blocks("python"))
    environment = {
        **{
            key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"
        },  # the tests' own limit
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    output = ""
    shell = [["bash", "-ec", block] for block in (first, last, cards)]
    for command in [shell[0], [sys.executable, "-c", code], *shell[1:]]:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        output += done.stdout
    return output


@pytest.mark.slow
def test_the_commands_and_code_run_as_they_stand(tmp_path: Path) -> None:
    output = run_readme(tmp_path)
    assert "tokens dropped          0" in output
    assert (tmp_path / "runs" / "quick" / "report.html").exists()
    assert (tmp_path / "scores.html").exists()
    assert output.count("verdict") >= 4
    assert "ended by end of text" in output
    assert "perplexity base" in output
    assert (tmp_path / "runs" / "tiny" / "model" / "model.safetensors").exists()


def test_every_path_the_readme_names_is_there() -> None:
    named = set(re.findall(r"`((?:configs|notebooks|data|training|inference|tests)/[\w./-]+)`", README))
    assert len(named) >= 4
    assert not [path for path in named if not (ROOT / path).exists()]
