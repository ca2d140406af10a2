"""The fields of sampling parameters: what each takes, its bounds, and how it is checked."""

from __future__ import annotations

import difflib
import json
import math
import numbers
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

MAX_TEMPERATURE = 1e6
"""Far beyond uniform in float32; keeps 1/temperature away from zero."""
MAX_PENALTY = 2.0
MAX_REPETITION_PENALTY = 2.0
MAX_LOGIT_BIAS = 100.0
MAX_N = 128
MAX_TOKENS = 2**31 - 1
"""Limit of token counts; the context length bounds them further at admission."""
MAX_TOKEN_ID = 2**31 - 1
MAX_TOP_K = 2**31 - 1
MIN_SEED, MAX_SEED = -(2**63), 2**63 - 1
MAX_STOP_STRINGS = 128
MAX_STOP_CHARS = 1024
MAX_STOP_TOKEN_IDS = 1024
MAX_LOGIT_BIAS_ENTRIES = 4096
MAX_GRAMMAR_CHARS = 1 << 20
MAX_CUSTOM_PARAMS = 256
MAX_CUSTOM_PARAMS_BYTES = 1 << 20


class SamplingParamsError(ValueError):
    """Bad user input; the message names the field, its limit and the value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


Parser = Callable[[str, Any, "int | None"], Any]
"""(field, value, vocab_size) -> the checked value, with the type that the field has."""


class Field(NamedTuple):
    """What one parameter takes."""

    parse: Parser
    """Raises SamplingParamsError."""
    schema: dict[str, Any]
    """JSON schema; token ids and lengths are bounded further by ``parse``."""


def refuse(field: str, limit: str, value: object) -> NoReturn:
    """Raises SamplingParamsError: ``field`` must be ``limit`` and ``value`` is not."""
    raise SamplingParamsError(field, f"{field} must be {limit}, got {_shown(value)}")


def _shown(value: object) -> str:
    """A bounded rendering of any value for an error message."""
    try:
        return reprlib.repr(value)
    except ValueError:  # CPython refuses to print integers of thousands of digits
        return f"a very long {type(value).__name__}"


def unknown_field(name: object) -> str:
    """The message about a field that there is not, with the closest one that there is."""
    message = f"unknown sampling parameter {_shown(name)}"
    close = difflib.get_close_matches(name[:64], FIELDS, n=1) if isinstance(name, str) else []
    return f"{message}; did you mean {close[0]!r}?" if close else message


def _as_int(field: str, value: Any, limit: str) -> int:
    # numbers.Integral admits numpy's integers, which callers of the offline engine have.
    if type(value) is not int and (isinstance(value, bool) or not _is(value, numbers.Integral)):
        refuse(field, limit, value)
    return int(value)


def _as_float(field: str, value: Any, limit: str) -> float:
    if type(value) is not float and (isinstance(value, bool) or not _is(value, numbers.Real)):
        refuse(field, limit, value)
    try:
        number = float(value)
    except OverflowError:
        refuse(field, limit, value)
    if not math.isfinite(number):
        refuse(field, limit, value)
    return number


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind)


def _integer(low: int, high: int) -> Field:
    limit = f"an integer between {low} and {high}"

    def parse(field: str, value: Any, vocab_size: int | None) -> int:
        number = _as_int(field, value, limit)
        return number if low <= number <= high else refuse(field, limit, value)

    return Field(parse, {"type": "integer", "minimum": low, "maximum": high})


def _number(low: float, high: float, *, above: bool = False) -> Field:
    """Finite numbers in [low, high], or in (low, high] if ``above``."""
    limit = f"a number above {low:g}" if above else f"a number of at least {low:g}"
    limit += f" and at most {high:g}"

    def parse(field: str, value: Any, vocab_size: int | None) -> float:
        number = _as_float(field, value, limit)
        if number > high or number < low or (above and number == low):
            refuse(field, limit, value)
        return number

    lowest = "exclusiveMinimum" if above else "minimum"
    return Field(parse, {"type": "number", lowest: low, "maximum": high})


def _boolean(field: str, value: Any, vocab_size: int | None) -> bool:
    return value if isinstance(value, bool) else refuse(field, "true or false", value)


def _top_k(field: str, value: Any, vocab_size: int | None) -> int:
    limit = f"-1 (the whole vocabulary) or an integer between 1 and {MAX_TOP_K}"
    number = _as_int(field, value, limit)
    if number == -1:
        return number
    if not 1 <= number <= MAX_TOP_K:
        refuse(field, limit, value)
    return number if vocab_size is None else min(number, vocab_size)


def _text(field: str, value: Any, max_chars: int) -> str:
    limit = f"a non-empty string of at most {max_chars} characters"
    if not isinstance(value, str) or not 0 < len(value) <= max_chars:
        refuse(field, limit, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(field, "a string without unpaired surrogates", value)
    return value


def _grammar(field: str, value: Any, vocab_size: int | None) -> str:
    return _text(field, value, MAX_GRAMMAR_CHARS)


def _json_grammar(field: str, value: Any, vocab_size: int | None) -> str:
    """JSON text as it is; an object (a schema may also be true or false) becomes JSON text."""
    if isinstance(value, Mapping | bool):
        try:
            value = json.dumps(value, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise SamplingParamsError(
                field, f"{field} cannot be written as JSON: {str(error)[:200]}"
            ) from None
    return _text(field, value, MAX_GRAMMAR_CHARS)


def _stop(field: str, value: Any, vocab_size: int | None) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or len(value) > MAX_STOP_STRINGS:
        refuse(field, f"a string or a list of at most {MAX_STOP_STRINGS} strings", value)
    return [_text(f"{field}[{i}]", item, MAX_STOP_CHARS) for i, item in enumerate(value)]


def _token_id(field: str, value: Any, vocab_size: int | None) -> int:
    last = MAX_TOKEN_ID if vocab_size is None else vocab_size - 1
    limit = f"a token id between 0 and {last}"
    number = _as_int(field, value, limit)
    return number if 0 <= number <= last else refuse(field, limit, value)


def _stop_token_ids(field: str, value: Any, vocab_size: int | None) -> list[int]:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_STOP_TOKEN_IDS:
        refuse(field, f"a list of at most {MAX_STOP_TOKEN_IDS} token ids", value)
    return [_token_id(f"{field}[{i}]", item, vocab_size) for i, item in enumerate(value)]


def _logit_bias(field: str, value: Any, vocab_size: int | None) -> dict[int, float]:
    if not isinstance(value, Mapping) or len(value) > MAX_LOGIT_BIAS_ENTRIES:
        refuse(field, f"an object of at most {MAX_LOGIT_BIAS_ENTRIES} token ids", value)
    biases: dict[int, float] = {}
    for key, bias in value.items():
        token: Any = key
        # JSON has only string keys. Ten digits hold every id; more are no id.
        if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) <= 10:
            token = int(key)
        token = _token_id(f"{field} key", token, vocab_size)
        if token in biases:
            raise SamplingParamsError(field, f"{field} names token {token} twice")
        biases[token] = _bias.parse(f"{field}[{token}]", bias, vocab_size)
    return biases


def _custom_params(field: str, value: Any, vocab_size: int | None) -> dict[str, Any]:
    limit = f"an object of at most {MAX_CUSTOM_PARAMS} named values"
    if not isinstance(value, Mapping) or len(value) > MAX_CUSTOM_PARAMS:
        refuse(field, limit, value)
    if not all(isinstance(key, str) for key in value):
        refuse(field, limit, value)
    try:
        data = msgspec.msgpack.encode(dict(value))
        params: dict[str, Any] = msgspec.msgpack.decode(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SamplingParamsError(
            field, f"{field} must hold plain values only: {str(error)[:200]}"
        ) from None
    if len(data) > MAX_CUSTOM_PARAMS_BYTES:
        refuse(field, f"at most {MAX_CUSTOM_PARAMS_BYTES} bytes", value)
    return params


_bias = _number(-MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)
_penalty = _number(-MAX_PENALTY, MAX_PENALTY)
_switch = Field(_boolean, {"type": "boolean"})
_expression = Field(_grammar, {"type": "string", "minLength": 1, "maxLength": MAX_GRAMMAR_CHARS})
_json_text = Field(
    _json_grammar,
    {
        "anyOf": [
            {"type": "string", "minLength": 1, "maxLength": MAX_GRAMMAR_CHARS},
            {"type": "object"},
            {"type": "boolean"},
        ]
    },
)
_stop_string = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARS}
_id = {"type": "integer", "minimum": 0, "maximum": MAX_TOKEN_ID}

FIELDS: dict[str, Field] = {
    "max_new_tokens": _integer(0, MAX_TOKENS),
    "stop": Field(
        _stop,
        {
            "anyOf": [
                _stop_string,
                {"type": "array", "items": _stop_string, "maxItems": MAX_STOP_STRINGS},
            ]
        },
    ),
    "stop_token_ids": Field(
        _stop_token_ids, {"type": "array", "items": _id, "maxItems": MAX_STOP_TOKEN_IDS}
    ),
    "temperature": _number(0.0, MAX_TEMPERATURE),
    "top_p": _number(0.0, 1.0, above=True),
    "top_k": Field(
        _top_k,
        {"anyOf": [{"const": -1}, {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K}]},
    ),
    "min_p": _number(0.0, 1.0),
    "ignore_eos": _switch,
    "skip_special_tokens": _switch,
    "spaces_between_special_tokens": _switch,
    "n": _integer(1, MAX_N),
    "json_schema": _json_text,
    "regex": _expression,
    "ebnf": _expression,
    "structural_tag": _json_text,
    "frequency_penalty": _penalty,
    "presence_penalty": _penalty,
    # Zero is documented as valid; the sampler takes it as the limit from above.
    "repetition_penalty": _number(0.0, MAX_REPETITION_PENALTY),
    "min_new_tokens": _integer(0, MAX_TOKENS),
    "logit_bias": Field(
        _logit_bias,
        {
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]{1,10}$"},
            "additionalProperties": _bias.schema,
            "maxProperties": MAX_LOGIT_BIAS_ENTRIES,
        },
    ),
    "seed": _integer(MIN_SEED, MAX_SEED),
    "custom_params": Field(_custom_params, {"type": "object", "maxProperties": MAX_CUSTOM_PARAMS}),
}
