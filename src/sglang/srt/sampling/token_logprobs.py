"""Log-probabilities of a run of tokens, as they travel to the user."""

from __future__ import annotations

import msgspec


class TokenLogprobs(msgspec.Struct, array_like=True):
    """Log-probabilities of a run of tokens, natural log of the model's own distribution."""

    logprobs: list[float | None]
    """None only for the first prompt token, which nothing predicts."""
    token_ids: list[int]
    top_logprobs: list[list[float]] = []
    """Per token the k best log-probabilities, best first (empty lists where undefined)."""
    top_ids: list[list[int]] = []

    def extend(self, more: TokenLogprobs) -> None:
        """Append the run that follows."""
        self.logprobs.extend(more.logprobs)
        self.token_ids.extend(more.token_ids)
        self.top_logprobs.extend(more.top_logprobs)
        self.top_ids.extend(more.top_ids)
