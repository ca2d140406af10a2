"""Turns a batch of requests into tensors, runs the model, and samples."""

from __future__ import annotations

import numpy as np
import torch

from sglang.srt.kernels.interface import Kernels
from sglang.srt.model_executor.batch import Batch, BatchEntry, BatchResult, R
from sglang.srt.model_executor.forward_pass import ForwardPass
from sglang.srt.model_executor.input_embeds import place_embeds
from sglang.srt.model_executor.step_arrays import make_step_arrays
from sglang.srt.models.interface import CausalLM
from sglang.srt.sampling.logprobs import gather_logprobs
from sglang.srt.sampling.sampler import make_sampling_batch, sample
from sglang.srt.sampling.token_logprobs import TokenLogprobs

PROMPT_LOGPROB_ROWS = 256
"""Rows of logits that are in memory at a time while prompt logprobs are computed."""


class ModelRunner:
    """Generates: runs the model over what the scheduler tells it to, and samples.

    ``forward`` is the model's own pass.
    """

    def __init__(self, model: CausalLM, forward: ForwardPass, kernels: Kernels) -> None:
        self.model = model
        self.device = forward.device
        self.kernels = kernels
        self._forward = forward

    def replace_model(self, model: CausalLM) -> None:
        """Run ``model``, which has the same shape, from now on. Nothing of the pool may be in use.

        If this fails, the old model stays.
        """
        self._forward.replace_model(model)
        self.model = model

    @torch.inference_mode()
    def execute(self, batch: Batch[R]) -> BatchResult:
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
        wanted = {
            i: _hidden_rows(e, q_indptr[i])
            for i, e in enumerate(batch)
            if e.request.return_hidden_states
        }
        for span in wanted.values():
            rows.extend(span)
        arrays = make_step_arrays(batch, q_indptr, rows, self._forward.slots)
        hidden = self._forward(arrays, place_embeds(batch, q_indptr))
        result = BatchResult(next_tokens={})
        if wanted:
            sizes = [len(span) for span in wanted.values()]
            values = hidden[len(rows) - sum(sizes) :].to("cpu", torch.float32, copy=True)
            parts = np.split(values.numpy(), np.cumsum(sizes)[:-1])
            result.hidden_states = dict(zip(wanted, parts, strict=True))
        if sampling:
            self._sample(batch, sampling, hidden[: len(sampling)], result)
        if scored:
            self._score_prompts(batch, scored, hidden[len(sampling) :], result)
        return result

    # ----------------------------------------------------------------- output

    def _sample(
        self, batch: Batch[R], sampling: list[int], hidden: torch.Tensor, result: BatchResult
    ) -> None:
        logits = self.model.logits(hidden)
        requests = [batch[i].request for i in sampling]
        plan = make_sampling_batch([r.sampling for r in requests], logits.shape[1], self.device)
        scored = [j for j, r in enumerate(requests) if r.return_logprob]
        # A copy of what the model says: sampling masks the logits of rows with a grammar.
        raw = logits[scored] if scored else None
        kernels = self.kernels
        tokens: list[int] = sample(
            logits, plan, kernels.best_tokens, kernels.mask_tokens, kernels.draw_tokens
        ).tolist()
        result.next_tokens = dict(zip(sampling, tokens, strict=True))
        if raw is None:
            return
        targets = [max(tokens[j], 0) for j in scored]
        top = [requests[j].top_logprobs_num for j in scored]
        values = gather_logprobs(raw, targets, top)
        for k, j in enumerate(scored):
            result.output_logprobs[sampling[j]] = TokenLogprobs(
                [values.logprobs[k]], [tokens[j]], [values.top_logprobs[k]], [values.top_ids[k]]
            )

    def _score_prompts(
        self, batch: Batch[R], scored: list[int], hidden: torch.Tensor, result: BatchResult
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
                scores.extend(
                    TokenLogprobs([*values.logprobs], targets, values.top_logprobs, values.top_ids)
                )
                offset += end - start
            result.prompt_logprobs[i] = scores


def _hidden_rows(entry: BatchEntry[R], first: int) -> range:
    """Rows of the batch, where the entry begins at ``first``, whose hidden states are wanted."""
    known = max(entry.request.num_hidden - entry.start, 0)
    return range(first + min(known, entry.count), first + entry.count)


def _prompt_span(entry: BatchEntry[R]) -> tuple[int, int] | None:
    """Positions [first, last) of the entry whose next tokens are prompt tokens to be scored."""
    request = entry.request
    if not request.wants_prompt_logprobs:
        return None
    first = max(entry.start, request.logprob_start_len - 1, 0)
    last = min(entry.start + entry.count, request.prompt_len - 1)
    starts_at_zero = entry.start == 0 and request.logprob_start_len == 0
    return (first, max(first, last)) if first < last or starts_at_zero else None
