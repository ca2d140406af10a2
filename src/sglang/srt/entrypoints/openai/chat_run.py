"""The way of a conversation: from the checked body to sequences that answer it.

Every API that has conversations translates its body into a :class:`ChatRequest` and goes this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sglang.srt.entrypoints.errors import renamed
from sglang.srt.entrypoints.openai.answer_parts import PartsReader
from sglang.srt.entrypoints.openai.answer_plan import AnswerPlan, plan_answer
from sglang.srt.entrypoints.openai.answer_run import AnswerRun
from sglang.srt.entrypoints.openai.choices import check_model
from sglang.srt.entrypoints.openai.messages import check_messages
from sglang.srt.entrypoints.openai.protocol import ChatRequest, client_names, sampling_params
from sglang.srt.entrypoints.openai.reasoning_usage import count_tokens
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.sampling.sampling_fields import SamplingParamsError
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS, SamplingParams
from sglang.srt.tokenizer.messages import normalize_messages
from sglang.srt.tokenizer.tokenizer import NO_TEMPLATE, Tokenizer


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation as the model reads it."""

    text: str
    ids: list[int]
    plan: AnswerPlan
    """What is to be done with the answer."""


@dataclass(frozen=True)
class ChatRun:
    """A conversation that is being answered."""

    run: AnswerRun
    readers: list[PartsReader]
    """One for each answer."""
    has_reasoning: bool
    """Whether the readers take reasoning out."""


async def chat_prompt(state: ServerState, chat: ChatRequest) -> ChatPrompt:
    """The conversation rendered and tokenized, in a thread.

    Raises:
        RequestError: about the messages, the tools, or a server that has no chat template.
    """
    check_model(state, chat.model)
    _check(state, chat)
    plan = plan_answer(state, chat)
    check_messages(chat.messages)
    try:
        prompt: ChatPrompt = await state.manager.run_in_thread(_render, state, chat, plan)
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(str(error), param="messages") from None
    return prompt


async def count_prompt_tokens(state: ServerState, chat: ChatRequest) -> int:
    """How many tokens the model would read.

    Raises:
        RequestError: the request is wrong, whether that matters to the prompt or not.
    """
    names = client_names(chat)
    params = _sampling_params(state, chat, None)
    try:
        SamplingParams.parse(params, vocab_size=state.model_config.vocab_size)
    except SamplingParamsError as error:
        raise renamed(RequestError(str(error), param=error.field), names) from None
    return len((await chat_prompt(state, chat)).ids)


async def start_chat(state: ServerState, chat: ChatRequest, rid: str) -> ChatRun:
    """Have the conversation answered.

    Raises:
        RequestError: the request is wrong, or cannot be served now.
    """
    state.manager.check_generates()
    prompt = await chat_prompt(state, chat)
    plan, tokenizer = prompt.plan, _tokenizer(state)
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
    run = AnswerRun(state.manager, group, names, n=chat.n or 1)
    if plan.reasoning_format is not None:
        run.count_reasoning_tokens = lambda state: count_tokens(
            state, readers[state.index].reasoning_chars, tokenizer, marks.visible_special_ids
        )
    return ChatRun(run, readers, plan.has_reasoning)


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
    _tokenizer(state)
    if chat.top_logprobs is not None and not chat.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", param="top_logprobs")
    if chat.max_tokens == 0 or chat.max_completion_tokens == 0:
        raise RequestError("max_tokens must be at least 1, got 0", param="max_tokens")
    if chat.continue_final_message and chat.messages[-1].get("role") != "assistant":
        raise RequestError(
            "continue_final_message needs the last message to be the assistant's",
            param="continue_final_message",
        )


def _tokenizer(state: ServerState) -> Tokenizer:
    if state.tokenizer is None:
        raise RequestError(
            "chat completions need a tokenizer, and the server runs with --skip-tokenizer-init"
        )
    return state.tokenizer


def _render(state: ServerState, chat: ChatRequest, plan: AnswerPlan) -> ChatPrompt:
    template, tokenizer = state.chat_template, _tokenizer(state)
    if template is None:
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
    return ChatPrompt(text, tokenizer.encode(text, add_special_tokens=False), plan)
