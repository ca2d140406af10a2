"""The sampler's definition, one token at a time, in plain Python; and short-hands for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sglang.srt.sampling.noise import uniform
from sglang.srt.sampling.sampler import SamplingRow, make_sampling_batch, sample
from sglang.srt.sampling.sampling_params import SamplingParams

STEPS_PER_UNIT = 2**34


def make_row(
    raw: dict[str, Any],
    *,
    seed: int = 0,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
    stop_ids: Sequence[int] = (),
) -> SamplingRow:
    return SamplingRow(
        params=SamplingParams.parse(raw),
        seed=seed,
        prompt_ids=np.array(prompt, dtype=np.int32),
        output_ids=list(output),
        stop_ids=stop_ids,
    )


def draw(logits: torch.Tensor, rows: Sequence[SamplingRow]) -> list[int]:
    """One step for a batch."""
    tokens: list[int] = sample(logits, make_sampling_batch(rows, logits.shape[1], "cpu")).tolist()
    return tokens


def reference_logits(logits: torch.Tensor, row: SamplingRow) -> list[float]:
    """Penalties, bias and minimum length, by their definitions, in float32."""
    params = row.params
    scores = [np.float32(x) for x in logits.tolist()]
    output = list(row.output_ids)
    seen = {*output, *row.prompt_ids.tolist()}
    for token in seen if params.repetition_penalty != 1.0 else ():
        factor = np.float32(params.repetition_penalty)
        score = scores[token]
        scores[token] = score / factor if score > 0 else score * factor
    for token in set(output):
        penalty = params.frequency_penalty * output.count(token) + params.presence_penalty
        scores[token] = scores[token] - np.float32(penalty)
    for token, bias in params.logit_bias.items():
        scores[token] = scores[token] + np.float32(bias)
    if len(output) < params.min_new_tokens:
        for token in row.stop_ids:
            scores[token] = np.float32(-np.inf)
    return [float(s) for s in scores]


def reference_weights(scores: list[float], params: SamplingParams) -> list[int]:
    """Relative probabilities as numbers of the sampler's steps; the exponentials are torch's."""
    x = torch.tensor(scores, dtype=torch.float32)
    weights = ((x - x.max()) / torch.tensor(params.temperature, dtype=torch.float32)).exp()
    weights = (weights + 2.0**-11) - 2.0**-11
    return [int(w * STEPS_PER_UNIT) for w in weights.tolist()]


def reference_kept(weights: list[int], params: SamplingParams) -> list[int]:
    """Ids of the tokens that may be drawn, ascending."""
    ranked = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    if params.top_k != -1:
        ranked = ranked[: params.top_k]
    limit = params.top_p * float(sum(weights[token] for token in ranked))
    kept: list[int] = []
    mass = 0
    for token in ranked:
        if mass >= limit:
            break
        kept.append(token)
        mass += weights[token]
    floor = float(np.float32(params.min_p)) * weights[ranked[0]]
    return sorted(token for token in kept if weights[token] >= floor and weights[token] > 0)


def reference_token(logits: torch.Tensor, row: SamplingRow) -> int:
    """What :func:`sample` has to return for this row of logits [V]."""
    params = row.params
    scores = reference_logits(logits, row)
    if params.temperature == 0 or params.top_k == 1:
        return scores.index(max(scores))
    weights = reference_weights(scores, params)
    kept = reference_kept(weights, params)
    position = np.array([len(row.output_ids)])
    [u] = uniform(np.array([row.seed]), position).tolist()
    target = u * float(sum(weights[token] for token in kept))
    mass = 0
    for token in kept:
        mass += weights[token]
        if mass > target:
            return token
    raise AssertionError("the last token passes every target")
