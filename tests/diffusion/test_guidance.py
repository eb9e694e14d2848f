"""Guidance: what is called, and how the calls are mixed."""

import pytest
import torch

from scdit.diffusion import guide


class Network:
    """Returns 1 for each condition it sees, weighted, and counts its calls."""

    weights = {"a": 1.0, "b": 10.0}

    def __init__(self):
        self.calls = []

    def __call__(self, keep):
        self.calls.append(sorted(keep))
        return torch.tensor([sum(self.weights[name] for name in keep)])


@pytest.mark.parametrize(
    ("scale", "value", "calls"),
    [
        pytest.param(1.0, 11.0, [["a", "b"]], id="conditional-one-pass"),
        pytest.param(0.0, 0.0, [[]], id="unconditional-one-pass"),
        pytest.param(2.0, 22.0, [[], ["a", "b"]], id="joint"),
        pytest.param({"a": 2.0, "b": 0.5}, 7.0, [[], ["a"], ["b"]], id="compositional"),
        pytest.param({"b": 1.0}, 10.0, [["b"]], id="one-condition-one-pass"),
        pytest.param({"a": 3.0}, 3.0, [[], ["a"]], id="one-condition"),
    ],
)
def test_mixing(scale, value, calls):
    network = Network()
    assert guide(network, ["a", "b"], scale).item() == value
    assert network.calls == calls


def test_without_conditions_one_pass():
    network = Network()
    guide(network, [], 3.0)
    assert network.calls == [[]]
