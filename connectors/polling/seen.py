"""Which of the rows that are remembered a poll has met: one bit each. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE_BITS: Final = 1 << 16
"""Numbers of rows that are gone are never given again: pages without any cost nothing."""


class Seen:
    """A set of numbers."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self.count = 0

    def add(self, numbers: Iterable[int]) -> None:
        """Each of them is in it from now on."""
        for number in numbers:
            page, bit = divmod(number, PAGE_BITS)
            bits = self._pages.get(page)
            if bits is None:
                bits = self._pages[page] = bytearray(PAGE_BITS // 8)
            mask = 1 << (bit & 7)
            if not bits[bit >> 3] & mask:
                bits[bit >> 3] |= mask
                self.count += 1

    def __contains__(self, number: int) -> bool:
        page, bit = divmod(number, PAGE_BITS)
        bits = self._pages.get(page)
        return bits is not None and bool(bits[bit >> 3] & (1 << (bit & 7)))
