"""The transformer and its embeddings."""

import pytest
import torch

from scdit.nn import ConditionEmbedding, ConditionTerms, DiT, drop_conditions


@pytest.fixture
def dit():
    torch.manual_seed(0)
    return DiT(5, {"labels": 3, "batch": 2}, n_tokens=3, width=16, depth=2, n_heads=2)


def codes(n):
    return {"labels": torch.arange(n) % 3, "batch": torch.arange(n) % 2}


def randomise(network):
    """Give the zero-initialised layers weights, so that everything acts."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def test_a_new_transformer_predicts_zero(dit):
    out = dit(torch.randn(7, 5), torch.rand(7), codes(7))
    torch.testing.assert_close(out, torch.zeros(7, 5))


def test_cells_do_not_see_each_other(dit):
    randomise(dit)
    x, t = torch.randn(7, 5), torch.rand(7)
    one = dit(x[3:4], t[3:4], {name: c[3:4] for name, c in codes(7).items()})
    torch.testing.assert_close(dit(x, t, codes(7))[3:4], one, rtol=1e-5, atol=1e-5)


def test_time_and_conditions_matter_and_dropped_ones_do_not(dit):
    randomise(dit)
    x, t = torch.randn(1, 5), torch.tensor([0.4])

    def run(t=t, keep=None, **changed):
        now = {"labels": torch.tensor([0]), "batch": torch.tensor([0])}
        return dit(x, t, now | {k: torch.tensor([v]) for k, v in changed.items()}, keep)

    assert not torch.allclose(run(), run(t=t + 0.1))
    assert not torch.allclose(run(), run(labels=1))
    assert not torch.allclose(run(), run(batch=1))
    # a condition that may not be seen is as if it were dropped, whatever its code
    torch.testing.assert_close(run(keep=["labels"]), run(batch=-1))
    torch.testing.assert_close(run(keep=["labels"]), run(keep=["labels"], batch=1))


def test_width_must_divide():
    with pytest.raises(ValueError, match="multiple of n_heads"):
        DiT(5, {}, width=10, n_heads=4)


def test_several_outputs_need_patches():
    with pytest.raises(ValueError, match="needs a patch_size"):
        DiT(5, {}, n_outputs=2)


def test_condition_names_may_be_anything():
    embedding = ConditionEmbedding({"a.b": 2, "c d": 2}, 4)
    assert embedding({"a.b": torch.tensor([1]), "c d": torch.tensor([-1])}).shape == (1, 4)


def test_conditions_are_dropped_per_cell_and_per_condition():
    torch.manual_seed(0)
    n, p = 20_000, 0.2
    dropped = drop_conditions({"a": torch.ones(n).long(), "b": torch.ones(n).long()}, p)
    a, b = (dropped[name] == -1 for name in ("a", "b"))
    each = 1 - (1 - p) ** 2
    assert a.float().mean() == pytest.approx(each, abs=0.02)
    # all of a cell's conditions go together with probability p, or by chance
    assert (a & b).float().mean() == pytest.approx(p + (1 - p) * p**2, abs=0.02)
    assert (a & ~b).any()
    together = drop_conditions(
        {"a": torch.ones(9).long(), "b": torch.ones(9).long()}, p, singly=False
    )
    torch.testing.assert_close(together["a"], together["b"])
    alone = drop_conditions({"a": torch.ones(n).long()}, p)["a"] == -1
    assert alone.float().mean() == pytest.approx(p, abs=0.02)


def test_shares_of_categories_are_between_their_terms():
    terms = ConditionTerms({"label": 2}, 3)
    with torch.no_grad():
        terms.terms[0].normal_()
    a, b, unknown = terms.terms[0]
    shares = torch.tensor([[1.0, 0, 0], [0.25, 0.75, 0], [0, 0.5, 0.5]])
    expected = torch.stack([a, 0.25 * a + 0.75 * b, 0.5 * b + 0.5 * unknown])
    torch.testing.assert_close(terms.total({"label": shares}, 3), expected)
