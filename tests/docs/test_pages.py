"""The code that the documentation shows runs, and does what the text says."""

import copy
import re
import warnings
from importlib.util import find_spec
from unittest.mock import patch

import numpy as np
import pytest
from anndata import AnnData

from .conftest import N_CELLS, ROOT, code_of, make_cells, make_paired

# pages whose examples have a test of their own
OWN_TEST = {
    "docs/developer.md",
    "docs/diffusion.md",
    "docs/scvi_methods.md",
    "docs/simulate.md",
}
# pages that run as they are, given the names of `given`
PAGES = [
    "README.md",
    "docs/index.md",
    "docs/control.md",
    "docs/evaluation.md",
    "docs/expression.md",
    "docs/faq.md",
    "docs/migration.md",
    "docs/modalities.md",
    "docs/sampling.md",
    "docs/scale.md",
    "docs/sharing.md",
    "docs/training.md",
    "docs/unseen.md",
]
# examples that need huggingface-hub and an account, several processes (tests/train/test_processes.py), or
# annbatch (a test of its own below)
ELSEWHERE = ("HubModel", "devices=2", "setup_annbatch")
needs_annbatch = pytest.mark.skipif(
    find_spec("annbatch") is None, reason="annbatch is not installed (needs Python 3.12)"
)
needs_lazy = pytest.mark.skipif(
    find_spec("dask") is None or find_spec("xarray") is None,
    reason="read_lazy needs dask and xarray",
)


def run(page: str, examples: list[str], names: dict) -> dict:
    """Run examples one after the other in one namespace, as a reader of the page would."""
    for number, code in enumerate(examples, 1):
        exec(compile(code, f"{page}, example {number}", "exec"), names)
    return names


@pytest.fixture
def given(small, trained):
    """What the pages take as given: packages, cells and a trained model."""
    import anndata
    import scanpy
    import scvi

    import scdit

    adata = make_cells(0)
    scdit.SCDiT.setup_anndata(adata, labels_key="cell_type", batch_key="batch")
    return {
        "scdit": scdit,
        "scvi": scvi,
        "anndata": anndata,
        "scanpy": scanpy,
        "adata": adata,
        "train": make_cells(0),
        "test": make_cells(1),
        "other": make_cells(0)[:20].copy(),
        "model": copy.deepcopy(trained),
        "new": trained.generate(N_CELLS, rng=0),
    }


def paired(given: dict) -> dict:
    """Cells with RNA and proteins, in a MuData, and in an AnnData with proteins in `obsm`."""
    adata = make_cells(0)
    adata.obsm["protein_expression"] = make_paired(0)["prot"].X.toarray()
    train = make_paired(0)
    return {"mdata": make_paired(0), "train": train, "test": make_paired(1), "adata": adata}


def files(given: dict) -> dict:
    """Files of cells, and the shards that three other processes write."""
    for name in ("train.h5ad", "one.h5ad", "two.h5ad"):
        make_cells(0).write_h5ad(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata: zarr will have another format
        make_cells(0).write_zarr("train.zarr")
    for rank in (1, 2, 3):
        given["model"].generate(1000, path="cells.zarr", rng=0, shard=(rank, 4))
    return {"rank": 0}


# what else these pages take as given
MORE = {"docs/modalities.md": paired, "docs/scale.md": files}


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=needs_lazy) if p == "docs/scale.md" else p for p in PAGES],
)
def test_examples_run(page, given):
    given |= MORE.get(page, lambda _: {})(given)
    examples = [c for c in code_of(page) if not any(word in c for word in ELSEWHERE)]
    assert examples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cells this few are warned of
        names = run(page, examples, given)
    new = names["new"]
    counts = (new if isinstance(new, AnnData) else new["rna"]).X
    counts = counts.compute() if hasattr(counts, "compute") else counts
    assert counts.nnz > 0
    assert np.array_equal(counts.data, np.rint(counts.data))


def test_no_page_is_forgotten():
    pages = ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
    shown = {page for page in pages if code_of(page)}
    assert shown <= {*PAGES, *OWN_TEST}


@needs_annbatch
@pytest.mark.filterwarnings("ignore")  # of anndata, as above
def test_a_collection_of_annbatch(given):
    files(given)
    (code,) = (code for code in code_of("docs/scale.md") if "setup_annbatch" in code)
    names = run("docs/scale.md", [code], given)
    assert names["dm"].adata.n_obs == 320
    assert names["model"].is_trained


def test_a_diffusion_model_of_the_parts():
    names = run("docs/diffusion.md", code_of("docs/diffusion.md"), {})
    radius = names["new"].norm(dim=1)
    assert radius.mean() == pytest.approx(1, abs=0.05)
    assert radius.std() < 0.15  # of noise: 0.66
    assert names["new"].mean(0).norm() < 0.15  # the whole circle


def test_a_sampler_and_a_metric_of_ones_own(given):
    import scdit
    from scdit.tl._choice import PRESETS
    from scdit.tl._metrics import METRICS

    with patch.dict(scdit.diffusion.SAMPLERS):
        names = run("docs/developer.md", code_of("docs/developer.md"), given)
        assert names["new"].n_obs == N_CELLS
        assert names["error"](20) / names["error"](40) == pytest.approx(4, rel=0.1)
        with pytest.raises(ValueError, match="n_steps must be given with sampler 'midpoint'"):
            names["model"].generate(5, sampler="midpoint")
    row, train, test = names["row"], names["train"], names["test"]
    with patch.dict(METRICS, {row.name: row}), patch.dict(PRESETS, all=(row.name,)):
        table = scdit.tl.evaluate(train, test, metrics=[row.name])
    (value,) = table.loc[table["group"] == "all", "value"]
    assert value == pytest.approx(test.X.sum() / train.X.sum(), rel=0.01)  # of a part of the cells


def test_the_methods_of_scvi(make_adata, tmp_path, monkeypatch):
    setup, *examples = code_of("docs/scvi_methods.md")
    small = setup.replace("SCDiT(adata)", "SCDiT(adata, n_hidden=32, width=32)").replace(
        "train()", "train(max_epochs=2)"
    )
    assert small.count("32") == 2
    assert small.count("max_epochs") == 1
    monkeypatch.chdir(tmp_path)
    examples = [small, *(code for code in examples if "autotune" not in code)]
    names = run("docs/scvi_methods.md", examples, {"adata": make_adata()})
    assert names["adata"].layers["denoised"].shape == (120, 40)
    assert names["counts"].shape == (120, 40, 5)
    assert names["typical"].shape == (1, 40)
    assert names["as_b"].obs["cell_type"].unique().tolist() == ["B"]
    raw, made = (names["check"].metrics["zero_fraction"][name] for name in ("Raw", "scdit"))
    assert raw.corr(made) > 0.8


def test_new_donors_and_power(of_donors):
    import scdit

    names: dict = {"scdit": scdit, "model": of_donors}
    examples = [code for code in code_of("docs/simulate.md") if "donor" in code]
    small = {
        r"\b5000\b": "200",
        r"\[4, 8, 16\]": "[2]",
        r"\[30, 100\]": "[5]",
        "repeats=20": "repeats=2",
    }
    for pattern, number in small.items():
        examples = [re.sub(pattern, number, code) for code in examples]
    run("docs/simulate.md", examples, names)
    assert names["new"].obs["donor"].value_counts().tolist() == [300, 300]
    assert (names["new"].obs["condition"] == "stim").all()
    assert names["table"]["metric"].tolist() == ["power", "FDR", "type-I error"]


def test_cells_with_a_known_truth(make_adata):
    import scdit

    adata = make_adata()
    adata.obs["condition"] = ["ctrl", "stim"] * 60
    scdit.SCDiT.setup_anndata(adata, categorical_covariate_keys=["condition"])
    model = scdit.SCDiT(adata, n_hidden=8, width=8, n_heads=2)
    model.train(max_epochs=1, silent=True)
    names: dict = {"scdit": scdit, "model": model}
    found = []
    for code in code_of("docs/simulate.md"):
        if "donor" in code:
            continue
        small = re.sub(r"\b[25]000\b", "100", code).replace("n_genes=200", "n_genes=10")
        found.append(run("docs/simulate.md", [small], names)["new"])
    effects, null, both, population = found
    assert (null.obs["condition"] == both.obs["condition"].to_numpy()).all()
    is_stim = (both.obs["scdit_effects"] == "condition=stim").to_numpy()
    assert (is_stim == (both.obs["condition"] == "stim")).all()
    assert (null.X[~is_stim] != both.X[~is_stim]).nnz == 0
    assert (effects.varm["scdit_log2fc"] != 0).sum().item() == 10
    assert population.uns["scdit"]["null"] == "labels"


@pytest.mark.slow
def test_tuning(make_adata):
    pytest.importorskip("ray.tune")
    pytest.importorskip("hyperopt")
    import scdit

    (code,) = (code for code in code_of("docs/scvi_methods.md") if "autotune" in code)
    code = code.replace("20, ", "1, ").replace("50}", "1}").replace("samples=10", "samples=2")
    names: dict = {"adata": make_adata(), "scdit": scdit}
    scdit.SCDiT.setup_anndata(names["adata"], labels_key="cell_type", batch_key="batch")
    run("docs/scvi_methods.md", [code], names)
    results = names["experiment"].result_grid
    assert len(results) == 2
    assert not results.errors
    assert all(result.metrics["denoiser_loss_validation"] > 0 for result in results)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_of_the_repository(page):
    """Sphinx looks at those between pages; nothing looks at these."""
    if not (ROOT / "docs").is_dir():
        pytest.skip("the source distribution has no pages")
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    for link in (link for link in links if not link.startswith("http")):
        file, _, anchor = link.partition("#")
        text = (ROOT / (file or page)).read_bytes()
        if anchor:
            headings = re.findall(r"^#+ (.*)$", text.decode(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
            assert anchor in slugs, link
