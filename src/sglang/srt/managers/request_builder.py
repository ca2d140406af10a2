"""From a user's request to sequences ready to send: parameters, token ids, lengths, seeds."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.input_embeds import embeds_array, embeds_namespace
from sglang.srt.managers.io_struct import GenerateReqInput, TokenizedRequest
from sglang.srt.managers.request_batch import PromptBatch, PromptInput, normalize, token_array
from sglang.srt.managers.request_state import RequestGroup, SequenceState
from sglang.srt.managers.sessions import Sessions, Turn
from sglang.srt.sampling.reasoning_span import ReasoningSpan
from sglang.srt.sampling.sampling_fields import SamplingParamsError
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS, SamplingParams
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
MAX_HIDDEN_NUMBERS = 1 << 27
"""In the hidden states of one request: half a gigabyte."""


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
        sessions: Sessions,
        max_sequence_tokens: int | None = None,
    ) -> None:
        """``max_sequence_tokens`` is what the engine's memory holds, if that may be less than
        the model's context."""
        context = model_config.context_length
        self._limit = min(context, max_sequence_tokens or context)
        self._args = server_args
        self._config = model_config
        self._tokenizer = tokenizer
        self._sessions = sessions
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
        self._check_processors(batch.prompts, params)
        count = sum(p.n for p in params)
        if count > MAX_SEQUENCES_PER_REQUEST:
            raise RequestError(
                f"n times the number of prompts is {count}; "
                f"at most {MAX_SEQUENCES_PER_REQUEST} sequences are allowed",
                param="n",
            )
        await self._tokenize(batch)
        await self._count_session_chars(batch.prompts)
        states: list[SequenceState] = []
        named: dict[str, list[SequenceState]] = {}
        for prompt, base in zip(batch.prompts, params, strict=True):
            own = self._sequences(obj, prompt, base, len(states), marks or AnswerMarks())
            states += own
            if base.n > 1:
                named[prompt.rid] = own
        if batch.name is not None:
            named[batch.name] = states
        self._check_hidden_states(states)
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

    def _check_processors(self, prompts: list[PromptInput], params: list[SamplingParams]) -> None:
        if any(prompt.custom_logit_processor is not None for prompt in prompts):
            if not self._args.enable_custom_logit_processor:
                raise RequestError(
                    "custom_logit_processor cannot be used: the server runs without "
                    "--enable-custom-logit-processor",
                    param="custom_logit_processor",
                )
        elif any(each.custom_params is not None for each in params):
            raise RequestError(
                "custom_params is for a custom_logit_processor, which is not given",
                param="custom_params",
            )

    def _check_hidden_states(self, states: list[SequenceState]) -> None:
        wanted = [state for state in states if state.message.return_hidden_states]
        tokens = sum(
            len(state.prompt_ids) + (state.message.sampling.max_new_tokens or 0) for state in wanted
        )
        size = self._config.hidden_size
        if tokens * size > MAX_HIDDEN_NUMBERS:
            raise RequestError(
                f"return_hidden_states: the sequences have up to {tokens} tokens together; with "
                f"{size} numbers a token, at most {MAX_HIDDEN_NUMBERS // size} may be returned",
                param="return_hidden_states",
            )

    def _read_embeds(self, batch: PromptBatch) -> None:
        """Check the prompts that came as vectors; zeros stand in for their token ids."""
        for i, prompt in enumerate(batch.prompts):
            name = "input_embeds" if batch.is_single else f"input_embeds[{i}]"
            prompt.embeds = embeds_array(prompt.embeds, name, self._config.hidden_size)
            prompt.input_ids = np.zeros(len(prompt.embeds), dtype=np.int32)
            if prompt.logprob_start_len >= 0:
                raise RequestError(
                    f"logprob_start_len is {prompt.logprob_start_len}, but {name} has no tokens to "
                    "give the log-probabilities of",
                    param="logprob_start_len",
                )

    async def _tokenize(self, batch: PromptBatch) -> None:
        """Fill in the token ids of the prompts that came as text, and the like."""
        if batch.prompts[0].embeds is not None:
            await self.run_in_thread(self._read_embeds, batch)
            return
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

    async def _count_session_chars(self, prompts: list[PromptInput]) -> None:
        for prompt in prompts:
            if prompt.session is None:
                continue
            if prompt.text is not None:
                prompt.session_chars = len(prompt.text)
                continue
            assert prompt.input_ids is not None
            if self._tokenizer is None:
                prompt.session_chars = len(prompt.input_ids)
                continue
            ids = prompt.input_ids.tolist()
            prompt.session_chars = len(await self.run_in_thread(self._tokenizer.decode, ids))

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
        rids = [prompt.rid if params.n == 1 else f"{prompt.rid}-{i}" for i in range(params.n)]
        turn = self._turn(prompt, rids)
        ids = prompt.input_ids if turn is None else turn.sequence()
        ids, max_new = self._fit(ids, params.max_new_tokens)
        if turn is not None:
            turn.end_at(len(ids))
        base_seed = self._random.getrandbits(63) if params.seed is None else params.seed
        raw = ids.astype("<i4", copy=False).tobytes()
        embeds, namespace = None, obj.cache_salt or ""
        if prompt.embeds is not None:
            embeds = prompt.embeds[: len(ids)].astype("<f4", copy=False)
            namespace = f"{embeds_namespace(embeds)}:{namespace}"
        states = []
        for i, rid in enumerate(rids):
            mine = msgspec.structs.replace(
                params, n=1, max_new_tokens=max_new, seed=derive_seed(base_seed, i)
            )
            message = TokenizedRequest(
                rid=rid,
                input_ids=raw,
                sampling=mine,
                return_logprob=prompt.return_logprob,
                logprob_start_len=prompt.logprob_start_len,
                top_logprobs_num=prompt.top_logprobs_num,
                priority=obj.priority,
                cache_namespace=namespace,
                is_embedding=not self._config.is_generation,
                reasoning=marks.reasoning,
                custom_logit_processor=prompt.custom_logit_processor,
                return_hidden_states=prompt.return_hidden_states,
                input_embeds=None if embeds is None else embeds.tobytes(),
            )
            states.append(
                SequenceState(
                    message=message,
                    index=first + i,
                    prompt_ids=ids,
                    detokenizer=self._detokenizer(ids if embeds is None else ids[:0], mine, marks),
                    stops=StopChecker(mine.stop) if mine.stop else None,
                    stream=obj.stream,
                    turn=None if turn is None else replace(turn, rid=rid),
                )
            )
        return states

    def _turn(self, prompt: PromptInput, rids: list[str]) -> Turn | None:
        """The place of a prompt in the session that it names."""
        if prompt.session is None:
            return None
        assert prompt.input_ids is not None
        bos = None if self._tokenizer is None else self._tokenizer.bos_token_id
        chars = prompt.session_chars
        return self._sessions.plan(prompt.session, rids, prompt.input_ids, chars, bos)

    def _detokenizer(
        self, ids: NDArray[np.int32], params: SamplingParams, marks: AnswerMarks
    ) -> IncrementalDetokenizer | None:
        if self._tokenizer is None or not self._config.is_generation:
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
        longest = self._limit - 1 if self._config.is_generation else self._limit
        if len(ids) > longest:
            if not self._args.allow_auto_truncate:
                raise self._too_long(len(ids), longest)
            logger.warning("an input of %d tokens is cut to %d", len(ids), longest)
            ids = ids[:longest]
        room = self._limit - len(ids)
        return ids, room if max_new_tokens is None else min(max_new_tokens, room)

    def _too_long(self, length: int, longest: int) -> RequestError:
        context = self._config.context_length
        if self._limit < context:
            reason = f"than the KV cache holds (max_total_tokens: {self._limit})"
        else:
            reason = f"than the model's context length ({context} tokens)"
        return RequestError(
            f"The input ({length} tokens) is longer {reason}: at most {longest} "
            f"{'leave room for an answer' if longest < self._limit else 'can be embedded'}.",
            code="context_length_exceeded",
        )


def derive_seed(seed: int, i: int) -> int:
    """Seed of the i-th sequence of a prompt: the request's own for the first, else a hash."""
    if i == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{i}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
