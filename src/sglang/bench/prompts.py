"""A prompt to measure with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to send, and how long the answer should be."""

    content: str | list[int]
    """Text or token ids."""
    input_len: int
    """Tokens of ``content``, with what the tokenizer adds around a text."""
    output_len: int
    """Tokens to generate."""
