"""Keys and values of many songs in pages, so that songs of any length come and go in one piece of memory.

Legend: L layers, R rows, N kv heads, d head width; a page holds PAGE positions of one row in every layer.
"""

from __future__ import annotations

import torch

from heartlib.heartmula.configuration_heartmula import StackConfig
from heartlib.heartmula.kernels.attention import PAGE
from heartlib.heartmula.transformer import KVCache


def count_pages(positions: int) -> int:
    """Pages that one row of so many positions takes."""
    return -(-positions // PAGE)


def page_bytes(config: StackConfig, dtype: torch.dtype) -> int:
    """Memory of one page, keys and values of all layers."""
    return PAGE * config.cached_numbers * dtype.itemsize


class PagedCache:
    """`pages` pages for the rows of `table`; page 0 belongs to nobody: idle rows write there.

    table int32 [R, most pages of a row + 1]: where a row's positions lie, zeros where it has no page.
    """

    def __init__(
        self,
        config: StackConfig,
        rows: int,
        pages: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (config.num_layers, pages + 1, config.num_kv_heads, PAGE, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)  # zeros: finite where unwritten
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        most = min(pages, count_pages(config.max_seq_len))
        self.table = torch.zeros(rows, most + 1, device=device, dtype=torch.int32)
        self.free = list(range(pages, 0, -1))
        self.held: list[list[int]] = [[] for _ in range(rows)]

    def reserve(self, row: int, positions: int) -> None:
        """Pages for `positions` positions of a row that has none; there must be enough (`free`)."""
        count = count_pages(positions)
        assert not self.held[row] and count <= len(self.free)
        self.held[row] = [self.free.pop() for _ in range(count)]
        self._point(row)

    def release(self, row: int) -> None:
        """Gives a row's pages back."""
        self.free.extend(reversed(self.held[row]))
        self.held[row] = []
        self._point(row)

    def move(self, source: int, target: int) -> None:
        """Gives the pages of one row to another, which must have none."""
        assert not self.held[target]
        self.held[target], self.held[source] = self.held[source], []
        self._point(target)
        self._point(source)

    def fill(self, row: int, cache: KVCache, cached: int) -> None:
        """Copies what row `cached` of an ordinary cache holds to the start of a row."""
        length = cache.lengths[cached]
        pages = self.table[row, : count_pages(length)].long()
        for kept, given in ((self.keys, cache.keys), (self.values, cache.values)):
            whole = given.new_zeros(
                *given.shape[:1], given.shape[2], len(pages) * PAGE, given.shape[4]
            )
            whole[:, :, :length] = given[:, cached, :, :length]
            whole = whole.unflatten(2, (-1, PAGE)).transpose(1, 2)  # [L, pages, N, PAGE, d]
            kept[:, pages] = whole

    def _point(self, row: int) -> None:
        line = torch.zeros(self.table.shape[1], dtype=torch.int32)
        line[: len(self.held[row])] = torch.tensor(self.held[row], dtype=torch.int32)
        self.table[row].copy_(line)
