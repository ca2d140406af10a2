"""``/tokenize`` and ``/detokenize``: the model's tokenizer over HTTP.

The fields are those of SGLang and vLLM, which differ in little: a prompt or a list of them, or a
conversation, and an answer that holds the text under both names.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.chat_run import chat_prompt
from sglang.srt.entrypoints.openai.choices import check_model
from sglang.srt.entrypoints.openai.protocol import ChatRequest, parse_request, read_fields
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.request_batch import token_array
from sglang.srt.tokenizer.tokenizer import Tokenizer

CHAT_FIELDS = frozenset(
    {
        "messages",
        "tools",
        "add_generation_prompt",
        "continue_final_message",
        "chat_template_kwargs",
        "reasoning_effort",
    }
)


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    model: str | None = None


class TokenizeRequest(_Model):
    """Body of ``/tokenize``, but for a conversation's own fields."""

    prompt: str | list[str] | None = None
    add_special_tokens: bool | None = None
    """What belongs around a text; by default for prompts only, as templates bring their own."""
    return_token_strs: bool = False


class DetokenizeRequest(_Model):
    """Body of ``/detokenize``."""

    tokens: list[Any] = Field(max_length=1 << 22)
    skip_special_tokens: bool = True


async def tokenize(state: ServerState, request: Request) -> Response:
    """Token ids of a prompt, of several, or of a conversation as the model reads it."""
    raw = await read_json_object(request)
    chat = {name: value for name, value in raw.items() if name in CHAT_FIELDS}
    body = read_fields(TokenizeRequest, {k: v for k, v in raw.items() if k not in CHAT_FIELDS})
    check_model(state, body.model)
    tokenizer = _tokenizer(state)
    if (body.prompt is None) == ("messages" not in chat):
        raise RequestError("give one of prompt and messages", param="prompt")
    if body.prompt is None:
        tokens: Any = await _chat_tokens(state, chat, with_special=body.add_special_tokens is True)
    elif chat:
        name = min(chat)
        raise RequestError(f"{name} is for conversations, and this is a prompt", param=name)
    else:
        with_special = body.add_special_tokens is not False
        tokens = await _encode(state, tokenizer, body.prompt, with_special)
    is_batch = isinstance(body.prompt, list)
    answer = {
        "count": [len(ids) for ids in tokens] if is_batch else len(tokens),
        "max_model_len": state.model_config.context_length,
        "tokens": tokens,
        "token_strs": None,
    }
    if body.return_token_strs:
        name_all = tokenizer.convert_ids_to_tokens
        answer["token_strs"] = [name_all(ids) for ids in tokens] if is_batch else name_all(tokens)
    return json_response(answer)


async def detokenize(state: ServerState, request: Request) -> Response:
    """The text of token ids, or of several lists of them."""
    body = read_fields(DetokenizeRequest, await read_json_object(request))
    check_model(state, body.model)
    tokenizer = _tokenizer(state)
    is_batch = bool(body.tokens) and isinstance(body.tokens[0], list)
    rows = body.tokens if is_batch else [body.tokens]
    vocab_size = state.model_config.vocab_size
    for i, row in enumerate(rows):
        name = f"tokens[{i}]" if is_batch else "tokens"
        if not isinstance(row, list):
            raise RequestError(f"{name} must be a list of token ids", param=name)
        if row:
            token_array(row, name, vocab_size)
    run, decode = state.manager.run_in_thread, tokenizer.batch_decode
    texts = await run(decode, rows, body.skip_special_tokens)
    # vLLM's users expect all of the text, which makes the same tokens again.
    prompts = await run(decode, rows, False) if body.skip_special_tokens else texts
    if is_batch:
        return json_response({"text": texts, "prompt": prompts})
    return json_response({"text": texts[0], "prompt": prompts[0]})


async def _chat_tokens(
    state: ServerState, fields: dict[str, Any], *, with_special: bool
) -> list[int]:
    prompt = await chat_prompt(state, parse_request(ChatRequest, fields))
    if not with_special:
        return prompt.ids
    encoded = await _encode(state, _tokenizer(state), prompt.text, with_special)
    ids: list[int] = encoded
    return ids


async def _encode(
    state: ServerState, tokenizer: Tokenizer, prompt: str | list[str], with_special: bool
) -> Any:
    encode = tokenizer.encode if isinstance(prompt, str) else tokenizer.encode_batch
    try:
        return await state.manager.run_in_thread(encode, prompt, with_special)
    except ValueError as error:
        raise RequestError(str(error), param="prompt") from None


def _tokenizer(state: ServerState) -> Tokenizer:
    if state.tokenizer is None:
        raise RequestError(
            "this route needs a tokenizer, and the server runs with --skip-tokenizer-init"
        )
    return state.tokenizer
