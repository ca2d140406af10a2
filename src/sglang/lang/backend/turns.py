"""What backends have in common that take messages and write whole turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sglang.lang.choices import ChoicesMethod, token_length_normalized
from sglang.lang.conversation import Message, Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams


def check_whole_turns(prompt: Prompt, may_continue: bool = False) -> None:
    """Refuse a prompt that is not made of whole turns with the assistant's to come.

    With ``may_continue`` the assistant's turn may have begun.

    Raises:
        BackendError: text outside of turns, or a gen anywhere but there.
    """
    if prompt.has_loose_text:
        raise BackendError("a chat model is given turns only; some text is outside of any")
    if prompt.role != "assistant":
        raise BackendError("a chat model writes turns of the assistant: a gen must stand in one")
    if prompt.turn and not may_continue:
        raise BackendError(
            "a chat model writes whole turns: a gen must stand at the beginning of an assistant "
            "turn (for several gens in one turn see num_api_spec_tokens of sgl.function)"
        )


def split_system(messages: Sequence[Message]) -> tuple[str | None, list[Message]]:
    """What the system says, in one text, and the other messages, for APIs that want them apart."""
    said = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not all(isinstance(content, str) for content in said):
        raise BackendError("a turn of the system can hold text only")
    return "\n\n".join(said) or None, others


def choice_request(choices: Sequence[str], method: ChoicesMethod, api: str) -> SamplingParams:
    """Parameters with which the answer is one of ``choices``; read it with :func:`chosen`.

    These APIs show no logprobs of given texts, so the model answers in JSON with a choice.

    Raises:
        BackendError: a method other than the default, which could not be honoured.
    """
    if method is not token_length_normalized:
        raise BackendError(f"choices_method is not supported by {api}")
    schema = {
        "type": "object",
        "properties": {"choice": {"type": "string", "enum": list(choices)}},
        "required": ["choice"],
        "additionalProperties": False,
    }
    return SamplingParams(temperature=0.0, json_schema=json.dumps(schema))


def chosen(choices: Sequence[str], answer: str) -> int:
    """The index of the choice that an answer to :func:`choice_request` names.

    Raises:
        BackendError: it names none.
    """
    try:
        return list(choices).index(json.loads(answer)["choice"])
    except (ValueError, KeyError, TypeError):
        raise BackendError(f"the answer is none of the choices: {answer!r}") from None


def finish(reason: Any) -> dict[str, Any]:
    """Why an answer ended, as our own servers say it."""
    return {"finish_reason": {"type": reason}}
