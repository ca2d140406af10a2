"""Finding stop strings in a text that arrives in pieces.

One Knuth-Morris-Pratt automaton per stop string (Knuth, Morris, Pratt 1977: "Fast pattern
matching in strings") remembers how much of it the text ends with, so a match may lie across any
number of pieces, each character costs a bounded amount, and the text held back is exactly the
longest ending that could still become a stop string.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopChecker:
    """Passes text on until the first stop string, which it swallows.

    The first one is the one completed first; of several completed by the same character the
    longest. That makes the result independent of how the text is cut.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Empty stop strings are ignored."""
        self._patterns = [_Pattern(stop) for stop in stops if stop]
        self._held = ""
        self.matched: str | None = None

    def push(self, text: str) -> tuple[str, str | None]:
        """Take more text.

        Returns (text that cannot be part of a stop string, the stop string found or None). Once
        one was found everything that follows is dropped.
        """
        if self.matched is not None:
            return "", self.matched
        if not self._patterns or not text:
            return text, None
        ends = [
            (pattern.feed(text), -len(pattern.text), pattern.text) for pattern in self._patterns
        ]
        found = [match for match in ends if match[0] > 0]
        buffer = self._held + text
        if found:
            end, negative_length, self.matched = min(found)
            emit = buffer[: len(self._held) + end + negative_length]
            self._held = ""
            return emit, self.matched
        held = max(pattern.state for pattern in self._patterns)
        emit, self._held = buffer[: len(buffer) - held], buffer[len(buffer) - held :]
        return emit, None

    def flush(self) -> str:
        """The text held back, once it is known that no more will come."""
        text, self._held = self._held, ""
        for pattern in self._patterns:
            pattern.state = 0
        return text


class _Pattern:
    """A stop string and how many of its characters the text so far ends with."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.state = 0
        self._fallback = _fallbacks(text)

    def feed(self, piece: str) -> int:
        """Characters of ``piece`` up to the end of the first match, 0 if there is none."""
        pattern, state = self.text, self.state
        index = 0
        while index < len(piece):
            if state == 0:
                index = piece.find(pattern[0], index)
                if index < 0:
                    break
            char = piece[index]
            while state and char != pattern[state]:
                state = self._fallback[state - 1]
            if char == pattern[state]:
                state += 1
            index += 1
            if state == len(pattern):
                self.state = 0
                return index
        self.state = state
        return 0


def _fallbacks(pattern: str) -> list[int]:
    """For each prefix, the length of its longest proper prefix that is also its suffix."""
    table = [0] * len(pattern)
    length = 0
    for index in range(1, len(pattern)):
        while length and pattern[index] != pattern[length]:
            length = table[length - 1]
        if pattern[index] == pattern[length]:
            length += 1
        table[index] = length
    return table
