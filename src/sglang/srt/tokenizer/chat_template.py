"""Chat templates: from a conversation to the text of a prompt.

:class:`ChatTemplate` is one compiled template. :func:`resolve_chat_template` finds the one that
``--chat-template`` names. Templates run in the sandbox of :mod:`.template_sandbox`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from sglang.srt.tokenizer import builtin_templates
from sglang.srt.tokenizer.conversation_file import conversation_from_json
from sglang.srt.tokenizer.template_budget import (
    BUDGET_KEY,
    Budget,
    TemplateLimitError,
    TemplateLimits,
)
from sglang.srt.tokenizer.template_sandbox import TemplateRefusalError, compile_source
from sglang.srt.tokenizer.template_traits import TemplateTraits, read_traits
from sglang.srt.tokenizer.template_values import plain_messages, plain_value

if TYPE_CHECKING:
    from sglang.srt.tokenizer.tokenizer import Tokenizer

RESERVED_VARIABLES = frozenset(
    {
        # what the renderer itself passes to a template
        *("messages", "tools", "documents", "add_generation_prompt", "continue_final_message"),
        # what a template may call
        *("raise_exception", "strftime_now", "namespace", "dict", "range", "cycler", "joiner"),
        # arguments of transformers' apply_chat_template that are no template variables
        *("chat_template", "conversation", "tokenize", "return_dict", "return_tensors"),
        *("padding", "truncation", "max_length", "tokenizer_kwargs"),
        *("return_assistant_tokens_mask", "sanitize_control_tokens"),
    }
)
"""Names that further template variables cannot have."""

_CUT = "\ue000end of the message to continue\ue001"


class ChatTemplateError(ValueError):
    """A template is broken, refuses its input, or goes past a limit."""


class ChatTemplate:
    """One chat template, compiled once and safe to share between threads."""

    def __init__(self, source: str, limits: TemplateLimits | None = None) -> None:
        """Compile ``source``; raises ChatTemplateError with the line if it is broken."""
        self.source = source
        self.limits = limits or TemplateLimits()
        try:
            self._template, tree = compile_source(source, self.limits)
        except jinja2.TemplateSyntaxError as error:
            raise ChatTemplateError(
                f"chat template, line {error.lineno}: {error.message}"
            ) from error
        except TemplateLimitError as error:
            raise ChatTemplateError(f"chat template: {error}") from error
        except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
            raise ChatTemplateError("chat template: nested too deeply to compile") from error
        self.traits: TemplateTraits = read_traits(tree)

    def render(
        self,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Any] | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        special_tokens: Mapping[str, str] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt of a conversation.

        ``special_tokens`` are the tokenizer's, by role (``bos_token`` ...). ``variables`` are
        further ones, for example from a request's ``chat_template_kwargs``; they may override
        special tokens but none of RESERVED_VARIABLES.

        Raises ChatTemplateError (a ValueError) if an argument is wrong, the template refuses the
        conversation (its own message), fails, or goes past its limits.
        """
        chat = plain_messages(messages)
        if not chat:
            raise ChatTemplateError("messages is empty: a conversation needs at least one message")
        if continue_final_message:
            if add_generation_prompt:
                raise ChatTemplateError(
                    "add_generation_prompt and continue_final_message exclude each other"
                )
            last = _mark_end(chat[-1])
        reserved = RESERVED_VARIABLES.intersection(variables or ())
        if reserved:
            raise ChatTemplateError(
                f"a chat template variable cannot be named {', '.join(sorted(reserved))}"
            )
        text = self._run(
            {
                **(special_tokens or {}),
                **plain_value(dict(variables or {}), "chat template variables"),
                "messages": chat,
                "tools": None if tools is None else plain_value(list(tools), "tools"),
                "documents": (
                    None if documents is None else plain_value(list(documents), "documents")
                ),
                "add_generation_prompt": add_generation_prompt,
            }
        )
        return _cut_at_mark(text, last) if continue_final_message else text

    def _run(self, variables: dict[str, Any]) -> str:
        budget = Budget(self.limits)
        variables[BUDGET_KEY] = budget
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate(variables):
                parts.append(part)
                size += len(part)
                if size > self.limits.output_chars:
                    raise TemplateLimitError(f"a prompt of more than {self.limits.output_chars}")
            return "".join(parts)
        except TemplateRefusalError as error:
            raise ChatTemplateError(str(error)) from None
        except TemplateLimitError as error:
            raise ChatTemplateError(f"the chat template went past its limit: {error}") from None
        except RecursionError:
            raise ChatTemplateError("the chat template recursed too deeply") from None
        except Exception as error:  # whatever the template's code ran into
            raise ChatTemplateError(
                f"the chat template failed: {type(error).__name__}: {error}"
            ) from error


@lru_cache(maxsize=16)
def compile_template(source: str) -> ChatTemplate:
    """:class:`ChatTemplate` of a source, compiled only when it is new."""
    return ChatTemplate(source)


def _mark_end(message: dict[str, Any]) -> str:
    """Append the cut mark to the message's text; returns the text without it."""
    content = message.get("content")
    if isinstance(content, str):
        message["content"] = content + _CUT + " "
        return content
    if isinstance(content, list):
        for part in reversed(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                text: str = part["text"]
                part["text"] = text + _CUT + " "
                return text
    raise ChatTemplateError("continue_final_message: the last message has no text to continue")


def _cut_at_mark(text: str, last: str) -> str:
    position = text.rfind(_CUT)
    if position < 0 or last.strip() not in text:
        raise ChatTemplateError(
            "continue_final_message: this chat template does not show the last message as it is"
        )
    # A template that trims took the blank behind the mark; it would have trimmed the text's too.
    is_trimmed = not text.startswith(" ", position + len(_CUT))
    return text[:position].rstrip() if is_trimmed else text[:position]


def resolve_chat_template(
    argument: str | None, tokenizer: Tokenizer
) -> tuple[ChatTemplate | None, list[str]]:
    """The template a server uses for chat, and the stop strings that belong to it.

    ``argument`` is the value of ``--chat-template``: a built-in name, the path of a ``.jinja``
    file, or of a ``.json`` file in the conversation format. Without one it is the tokenizer's
    own, or None if it has none (a tokenizer with several named templates gives its default).

    Raises ChatTemplateError naming the argument if it is none of these.
    """
    if argument is None:
        if tokenizer.chat_template is None:
            return None, []
        return compile_template(tokenizer.get_chat_template()), []
    if builtin_templates.is_vision(argument):
        raise ChatTemplateError(
            f"--chat-template {argument}: vision models are not implemented yet"
        )
    builtin = builtin_templates.find(argument)
    if builtin is not None:
        return compile_template(builtin.source), list(builtin.stop)
    path = Path(argument).expanduser()
    if path.suffix not in (".jinja", ".j2", ".json"):
        raise ChatTemplateError(
            f"--chat-template {argument!r} is neither the path of a .jinja or .json file nor one "
            f"of the built-in templates: {', '.join(builtin_templates.NAMES)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ChatTemplateError(f"--chat-template: cannot read {argument}: {reason}") from error
    try:
        if path.suffix != ".json":
            return compile_template(text), []
        conversation = conversation_from_json(json.loads(text))
        return compile_template(conversation.source), list(conversation.stop)
    except (ValueError, RecursionError) as error:
        raise ChatTemplateError(f"--chat-template {argument}: {error}") from error
