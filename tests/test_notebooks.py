"""The notebooks run from top to bottom, and were committed as they ran."""

import shutil
from pathlib import Path

import pytest

from tests.small import ROOT, write_light_configs


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebook_runs_and_was_committed_with_its_outputs(notebook: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), (
        "not the product of a clean run"
    )
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    write_light_configs(tmp_path / "configs")
    shutil.copytree(ROOT / "data" / "seeds", tmp_path / "data" / "seeds")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path / "notebooks")}}).execute()
