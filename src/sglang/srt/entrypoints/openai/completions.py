"""``/v1/completions``."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import renamed
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.answer_run import AnswerRun
from sglang.srt.entrypoints.openai.choices import Answer, check_model, finish_fields
from sglang.srt.entrypoints.openai.logprobs import CompletionLogprobs
from sglang.srt.entrypoints.openai.protocol import (
    CompletionRequest,
    client_names,
    parse_request,
    sampling_params,
)
from sglang.srt.entrypoints.sse import OPENAI_STREAM, event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.managers.request_state import SequenceState
from sglang.srt.tokenizer.tokenizer import Tokenizer

DEFAULT_MAX_TOKENS = 16


async def completions(state: ServerState, request: Request) -> Response:
    """Continue one or several prompts."""
    body = parse_request(CompletionRequest, await read_json_object(request))
    rid = f"cmpl-{uuid.uuid4().hex}" if body.rid is None else body.rid
    run = await unless_disconnected(request, _submit(state, body, rid))
    assert state.tokenizer is not None
    formatter = CompletionFormatter(state.tokenizer, body, run.group.states)
    answer = Answer(state, body, run, rid, "text_completion")
    if body.stream:
        return await event_stream(request, answer.events(formatter.chunks), OPENAI_STREAM)
    best = None if body.num_answers == body.num_tries else partial(_best, body)
    return json_response(await unless_disconnected(request, answer.whole(formatter.choice, best)))


async def _submit(state: ServerState, body: CompletionRequest, rid: str) -> AnswerRun:
    check_model(state, body.model)
    if state.tokenizer is None:
        raise RequestError(
            "completions need a tokenizer, and the server runs with --skip-tokenizer-init"
        )
    chooses = body.num_answers != body.num_tries
    max_tokens = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
    wants_logprobs = body.logprobs is not None
    params = sampling_params(body, max_tokens, state.openai_defaults)
    obj = GenerateReqInput(
        **_prompt(body.prompt),
        sampling_params={**params, "n": body.num_tries},
        rid=rid,
        return_logprob=wants_logprobs or chooses,
        logprob_start_len=0 if wants_logprobs and body.echo else -1,
        top_logprobs_num=body.logprobs or 0,
        stream=body.stream,
        priority=body.priority,
        cache_salt=body.cache_salt,
    )
    names = client_names(body)
    try:
        group = await state.manager.submit(obj)
    except RequestError as error:
        raise renamed(error, {**names, "input_ids": "prompt", "text": "prompt"}) from None
    return AnswerRun(state.manager, group, names, n=body.num_tries)


def _best(body: CompletionRequest, states: list[SequenceState]) -> list[SequenceState]:
    """The ``n`` answers to each prompt whose tokens are the likeliest on average."""
    best: list[SequenceState] = []
    for first in range(0, len(states), body.num_tries):
        tries = states[first : first + body.num_tries]
        best += sorted(tries, key=_mean_logprob, reverse=True)[: body.num_answers]
    return best


def _mean_logprob(state: SequenceState) -> float:
    logprobs = [] if state.output_logprobs is None else state.output_logprobs.logprobs
    known = [logprob for logprob in logprobs if logprob is not None]
    return sum(known) / len(known) if known else 0.0


def _prompt(prompt: Any) -> dict[str, Any]:
    """Which of text and input_ids the prompt is; the manager checks it in detail."""
    if prompt is None or prompt == []:
        raise RequestError("prompt is empty", param="prompt")
    if not isinstance(prompt, (str, list)):
        raise RequestError(
            "prompt must be a string, a list of token ids, or a list of either", param="prompt"
        )
    if isinstance(prompt, str) or isinstance(prompt[0], str):
        return {"text": prompt}
    return {"input_ids": prompt}


class CompletionFormatter:
    """Turns sequences into choices, whole or as pieces."""

    def __init__(
        self, tokenizer: Tokenizer, body: CompletionRequest, states: list[SequenceState]
    ) -> None:
        self._tokenizer = tokenizer
        self._body = body
        self._echo = [self._prompt_text(state) if body.echo else "" for state in states]
        self._logprobs = [CompletionLogprobs(tokenizer, body.logprobs or 0) for _ in states]
        self._sent_text = [0] * len(states)
        self._sent_tokens = [0] * len(states)
        self._started = [False] * len(states)

    def choice(self, state: SequenceState) -> dict[str, Any]:
        """The whole answer of one sequence."""
        return self._fields(
            state, self._echo[state.index] + state.text, state.token_ids, finish_fields(state)
        )

    def chunks(self, state: SequenceState) -> list[dict[str, Any]]:
        """The choices of the chunks that tell what is new of a sequence: at most one."""
        piece = self._piece(state)
        return [] if piece is None else [piece]

    def _piece(self, state: SequenceState) -> dict[str, Any] | None:
        i = state.index
        text = state.text[self._sent_text[i] :]
        tokens = state.token_ids[self._sent_tokens[i] :]
        self._sent_text[i] += len(text)
        if not self._started[i]:
            text = self._echo[i] + text
        wants_tokens = self._body.logprobs is not None or self._body.return_token_ids
        if not text and state.finish is None and not (tokens and wants_tokens):
            return None
        self._sent_tokens[i] = len(state.token_ids)
        fields = self._fields(state, text, tokens, finish_fields(state))
        self._started[i] = True
        return fields

    def _fields(
        self, state: SequenceState, text: str, tokens: list[int], finish: dict[str, Any]
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": state.index, "text": text, "logprobs": None, **finish}
        if self._body.logprobs is not None:
            prompt = None if self._started[state.index] else state.input_logprobs
            choice["logprobs"] = self._logprobs[state.index].take(prompt, state.output_logprobs)
        if self._body.return_token_ids:
            choice["token_ids"] = tokens
        return choice

    def _prompt_text(self, state: SequenceState) -> str:
        prompt = self._body.prompt
        if isinstance(prompt, str):
            return prompt
        if isinstance(prompt[0], str):
            text: str = prompt[state.index // self._body.num_tries]
            return text
        return self._tokenizer.decode(state.prompt_ids.tolist(), skip_special_tokens=True)
