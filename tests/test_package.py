"""The package as a whole: what it loads, what it exports, and which way its layers look."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scdit

SOURCE = Path(scdit.__file__).parent
# each layer may import those before it, and the checks and the version, which know no layer
LAYERS = ["diffusion", "nn", "codec", "module", "train", "model"]
ALLOWED = {layer: set(LAYERS[: i + 1]) for i, layer in enumerate(LAYERS)}
ALLOWED["model"] |= {"conditions", "store"}
ALLOWED["store"] = {"store"}
ALLOWED["conditions"] = {"conditions", "nn"}
LEAVES = {
    "_checks",
    "_columns",
    "_lazy",
    "_matrix",
    "_mudata",
    "_compat",
    "_progress",
    "_torch",
    "__version__",
}


def imported_layers(path):
    """Layers of scdit that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == "scdit":
            names = [f"scdit.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "scdit" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("layer", ALLOWED)
def test_layers_import_downwards_only(layer):
    for path in (SOURCE / layer).rglob("*.py"):
        assert set(imported_layers(path)) <= ALLOWED[layer] | LEAVES, path.name


def test_training_knows_no_codec_by_class():
    """What it needs of a codec is in the protocols: a second codec, or assay, changes nothing there."""
    for path in [*(SOURCE / "train").rglob("*.py"), SOURCE / "module" / "_module.py"]:
        code = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
        assert not names & {"LatentCodec", "ExpressionCodec"}, path.name


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.name)
def test_a_file_can_be_read_in_one_go(path):
    assert len(path.read_text().splitlines()) <= 300


def undocumented(body, prefix=""):
    """Public functions, classes and methods without a docstring; ruff leaves out those in private files."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.name)
def test_what_is_public_has_a_docstring(path):
    assert list(undocumented(ast.parse(path.read_text()).body)) == []


def test_torch_layers_load_neither_scvi_nor_scanpy():
    code = (
        "import sys, scdit.diffusion, scdit.nn, scdit.codec;"
        "print([m for m in ('scvi', 'scanpy', 'anndata', 'lightning') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", scdit.__all__)
def test_names_are_loaded_on_use(name):
    assert getattr(scdit, name) is not None
    assert name in dir(scdit)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scdit.nothing


def test_pbmc68k_inverts_the_normalisation(pbmc68k):
    """Normalising the counts again gives back what scanpy ships."""
    import scanpy as sc

    shipped = sc.datasets.pbmc68k_reduced()
    counts = pbmc68k.X.toarray()
    assert pbmc68k.shape == (700, 765)
    np.testing.assert_array_equal(counts, np.rint(counts))
    again = np.log1p(counts * 1e4 / shipped.obs["n_counts"].to_numpy()[:, None])
    np.testing.assert_allclose(again, shipped.raw.X.toarray(), atol=2e-3)
    assert pbmc68k.obs["bulk_labels"].nunique() == 10
