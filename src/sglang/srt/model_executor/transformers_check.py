"""Compares a model that runs through transformers with that model as transformers runs it.

What a module keeps beside keys and values (recurrent states, convolutions, masks of its own) would
be lost without an error when a prompt is read in pieces. So before such a model is served, two
short sequences are read in pieces, in company, and must give what they give read whole and alone.
"""

from __future__ import annotations

import numpy as np
import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.recorded_forward import forward_batch
from sglang.srt.model_executor.step_arrays import StepArrays
from sglang.srt.models.transformers_model import TransformersModel

LENGTHS, FIRST_PIECES = (12, 6), (7, 5)
"""Tokens of the two sequences, and of the first pieces that they are read in."""

EXACT, ROUNDED = 1e-3, 0.25
"""How far hidden states may differ, as a share of their norm: every one of them in float32, the
median where weights or activations are rounded."""


def check_transformers_model(
    model: TransformersModel, config: ModelConfig, device: torch.device
) -> None:
    """Raises ModelLoadError if our attention and batching give other hidden states."""
    name = f"{config.architectures[0]} cannot run through transformers"
    if config.context_length < max(LENGTHS):
        raise ModelLoadError(
            f"{name} with context_length {config.context_length}: its check needs {max(LENGTHS)}"
        )
    try:
        error = _differences(model, getattr(torch, config.dtype), device)
    except (RuntimeError, TypeError, AttributeError, KeyError, IndexError) as failure:
        reason = " ".join(str(failure).split())[:300]
        raise ModelLoadError(f"{name}: {type(failure).__name__}: {reason}") from failure
    is_exact = config.dtype == "float32" and config.quantization is None
    worst = float(error.max() if is_exact else error.median())
    if not worst < (EXACT if is_exact else ROUNDED):  # a NaN is no success either
        raise ModelLoadError(
            f"{name}: read in pieces, its hidden states differ by {worst:.2g} of their size from "
            "those that it has read whole"
        )


@torch.inference_mode()
def _differences(
    model: TransformersModel, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """For every token [n] how far its hidden state is from the right one, as a share of that."""
    pool = KVPool(
        model.num_layers,
        sum(LENGTHS),
        model.num_kv_heads,
        model.head_dim,
        dtype,
        lambda shape, kind: torch.zeros(shape, dtype=kind, device=device),
    )
    ids = [
        np.arange(1, length + 1, dtype=np.int64) * factor % model.vocab_size
        for length, factor in zip(LENGTHS, (7, 11), strict=True)
    ]
    found = torch.cat(_in_pieces(model, pool, ids, device)).float()
    whole = [model.plain_forward(torch.from_numpy(sequence).to(device)) for sequence in ids]
    expected = torch.cat(whole).float()
    difference: torch.Tensor = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    return difference


def _in_pieces(
    model: TransformersModel, pool: KVPool, ids: list[np.ndarray], device: torch.device
) -> list[torch.Tensor]:
    """Hidden states [n, H] of each sequence, read in two steps together with the others."""
    width = max(LENGTHS)
    slots = np.arange(sum(LENGTHS), dtype=np.int32)[::-1].copy()
    table = np.zeros((len(ids), width), dtype=np.int32)
    first_slot = 0
    for row, sequence in enumerate(ids):
        table[row, : len(sequence)] = slots[first_slot : first_slot + len(sequence)]
        first_slot += len(sequence)
    parts: list[list[torch.Tensor]] = [[] for _ in ids]
    ends = [np.array(FIRST_PIECES), np.array([len(sequence) for sequence in ids])]
    begins = [np.zeros_like(ends[0]), ends[0]]
    for begin, end in zip(begins, ends, strict=True):
        spans = [np.arange(*span) for span in zip(begin, end, strict=True)]
        counts = end - begin
        arrays = StepArrays(
            input_ids=np.concatenate([s[span] for s, span in zip(ids, spans, strict=True)]),
            positions=np.concatenate(spans).astype(np.int32),
            out_slots=np.concatenate([table[row, span] for row, span in enumerate(spans)]),
            q_indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            table_rows=np.arange(len(ids)),
            kv_start=np.arange(len(ids)) * width,
            kv_len=end.astype(np.int32),
            logits_rows=np.arange(int(counts.sum())),
        )
        batch = forward_batch(arrays, torch.from_numpy(table.reshape(-1)), pool)
        hidden = model.forward(batch.to(device))
        for row, part in enumerate(hidden.split(counts.tolist())):
            parts[row].append(part)
    return [torch.cat(each) for each in parts]
