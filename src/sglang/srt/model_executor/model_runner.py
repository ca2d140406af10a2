"""Turns a batch of requests into tensors, runs the model, and samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.managers.batch import Batch, BatchEntry, BatchResult
from sglang.srt.managers.io_struct import TokenLogprobs
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.forward_batch import AttentionMeta, ForwardBatch
from sglang.srt.models.interface import CausalLM
from sglang.srt.sampling.logprobs import gather_logprobs
from sglang.srt.sampling.sampler import make_sampling_batch, sample

PROMPT_LOGPROB_ROWS = 256
"""Rows of logits that are in memory at a time while prompt logprobs are computed."""


class ModelRunner:
    """Owns the model's tensors; the scheduler tells it what to compute.

    ``slots`` is the slot table [rows, width] int32, written by the scheduler and read here.
    """

    def __init__(
        self, model: CausalLM, kv_pool: KVPool, slots: NDArray[np.int32], device: torch.device
    ) -> None:
        self.model = model
        self._kv_pool = kv_pool
        self._slots = slots
        self._device = device
        # On the CPU attention reads the scheduler's own table.
        self._flat_slots = torch.from_numpy(slots.reshape(-1)) if device.type == "cpu" else None

    @torch.inference_mode()
    def execute(self, batch: Batch) -> BatchResult:
        """Forward pass and sampling over ``batch``; its slots are in the slot table."""
        q_indptr = np.zeros(len(batch) + 1, dtype=np.int32)
        np.cumsum([e.count for e in batch], out=q_indptr[1:])
        sampling = [i for i, e in enumerate(batch) if e.samples]
        scored = [i for i, e in enumerate(batch) if _prompt_span(e) is not None]
        rows = [q_indptr[i + 1] - 1 for i in sampling]
        for i in scored:
            first, last = _prompt_span(batch[i]) or (0, 0)
            rows.extend(
                range(q_indptr[i] + first - batch[i].start, q_indptr[i] + last - batch[i].start)
            )
        hidden = self.model.forward(self._forward_batch(batch, q_indptr, rows))
        result = BatchResult(next_tokens={})
        if sampling:
            self._sample(batch, sampling, hidden[: len(sampling)], result)
        if scored:
            self._score_prompts(batch, scored, hidden[len(sampling) :], result)
        return result

    # ----------------------------------------------------------------- input

    def _forward_batch(
        self, batch: Batch, q_indptr: NDArray[np.int32], rows: list[int]
    ) -> ForwardBatch:
        starts = np.array([e.start for e in batch], dtype=np.int32)
        table_rows = np.array([e.request.row for e in batch], dtype=np.int64)
        counts = np.diff(q_indptr)
        kv_len = starts + counts
        if int(q_indptr[-1]) == len(batch):
            positions, token_rows = starts, table_rows
            ids = np.array([e.request.tokens[e.start] for e in batch], dtype=np.int64)
        else:
            token_rows = np.repeat(table_rows, counts)
            positions = np.arange(q_indptr[-1], dtype=np.int32)
            positions += np.repeat(starts - q_indptr[:-1], counts)
            ids = np.concatenate([e.request.tokens[e.start : e.start + e.count] for e in batch])
        kv_slots, kv_start = self._kv_slots(table_rows, kv_len)
        return ForwardBatch(
            input_ids=self._tensor(ids.astype(np.int64, copy=False)),
            positions=self._tensor(positions),
            out_slots=self._tensor(self._slots[token_rows, positions]),
            attention=AttentionMeta(
                q_indptr=self._tensor(q_indptr),
                kv_slots=kv_slots,
                kv_start=self._tensor(kv_start),
                kv_len=self._tensor(kv_len),
                max_q_len=int(counts.max()),
                max_kv_len=int(kv_len.max()),
            ),
            logits_rows=self._tensor(np.array(rows, dtype=np.int64)),
            kv_pool=self._kv_pool,
        )

    def _kv_slots(
        self, table_rows: NDArray[np.int64], kv_len: NDArray[np.int32]
    ) -> tuple[torch.Tensor, NDArray[np.int64]]:
        """Slot lists of the sequences: the table itself, or a compact copy for a device."""
        width = self._slots.shape[1]
        if self._flat_slots is not None:
            return self._flat_slots, table_rows * width
        start = np.zeros(len(kv_len), dtype=np.int64)
        np.cumsum(kv_len[:-1], out=start[1:])
        lists = [self._slots[row, :n] for row, n in zip(table_rows, kv_len, strict=True)]
        return self._tensor(np.concatenate(lists)), start

    def _tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    # ----------------------------------------------------------------- output

    def _sample(
        self, batch: Batch, sampling: list[int], hidden: torch.Tensor, result: BatchResult
    ) -> None:
        logits = self.model.logits(hidden)
        requests = [batch[i].request for i in sampling]
        plan = make_sampling_batch([r.sampling for r in requests], logits.shape[1], self._device)
        tokens: list[int] = sample(logits, plan).tolist()
        result.next_tokens = dict(zip(sampling, tokens, strict=True))
        scored = [j for j, r in enumerate(requests) if r.return_logprob]
        if not scored:
            return
        targets = [max(tokens[j], 0) for j in scored]
        top = [requests[j].top_logprobs_num for j in scored]
        values = gather_logprobs(logits[scored], targets, top)
        for k, j in enumerate(scored):
            result.output_logprobs[sampling[j]] = TokenLogprobs(
                [values.logprobs[k]], [tokens[j]], [values.top_logprobs[k]], [values.top_ids[k]]
            )

    def _score_prompts(
        self, batch: Batch, scored: list[int], hidden: torch.Tensor, result: BatchResult
    ) -> None:
        offset = 0
        for i in scored:
            entry = batch[i]
            first, last = _prompt_span(entry) or (0, 0)
            scores = TokenLogprobs([], [])
            if first == 0 and entry.request.logprob_start_len == 0:
                scores = TokenLogprobs([None], [int(entry.request.tokens[0])], [[]], [[]])
            for start in range(first, last, PROMPT_LOGPROB_ROWS):
                end = min(start + PROMPT_LOGPROB_ROWS, last)
                targets = entry.request.tokens[start + 1 : end + 1].tolist()
                logits = self.model.logits(hidden[offset : offset + end - start])
                top = [entry.request.top_logprobs_num] * len(targets)
                values = gather_logprobs(logits, targets, top)
                scores.logprobs.extend(values.logprobs)
                scores.token_ids.extend(targets)
                scores.top_logprobs.extend(values.top_logprobs)
                scores.top_ids.extend(values.top_ids)
                offset += end - start
            result.prompt_logprobs[i] = scores


def _prompt_span(entry: BatchEntry) -> tuple[int, int] | None:
    """Positions [first, last) of the entry whose next tokens are prompt tokens to be scored."""
    request = entry.request
    if not request.wants_prompt_logprobs:
        return None
    first = max(entry.start, request.logprob_start_len - 1, 0)
    last = min(entry.start + entry.count, request.prompt_len - 1)
    starts_at_zero = entry.start == 0 and request.logprob_start_len == 0
    return (first, max(first, last)) if first < last or starts_at_zero else None
