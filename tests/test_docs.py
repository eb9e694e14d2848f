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


def test_cells_with_a_known_truth(make_adata):
    page = DOCS / "simulate.md"
    if not page.is_file():
        pytest.skip("the documentation is only in the repository")
    import scdit

    adata = make_adata()
    adata.obs["condition"] = ["ctrl", "stim"] * 60
    scdit.SCDiT.setup_anndata(adata, categorical_covariate_keys=["condition"])
    model = scdit.SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    names: dict = {"scdit": scdit, "model": model}
    found = []
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        small = re.sub(r"\b[25]000\b", "100", code).replace("n_genes=200", "n_genes=10")
        exec(compile(small, page.name, "exec"), names)
        found.append(names["new"])
    effects, null, both, population = found
    assert (null.obs["condition"] == both.obs["condition"].to_numpy()).all()
    is_stim = (both.obs["scdit_effects"] == "condition=stim").to_numpy()
    assert (is_stim == (both.obs["condition"] == "stim")).all()
    assert (null.X[~is_stim] != both.X[~is_stim]).nnz == 0
    assert (effects.varm["scdit_log2fc"] != 0).sum().item() == 10
    assert population.uns["scdit"]["null"] == "labels"


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
