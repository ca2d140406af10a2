"""``/v1/chat/completions``."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import renamed
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.choices import Answer, check_model, finish_fields
from sglang.srt.entrypoints.openai.logprobs import chat_logprobs
from sglang.srt.entrypoints.openai.messages import check_messages
from sglang.srt.entrypoints.openai.protocol import (
    CLIENT_NAMES,
    ChatRequest,
    parse_request,
    sampling_params,
)
from sglang.srt.entrypoints.sse import event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import NotImplementedYetError, RequestError
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.managers.request_state import SequenceState
from sglang.srt.tokenizer.messages import normalize_messages
from sglang.srt.tokenizer.tokenizer import NO_TEMPLATE, Tokenizer


async def chat_completions(state: ServerState, request: Request) -> Response:
    """Answer a conversation."""
    chat = parse_request(ChatRequest, await read_json_object(request))
    answer = await unless_disconnected(request, _submit(state, chat))
    assert state.tokenizer is not None
    formatter = ChatFormatter(state.tokenizer, chat, len(answer.group.states))
    if chat.stream:
        return await event_stream(request, answer.events(formatter.chunks), openai=True)
    return json_response(await unless_disconnected(request, answer.whole(formatter.choice)))


async def _submit(state: ServerState, chat: ChatRequest) -> Answer:
    check_model(state, chat)
    _check(state, chat)
    prompt_ids = await _prompt_ids(state, chat)
    rid = f"chatcmpl-{uuid.uuid4().hex}" if chat.rid is None else chat.rid
    max_tokens = chat.max_tokens
    if chat.max_completion_tokens is not None:
        max_tokens = chat.max_completion_tokens
    obj = GenerateReqInput(
        input_ids=prompt_ids,
        sampling_params=_sampling_params(state, chat, max_tokens),
        rid=rid,
        return_logprob=chat.logprobs,
        top_logprobs_num=chat.top_logprobs or 0,
        stream=chat.stream,
        priority=chat.priority,
        cache_salt=chat.cache_salt,
    )
    kind = "chat.completion.chunk" if chat.stream else "chat.completion"
    try:
        group = await state.manager.submit(obj)
    except RequestError as error:
        raise renamed(error, {**CLIENT_NAMES, "input_ids": "messages"}) from None
    return Answer(state, chat, group, rid, kind)


def _sampling_params(
    state: ServerState, chat: ChatRequest, max_tokens: int | None
) -> dict[str, Any]:
    """Those of the request, and the stop strings that belong to the chat template."""
    params = sampling_params(chat, max_tokens, state.openai_defaults)
    if state.chat_stops and not chat.ignore_eos:
        given = params.get("stop", [])
        params["stop"] = [*([given] if isinstance(given, str) else given), *state.chat_stops]
    return params


def _check(state: ServerState, chat: ChatRequest) -> None:
    if state.tokenizer is None:
        raise RequestError(
            "chat completions need a tokenizer, and the server runs with --skip-tokenizer-init"
        )
    if chat.tools and chat.tool_choice != "none":
        raise NotImplementedYetError("tool calling (tools)", param="tools")
    if chat.tool_choice not in (None, "none", "auto"):
        raise NotImplementedYetError("tool_choice", param="tool_choice")
    if chat.top_logprobs is not None and not chat.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", param="top_logprobs")
    if chat.max_tokens == 0 or chat.max_completion_tokens == 0:
        raise RequestError("max_tokens must be at least 1, got 0", param="max_tokens")
    if chat.continue_final_message and chat.messages[-1].get("role") != "assistant":
        raise RequestError(
            "continue_final_message needs the last message to be the assistant's",
            param="continue_final_message",
        )


async def _prompt_ids(state: ServerState, chat: ChatRequest) -> list[int]:
    """The conversation rendered and tokenized, in a thread."""
    check_messages(chat.messages)
    try:
        ids: list[int] = await state.manager.run_in_thread(_render, state, chat)
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(str(error), param="messages") from None
    return ids


def _render(state: ServerState, chat: ChatRequest) -> list[int]:
    template, tokenizer = state.chat_template, state.tokenizer
    if template is None or tokenizer is None:
        raise RequestError(NO_TEMPLATE)
    text = template.render(
        normalize_messages(chat.messages, template.traits),
        add_generation_prompt=chat.add_generation_prompt and not chat.continue_final_message,
        continue_final_message=chat.continue_final_message,
        special_tokens=tokenizer.special_tokens_map,
        variables=chat.chat_template_kwargs,
    )
    # The template has put in what a tokenizer would add.
    return tokenizer.encode(text, add_special_tokens=False)


class ChatFormatter:
    """Turns sequences into choices, whole or as deltas."""

    def __init__(self, tokenizer: Tokenizer, chat: ChatRequest, count: int) -> None:
        """``count`` is the number of choices."""
        self._tokenizer = tokenizer
        self._chat = chat
        self._sent_text = [0] * count
        self._sent_tokens = [0] * count
        self._started = [False] * count

    def choice(self, state: SequenceState) -> dict[str, Any]:
        """The whole answer of one sequence."""
        choice: dict[str, Any] = {
            "index": state.index,
            "message": {"role": "assistant", "content": state.text, "refusal": None},
            "logprobs": self._logprobs(state, 0),
            **finish_fields(state),
        }
        if self._chat.return_token_ids:
            choice["token_ids"] = state.token_ids
        return choice

    def chunks(self, state: SequenceState) -> list[dict[str, Any]]:
        """The choices of the chunks that tell what is new of a sequence."""
        chunks = []
        if not self._started[state.index]:
            self._started[state.index] = True
            chunks.append(self._chunk(state, {"role": "assistant", "content": ""}))
        piece = self._piece(state)
        if piece is not None:
            chunks.append(piece)
        if state.finish is not None:
            chunks.append(self._chunk(state, {}, **finish_fields(state)))
        return chunks

    def _piece(self, state: SequenceState) -> dict[str, Any] | None:
        i = state.index
        text = state.text[self._sent_text[i] :]
        first = self._sent_tokens[i]
        has_tokens = len(state.token_ids) > first
        wants_tokens = self._chat.logprobs or self._chat.return_token_ids
        if not text and not (has_tokens and wants_tokens):
            return None
        self._sent_text[i] += len(text)
        self._sent_tokens[i] = len(state.token_ids)
        more: dict[str, Any] = {}
        if has_tokens and self._chat.logprobs:
            more["logprobs"] = self._logprobs(state, first)
        if self._chat.return_token_ids:
            more["token_ids"] = state.token_ids[first:]
        return self._chunk(state, {"content": text}, **more)

    def _chunk(self, state: SequenceState, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "index": state.index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": None,
            **more,
        }

    def _logprobs(self, state: SequenceState, start: int) -> dict[str, Any] | None:
        if not self._chat.logprobs:
            return None
        if state.output_logprobs is None:
            return {"content": [], "refusal": None}
        top = self._chat.top_logprobs or 0
        return chat_logprobs(self._tokenizer, state.output_logprobs, start, top)
