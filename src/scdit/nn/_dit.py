"""The Diffusion Transformer (Peebles & Xie 2023, arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.nn._embedding import ConditionEmbedding, TimeEmbedding
from scdit.nn._tokens import DenseTokens, PatchTokens


class DiTBlock(nn.Module):
    """Self-attention and MLP, both modulated by the condition (adaLN-Zero).

    The gates start at zero, so that a new block is the identity.
    """

    def __init__(self, width: int, n_heads: int, mlp_ratio: float, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.modulation = _zero(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor, which: Tensor | None = None) -> Tensor:
        """Transform tokens `x` (cells, tokens, width) given conditions, see :func:`_of_each`."""
        # each (cells, 1, width), the same for all tokens
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (
            _of_each(self.modulation(F.silu(c)), which).unsqueeze(1).chunk(6, dim=-1)
        )
        x = x + gate_a * self._attend(_modulate(self.norm_attention(x), shift_a, scale_a))
        return x + gate_m * self.mlp(_modulate(self.norm_mlp(x), shift_m, scale_m))

    def _attend(self, x: Tensor) -> Tensor:
        cells, tokens, width = x.shape
        # (cells, tokens, 3 width) -> three of (cells, heads, tokens, width / heads)
        q, k, v = self.qkv(x).view(cells, tokens, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.project(out.transpose(1, 2).reshape(cells, tokens, width))


class DiT(nn.Module):
    """Denoiser of a state vector: tokens, transformer blocks, read-out, and a linear skip.

    Parameters
    ----------
    n_state
        Dimension of the state.
    n_categories
        Number of categories of each condition, by name, see :class:`scdit.nn.ConditionEmbedding`.
    n_tokens
        Number of tokens, each a view of the whole state (:class:`scdit.nn.DenseTokens`).
    patch_size
        Cut the state into patches of this size instead (:class:`scdit.nn.PatchTokens`).
    n_outputs
        With patches: numbers that are predicted for every dimension.
    width
        Dimension of a token, a multiple of `n_heads`.
    depth
        Number of transformer blocks.
    n_heads
        Heads of the attention in each block.
    mlp_ratio
        Width of the hidden layer of each block, in units of `width`.
    dropout
        Dropout in this layer.

    Raises
    ------
    ValueError
        If a size is not positive, `width` is not a multiple of `n_heads`, a patch is larger than the
        state, or there are several outputs without patches.

    Examples
    --------
    >>> dit = scdit.nn.DiT(n_state=16, n_categories={"cell_type": 8})
    >>> x, t = torch.randn(32, 16), 1 - torch.rand(32)  # times in (0, 1]
    >>> dit(x, t, {"cell_type": torch.randint(8, (32,))}).shape
    """

    def __init__(
        self,
        n_state: int,
        n_categories: Mapping[str, int],
        *,
        n_tokens: int = 2,
        patch_size: int | None = None,
        n_outputs: int = 1,
        width: int = 128,
        depth: int = 3,
        n_heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if min(n_tokens, width, depth, n_heads) < 1 or mlp_ratio <= 0:
            raise ValueError("n_tokens, width, depth, n_heads and mlp_ratio must be positive")
        if width % n_heads:
            raise ValueError(f"width={width} must be a multiple of n_heads={n_heads}")
        if n_outputs != 1 and patch_size is None:
            raise ValueError(
                f"n_outputs={n_outputs} needs a patch_size: dense tokens have one output"
            )
        self.width, self.depth = width, depth
        self.tokens: DenseTokens | PatchTokens = (
            DenseTokens(n_state, n_tokens, width)
            if patch_size is None
            else PatchTokens(n_state, patch_size, width, n_outputs)
        )
        _zero(self.tokens.read)
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens.n_tokens, width))
        self.time = TimeEmbedding(width)
        self.conditions = ConditionEmbedding(n_categories, width)
        self.blocks = nn.ModuleList(
            DiTBlock(width, n_heads, mlp_ratio, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = _zero(nn.Linear(width, 2 * width))
        self.skip = _zero(nn.Linear(width, 2 * n_outputs * n_state))
        self.n_outputs = n_outputs

    def extra_repr(self) -> str:
        """Sizes of the transformer."""
        return f"{self.tokens.n_tokens} tokens x {self.width}, depth {self.depth}"

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        codes: Mapping[str, Tensor],
        keep: Collection[str] | None = None,
        which: Tensor | None = None,
    ) -> Tensor:
        """Predict noise, data or velocity.

        Parameters
        ----------
        x
            Noisy states (cells, n_state).
        t
            Times in [0, 1]: (cells,), or (groups,) where cells share them.
        codes
            Conditions of as many, see :meth:`scdit.nn.ConditionEmbedding.forward`.
        keep
            Names of the conditions that may be seen; None for all.
        which
            The group of each cell, (cells,), so that what all its cells have in common is computed once.
            None where each cell is its own, or all are of one.

        Returns
        -------
        Tensor (cells, n_outputs * n_state).
        """
        c = self.time(t) + self.conditions(codes, keep)  # (groups, width)
        tokens = self.tokens.tokenise(x) + self.position  # (cells, n_tokens, width)
        for block in self.blocks:
            tokens = block(tokens, c, which)
        shift, scale = _of_each(self.modulation(F.silu(c)), which).unsqueeze(1).chunk(2, dim=-1)
        out = self.tokens.read_out(_modulate(self.norm(tokens), shift, scale))
        # the best linear prediction at each time, so that the blocks learn the rest
        gain, offset = _of_each(self.skip(F.silu(c)), which).chunk(2, dim=-1)
        return out + gain * x.repeat(1, self.n_outputs) + offset


def _of_each(rows: Tensor, which: Tensor | None) -> Tensor:
    """Rows (groups, n) of the group of each cell, (cells, n); (1, n) is of all cells."""
    return rows if which is None else rows[which]


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
