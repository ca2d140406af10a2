"""Which experts of a mixture a token goes to, and how much each counts: in plain torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

MAX_EXPERTS = 1024


@dataclass(frozen=True, slots=True)
class Routing:
    """How the scores of the router become a choice of experts and their weights.

    A softmax over the chosen experts alone is "softmax" with ``renormalize``.
    """

    top_k: int
    score: Literal["softmax", "sigmoid", "sparsemixer"] = "softmax"
    """What the weight of an expert is, see ``sparsemixer``."""
    renormalize: bool = False
    """The weights of the chosen experts are divided by their sum."""
    scale: float = 1.0
    """Of the weights, at last."""
    num_groups: int = 1
    """Equal parts of the experts, in their order."""
    top_groups: int = 1
    """The groups with the best scores, whose experts can be chosen."""
    group_score: Literal["max", "best_two"] = "max"
    """That of its best expert, or the sum of its best two."""
    softcap: float = 0.0
    """Scores become softcap * tanh(score / softcap); 0: they stay."""
    jitter: float = 0.0
    """Of ``sparsemixer``."""

    def check(self, num_experts: int) -> None:
        """Raises ValueError where so many experts cannot be chosen of ``num_experts``."""
        if not 0 < self.top_k <= num_experts <= MAX_EXPERTS:
            raise ValueError(
                f"cannot choose {self.top_k} of {num_experts} experts (at most {MAX_EXPERTS})"
            )
        if self.num_groups == 1:
            return
        size = num_experts // self.num_groups
        fits = size * self.num_groups == num_experts and self.top_groups <= self.num_groups
        enough = size * self.top_groups >= self.top_k
        if not fits or not enough or (self.group_score == "best_two" and size < 2):
            raise ValueError(
                f"cannot choose {self.top_k} of {num_experts} experts in {self.top_groups} of "
                f"{self.num_groups} groups"
            )


def route(
    logits: torch.Tensor, correction: torch.Tensor | None, routing: Routing
) -> tuple[torch.Tensor, torch.Tensor]:
    """Experts [T, k] int32 and their weights [T, k] float32 for ``logits`` [T, E].

    The best comes first, of equals the one with the lower number. ``correction`` [E] float32 is
    added to the scores to choose by, not to the weights.
    """
    scores = logits.float()
    if routing.softcap:
        scores = routing.softcap * torch.tanh(scores / routing.softcap)
    if routing.score == "sparsemixer":
        experts, weights = _sparsemixer(scores, routing)
    else:
        scores = scores.softmax(-1) if routing.score == "softmax" else scores.sigmoid()
        choice = scores if correction is None else scores + correction
        experts = _best(_within_groups(choice, routing), routing.top_k)
        weights = scores.gather(-1, experts)
    if routing.renormalize:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    return experts.int(), weights * routing.scale


def _best(scores: torch.Tensor, count: int) -> torch.Tensor:
    return scores.argsort(dim=-1, descending=True, stable=True)[:, :count]


def _within_groups(choice: torch.Tensor, routing: Routing) -> torch.Tensor:
    """Nothing outside of the best groups can be chosen (DeepSeek-V2 and V3)."""
    if routing.num_groups == 1:
        return choice
    groups = choice.unflatten(-1, (routing.num_groups, -1))
    best = groups.topk(2 if routing.group_score == "best_two" else 1).values.sum(-1)
    allowed = torch.zeros_like(best, dtype=torch.bool)
    allowed.scatter_(-1, _best(best, routing.top_groups), True)
    kept: torch.Tensor = groups.masked_fill(~allowed.unsqueeze(-1), -torch.inf).flatten(1)
    return kept


def _sparsemixer(scores: torch.Tensor, routing: Routing) -> tuple[torch.Tensor, torch.Tensor]:
    """One expert after the other, each weighed among those left that come close to it.

    SparseMixer-v2 at inference (Liu et al. 2024, GRIN, arXiv 2409.12136).
    """
    experts, weights = [], []
    left = scores.clone()
    for _ in range(routing.top_k):
        best = _best(left, 1)
        most = left.gather(-1, best)
        far = (most - scores) / scores.abs().maximum(most) > 2 * routing.jitter
        weights.append(left.masked_fill(far, -torch.inf).softmax(-1).gather(-1, best))
        experts.append(best)
        left.scatter_(-1, best, -torch.inf)
    return torch.cat(experts, -1), torch.cat(weights, -1)
