"""How a state vector becomes the tokens of a transformer, and tokens a vector again."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class DenseTokens(nn.Module):
    """Every token is a learned linear view of the whole state.

    For states without order, such as latent vectors: tokens are not bound to an arbitrary cut.

    Parameters
    ----------
    n_state
        Dimension of the state.
    n_tokens
        Number of tokens.
    width
        Dimension of a token.

    Examples
    --------
    >>> dense = scdit.nn.DenseTokens(n_state=16, n_tokens=2, width=128)
    >>> tokens = dense.tokenise(torch.randn(32, 16))  # (32, 2, 128)
    >>> dense.read_out(tokens).shape
    """

    def __init__(self, n_state: int, n_tokens: int, width: int):
        super().__init__()
        self.n_tokens, self.width = n_tokens, width
        self.embed = nn.Linear(n_state, n_tokens * width)
        self.read = nn.Linear(n_tokens * width, n_state)

    def tokenise(self, x: Tensor) -> Tensor:
        """States (cells, n_state) -> tokens (cells, n_tokens, width)."""
        return self.embed(x).view(-1, self.n_tokens, self.width)

    def read_out(self, tokens: Tensor) -> Tensor:
        """Tokens (cells, n_tokens, width) -> states (cells, n_state)."""
        return self.read(tokens.flatten(1))


class PatchTokens(nn.Module):
    """Every token is a patch of neighbouring dimensions, as in scRDiT; the last one is padded.

    Parameters
    ----------
    n_state
        Dimension of the state.
    patch_size
        Dimensions per patch.
    width
        Dimension of a token.
    n_outputs
        Numbers that are read out for every dimension of the state.

    Raises
    ------
    ValueError
        If a patch is empty, or larger than the state.

    Examples
    --------
    >>> patches = scdit.nn.PatchTokens(n_state=2_000, patch_size=64, width=128)
    >>> tokens = patches.tokenise(torch.randn(32, 2_000))  # (32, 32, 128)
    >>> patches.read_out(tokens).shape
    """

    def __init__(self, n_state: int, patch_size: int, width: int, n_outputs: int = 1):
        super().__init__()
        if not 1 <= patch_size <= n_state:
            raise ValueError(f"patch_size must be 1 to {n_state}, got {patch_size}")
        self.n_state, self.patch_size, self.n_outputs = n_state, patch_size, n_outputs
        self.n_tokens = math.ceil(n_state / patch_size)
        self.embed = nn.Linear(patch_size, width)
        self.read = nn.Linear(width, n_outputs * patch_size)

    def tokenise(self, x: Tensor) -> Tensor:
        """States (cells, n_state) -> tokens (cells, n_tokens, width)."""
        padded = F.pad(x, (0, self.n_tokens * self.patch_size - self.n_state))
        return self.embed(padded.view(-1, self.n_tokens, self.patch_size))

    def read_out(self, tokens: Tensor) -> Tensor:
        """Tokens (cells, n_tokens, width) -> (cells, n_outputs * n_state), outputs end to end."""
        # (cells, n_tokens, n_outputs * patch) -> (cells, n_outputs, n_tokens * patch)
        out = self.read(tokens).unflatten(2, (self.n_outputs, -1)).transpose(1, 2).flatten(2)
        return out[:, :, : self.n_state].flatten(1)
