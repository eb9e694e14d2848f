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


@pytest.fixture(scope="module")
def scvi_methods():
    page = DOCS / "scvi_methods.md"
    if not page.is_file():
        pytest.skip("the documentation is only in the repository")
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_methods_of_scvi(scvi_methods, make_adata, tmp_path, monkeypatch):
    setup, *examples = scvi_methods
    small = setup.replace("SCDiT(adata)", "SCDiT(adata, n_hidden=32, width=32)").replace(
        "train()", "train(max_epochs=2)"
    )
    assert small.count("32") == 2
    assert small.count("max_epochs") == 1
    monkeypatch.chdir(tmp_path)
    names: dict = {"adata": make_adata()}
    for code in (small, *[code for code in examples if "autotune" not in code]):
        exec(compile(code, "scvi_methods.md", "exec"), names)
    assert names["adata"].layers["denoised"].shape == (120, 40)
    assert names["counts"].shape == (120, 40, 5)
    assert names["typical"].shape == (1, 40)
    assert names["as_b"].obs["cell_type"].unique().tolist() == ["B"]
    raw, made = (names["check"].metrics["zero_fraction"][name] for name in ("Raw", "scdit"))
    assert raw.corr(made) > 0.8


@pytest.mark.slow
def test_tuning(scvi_methods, make_adata):
    pytest.importorskip("ray.tune")
    pytest.importorskip("hyperopt")
    import scdit

    (code,) = (code for code in scvi_methods if "autotune" in code)
    code = code.replace("20, ", "1, ").replace("50}", "1}").replace("samples=10", "samples=2")
    names: dict = {"adata": make_adata(), "scdit": scdit}
    scdit.SCDiT.setup_anndata(names["adata"], labels_key="cell_type", batch_key="batch")
    exec(compile(code, "scvi_methods.md", "exec"), names)
    results = names["experiment"].result_grid
    assert len(results) == 2
    assert not results.errors
    assert all(result.metrics["denoiser_loss_validation"] > 0 for result in results)
