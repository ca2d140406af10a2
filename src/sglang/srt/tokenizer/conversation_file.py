"""Conversation files: the documented JSON form of a custom chat template.

    {"name": "my_model", "system": "<|im_start|>system", "user": "<|im_start|>user",
     "assistant": "<|im_start|>assistant", "sep_style": "CHATML", "sep": "<|im_end|>",
     "stop_str": ["<|im_end|>", "<|im_start|>"]}

``system``, ``user`` and ``assistant`` are what stands before a message of that role, ``sep`` (and
``sep2``, after an assistant's message, for the styles ending in TWO) what stands behind it, and
``sep_style`` names what joins them. ``system_message`` is used if a conversation brings none. The
file becomes a Jinja template, so there is one way to render a conversation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ConversationTemplate:
    """A template's Jinja source and the stop strings that belong to it."""

    source: str
    stop: tuple[str, ...]


@dataclass(frozen=True)
class _Style:
    join: str
    """Between a role and its message."""
    prompt: str
    """Behind the assistant's role where the model is to go on."""
    tail: str = ""
    """Behind each separator."""
    two_separators: bool = False
    separates_system: bool = True


_STYLES = {
    "CHATML": _Style("\n", "\n", tail="\n"),
    "ADD_COLON_SINGLE": _Style(": ", ":"),
    "ADD_COLON_SPACE_SINGLE": _Style(": ", ": "),
    "ADD_COLON_TWO": _Style(": ", ":", two_separators=True),
    "ADD_NEW_LINE_SINGLE": _Style("\n", "\n"),
    "NO_COLON_SINGLE": _Style("", "", separates_system=False),
    "NO_COLON_TWO": _Style("", "", two_separators=True, separates_system=False),
}

_SOURCE = """\
{{%- if {default_system} and messages[0]['role'] != 'system' -%}}
    {{{{- {system} + '\\n' + {default_system} + {system_end} -}}}}
{{%- endif -%}}
{{%- for message in messages -%}}
    {{%- if message['role'] == 'system' -%}}
        {{{{- {system} + '\\n' + message['content'] + {system_end} -}}}}
    {{%- elif message['role'] == 'user' -%}}
        {{{{- {user} + {join} + message['content'] + {user_end} -}}}}
    {{%- elif message['role'] == 'assistant' -%}}
        {{{{- {assistant} + {join} + message['content'] + {assistant_end} -}}}}
    {{%- else -%}}
        {{{{- raise_exception('this chat template has no role ' + message['role']) -}}}}
    {{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}
    {{{{- {assistant} + {prompt} -}}}}
{{%- endif -%}}
"""


def conversation_from_json(data: Any) -> ConversationTemplate:
    """Translate the content of a conversation file.

    Raises ValueError naming the field that is missing, wrong or not implemented.
    """
    if not isinstance(data, dict):
        raise ValueError("a conversation file holds one JSON object")
    known = {"name", "system", "user", "assistant", "sep_style", "sep", "sep2", "stop_str"}
    unknown = sorted(set(data) - known - {"system_message"})
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}")
    style_name = _text(data, "sep_style")
    style = _STYLES.get(style_name)
    if style is None:
        raise ValueError(
            f"sep_style {style_name!r} is not implemented yet; there are {', '.join(_STYLES)} "
            "(any other format can be written as a .jinja file)"
        )
    sep = _text(data, "sep", "\n")
    sep2 = _text(data, "sep2", sep) if style.two_separators else sep
    source = _SOURCE.format(
        system=_literal(_text(data, "system")),
        user=_literal(_text(data, "user")),
        assistant=_literal(_text(data, "assistant")),
        default_system=_literal(_text(data, "system_message", "")),
        join=_literal(style.join),
        prompt=_literal(style.prompt),
        system_end=_literal(sep + style.tail if style.separates_system else ""),
        user_end=_literal(sep + style.tail),
        assistant_end=_literal(sep2 + style.tail),
    )
    return ConversationTemplate(source, _stops(data.get("stop_str")))


def _text(data: dict[str, Any], field: str, default: str | None = None) -> str:
    value = data.get(field, default)
    if not isinstance(value, str):
        problem = "is missing" if field not in data else "must be a string"
        raise ValueError(f"{field} {problem}")
    return value


def _stops(value: Any) -> tuple[str, ...]:
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise ValueError("stop_str must be a string or a list of strings, none of them empty")
    return tuple(stops)


def _literal(text: str) -> str:
    """``text`` as a Jinja string literal."""
    escaped = text.encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"'{escaped}'"
