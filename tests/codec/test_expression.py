"""The expression codec, patches, and the order of genes."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdit.codec import ExpressionCodec
from scdit.codec._expression_start import order_genes
from scdit.nn import DiT, PatchTokens


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    return torch.tensor(rng.poisson(rng.gamma(0.5, 2, (30, 23))), dtype=torch.float32) + torch.eye(
        30, 23
    )


def no_numbers(n_features):
    raise AssertionError("this codec draws nothing")


@pytest.mark.parametrize("zero_value", [-10.0, -1.0, 0.0])
@pytest.mark.parametrize("gene_order", ["correlation", "given", "random"])
def test_counts_come_back_exactly(counts, zero_value, gene_order):
    codec = ExpressionCodec(23, zero_value=zero_value, gene_order=gene_order)
    codec.start({"rna": sp.csr_matrix(counts.numpy())})
    state, sd = codec.encode({"rna": counts})
    assert not sd.any()
    back = codec.draw(codec.with_library_size(state, {"rna": counts.sum(1)}), no_numbers)["rna"]
    torch.testing.assert_close(back, counts)


def test_values_are_those_of_the_paper(counts):
    codec = ExpressionCodec(23, zero_value=-10.0)
    state, _ = codec.encode({"rna": counts})
    expected = torch.log1p(1e4 * counts / counts.sum(1, keepdim=True))
    torch.testing.assert_close(state[counts > 0], expected[counts > 0])
    assert (state[counts == 0] == -10).all()


def test_what_is_below_zero_is_a_zero_and_what_is_above_a_count():
    codec = ExpressionCodec(4)
    state = torch.tensor([[-3.0, -0.01, 0.01, np.log1p(10.0)]])
    made = codec.draw(codec.with_library_size(state, {"rna": torch.tensor([2000.0])}), no_numbers)[
        "rna"
    ]
    assert made.tolist() == [[0, 0, 1, 2]]
    layer = codec.layers(state)["log_normalized"]
    torch.testing.assert_close(layer, state.clamp_min(0))


def test_library_sizes_are_told_within_the_range_of_training(counts):
    codec = ExpressionCodec(23)
    codec.start({"rna": sp.csr_matrix(counts.numpy())})
    library = counts.sum(1)
    codes = codec.library_code(library)
    assert codes.mean().abs() < 1e-4
    assert codes.std(correction=0) == pytest.approx(1, rel=1e-3)
    far = codec.library_code(torch.tensor([1e-3, 1e9], dtype=torch.float64))
    torch.testing.assert_close(far, torch.stack([codes.min(), codes.max()]))


@pytest.mark.parametrize(
    ("scaling", "mean", "sd"),
    [("gene", [1.0, 3.0], [2.0, 4.0]), ("none", [0.0, 0.0], [1.0, 1.0])],
)
def test_scaling(scaling, mean, sd):
    codec = ExpressionCodec(2, scaling=scaling)
    centre, scale = codec.normalisation(torch.tensor([1.0, 3.0]), torch.tensor([4.0, 16.0]))
    assert (centre.tolist(), scale.tolist()) == (mean, sd)


def test_one_scale_for_all_genes_has_unit_variance_over_cells_and_genes():
    x = torch.randn(500, 7) * torch.arange(1, 8) + torch.arange(7)
    codec = ExpressionCodec(7, scaling="global")
    centre, scale = codec.normalisation(x.mean(0), x.var(0, correction=0))
    scaled = (x - centre) / scale
    assert scaled.mean().abs() < 1e-5
    assert scaled.std() == pytest.approx(1, rel=1e-3)
    assert scale.unique().numel() == 1


@pytest.mark.parametrize(
    "arguments",
    [{"zero_value": 0.5}, {"zero_value": -np.inf}, {"gene_order": "sorted"}, {"scaling": "cell"}],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ExpressionCodec(5, **arguments)


def test_genes_that_vary_together_stand_together():
    rng = np.random.default_rng(0)
    programme = rng.permutation(np.repeat(np.arange(8), 8))
    loadings = np.eye(8)[programme] + 0.1 * rng.standard_normal((64, 8))
    order = order_genes(loadings)
    assert sorted(order) == list(range(64))
    together = (programme[order][1:] == programme[order][:-1]).mean()
    assert together > 0.6  # 0.11 in a random order


@pytest.mark.parametrize("n_genes", [1, 2, 7])
def test_few_genes_have_an_order(n_genes):
    order = order_genes(np.random.default_rng(0).standard_normal((n_genes, 3)))
    assert sorted(order) == list(range(n_genes))


@pytest.mark.parametrize(("n_state", "n_tokens"), [(20, 4), (21, 5), (5, 1)])
def test_patches_of_any_number_of_genes(n_state, n_tokens):
    tokens = PatchTokens(n_state, 5, 16)
    x = torch.randn(3, n_state)
    assert tokens.n_tokens == n_tokens
    assert tokens.tokenise(x).shape == (3, n_tokens, 16)
    assert tokens.read_out(tokens.tokenise(x)).shape == x.shape
    network = DiT(n_state, {}, patch_size=5, width=16, n_heads=2)
    assert network(x, torch.rand(3), {}).shape == x.shape


def test_a_patch_sees_its_own_genes_only():
    tokens = PatchTokens(12, 5, 16)
    x = torch.randn(1, 12)
    changed = x.clone()
    changed[0, 5:10] += 1
    same = (tokens.tokenise(x) == tokens.tokenise(changed)).all(-1)
    assert same.tolist() == [[True, False, True]]


def test_a_patch_larger_than_the_state_is_refused():
    with pytest.raises(ValueError, match="patch_size must be 1 to 8, got 9"):
        DiT(8, {}, patch_size=9, width=16)


def test_the_preset_has_the_sizes_of_the_paper():
    from scdit.model._architecture import module_arguments, resolve_architecture

    chosen = resolve_architecture(None, "scrdit", {}, 2_000, {"rna": 2_000})
    arguments = module_arguments(chosen)
    network = DiT(2_000, {}, **arguments["denoiser_kwargs"])
    assert network.position.shape == (200, 768)
    assert len(network.blocks) == 3
    assert network.blocks[0].n_heads == 8
    assert (arguments["schedule"], arguments["prediction"]) == ("ddpm", "eps")
    assert arguments["codec_kwargs"]["zero_value"] == -10
    x = torch.randn(2, 2_000)
    network(x, torch.rand(2), {}).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
