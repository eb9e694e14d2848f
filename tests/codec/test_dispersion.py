"""The dispersion of counts in each gene and cell."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdit.codec import latent_codec
from scdit.codec.likelihood import Dispersion, NegativeBinomial, cell_negative_log_likelihood


def _start(n_genes: int) -> dict[str, torch.Tensor]:
    zeros = torch.zeros(n_genes)
    return {"log_theta": zeros + 0.7, "log_theta_trend": zeros, "log_proportions": zeros - 2.0}


def test_one_number_per_gene_or_one_that_follows_the_proportion():
    change = torch.tensor([[-9.0, -1.0, 0.0, 0.5]])
    plain, burst = (Dispersion(4, 3, per) for per in ("gene", "gene-cell"))
    for dispersion in (plain, burst):
        dispersion.initialise(_start(4))
        torch.testing.assert_close(
            dispersion(change - 2, torch.randn(1, 3)), torch.full((1, 4), 0.7)
        )
    torch.nn.init.constant_(burst.exponent, 0.75)
    expected = 0.7 + 0.75 * torch.tensor([[-5.0, -1.0, 0.0, 0.5]])  # not below a 150th
    torch.testing.assert_close(burst(change - 2, torch.randn(1, 3)), expected)
    with pytest.raises(ValueError, match="gene-cell"):
        Dispersion(4, 3, "cell")


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_finds_whether_the_number_or_the_size_of_bursts_changes(exponent):
    """Counts of known means, with theta constant or proportional to the mean."""
    rng = np.random.default_rng(0)
    log_mean = torch.tensor(rng.uniform(-1, 3, (4_000, 5)), dtype=torch.float32)
    truth = NegativeBinomial(log_mean, exponent * (log_mean - 1) + 0.5)
    counts = truth.quantile(torch.tensor(rng.random((4_000, 5)), dtype=torch.float32))
    dispersion = Dispersion(5, 1)
    zeros = torch.zeros(5)
    dispersion.initialise(
        {"log_theta": zeros, "log_theta_trend": zeros, "log_proportions": zeros + 1}
    )
    known = torch.zeros(4_000, 1)
    optimizer = torch.optim.LBFGS(
        [dispersion.exponent, dispersion.log_theta], max_iter=50, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        value = cell_negative_log_likelihood(log_mean, dispersion(log_mean, known), counts).mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert dispersion.exponent.item() == pytest.approx(exponent, abs=0.05)
    np.testing.assert_allclose(dispersion.log_theta.detach(), 0.5, atol=0.15)


def test_calibrated_shifts_move_what_they_say():
    """A shift of the mean leaves the dispersion where it is, whatever the exponent."""
    rng = np.random.default_rng(0)
    codec = latent_codec(40, n_latent=2).eval()
    codec.start({"rna": sp.csr_matrix(rng.poisson(rng.gamma(2, 0.5, 40), (200, 40)))})
    torch.nn.init.constant_(codec.assays.rna.dispersion.exponent, 0.8)
    state = torch.randn(6, 3)
    with torch.no_grad():
        before = codec.decode(state)["rna"]
        shift = torch.zeros(40)
        shift[3] = 0.2
        shifts = torch.stack([shift, 0.5 * shift, torch.zeros(40)])
        codec.assays.rna.regions.set(torch.zeros(1, 2), 1.0, shifts[:, None])
        after = codec.decode(state)["rna"]
    lift = after.log_mean - before.log_mean
    torch.testing.assert_close(lift[:, 3] - lift[:, 4], torch.full((6,), 0.2))
    moved = after.log_theta - before.log_theta
    torch.testing.assert_close(moved, (0.5 * shift).expand(6, 40), atol=1e-4, rtol=0)
