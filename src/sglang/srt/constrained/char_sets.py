"""Sets of characters as integers, so that unions and intersections are single operations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from sglang.srt.constrained.ebnf import CharClass

LAST = 0x10FFFF


class Alphabet:
    """Characters in classes that no set of a grammar tells apart: bit i of a set is class i."""

    def __init__(self, classes: Iterable[CharClass]) -> None:
        borders = {0, LAST + 1}
        for char_class in classes:
            for low, high in char_class.ranges:
                borders |= {ord(low), ord(high) + 1}
        self._borders = sorted(borders)
        self.everything = (1 << (len(self._borders) - 1)) - 1

    def set_of(self, char_class: CharClass) -> int:
        """The characters of a class."""
        found = 0
        for low, high in char_class.ranges:
            first, end = self._index(ord(low)), self._index(ord(high) + 1)
            found |= (1 << end) - (1 << first)
        return self.everything & ~found if char_class.negated else found

    def lead_bytes(self, chars: int) -> int:
        """The bytes with which UTF-8 spells these characters first, as a set of 256 bits."""
        found = 0
        for i, start in enumerate(self._borders[:-1]):
            if chars >> i & 1:
                first, last = _lead_byte(start), _lead_byte(self._borders[i + 1] - 1)
                found |= (1 << last + 1) - (1 << first)
        return found

    def _index(self, code: int) -> int:
        return bisect_left(self._borders, code)


def _lead_byte(code: int) -> int:
    if code < 0x80:
        return code
    if code < 0x800:
        return 0xC0 | code >> 6
    return 0xE0 | code >> 12 if code < 0x10000 else 0xF0 | code >> 18
