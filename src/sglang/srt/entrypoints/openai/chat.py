"""``/v1/chat/completions``."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import renamed
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.answer_plan import AnswerPlan, plan_answer
from sglang.srt.entrypoints.openai.chat_format import ChatFormatter
from sglang.srt.entrypoints.openai.choices import Answer, check_model
from sglang.srt.entrypoints.openai.messages import check_messages
from sglang.srt.entrypoints.openai.protocol import (
    ChatRequest,
    client_names,
    parse_request,
    sampling_params,
)
from sglang.srt.entrypoints.openai.reasoning_usage import count_tokens
from sglang.srt.entrypoints.sse import event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS
from sglang.srt.tokenizer.messages import normalize_messages
from sglang.srt.tokenizer.tokenizer import NO_TEMPLATE, Tokenizer


async def chat_completions(state: ServerState, request: Request) -> Response:
    """Answer a conversation."""
    chat = parse_request(ChatRequest, await read_json_object(request))
    answer, formatter = await unless_disconnected(request, _submit(state, chat))
    if chat.stream:
        return await event_stream(request, answer.events(formatter.chunks), openai=True)
    return json_response(await unless_disconnected(request, answer.whole(formatter.choice)))


async def _submit(state: ServerState, chat: ChatRequest) -> tuple[Answer, ChatFormatter]:
    check_model(state, chat)
    tokenizer = _check(state, chat)
    plan = plan_answer(state, chat)
    prompt = await _prompt(state, chat, plan)
    rid = f"chatcmpl-{uuid.uuid4().hex}" if chat.rid is None else chat.rid
    max_tokens = chat.max_tokens
    if chat.max_completion_tokens is not None:
        max_tokens = chat.max_completion_tokens
    params = plan.sampling_params(_sampling_params(state, chat, max_tokens))
    has_grammar = any(name in params for name in GRAMMAR_KINDS)
    marks = plan.marks(tokenizer, prompt.text, has_grammar=has_grammar)
    obj = GenerateReqInput(
        input_ids=prompt.ids,
        sampling_params=params,
        rid=rid,
        return_logprob=chat.logprobs,
        top_logprobs_num=chat.top_logprobs or 0,
        stream=chat.stream,
        priority=chat.priority,
        cache_salt=chat.cache_salt,
    )
    names = client_names(chat) | ({} if plan.grammar is None else {"structural_tag": "tools"})
    try:
        group = await state.manager.submit(obj, marks)
    except RequestError as error:
        raise renamed(error, {**names, "input_ids": "messages"}) from None
    readers = [plan.reader(prompt.text) for _ in group.states]
    kind = "chat.completion.chunk" if chat.stream else "chat.completion"
    answer = Answer(state, chat, group, rid, kind, names)
    formatter = ChatFormatter(tokenizer, chat, readers, has_reasoning=plan.has_reasoning)
    if plan.reasoning_format is not None:
        answer.count_reasoning_tokens = lambda state: count_tokens(
            state, readers[state.index].reasoning_chars, tokenizer, marks.visible_special_ids
        )
    return answer, formatter


def _sampling_params(
    state: ServerState, chat: ChatRequest, max_tokens: int | None
) -> dict[str, Any]:
    """Those of the request, and the stop strings that belong to the chat template."""
    params = sampling_params(chat, max_tokens, state.openai_defaults)
    if state.chat_stops and not chat.ignore_eos:
        given = params.get("stop", [])
        params["stop"] = [*([given] if isinstance(given, str) else given), *state.chat_stops]
    return params


def _check(state: ServerState, chat: ChatRequest) -> Tokenizer:
    if state.tokenizer is None:
        raise RequestError(
            "chat completions need a tokenizer, and the server runs with --skip-tokenizer-init"
        )
    if chat.top_logprobs is not None and not chat.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", param="top_logprobs")
    if chat.max_tokens == 0 or chat.max_completion_tokens == 0:
        raise RequestError("max_tokens must be at least 1, got 0", param="max_tokens")
    if chat.continue_final_message and chat.messages[-1].get("role") != "assistant":
        raise RequestError(
            "continue_final_message needs the last message to be the assistant's",
            param="continue_final_message",
        )
    return state.tokenizer


@dataclass(frozen=True)
class _Prompt:
    text: str
    ids: list[int]


async def _prompt(state: ServerState, chat: ChatRequest, plan: AnswerPlan) -> _Prompt:
    """The conversation rendered and tokenized, in a thread."""
    check_messages(chat.messages)
    try:
        prompt: _Prompt = await state.manager.run_in_thread(_render, state, chat, plan)
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(str(error), param="messages") from None
    return prompt


def _render(state: ServerState, chat: ChatRequest, plan: AnswerPlan) -> _Prompt:
    template, tokenizer = state.chat_template, state.tokenizer
    if template is None or tokenizer is None:
        raise RequestError(NO_TEMPLATE)
    text = template.render(
        normalize_messages(chat.messages, template.traits),
        add_generation_prompt=chat.add_generation_prompt and not chat.continue_final_message,
        continue_final_message=chat.continue_final_message,
        special_tokens=tokenizer.special_tokens_map,
        tools=None if plan.tool_use is None else plan.tool_use.shown,
        variables=plan.template_variables(template),
    )
    # The template has put in what a tokenizer would add.
    return _Prompt(text, tokenizer.encode(text, add_special_tokens=False))
