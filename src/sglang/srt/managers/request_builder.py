"""From a user's request to sequences ready to send: parameters, token ids, lengths, seeds."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput, TokenizedRequest
from sglang.srt.managers.request_batch import PromptBatch, PromptInput, normalize, token_array
from sglang.srt.managers.request_state import RequestGroup, SequenceState
from sglang.srt.sampling.reasoning_span import ReasoningSpan
from sglang.srt.sampling.sampling_params import (
    GRAMMAR_KINDS,
    SamplingParams,
    SamplingParamsError,
    unsupported_features,
)
from sglang.srt.tokenizer.detokenizer import IncrementalDetokenizer, StopChecker

if TYPE_CHECKING:
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.tokenizer.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAX_SEQUENCES_PER_REQUEST = 16384
TOKENIZE_THREADS = 4
PROMPT_TAIL = 256
"""Tokens at the end of a prompt that the detokenizer may look at."""


@dataclass(frozen=True)
class AnswerMarks:
    """Tags by which the caller tells the parts of an answer apart."""

    visible_special_ids: frozenset[int] = frozenset()
    """Special tokens that stay in the text although ``skip_special_tokens`` is set."""
    reasoning: ReasoningSpan | None = None
    """Given where a grammar has to wait for the end of the reasoning, or that has a budget."""


class RequestBuilder:
    """Checks requests and prepares their sequences; owns the threads that tokenize."""

    def __init__(
        self,
        server_args: ServerArgs,
        model_config: ModelConfig,
        tokenizer: Tokenizer | None,
        max_sequence_tokens: int | None = None,
    ) -> None:
        """``max_sequence_tokens`` is what the engine's memory holds, if that may be less than
        the model's context."""
        context = model_config.context_length
        self._limit = min(context, max_sequence_tokens or context)
        self._args = server_args
        self._config = model_config
        self._tokenizer = tokenizer
        seed = server_args.random_seed
        self._random = random.Random(os.urandom(16) if seed is None else seed)
        self._threads = ThreadPoolExecutor(TOKENIZE_THREADS, thread_name_prefix="tokenize")

    async def build(self, obj: GenerateReqInput, marks: AnswerMarks | None = None) -> RequestGroup:
        """The sequences of ``obj``, not sent yet.

        Raises:
            RequestError: a field is wrong, or a prompt does not fit.
        """
        batch = normalize(obj, vocab_size=self._config.vocab_size)
        params = self._parse_params(batch.prompts)
        count = sum(p.n for p in params)
        if count > MAX_SEQUENCES_PER_REQUEST:
            raise RequestError(
                f"n times the number of prompts is {count}; "
                f"at most {MAX_SEQUENCES_PER_REQUEST} sequences are allowed",
                param="n",
            )
        await self._tokenize(batch)
        states: list[SequenceState] = []
        named: dict[str, list[SequenceState]] = {}
        for prompt, base in zip(batch.prompts, params, strict=True):
            own = self._sequences(obj, prompt, base, len(states), marks or AnswerMarks())
            states += own
            if base.n > 1:
                named[prompt.rid] = own
        if batch.name is not None:
            named[batch.name] = states
        return RequestGroup(states, is_single=batch.is_single and len(states) == 1, named=named)

    async def run_in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something that takes its time off the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _parse_params(self, prompts: list[PromptInput]) -> list[SamplingParams]:
        """Sampling parameters of each prompt; a dict shared by many is parsed once."""
        parsed: dict[int, SamplingParams] = {}
        for prompt in prompts:
            raw = prompt.sampling_params
            if id(raw) not in parsed:
                parsed[id(raw)] = self._parse_one(raw)
        return [parsed[id(prompt.sampling_params)] for prompt in prompts]

    def _parse_one(self, raw: dict[str, Any]) -> SamplingParams:
        try:
            params = SamplingParams.parse(raw, vocab_size=self._config.vocab_size)
        except SamplingParamsError as error:
            raise RequestError(str(error), param=error.field) from None
        unsupported = unsupported_features(params)
        if unsupported is not None:
            raise RequestError(unsupported, code="not_implemented")
        self._check_grammar(params)
        if self._tokenizer is None and params.stop:
            raise RequestError(
                "stop strings need a tokenizer, and the server runs with --skip-tokenizer-init; "
                "use stop_token_ids",
                param="stop",
            )
        return params

    def _check_grammar(self, params: SamplingParams) -> None:
        kind = next((name for name in GRAMMAR_KINDS if getattr(params, name) is not None), None)
        if kind is None:
            return
        if self._args.grammar_backend == "none":
            raise RequestError(
                f"{kind} cannot be used: the server runs with --grammar-backend none", param=kind
            )
        if self._tokenizer is None:
            raise RequestError(
                f"{kind} needs a tokenizer, and the server runs with --skip-tokenizer-init",
                param=kind,
            )

    async def _tokenize(self, batch: PromptBatch) -> None:
        """Fill in the token ids of the prompts that came as text."""
        if batch.prompts[0].text is None:
            return
        if self._tokenizer is None:
            raise RequestError(
                "the server runs with --skip-tokenizer-init: send input_ids instead of text",
                param="text",
            )
        texts = [prompt.text for prompt in batch.prompts]
        try:
            encoded = await self.run_in_thread(self._tokenizer.encode_batch, texts)
        except ValueError as error:
            raise RequestError(str(error), param="text") from None
        for i, prompt in enumerate(batch.prompts):
            name = "text" if batch.is_single else f"text[{i}]"
            prompt.input_ids = token_array(encoded[i], name, self._config.vocab_size)

    def _sequences(
        self,
        obj: GenerateReqInput,
        prompt: PromptInput,
        params: SamplingParams,
        first: int,
        marks: AnswerMarks,
    ) -> list[SequenceState]:
        """The n sequences of one prompt, with a seed of its own for each."""
        assert prompt.input_ids is not None
        ids, max_new = self._fit(prompt.input_ids, params.max_new_tokens)
        base_seed = self._random.getrandbits(63) if params.seed is None else params.seed
        raw = ids.astype("<i4", copy=False).tobytes()
        states = []
        for i in range(params.n):
            mine = msgspec.structs.replace(
                params, n=1, max_new_tokens=max_new, seed=derive_seed(base_seed, i)
            )
            message = TokenizedRequest(
                rid=prompt.rid if params.n == 1 else f"{prompt.rid}-{i}",
                input_ids=raw,
                sampling=mine,
                return_logprob=prompt.return_logprob,
                logprob_start_len=prompt.logprob_start_len,
                top_logprobs_num=prompt.top_logprobs_num,
                priority=obj.priority,
                cache_namespace=obj.cache_salt or "",
                reasoning=marks.reasoning,
            )
            states.append(
                SequenceState(
                    message=message,
                    index=first + i,
                    prompt_ids=ids,
                    detokenizer=self._detokenizer(ids, mine, marks),
                    stops=StopChecker(mine.stop) if mine.stop else None,
                    stream=obj.stream,
                )
            )
        return states

    def _detokenizer(
        self, ids: NDArray[np.int32], params: SamplingParams, marks: AnswerMarks
    ) -> IncrementalDetokenizer | None:
        if self._tokenizer is None:
            return None
        return IncrementalDetokenizer(
            self._tokenizer,
            ids[-PROMPT_TAIL:].tolist(),
            skip_special_tokens=params.skip_special_tokens,
            spaces_between_special_tokens=params.spaces_between_special_tokens,
            visible_special_ids=marks.visible_special_ids,
        )

    def _fit(
        self, ids: NDArray[np.int32], max_new_tokens: int | None
    ) -> tuple[NDArray[np.int32], int]:
        """The prompt and the number of new tokens that fit into the context."""
        if len(ids) >= self._limit:
            if not self._args.allow_auto_truncate:
                raise self._too_long(len(ids))
            logger.warning("an input of %d tokens is cut to %d", len(ids), self._limit - 1)
            ids = ids[: self._limit - 1]
        room = self._limit - len(ids)
        return ids, room if max_new_tokens is None else min(max_new_tokens, room)

    def _too_long(self, length: int) -> RequestError:
        context = self._config.context_length
        if self._limit < context:
            reason = f"than the KV cache holds (max_total_tokens: {self._limit})"
        else:
            reason = f"than the model's context length ({context} tokens)"
        return RequestError(
            f"The input ({length} tokens) is longer {reason}: at most "
            f"{self._limit - 1} leave room for an answer.",
            code="context_length_exceeded",
        )


def derive_seed(seed: int, i: int) -> int:
    """Seed of the i-th sequence of a prompt: the request's own for the first, else a hash."""
    if i == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{i}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
