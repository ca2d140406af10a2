"""Preparing the messages of a chat request for a template.

Clients write conversations the way of the OpenAI API; templates read them the way of Hugging Face
transformers. The differences, settled here by what the template itself does with a field:

==========================  =================================================================
content as a list of parts  kept for a template that goes through parts, else joined by "\\n"
content missing or null     kept for a template that asks about it, else ""
role ``developer``          kept for a template that knows it, else ``system``
tool call arguments         a mapping, or text for a template that prints them as they are
tool calls as one mapping   (documented for a user message) an assistant message with a list
tool message without id     the id of the call it answers
==========================  =================================================================
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sglang.srt.tokenizer.template_traits import TemplateTraits
from sglang.srt.tokenizer.template_values import plain_messages

Message = dict[str, Any]

_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def normalize_messages(
    messages: Sequence[Any], traits: TemplateTraits | None = None
) -> list[Message]:
    """A copy of ``messages`` as the template with these ``traits`` expects them.

    Raises ValueError naming the message and field that is wrong or not supported.
    """
    traits = traits or TemplateTraits()
    chat = [
        _call_form(message, f"messages[{i}]") for i, message in enumerate(plain_messages(messages))
    ]
    _link_tool_results(chat)
    return [_normalize(message, traits, f"messages[{i}]") for i, message in enumerate(chat)]


def _normalize(message: Message, traits: TemplateTraits, where: str) -> Message:
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise ValueError(f"{where}.role must be a non-empty string")
    if role == "developer" and not traits.knows_developer:
        role = "system"
    content = _content(message.get("content"), traits, where)
    result = {key: value for key, value in message.items() if value is not None}
    result["role"] = role
    result.pop("content", None)
    if content is not None or (traits.tests_none and not traits.tests_defined):
        result["content"] = content
    for call in result.get("tool_calls", ()):
        function = call["function"]
        function["arguments"] = _arguments(function.get("arguments"), traits)
    reasoning = result.get("reasoning", result.get("thinking"))
    if reasoning is not None:
        result.setdefault("reasoning_content", reasoning)
    return result


def _content(content: Any, traits: TemplateTraits, where: str) -> Any:
    if content is None:
        return None if traits.tests_none or traits.tests_defined else ""
    if isinstance(content, str):
        return content if traits.takes_strings else [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError(f"{where}.content must be a string or a list of parts")
    texts = [_part_text(part, f"{where}.content[{i}]") for i, part in enumerate(content)]
    if traits.takes_parts:
        return [{"type": "text", "text": text} for text in texts]
    return "\n".join(texts)


def _part_text(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f"{where} must be an object with a type")
    if kind not in _TEXT_PARTS:
        raise ValueError(f"{where}: content of type {kind!r} is not implemented yet; only text is")
    text = part.get(_TEXT_PARTS[kind])
    if not isinstance(text, str):
        raise ValueError(f"{where}.{_TEXT_PARTS[kind]} must be a string")
    return text


def _call_form(message: Message, where: str) -> Message:
    """The message with its tool calls, if any, as a list of the OpenAI form."""
    calls = message.get("tool_calls")
    if not calls:
        message.pop("tool_calls", None)
        return message
    if isinstance(calls, dict):
        # The documentation keeps a call in the history as a user message with one mapping.
        calls = [calls]
        message = {**message, "role": "assistant"}
    if not isinstance(calls, list):
        raise ValueError(f"{where}.tool_calls must be a list")
    forms = [_one_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]
    return {**message, "tool_calls": forms}


def _one_call(call: Any, where: str) -> Message:
    if not isinstance(call, dict):
        raise ValueError(f"{where} must be an object with a function")
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"{where}.function.name must be a string")
    if function is call:
        function = {"name": call["name"], "arguments": call.get("arguments")}
        call = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return {**call, "type": "function", "function": dict(function)}


def _link_tool_results(chat: list[Message]) -> None:
    """Give calls and results without an id one, and results the name of what they answer.

    A result without an id answers the first open call of its name, else the first open call.
    """
    open_calls: list[Message] = []
    count = 0
    for message in chat:
        for call in message.get("tool_calls", ()):
            if not isinstance(call.get("id"), str):
                # Nine letters and digits: the one form that every template accepts.
                call["id"] = f"call{count:05d}"
            count += 1
            open_calls.append(call)
        if message.get("role") == "tool":
            _link(message, open_calls)


def _link(result: Message, open_calls: list[Message]) -> None:
    call_id, name = result.get("tool_call_id"), result.get("name")
    if isinstance(call_id, str):
        matching = [call for call in open_calls if call["id"] == call_id]
    else:
        named = [call for call in open_calls if call["function"]["name"] == name]
        matching = named or ([] if name else open_calls[:1])
    if matching:
        call = matching[0]
        open_calls.remove(call)
        result["tool_call_id"] = call["id"]
        if name is None:
            result["name"] = call["function"]["name"]


def _arguments(arguments: Any, traits: TemplateTraits) -> Any:
    if traits.arguments_as_text:
        return (
            arguments
            if isinstance(arguments, str)
            else json.dumps(arguments or {}, ensure_ascii=False)
        )
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments  # what a model wrote may be no JSON; the template shows it as it is
        return parsed if isinstance(parsed, dict) else arguments
    return arguments
