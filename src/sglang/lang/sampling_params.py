"""How a piece of text is to be generated, as far as a program says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """What ``gen`` and ``run`` say about sampling. None everywhere: the backend's default.

    The ranges are the backend's to check: they differ.
    """

    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    n: int | None = None
    stop: str | Sequence[str] | None = None
    stop_token_ids: Sequence[int] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    ignore_eos: bool | None = None
    seed: int | None = None
    regex: str | None = None
    json_schema: str | None = None
    """A JSON schema as JSON text."""
    ebnf: str | None = None
    return_logprob: bool | None = None
    logprob_start_len: int | None = None
    top_logprobs_num: int | None = None
    return_text_in_logprobs: bool | None = None

    def given(self) -> Iterator[tuple[str, Any]]:
        """Name and value of each field that is set."""
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def over(self, defaults: SamplingParams) -> SamplingParams:
        """These parameters; ``defaults`` where they say nothing."""
        return dataclasses.replace(defaults, **dict(self.given()))

    @property
    def stop_strings(self) -> list[str]:
        """``stop`` as a list."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else list(self.stop)


FIELDS = tuple(field.name for field in dataclasses.fields(SamplingParams))

GRAMMARS = ("regex", "json_schema", "ebnf")
"""The fields that say which texts are allowed; a gen may have one of them."""

RUN_FIELDS = tuple(name for name in FIELDS if name not in (*GRAMMARS, "n"))
"""What ``run`` takes as defaults for a program, which cannot have arguments of these names."""

LOGPROB_OPTIONS = (
    "return_logprob",
    "logprob_start_len",
    "top_logprobs_num",
    "return_text_in_logprobs",
)
"""The fields that ask for log-probabilities."""
