"""How far is the encoder from the best it could say? Evidence lower bounds under one trained codec.

A codec is trained on 80% of the cells. Bounds of training and held-out cells, with their conditions known, are
those of the network's estimate, of the estimate after the step that the default takes, and of the best Gaussian
of each cell, found by gradient descent from there. Higher is better; what the last row has more is what
the encoder loses (the amortisation gap of Cremer et al. 2018).

    python benchmarks/encoder.py --data pbmc3k.h5ad --drop-labels unassigned
"""

from unittest.mock import patch

import anndata as ad
import numpy as np
import scipy.sparse as sp
import scvi
import torch
from arguments import data_parser, read_split
from fragments import pipes, write_fragment
from torch import Tensor

import scdit
from scdit.codec import LatentCodec
from scdit.train._data import condition_codes

CELLS, DRAWS, STEPS = 512, 20, 200


class Bound:
    """Evidence lower bound of some cells under a codec, in nats per cell."""

    def __init__(self, codec: LatentCodec, counts: Tensor, codes: dict[str, Tensor]):
        self.codec, self.counts, self.codes = codec, counts, codes

    def __call__(self, mean: Tensor, sd: Tensor) -> Tensor:
        """Bound for a Gaussian posterior of the states, (cells, n_state), with one draw."""
        decoded = self.codec.decode(mean + sd * torch.randn_like(sd), self.codes)
        lost = self.codec.reconstruction_loss({"rna": self.counts}, decoded)
        return -(lost + self.codec.kl(mean, sd, self.codes)).mean()

    @torch.no_grad()
    def average(self, mean: Tensor, sd: Tensor) -> float:
        """The same, averaged over draws."""
        torch.manual_seed(0)
        return float(torch.stack([self(mean, sd) for _ in range(DRAWS)]).mean())

    def best(self, mean: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian of each cell with the highest bound, from a first guess."""
        known = mean[:, -1:]  # the library size
        latent = mean[:, :-1].clone().requires_grad_()
        log_sd = sd[:, :-1].log().clone().requires_grad_()

        def state() -> tuple[Tensor, Tensor]:
            widths = torch.cat([log_sd.exp(), torch.zeros_like(known)], dim=1)
            return torch.cat([latent, known], dim=1), widths

        optimizer = torch.optim.Adam([latent, log_sd], lr=0.02)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (-len(latent) * self(*state())).backward()
            optimizer.step()
            decay.step()
        mean, sd = state()
        return mean.detach(), sd.detach()


def bounds(model: scdit.SCDiT, cells: ad.AnnData) -> list[float]:
    """Bounds of the network, of the step after it, and of the best Gaussian."""
    some = np.random.default_rng(0).permutation(cells.n_obs)[:CELLS]
    manager = model.get_anndata_manager(model._validate_anndata(cells), required=True)
    known = condition_codes(manager, model.module.condition_names)
    codes = {name: code[some] for name, code in known.items()}
    counts = torch.from_numpy(sp.csr_matrix(cells.X)[some].toarray().astype(np.float32))
    codec = model.module.codec.eval().requires_grad_(False)
    bound = Bound(codec, counts, codes)
    with torch.no_grad():
        stepped = codec.encode({"rna": counts}, codes)
        with patch("scdit.codec._latent._STEP", 0.0):
            network = codec.encode({"rna": counts}, codes)
    return [bound.average(*q) for q in (network, stepped, bound.best(*stepped))]


def main() -> None:
    """Train a codec, and write the table."""
    args = data_parser(__doc__).parse_args()
    train, test = read_split(args)
    scvi.settings.seed = 0
    scdit.SCDiT.setup_anndata(train, labels_key=args.labels)
    model = scdit.SCDiT(train)
    model.train(max_epochs={"denoiser": 1}, silent=True)
    columns = [bounds(model, part) for part in (train, test)]
    names = ("the network's estimate", "after the step (default)", "best Gaussian of each cell")
    lines = [["bound, nats per cell", "training cells", "held-out cells"]]
    for name, *values in zip(names, *columns, strict=True):
        lines.append([name, *(f"{x:.1f}" for x in values)])
    table = pipes(lines)
    print(table)
    write_fragment(f"encoder_{args.data.stem}", table)


if __name__ == "__main__":
    main()
