"""Queries that grow with their position, so that attention stays sharp in long contexts."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Temperature:
    """Queries are multiplied by 1 + ``scale`` * log(1 + floor((position + 1) / ``every``)).

    After "Scalable-Softmax" (arXiv:2501.19399), as Llama 4 has it.
    """

    scale: float
    every: int


def temperature_table(temperature: Temperature, length: int, device: torch.device) -> torch.Tensor:
    """The factor of each position, [length] float32."""
    steps = torch.div(torch.arange(1, length + 1), temperature.every, rounding_mode="floor")
    return (1 + temperature.scale * torch.log1p(steps.double())).float().to(device)
