"""The Diffusion Transformer (Peebles & Xie 2023, arXiv 2212.09748) over a few latent tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdit.nn._embedding import ConditionEmbedding, TimeEmbedding


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

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Transform tokens `x` (cells, tokens, width) given conditions `c` (cells, width)."""
        # each (cells, 1, width), the same for all tokens
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (
            self.modulation(F.silu(c)).unsqueeze(1).chunk(6, dim=-1)
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
    """Denoiser of a state vector: dense tokens, transformer blocks, dense read-out, linear skip.

    Every token is a learned linear view of the whole state, so that tokens are not bound to an
    arbitrary cut of the latent dimensions.

    Parameters
    ----------
    n_state
        Dimension of the state.
    n_categories
        Number of categories of each condition, by name.
    n_tokens, width, depth, n_heads, mlp_ratio, dropout
        Sizes of the transformer.

    Raises
    ------
    ValueError
        If a size is not positive, or `width` is not a multiple of `n_heads`.
    """

    def __init__(
        self,
        n_state: int,
        n_categories: Mapping[str, int],
        *,
        n_tokens: int = 4,
        width: int = 128,
        depth: int = 3,
        n_heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if min(n_tokens, width, depth, n_heads) < 1:
            raise ValueError("n_tokens, width, depth and n_heads must be positive")
        if width % n_heads:
            raise ValueError(f"width={width} must be a multiple of n_heads={n_heads}")
        self.n_tokens, self.width, self.depth = n_tokens, width, depth
        self.tokenise = nn.Linear(n_state, n_tokens * width)
        self.position = nn.Parameter(0.02 * torch.randn(n_tokens, width))
        self.time = TimeEmbedding(width)
        self.conditions = ConditionEmbedding(n_categories, width)
        self.blocks = nn.ModuleList(
            DiTBlock(width, n_heads, mlp_ratio, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = _zero(nn.Linear(width, 2 * width))
        self.read_out = _zero(nn.Linear(n_tokens * width, n_state))
        self.skip = _zero(nn.Linear(width, 2 * n_state))

    def extra_repr(self) -> str:
        return f"{self.n_tokens} tokens x {self.width}, depth {self.depth}"

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        codes: Mapping[str, Tensor],
        keep: Collection[str] | None = None,
    ) -> Tensor:
        """Predict noise, data or velocity.

        Parameters
        ----------
        x
            Noisy states (cells, n_state).
        t
            Times (cells,) in [0, 1].
        codes, keep
            See :meth:`scdit.nn.ConditionEmbedding.forward`.

        Returns
        -------
        Tensor (cells, n_state).
        """
        c = self.time(t) + self.conditions(codes, keep)  # (cells, width)
        # (cells, n_state) -> (cells, tokens, width)
        tokens = self.tokenise(x).view(-1, self.n_tokens, self.width) + self.position
        for block in self.blocks:
            tokens = block(tokens, c)
        shift, scale = self.modulation(F.silu(c)).unsqueeze(1).chunk(2, dim=-1)
        out = self.read_out(_modulate(self.norm(tokens), shift, scale).flatten(1))
        # the best linear prediction at each time, so that the blocks learn the rest
        gain, offset = self.skip(F.silu(c)).chunk(2, dim=-1)
        return out + gain * x + offset


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
