"""Runs batches whose requests are to be embedded or scored; nothing is sampled."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.configs.pooling_config import Pooling
from sglang.srt.kernels.interface import Kernels
from sglang.srt.model_executor.batch import Batch, BatchEntry, BatchResult, R
from sglang.srt.model_executor.forward_pass import ForwardPass
from sglang.srt.model_executor.step_arrays import make_step_arrays
from sglang.srt.models.interface import PooledModel


class PoolingRunner:
    """Pools the hidden states of each request over its steps and has the model make the answer.

    ``forward`` is the pass of the model's transformer.
    """

    def __init__(self, model: PooledModel, forward: ForwardPass, kernels: Kernels) -> None:
        self.model = model
        self.device = forward.device
        self.kernels = kernels
        self._forward = forward

    def replace_model(self, model: PooledModel) -> None:
        """As ``ModelRunner.replace_model``."""
        self._forward.replace_model(model.transformer)
        self.model = model

    @torch.inference_mode()
    def execute(self, batch: Batch[R]) -> BatchResult:
        """Forward pass and pooling over ``batch``; its slots are in the slot table."""
        q_indptr = np.zeros(len(batch) + 1, dtype=np.int32)
        np.cumsum([e.count for e in batch], out=q_indptr[1:])
        spans = [pooled_span(entry, self.model.pooling) for entry in batch]
        rows = [
            first + i
            for first, span in zip(q_indptr[:-1].tolist(), spans, strict=True)
            for i in span
        ]
        hidden = self._forward(make_step_arrays(batch, q_indptr, rows, self._forward.slots))
        result = BatchResult(next_tokens={})
        complete: dict[int, NDArray[np.float64]] = {}
        offset = 0
        for i, (entry, span) in enumerate(zip(batch, spans, strict=True)):
            pooled = _add(entry, hidden[offset : offset + len(span)])
            offset += len(span)
            if pooled is not None:
                (complete if entry.samples else result.pooled)[i] = pooled
        if complete:
            self._answer(batch, complete, result)
        return result

    def _answer(
        self, batch: Batch[R], complete: dict[int, NDArray[np.float64]], result: BatchResult
    ) -> None:
        """Turn the pooled states of requests that are done into embeddings or scores."""
        is_mean = self.model.pooling == "mean"
        pooled = [
            state / batch[i].request.num_tokens if is_mean else state
            for i, state in complete.items()
        ]
        inputs = torch.from_numpy(np.stack(pooled)).float().to(self.device)
        answers: NDArray[np.float32] = self.model.answer(inputs).float().cpu().numpy()
        result.embeddings = dict(zip(complete, answers, strict=True))


def pooled_span(entry: BatchEntry[R], pooling: Pooling) -> range:
    """Which of the entry's tokens the pooling looks at, counted from its first."""
    if pooling == "mean":
        return range(entry.count)
    if pooling == "cls":
        return range(1 if entry.start == 0 else 0)
    return range(entry.count - 1 if entry.samples else entry.count, entry.count)


def _add(entry: BatchEntry[R], hidden: torch.Tensor) -> NDArray[np.float64] | None:
    """The request's pooled state [H] after ``hidden`` [n, H]; None while there is none.

    Sums are kept in float64, so that they do not depend on how a prompt was cut into chunks.
    """
    before = entry.request.pooled if entry.start else None
    if not len(hidden):
        return before
    added: NDArray[np.float64] = hidden.double().sum(dim=0).cpu().numpy()
    return added if before is None else before + added
