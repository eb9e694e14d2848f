"""The tutorials as they are committed; that they run is checked by `make notebooks`."""

import ast
import json

import pytest

from .conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    cells = json.loads(request.param.read_text())["cells"]
    assert request.param.stat().st_size < 1e6
    return cells


def test_it_was_run_to_the_end(notebook):
    code = [cell for cell in notebook if cell["cell_type"] == "code"]
    # from top to bottom, in one go
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]
    warned = [o for o in outputs if "Warning" in "".join(o.get("text", ""))]
    assert not warned


def test_it_has_parameters_and_says_how_long_it_takes(notebook):
    tagged = [cell for cell in notebook if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert all(
        isinstance(node, ast.Assign) for node in ast.parse("".join(tagged[0]["source"])).body
    )
    assert "minutes" in "".join(notebook[0]["source"])


@pytest.mark.skipif(not NOTEBOOKS, reason="the documentation is only in the repository")
def test_each_is_among_the_tutorials():
    page = (ROOT / "docs" / "tutorials.md").read_text()
    for path in NOTEBOOKS:
        assert page.count(f"notebooks/{path.stem}") == 2  # in the list and in the tree
