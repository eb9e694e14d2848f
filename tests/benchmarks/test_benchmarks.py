import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are only in the repository")
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in ("baselines", "fragments", "quality", "sampling_page", "splits", "tables"):
        sys.modules.pop(name, None)


def result(row, seed, value, floor=0.5, **changes):
    return {
        "row": row,
        "generator": row.split("_")[0],
        "seed": seed,
        "data": "some",
        "hvg": None,
        "labels_key": "type",
        "drop_labels": [],
        "n_train": 80,
        "n_test": 20,
        "n_genes": 1000,
        "n_labels": 2,
        "train_seconds": 1.0,
        "ms_per_cell": 2.0,
        "peak_memory_gb": 3.0,
        "note": "",
        "scvi_epochs": None,
        "draws": 3,
        "date": "2026-01-01",
        "load": 1.0,
        "machine": {"cpu": "CPU", "cores": 2, "threads": 1, "gpu": None, "system": "Linux"},
        "versions": {"scdit": "1.0"},
        "metrics": {"c2st_rf_pca": {"value": value, "floor": floor, "note": ""}},
        **changes,
    }


def test_split_is_stratified_and_repeats(pbmc68k):
    from splits import split

    key = "bulk_labels"
    dropped = pbmc68k.obs[key].cat.categories[0]
    train, test = split(pbmc68k, key, n_top_genes=100, drop_labels=[dropped])
    again, _ = split(pbmc68k, key, n_top_genes=100, drop_labels=[dropped])
    assert list(train.obs_names) == list(again.obs_names)
    assert list(train.var_names) == list(test.var_names) == list(again.var_names)
    assert not set(train.obs_names) & set(test.obs_names)
    assert train.n_vars == 100
    sizes = pbmc68k.obs[key].value_counts().drop(dropped)
    assert test.obs[key].value_counts().to_dict() == {
        label: max(1, round(0.2 * size)) for label, size in sizes.items() if size >= 5
    }


def test_genes_are_chosen_without_the_test_cells(pbmc68k):
    from splits import split

    _, test = split(pbmc68k, "bulk_labels", n_top_genes=100)
    changed = pbmc68k.copy()
    x = changed.X.tolil()
    x[changed.obs_names.get_indexer(test.obs_names), :300] = 50
    changed.X = x.tocsr()
    assert list(split(changed, "bulk_labels", n_top_genes=100)[1].var_names) == list(
        test.var_names
    )


def test_few_cells_keep_their_labels_and_all_test_cells_of_them(pbmc68k, tmp_path):
    from sizes import few
    from splits import split

    pbmc68k.write_h5ad(tmp_path / "cells.h5ad")
    args = Namespace(data=tmp_path / "cells.h5ad", labels="bulk_labels", drop_labels=[], hvg=100)
    train, test = few(args, 200)
    whole, held_out = split(pbmc68k, "bulk_labels")
    assert abs(train.n_obs - 200) <= train.obs["bulk_labels"].nunique()
    assert set(train.obs_names) < set(whole.obs_names)
    known = held_out.obs["bulk_labels"].isin(train.obs["bulk_labels"].unique())
    assert set(test.obs_names) == set(held_out.obs_names[known])
    assert train.n_vars == 100
    assert list(train.var_names) == list(test.var_names)
    with pytest.raises(ValueError, match=f"less than the {whole.n_obs} training cells"):
        few(args, whole.n_obs)


@pytest.mark.parametrize("name", ["bootstrap", "nb", "poisson"])
def test_baselines_make_the_cells_asked_for(pbmc68k, name):
    from baselines import BASELINES
    from splits import split

    train, test = split(pbmc68k, "bulk_labels")
    labels = test.obs["bulk_labels"].astype(str).to_numpy()
    sample = BASELINES[name](train, "bulk_labels")
    made = sample(labels, np.random.default_rng(0))
    assert sorted(made.obs["bulk_labels"]) == sorted(labels)
    assert list(made.var_names) == list(train.var_names)
    assert (made.X.data == np.rint(made.X.data)).all()
    assert made.X.sum(axis=1).mean() == pytest.approx(train.X.sum(axis=1).mean(), rel=0.1)
    assert (made.X != sample(labels, np.random.default_rng(0)).X).nnz == 0


def test_new_results_replace_those_of_their_row_and_seed(tmp_path):
    from quality import merge
    from records import read_results, write_results

    old = [result("nb", 0, 0.8), result("nb", 1, 0.7), result("poisson", 0, 0.9)]
    path = tmp_path / "results.json"
    write_results(merge([], old), path)
    runs = merge(read_results(path), [result("nb", 0, 0.6)])
    values = {(r["row"], r["seed"]): r["metrics"]["c2st_rf_pca"]["value"] for r in runs}
    assert values == {("nb", 0): 0.6, ("nb", 1): 0.7, ("poisson", 0): 0.9}


def test_page_shows_medians_floor_first():
    from tables import markdown

    runs = [result("scvi_prior", seed, value) for seed, value in enumerate((0.9, 0.7, 0.6))]
    page = markdown([*runs, result("nb", 0, None)])
    lines = [line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| ")]
    assert lines[1:4] == [
        ["| floor (real cells)", "0.500"],
        ["| scvi_prior", "0.700"],
        ["| nb", "–"],
    ]
    assert "--generators scvi --seeds 0 1 2 --draws 3" in page
    assert "--generators nb --seeds 0 --draws 3" in page


def test_the_floor_shown_is_that_of_most_draws():
    from tables import markdown

    runs = [
        result("nb", 0, 0.8, floor=0.44, draws=3),
        result("poisson", 0, 0.8, floor=0.55, draws=1),
    ]
    assert "| floor (real cells) | 0.440" in markdown(runs)


def test_floors_that_differ_are_reported():
    from tables import differing_floors

    assert not differing_floors([result("nb", 0, 0.8), result("nb", 1, 0.8, floor=0.6)])
    assert (
        "c2st_rf_pca"
        in differing_floors([result("nb", 0, 0.8), result("poisson", 0, 0.8, floor=0.6)])[0]
    )


def sampled(sampler, n_steps, calls, auc, floor=0.5):
    metrics = ("c2st_rf_pca", "c2st_rf_genes", "pc_sd_ratio")
    metrics += ("paper_kl", "paper_wasserstein", "paper_mmd")
    return {
        "codec": "latent",
        "sampler": sampler,
        "n_steps": n_steps,
        "calls": calls,
        "cpu_ms_per_cell": 1.0,
        "metrics": {metric: [auc, floor] for metric in metrics},
    }


def test_tables_of_samplers_have_their_rows(tmp_path, monkeypatch):
    import fragments
    import sampling_page

    rows = [
        sampled("ddpm", 100, 100, 0.65),
        sampled("ddpm", 1000, 1000, 0.60),
        sampled("ddim", 10, 10, 0.70),
        sampled("ddim", 50, 50, 0.615),
        sampled("ddim", 100, 100, 0.59),
        sampled("heun", 5, 9, 0.61),
        sampled("euler", 5, 5, 0.9),
    ]
    monkeypatch.setattr(fragments, "FIGURES", tmp_path)
    monkeypatch.setattr(sampling_page, "FIGURES", tmp_path)
    sampling_page.write_tables(rows)
    full = (tmp_path / "sampling_latent_all.md").read_text().splitlines()
    assert full[2].startswith("| real cells |  |  | 0.500")
    assert len(full) == 2 + 1 + len(rows)
    chosen = (tmp_path / "sampling_latent.md").read_text().splitlines()[3:]
    assert [line.split(" | ")[1:3] for line in chosen] == [
        ["10", "0.70"],
        ["50", "0.61"],
        ["1,000", "0.60"],
    ]
    assert (tmp_path / "sampling.png").stat().st_size > 1000


def test_latent_states_are_decoded_at_the_library_sizes_asked_for(make_adata):
    from models import decode

    import scdit

    adata = make_adata()
    scdit.SCDiT.setup_anndata(adata)
    model = scdit.SCDiT(adata)
    model.train(max_epochs=1, silent=True)
    size = np.repeat([100.0, 900.0], 60)
    cells = decode(model, model.get_latent_representation(), size)
    made = np.asarray(cells.X.sum(axis=1)).ravel().reshape(2, -1).mean(axis=1)
    np.testing.assert_allclose(made, [100, 900], rtol=0.06)


def test_ablation_names_what_it_replaces():
    """A variant that replaces a name the package no longer has would fail after hours of others."""
    import ablation
    from models import replacing

    for _, _, replaced in ablation.VARIANTS.values():
        with replacing(replaced):
            pass
