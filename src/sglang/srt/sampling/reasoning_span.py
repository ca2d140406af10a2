"""Where the reasoning of an answer begins and ends, in tokens."""

from __future__ import annotations

import msgspec


class ReasoningSpan(msgspec.Struct, array_like=True):
    """What the engine has to know to leave reasoning alone, or to keep it short."""

    inside: bool
    """The answer begins with reasoning."""
    start: int | None
    """The token that begins the reasoning if it comes first; None: nothing does."""
    end: list[int]
    """The tokens that end it."""
    close: list[int]
    """What is written to end it when the budget is spent; ends with ``end``."""
    budget: int | None = None
    """The most tokens of reasoning, its tags not counted; None: no limit."""
