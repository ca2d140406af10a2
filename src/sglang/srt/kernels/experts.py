"""What a token gets from the experts that it goes to: in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch


def expert_mlp(
    x: torch.Tensor,
    experts: torch.Tensor,
    weights: torch.Tensor,
    num_experts: int,
    mlp: Callable[[int, torch.Tensor], torch.Tensor],
    *,
    scale_input: bool,
) -> torch.Tensor:
    """sum_j weights[t, j] * mlp(experts[t, j], x[t]) for each row of x[T, H], in the order of j.

    ``scale_input``: sum_j mlp(experts[t, j], weights[t, j] * x[t]).
    """
    found = torch.zeros(*experts.shape, x.shape[1], device=x.device)
    for expert in range(num_experts):
        token, place = (experts == expert).nonzero(as_tuple=True)
        if len(token):
            rows, scale = x[token], weights[token, place, None]
            if scale_input:
                rows = (rows.float() * scale).to(x.dtype)
            y = mlp(expert, rows).float()
            found[token, place] = y if scale_input else y * scale
    total = torch.zeros(*x.shape, device=x.device)
    for part in found.unbind(1):
        total += part
    return total.to(x.dtype)
