"""From what a user sent to one checked input a prompt.

Every field of a :class:`GenerateReqInput` may stand for one prompt or, as a list, for a batch.
Here the forms become one: a list of :class:`PromptInput`. Nothing is tokenized yet.
"""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import NotImplementedYetError, RequestError
from sglang.srt.managers.input_embeds import is_one_prompt
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.sampling.custom_logit_processor import MAX_PROCESSOR_CHARS

MAX_PROMPTS = 16384
"""Prompts in one request."""
MAX_TOP_LOGPROBS = 1000
MAX_RID_LENGTH = 256
MAX_CACHE_SALT_LENGTH = 256
MAX_PRIORITY = 2**31 - 1
MAX_SECONDS = 31536000

T = TypeVar("T")

_NOT_YET = {
    "image_data": "image input (image_data)",
    "modalities": "multi-modal input (modalities)",
    "lora_path": "LoRA (lora_path)",
}


@dataclass(frozen=True, slots=True)
class SessionParams:
    """Where a request continues a session."""

    id: str
    rid: str | None = None
    """The request to go on from; None: a new branch."""
    offset: int | None = None
    """Tokens to keep of that request's; negative: so many are cut off its end; None or 0: all."""
    replace: bool = False
    """Drop what went on from that request before, or without one all that is in the session."""


@dataclass(slots=True)
class PromptInput:
    """One prompt and the options that belong to it; one of text, input_ids and embeds is set."""

    rid: str
    text: str | None
    input_ids: NDArray[np.int32] | None
    sampling_params: dict[str, Any]
    return_logprob: bool
    logprob_start_len: int
    top_logprobs_num: int
    custom_logit_processor: str | None
    return_hidden_states: bool
    session: SessionParams | None
    embeds: Any
    """The prompt as vectors, not checked yet."""
    session_chars: int = 0
    """Characters of the prompt, counted only for a session."""


@dataclass(slots=True)
class PromptBatch:
    """The prompts of one request."""

    prompts: list[PromptInput]
    is_single: bool
    """The fields were given for one prompt, so one answer is expected instead of a list."""
    name: str | None
    """One rid given for a whole batch; its prompts have rids derived from it."""


def normalize(obj: GenerateReqInput, *, vocab_size: int) -> PromptBatch:
    """Check the fields of a request and split it by prompt.

    Raises:
        RequestError: a field has the wrong type, length or range, or asks for a feature that
            does not exist yet.
    """
    _refuse_unsupported(obj)
    _check_scalars(obj)
    texts, ids, embeds, is_single = _prompts(obj, vocab_size)
    count = len(texts)
    spread = _Spread(count, is_single)
    rids = _rids(obj.rid, spread)
    nothing: dict[str, Any] = {}
    sampling = spread(obj.sampling_params, "sampling_params", _as_dict, nothing)
    wanted = spread(obj.return_logprob, "return_logprob", as_bool, False)
    starts = spread(obj.logprob_start_len, "logprob_start_len", _as_start, -1)
    tops = spread(obj.top_logprobs_num, "top_logprobs_num", _as_top, 0)
    processors = spread(obj.custom_logit_processor, "custom_logit_processor", _as_processor, None)
    hidden = spread(obj.return_hidden_states, "return_hidden_states", as_bool, False)
    sessions = spread(obj.session_params, "session_params", _as_session, None)
    prompts = [
        PromptInput(
            rid=rids[i],
            text=texts[i],
            input_ids=ids[i],
            sampling_params=sampling[i],
            return_logprob=wanted[i],
            logprob_start_len=starts[i] if wanted[i] else -1,
            top_logprobs_num=tops[i] if wanted[i] else 0,
            custom_logit_processor=processors[i],
            return_hidden_states=hidden[i],
            session=sessions[i],
            embeds=embeds[i],
        )
        for i in range(count)
    ]
    name = obj.rid if isinstance(obj.rid, str) and not is_single else None
    return PromptBatch(prompts, is_single, name)


def token_array(ids: Any, name: str, vocab_size: int) -> NDArray[np.int32]:
    """Token ids of one prompt as an int32 array of shape [n], n >= 1.

    Raises:
        RequestError: empty, not a flat list of integers, or an id outside the vocabulary.
    """
    if not isinstance(ids, (list, tuple)) and hasattr(ids, "tolist"):
        ids = ids.tolist()
    if not isinstance(ids, (list, tuple)):
        raise RequestError(f"{name} must be a list of token ids, got {_show(ids)}", param=name)
    if not ids:
        raise RequestError(f"{name} is empty: a prompt needs at least one token", param=name)
    if set(map(type, ids)) != {int}:
        ids = [_token_id(token, f"{name}[{i}]") for i, token in enumerate(ids)]
    lowest, highest = min(ids), max(ids)
    if lowest < 0 or highest >= vocab_size:
        bad = lowest if lowest < 0 else highest
        raise RequestError(
            f"{name}[{ids.index(bad)}] is {bad}; token ids must be in [0, {vocab_size})", param=name
        )
    return np.array(ids, dtype=np.int32)


def as_bool(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false, got {_show(value)}", param=name)
    return value


def as_int(value: Any, name: str, low: int, high: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise RequestError(f"{name} must be an integer, got {_show(value)}", param=name)
    if not low <= number <= high:
        raise RequestError(f"{name} is {number}; it must be in [{low}, {high}]", param=name)
    return number


def as_seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RequestError(f"{name} must be a number of seconds, got {_show(value)}", param=name)
    if not 0 < value <= MAX_SECONDS:
        raise RequestError(
            f"{name} is {_show(value)}; it must be above 0 and at most {MAX_SECONDS}", param=name
        )
    return value


def as_text(value: Any, name: str, limit: int | None = None) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{name} must be a string, got {_show(value)}", param=name)
    if limit is not None and not 1 <= len(value) <= limit:
        raise RequestError(
            f"{name} has {len(value)} characters; it must have 1 to {limit}", param=name
        )
    return value


class _Spread:
    """Gives each prompt its value of a field that is one value or a list of them."""

    def __init__(self, count: int, is_single: bool) -> None:
        self.count = count
        self.is_single = is_single

    def __call__(
        self, value: Any, name: str, check: Callable[[Any, str], T], default: T
    ) -> list[T]:
        if value is None:
            return [default] * self.count
        if not isinstance(value, (list, tuple)):
            return [check(value, name)] * self.count
        if self.is_single:
            raise RequestError(f"{name} is a list, but there is a single prompt", param=name)
        if len(value) != self.count:
            raise RequestError(
                f"{name} has {len(value)} entries for {self.count} prompts", param=name
            )
        return [
            default if item is None else check(item, f"{name}[{i}]") for i, item in enumerate(value)
        ]


def _refuse_unsupported(obj: GenerateReqInput) -> None:
    for name, label in _NOT_YET.items():
        value = getattr(obj, name)
        if value is None or (isinstance(value, (list, tuple)) and not any(value)):
            continue
        raise NotImplementedYetError(label, param=name)


def _check_scalars(obj: GenerateReqInput) -> None:
    as_bool(obj.return_text_in_logprobs, "return_text_in_logprobs")
    as_bool(obj.stream, "stream")
    as_bool(obj.log_metrics, "log_metrics")
    as_int(obj.priority, "priority", -MAX_PRIORITY, MAX_PRIORITY)
    if obj.timeout is not None:
        as_seconds(obj.timeout, "timeout")
    if obj.cache_salt is not None:
        as_text(obj.cache_salt, "cache_salt", MAX_CACHE_SALT_LENGTH)


class _Prompts(NamedTuple):
    """What each prompt came as; two of the three hold only None."""

    texts: Sequence[str | None]
    ids: Sequence[NDArray[np.int32] | None]
    embeds: Sequence[Any]
    is_single: bool


def _prompts(obj: GenerateReqInput, vocab_size: int) -> _Prompts:
    given = [obj.text is not None, obj.input_ids is not None, obj.input_embeds is not None]
    if sum(given) != 1:
        raise RequestError("give one of text, input_ids and input_embeds", param="text")
    if obj.text is not None:
        single = isinstance(obj.text, str)
        texts = [obj.text] if isinstance(obj.text, str) else obj.text
        _check_batch(texts, "text")
        checked = [as_text(t, "text" if single else f"text[{i}]") for i, t in enumerate(texts)]
        nothing = [None] * len(checked)
        return _Prompts(checked, nothing, nothing, single)
    if obj.input_embeds is not None:
        return _embeds_prompts(obj)
    ids: Any = obj.input_ids
    if not isinstance(ids, (list, tuple)) and hasattr(ids, "tolist"):
        ids = ids.tolist()
    if isinstance(ids, (list, tuple)) and ids and _is_list(ids[0]):
        _check_batch(ids, "input_ids")
        arrays = [token_array(row, f"input_ids[{i}]", vocab_size) for i, row in enumerate(ids)]
        nothing = [None] * len(arrays)
        return _Prompts(nothing, arrays, nothing, False)
    return _Prompts([None], [token_array(ids, "input_ids", vocab_size)], [None], True)


def _embeds_prompts(obj: GenerateReqInput) -> _Prompts:
    embeds: Any = obj.input_embeds
    if obj.session_params:
        raise RequestError(
            "input_embeds cannot be part of a session, which remembers tokens", param="input_embeds"
        )
    if is_one_prompt(embeds):
        return _Prompts([None], [None], [embeds], True)
    _check_batch(list(embeds), "input_embeds")
    nothing = [None] * len(embeds)
    return _Prompts(nothing, nothing, list(embeds), False)


def _is_list(value: Any) -> bool:
    """Lists, and arrays of at least one dimension."""
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0


def _token_id(value: Any, name: str) -> int:
    """An integer; those of numpy are welcome, too."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise RequestError(f"{name} must be an integer, got {_show(value)}", param=name)
    return operator.index(value)


def _check_batch(items: Any, name: str) -> None:
    if not isinstance(items, (list, tuple)):
        raise RequestError(f"{name} must be a string or a list, got {_show(items)}", param=name)
    if not items:
        raise RequestError(f"{name} is an empty list", param=name)
    if len(items) > MAX_PROMPTS:
        raise RequestError(
            f"{name} has {len(items)} prompts; at most {MAX_PROMPTS} are allowed", param=name
        )


def _rids(rid: Any, spread: _Spread) -> list[str]:
    if rid is None:
        return [uuid.uuid4().hex for _ in range(spread.count)]
    if isinstance(rid, str) and not spread.is_single:
        _as_rid(rid, "rid")
        return [f"{rid}-{i}" for i in range(spread.count)]
    rids = spread(rid, "rid", _as_rid, "")
    rids = [given or uuid.uuid4().hex for given in rids]
    if len(set(rids)) != len(rids):
        raise RequestError("rid has the same id twice", param="rid")
    return rids


def _as_rid(value: Any, name: str) -> str:
    return as_text(value, name, MAX_RID_LENGTH)


def _as_start(value: Any, name: str) -> int:
    return as_int(value, name, -1, 2**31 - 1)


def _as_top(value: Any, name: str) -> int:
    return as_int(value, name, 0, MAX_TOP_LOGPROBS)


def _as_processor(value: Any, name: str) -> str | None:
    return as_text(value, name, MAX_PROCESSOR_CHARS)


def _as_session(value: Any, name: str) -> SessionParams | None:
    fields = _as_dict(value, name)
    if not fields:
        return None
    unknown = fields.keys() - {"id", "rid", "offset", "replace"}
    if unknown:
        raise RequestError(f"unknown field {name}.{min(unknown)[:60]}", param=name)
    rid, offset, replace = (fields.get(each) for each in ("rid", "offset", "replace"))
    return SessionParams(
        id=as_text(fields.get("id"), f"{name}.id", MAX_RID_LENGTH),
        rid=None if rid is None else _as_rid(rid, f"{name}.rid"),
        offset=None if offset is None else as_int(offset, f"{name}.offset", -(2**31), 2**31 - 1),
        replace=False if replace is None else as_bool(replace, f"{name}.replace"),
    )


def _as_dict(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"{name} must be an object, got {_show(value)}", param=name)
    return value


def _show(value: Any) -> str:
    """A value for an error message, shortened."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**30 else "a very large integer"
    return f"a {type(value).__name__}"
