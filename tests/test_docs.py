"""The code that the documentation shows runs, and does what the text says."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def test_a_diffusion_model_of_the_parts():
    page = DOCS / "diffusion.md"
    if not page.is_file():
        pytest.skip("the documentation is only in the repository")
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, page.name, "exec"), names)
    radius = names["new"].norm(dim=1)
    assert radius.mean() == pytest.approx(1, abs=0.05)
    assert radius.std() < 0.15  # of noise: 0.66
    assert names["new"].mean(0).norm() < 0.15  # the whole circle
