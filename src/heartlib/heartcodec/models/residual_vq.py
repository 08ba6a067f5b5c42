"""Residual vector quantisation of the 12.5 Hz features.

Shapes: B batch, T frames, D feature width, C codebook width, N codes in a codebook, K codebooks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EuclideanCodebook(nn.Module):
    """N vectors of width C with the running means that learn them (names as published)."""

    cluster_size: Tensor
    embed_avg: Tensor
    embed: Tensor

    def __init__(self, size: int, width: int):
        super().__init__()
        self.register_buffer("initted", torch.tensor(True))
        self.register_buffer("cluster_size", torch.zeros(1, size))
        self.register_buffer("embed_avg", torch.zeros(1, size, width))
        self.register_buffer("embed", torch.zeros(1, size, width))

    def encode(self, x: Tensor) -> Tensor:
        """[..., C] → the nearest code of each vector [...]."""
        table = self.embed[0]  # [N, C]
        distance = table.square().sum(-1) - 2 * x @ table.T  # |x|² is the same for every code
        return distance.argmin(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """[...] → [..., C]."""
        return F.embedding(codes, self.embed[0])


class VectorQuantize(nn.Module):
    """One level: holds `_codebook`, the published name."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self._codebook = EuclideanCodebook(size, width)

    @property
    def codebook(self) -> EuclideanCodebook:
        return self._codebook


class ResidualVQ(nn.Module):
    """K levels, each coding what the levels before it left over, in a narrow space of width C."""

    def __init__(self, dim: int, codebook_size: int, codebook_dim: int, num_quantizers: int):
        super().__init__()
        self.codebook_size = codebook_size
        self.project_in = nn.Linear(dim, codebook_dim)
        self.project_out = nn.Linear(codebook_dim, dim)
        self.layers = nn.ModuleList(
            VectorQuantize(codebook_size, codebook_dim) for _ in range(num_quantizers)
        )

    @property
    def codebooks(self) -> list[EuclideanCodebook]:
        return [layer.codebook for layer in self.layers]  # type: ignore[union-attr]

    def encode(self, features: Tensor) -> Tensor:
        """Features [B, T, D] → codes [B, K, T]."""
        rest, codes = self.project_in(features), []
        for codebook in self.codebooks:
            codes.append(codebook.encode(rest))
            rest = rest - codebook.decode(codes[-1])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] → features [B, T, D]."""
        levels = (book.decode(codes[:, k]) for k, book in enumerate(self.codebooks))
        return self.project_out(torch.stack(list(levels)).sum(0))
