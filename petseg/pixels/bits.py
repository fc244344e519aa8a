"""Masks of true and false, eight pixels in a byte: a large photo may have many."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Bits:
    """A mask (H, W) in an eighth of the memory.

    Attributes:
        packed: (H, W / 8, rounded up) uint8, eight pixels of a row each, the first in the highest bit.
        width: W.
    """

    packed: NDArray[np.uint8]
    width: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Self:
        """The bits of a mask (H, W) bool.

        Example:
            >>> Bits.of(np.array([[True, False, True]])).packed
            array([[160]], dtype=uint8)
        """
        return cls(np.packbits(mask, axis=1), mask.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return len(self.packed), self.width

    def part(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """(h, w) bool, a new array; the slices have a start and a stop that lie in the mask, and no step."""
        first = columns.start // 8
        whole = np.unpackbits(self.packed[rows, first : -(-columns.stop // 8)], axis=1)
        return whole[:, columns.start - 8 * first : columns.stop - 8 * first].view(np.bool_)

    def whole(self) -> NDArray[np.bool_]:
        """(H, W) bool, a new array."""
        return np.unpackbits(self.packed, axis=1, count=self.width).view(np.bool_)
