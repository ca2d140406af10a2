"""Sampling parameters of one request, under their documented names and defaults.

:meth:`SamplingParams.parse` is the one door for user input: what comes out of it is typed,
finite and bounded, so that nothing behind it has to check again. No torch here: the API
process imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sglang.srt.sampling.sampling_fields import (
    FIELDS,
    SamplingParamsError,
    refuse,
    unknown_field,
)

GREEDY_TEMPERATURE = 1e-6
"""At or below this the best token is taken and nothing is drawn."""

GRAMMAR_KINDS = ("json_schema", "regex", "ebnf", "structural_tag")
"""The fields that constrain the output; a request may have one of them."""


class SamplingParams(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How the tokens of one request are chosen and when they end."""

    max_new_tokens: int | None = 128
    """Tokens that are generated at most; null: as many as the context holds."""
    stop: list[str] = []
    """Texts that end the answer; they are no part of it."""
    stop_token_ids: list[int] = []
    """Tokens that end the answer."""
    temperature: float = 1.0
    """0 takes the likeliest token; higher is more random."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that together have this probability."""
    top_k: int = -1
    """Sample from so many of the likeliest tokens; -1: the whole vocabulary."""
    min_p: float = 0.0
    """Sample from tokens at least so likely, as a part of the likeliest one's probability."""
    ignore_eos: bool = False
    """Go on behind the end-of-text token."""
    skip_special_tokens: bool = True
    """Leave special tokens out of the text."""
    spaces_between_special_tokens: bool = True
    """Put spaces between the special tokens in the text."""
    n: int = 1
    """So many answers to each prompt."""
    json_schema: str | None = None
    """The answer is JSON that obeys this schema."""
    regex: str | None = None
    """The answer matches this regular expression."""
    ebnf: str | None = None
    """The answer obeys this grammar."""
    structural_tag: str | None = None
    """Parts of the answer between tags obey schemas."""
    frequency_penalty: float = 0.0
    """Taken from a token's logit for each time that it has been generated."""
    presence_penalty: float = 0.0
    """Taken from a token's logit once it has been generated."""
    repetition_penalty: float = 1.0
    """Above 1: tokens of prompt and answer become less likely; below 1: likelier."""
    min_new_tokens: int = 0
    """Nothing ends the answer before so many tokens."""
    logit_bias: dict[int, float] = {}
    """Token id -> what is added to its logit, at most 100 in either direction."""
    seed: int | None = None
    """The same seed gives the same answer, whatever else is running."""
    custom_params: dict[str, Any] | None = None
    """What the request's custom logit processor gets to know of it."""

    @property
    def is_greedy(self) -> bool:
        """Whether the best token is taken without drawing."""
        return self.temperature <= GREEDY_TEMPERATURE or self.top_k == 1

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, vocab_size: int | None = None) -> SamplingParams:
        """Checks user input.

        Args:
            raw: The user's fields. None means "not given", except for ``max_new_tokens``,
                where it lifts the limit.
            vocab_size: Bounds token ids; a larger ``top_k`` is clamped to it.

        Raises:
            SamplingParamsError: Unknown field, wrong type, value out of range, or fields
                that exclude each other.
        """
        if not isinstance(raw, Mapping):
            refuse("sampling_params", "an object", raw)
        fields: dict[str, Any] = {}
        for name, value in raw.items():
            if name not in FIELDS:
                raise SamplingParamsError(str(name), unknown_field(name))
            if value is not None:
                fields[name] = FIELDS[name].parse(name, value, vocab_size)
            elif name == "max_new_tokens":
                fields[name] = None
        params = cls(**fields)
        _check_combinations(params)
        return params


def _check_combinations(params: SamplingParams) -> None:
    limit = params.max_new_tokens
    if limit is not None and params.min_new_tokens > limit:
        raise SamplingParamsError(
            "min_new_tokens",
            f"min_new_tokens must be at most max_new_tokens ({limit}), got {params.min_new_tokens}",
        )
    grammars = [name for name in GRAMMAR_KINDS if getattr(params, name) is not None]
    if len(grammars) > 1:
        raise SamplingParamsError(
            grammars[1],
            "only one of json_schema, regex, ebnf and structural_tag can be set, got "
            + " and ".join(grammars),
        )


def json_schemas() -> dict[str, dict[str, Any]]:
    """What each field takes, as a JSON schema; token ids and lengths are bounded further."""
    return {name: field.schema for name, field in FIELDS.items()}
