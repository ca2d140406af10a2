"""Fields of a chat request that other APIs' bodies may have beside their own."""

from __future__ import annotations

from typing import Any

EXTRA_FIELDS = frozenset(
    {
        # Sampling
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop_token_ids",
        # Grammars
        "ebnf",
        "json_schema",
        "regex",
        "structural_tag",
        # Scheduling
        "cache_salt",
        "priority",
        # The chat template, and what is done with reasoning
        "chat_template_kwargs",
        "stream_reasoning",
    }
)


def split_fields(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of an API's own, and those to be passed on to the chat request as they are.

    A null means "not given", as the client libraries send it.
    """
    given = {name: value for name, value in body.items() if value is not None}
    extras = {name: given.pop(name) for name in EXTRA_FIELDS & given.keys()}
    return given, extras
