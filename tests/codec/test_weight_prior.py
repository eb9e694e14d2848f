"""Gaussian priors of weights."""

import pytest
import torch

from scdit.codec import WeightPrior
from scdit.module import SCDiTModule
from scdit.train import CodecPlan


@pytest.mark.parametrize("centre", [None, torch.tensor([1.0, -2.0, 0.0])])
def test_finds_the_mode_of_the_posterior(centre):
    """Means of 20 observations of unit variance, with a prior worth five: known in closed form."""
    torch.manual_seed(0)
    data = torch.randn(20, 3) + 2
    weight = torch.nn.Parameter(torch.zeros(3))
    prior = WeightPrior(weight, 5.0, centre)
    optimizer = torch.optim.SGD([weight], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        (0.5 * (data - weight).pow(2).sum(1).mean()).backward()
        prior.add_gradient(20)
        optimizer.step()
    mode = (data.sum(0) + 5 * (0.0 if centre is None else centre)) / 25
    torch.testing.assert_close(weight.detach(), mode)


def test_a_weight_without_gradient_is_left_alone():
    weight = torch.nn.Parameter(torch.ones(3))
    WeightPrior(weight, 5.0).add_gradient(20)
    assert weight.grad is None


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
def test_all_weights_of_genes_have_one(likelihood):
    """Nothing of the decoder that belongs to a gene is free, but its mean."""
    codec_kwargs = {"n_latent": 2, "gene_likelihood": likelihood}
    module = SCDiTModule(30, {}, codec_kwargs=codec_kwargs, denoiser_kwargs={})
    plan = CodecPlan(module, lr=1e-3)
    plan.n_obs_training = 10
    parameters = dict(module.codec.assays.rna.named_parameters())
    for parameter in parameters.values():
        torch.nn.init.normal_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    plan.on_before_optimizer_step(torch.optim.SGD(module.parameters()))
    held = {name for name, p in parameters.items() if p.grad.any()}
    of_genes = {name for name, p in parameters.items() if p.shape[:1] == (30,)}
    exponent = {"dispersion.exponent"}
    assert held == (of_genes | exponent) - {"decoder_nonlinear.bias"}
