"""One request's answer as the client saw it arrive."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field


@dataclass(slots=True)
class Answer:
    """Times are seconds of ``time.perf_counter``."""

    start: float = 0.0
    """When the request was sent."""
    end: float = 0.0
    """When the answer was complete, or had failed."""
    chunks: list[tuple[float, int]] = field(default_factory=list)
    """When a piece of a stream with tokens came, and with how many."""
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    """Where the server tells them."""
    prompt_tokens: int | None = None
    """As the server counts them; None if it does not tell."""
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    error: str = ""
    """Why there is no (whole) answer."""

    @property
    def output_len(self) -> int:
        """Tokens of the answer: the server's count, or one for each chunk."""
        if self.completion_tokens is not None:
            return self.completion_tokens
        return sum(count for _, count in self.chunks)

    @property
    def latency(self) -> float:
        """Seconds from sending to the end."""
        return self.end - self.start

    @property
    def ttft(self) -> float | None:
        """Seconds to the first token; the whole latency without streaming."""
        if self.chunks:
            return self.chunks[0][0] - self.start
        return self.latency if self.output_len else None

    @property
    def tpot(self) -> float | None:
        """Mean seconds a token after the first; None if there are none, or no stream."""
        if len(self.chunks) < 2 or self.output_len < 2:
            return None
        return (self.chunks[-1][0] - self.chunks[0][0]) / (self.output_len - 1)

    @property
    def itls(self) -> list[float]:
        """Seconds between tokens; a chunk of several shares the gap before it."""
        gaps: list[float] = []
        for (before, _), (now, count) in itertools.pairwise(self.chunks):
            gaps += [(now - before) / count] * count
        return gaps
